"""Our signatures are botocore's, over what S3 and DynamoDB are asked for."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Botocores
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.aws.signing import Credentials, escaped, signed

keys = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40)
words = st.text("abcXYZ019+/=", min_size=1, max_size=40)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
moments = st.integers(1_600_000_000, 3_700_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


def botocores(
    service: str, request: AWSRequest, credentials: Credentials, region: str, moment: datetime
) -> dict[str, str]:
    known = Botocores(credentials.access_key, credentials.secret_key, credentials.token or None)
    auth: Any = (S3SigV4Auth if service == "s3" else SigV4Auth)(known, service, region)
    with patch("botocore.auth.get_current_datetime", lambda: moment.replace(tzinfo=None)):
        auth.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.sampled_from(["s3", "dynamodb"]),
    st.sampled_from(["GET", "PUT", "POST"]),
    keys,
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["content-type", "x-amz-target", "x-amz-meta-a"]), values),
    st.builds(Credentials, words, words, st.one_of(st.just(""), words)),
    st.sampled_from(["us-east-1", "eu-central-2", "cn-north-1"]),
    moments,
)
def test_a_request_is_signed_as_botocore_signs_it(
    service: str,
    method: str,
    key: str,
    body: bytes,
    headers: dict[str, str],
    credentials: Credentials,
    region: str,
    moment: datetime,
) -> None:
    host, path = "bucket.s3.example.com:4566", escaped(f"/{key}") if service == "s3" else "/"
    # botocore sends the body's digest to S3 alone, and signs it wherever it is sent.
    digest = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    request = AWSRequest(method, f"https://{host}{path}", headers={**headers, **digest}, data=body)
    theirs = botocores(service, request, credentials, region, moment)
    sent = {**headers, "host": host}
    ours = signed(method, path, sent, body, credentials, service=service, region=region, moment=moment)
    assert ours == {**theirs, "host": host}
