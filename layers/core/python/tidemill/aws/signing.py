"""AWS Signature Version 4, for requests without a query: what S3 and DynamoDB want to see of whoever calls them."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str = ""


def escaped(path: str) -> str:
    """A path as it is sent and signed: UTF-8, all escaped but what a URL may have as it is."""
    return quote(path, safe="/~")


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    *,
    service: str,
    region: str,
    moment: datetime,
) -> dict[str, str]:
    """All headers of the request, the signature with them.

    `headers` has `host`, and names in lower case; all are signed. `path` is escaped. `moment` is in UTC.
    """
    digest, stamp = hashlib.sha256(body).hexdigest(), f"{moment:%Y%m%dT%H%M%SZ}"
    sent = {**headers, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    names = sorted(sent)
    listed = ";".join(names)
    lines = "".join(f"{name}:{' '.join(sent[name].split())}\n" for name in names)
    canonical = f"{method}\n{path}\n\n{lines}\n{listed}\n{digest}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
    )
    return sent
