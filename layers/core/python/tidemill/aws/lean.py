"""What of S3 and DynamoDB answers a request, without boto3, whose import takes longer than all of our cold start.

The clients have the methods of boto3's that `Objects` and `Registry` call to serve, and answer in the same shape; one
test runs over both kinds. Connections are kept alive. Nothing is read, connected or signed before the first call, so
that a snapshot of a started function holds neither credentials nor connections.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tidemill.aws.failures import Refused, Unreachable
from tidemill.aws.signing import Credentials, escaped, signed
from tidemill.errors import InvalidSettings

if TYPE_CHECKING:
    import ssl

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 3
TIMEOUT = 5.0
"""Seconds for a connection, and for each read: three attempts end before API Gateway gives up."""
_PAUSE = 0.1
_EARLY = timedelta(minutes=5)
_CODE, _MESSAGE = re.compile(rb"<Code>([^<]*)</Code>"), re.compile(rb"<Message>([^<]*)</Message>")
_THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")

Environment = Mapping[str, str]


@cache
def s3() -> "S3Client":
    return cast("S3Client", S3(os.environ))


@cache
def dynamodb() -> "DynamoDBClient":
    return cast("DynamoDBClient", DynamoDB(os.environ))


class S3:
    def __init__(self, environment: Environment) -> None:
        self._caller = _Caller("s3", environment)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 boto3's names
        return {"Body": BytesIO(self._call("GET", Bucket, Key))}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> dict[str, Any]:  # noqa: N803
        self._call("PUT", Bucket, Key, Body, {"content-type": ContentType})
        return {}

    def _call(
        self, method: str, bucket: str, key: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        # On AWS a bucket has a host of its own; what speaks S3 elsewhere has one for all.
        if endpoint := self._caller.endpoint:
            return self._caller.call(method, endpoint, f"/{bucket}/{key}", body, headers or {}, _s3_error)
        return self._caller.call(method, self._caller.host(f"{bucket}.s3"), f"/{key}", body, headers or {}, _s3_error)


class DynamoDB:
    def __init__(self, environment: Environment) -> None:
        self._caller = _Caller("dynamodb", environment)

    def get_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("GetItem", parameters)

    def get_paginator(self, _name: str) -> "DynamoDB":
        """Of `query`, the one that serving pages through."""
        return self

    def paginate(self, *, PaginationConfig: object, **parameters: Any) -> Iterator[dict[str, Any]]:  # noqa: N803, ARG002
        """All pages: whoever serves sets no limit."""
        page = self._call("Query", parameters)
        yield page
        while "LastEvaluatedKey" in page:
            page = self._call("Query", {**parameters, "ExclusiveStartKey": page["LastEvaluatedKey"]})
            yield page

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
        endpoint = self._caller.endpoint or self._caller.host("dynamodb")
        body = json.dumps(parameters).encode()
        answer: dict[str, Any] = json.loads(self._caller.call("POST", endpoint, "/", body, headers, _dynamodb_error))
        return answer


def _s3_error(status: int, body: bytes) -> Refused:
    code, message = _CODE.search(body), _MESSAGE.search(body)
    return Refused(code[1].decode() if code else str(status), message[1].decode() if message else "")


def _dynamodb_error(status: int, body: bytes) -> Refused:
    try:
        told = json.loads(body)
        return Refused(told["__type"].rpartition("#")[2], told.get("message", ""))
    except (ValueError, KeyError, TypeError):
        return Refused(str(status), "")


class _Caller:
    """Signs, sends, and asks again where that may help: after a dropped connection, 429, 5xx and a throttle."""

    def __init__(self, service: str, environment: Environment) -> None:
        self._service = service
        self._environment = environment
        self._hosts: dict[str, _Host] = {}
        self._credentials = Provider(environment)

    @property
    def endpoint(self) -> str:
        return self._environment.get("AWS_ENDPOINT_URL", "")

    @property
    def _region(self) -> str:
        region = self._environment.get("AWS_REGION") or self._environment.get("AWS_DEFAULT_REGION")
        if not region:
            raise InvalidSettings("AWS_REGION is missing")
        return region

    def host(self, name: str) -> str:
        region = self._region
        return f"https://{name}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"

    def call(
        self,
        method: str,
        endpoint: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        error: Callable[[int, bytes], Refused],
    ) -> bytes:
        host = self._hosts.setdefault(endpoint, _Host(endpoint, self._environment))
        trouble: Exception = Unreachable("never tried")
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * 2**attempt * _chance())
            try:
                status, answer = self._send(host, method, escaped(path), body, headers)
            except (OSError, HTTPException) as failure:
                trouble = Unreachable(f"{type(failure).__name__}: {failure}")
                continue
            if status < 300:
                return answer
            trouble = error(status, answer)
            if not (status >= 500 or status == 429 or trouble.response["Error"]["Code"] in _THROTTLED):
                break
        raise trouble

    def _send(
        self, host: "_Host", method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        sent = signed(
            method,
            path,
            {**headers, "host": host.name},
            body,
            self._credentials.get(),
            service=self._service,
            region=self._region,
            moment=datetime.now(UTC),
        )
        return host.exchange(method, path, body, sent)


def _chance() -> float:
    """So that functions which failed together do not come back together."""
    return int.from_bytes(os.urandom(2)) / 65536


class _Host:
    """Connections to one host, kept for the next call; several threads may call at once."""

    def __init__(self, endpoint: str, environment: Environment) -> None:
        parts = urlsplit(endpoint)
        self.name = parts.netloc
        self._environment = environment
        self._secure = parts.scheme == "https"
        self._idle: list[HTTPConnection] = []

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        while self._idle:
            try:
                return self._over(self._idle.pop(), method, path, body, headers)
            except (OSError, HTTPException, IndexError):
                # A kept connection dies while a function is frozen; that says nothing about the host.
                continue
        return self._over(self._connection(), method, path, body, headers)

    def _over(
        self, connection: HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            answer = reply.read()
        except BaseException:
            connection.close()
            raise
        if reply.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return reply.status, answer

    def _connection(self) -> HTTPConnection:
        if self._secure:
            return HTTPSConnection(self.name, timeout=TIMEOUT, context=_tls(self._environment.get("AWS_CA_BUNDLE")))
        return HTTPConnection(self.name, timeout=TIMEOUT)


@cache
def _tls(authorities: str | None) -> "ssl.SSLContext":
    """One for all connections: reading the authorities takes longer than a request."""
    import ssl  # noqa: PLC0415 a plain endpoint needs none of it

    return ssl.create_default_context(cafile=authorities)


@dataclass
class Provider:
    """Credentials of the environment, or of the container's endpoint, which a function of SnapStart has instead."""

    environment: Environment
    _held: Credentials | None = None
    _until: datetime = field(default=datetime.min.replace(tzinfo=UTC))

    def get(self) -> Credentials:
        known = self.environment
        if "AWS_ACCESS_KEY_ID" in known:
            return Credentials(
                known["AWS_ACCESS_KEY_ID"], known.get("AWS_SECRET_ACCESS_KEY", ""), known.get("AWS_SESSION_TOKEN", "")
            )
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in known:
            raise InvalidSettings("neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set")
        if self._held is None or datetime.now(UTC) >= self._until - _EARLY:
            self._held, self._until = self._fetch()
        return self._held

    def _fetch(self) -> tuple[Credentials, datetime]:
        parts = urlsplit(self.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        connection = HTTPConnection(parts.netloc, timeout=TIMEOUT)
        try:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            token = self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
            connection.request("GET", path, headers={"authorization": token} if token else {})
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise HTTPException(f"the container's credentials answered {reply.status}")
        told = json.loads(answer)
        until = datetime.fromisoformat(told["Expiration"])
        return Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"]), until
