"""A bucket as a store of bytes under keys."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.aws.failures import translated
from tidemill.errors import NotFound

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mypy_boto3_s3 import S3Client

PARALLEL = 16


@dataclass(frozen=True)
class Entry:
    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Objects:
    """Raises `NotFound` for a key that is not there, `StoreUnavailable` when S3 fails in passing."""

    client: "S3Client"
    bucket: str

    def get(self, key: str, version_id: str = "") -> bytes:
        version = {"VersionId": version_id} if version_id else {}
        with translated(f"reading s3://{self.bucket}/{key}"):
            return self.client.get_object(Bucket=self.bucket, Key=key, **version)["Body"].read()  # type: ignore[arg-type]

    def get_many(self, keys: Iterable[str]) -> Iterator[bytes]:
        """In the order of the keys, `PARALLEL` at a time: S3 answers many small reads at once as fast as one."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 who serves reads no captures

        with ThreadPoolExecutor(PARALLEL) as pool:
            coming = deque["Future[bytes]"]()
            for key in keys:
                coming.append(pool.submit(self.get, key))
                # A pool would read everything ahead of whoever consumes it.
                if len(coming) == 2 * PARALLEL:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def download(self, key: str, path: Path, version_id: str = "") -> None:
        """In parallel ranges, straight to disk."""
        version = {"VersionId": version_id} if version_id else {}
        with translated(f"reading s3://{self.bucket}/{key}"):
            self.client.download_file(self.bucket, key, str(path), ExtraArgs=version)

    def upload(self, path: Path, key: str) -> None:
        """In parallel parts, straight from disk."""
        with translated(f"writing s3://{self.bucket}/{key}"):
            self.client.upload_file(str(path), self.bucket, key)

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        with translated(f"writing s3://{self.bucket}/{key}"):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type)

    def get_json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def find(self, key: str) -> bytes | None:
        """None where there is no such key."""
        try:
            return self.get(key)
        except NotFound:
            return None

    def find_json(self, key: str) -> Any | None:
        """None where there is no such key."""
        data = self.find(key)
        return None if data is None else json.loads(data)

    def put_json(self, key: str, document: Any) -> None:
        self.put(key, as_json(document), "application/json")

    def put_html(self, key: str, page: str) -> None:
        self.put(key, page.encode(), "text/html; charset=utf-8")

    def copy(self, source: str, target: str) -> None:
        with translated(f"copying s3://{self.bucket}/{source}"):
            self.client.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})

    def entries(self, prefix: str, but: Callable[[str], bool], below: str = "") -> Iterator[Entry]:
        """Objects `below` the prefix, but for those in folders of which `but` says so, by their path from it."""
        folders = []
        with translated(f"listing s3://{self.bucket}/{prefix}{below}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{prefix}{below}", Delimiter="/"
            )
            for page in pages:
                folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
                yield from (Entry(e["Key"], e["Size"], e["LastModified"]) for e in page.get("Contents", ()))
        for folder in folders:
            path = folder.removeprefix(prefix)
            if not but(path.removesuffix("/")):
                yield from self.entries(prefix, but, path)

    def keys(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """Keys under the prefix in order, from after `start_after` on."""
        with translated(f"listing s3://{self.bucket}/{prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", ()))


def as_json(document: Any) -> bytes:
    """NaN is refused: what is not a number is null, and whoever writes decides that."""
    return json.dumps(document, allow_nan=False, indent=1).encode()
