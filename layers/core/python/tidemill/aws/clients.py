"""boto3 clients, made on first use and kept: importing this module connects to nothing, and loads no boto3."""

from functools import cache
from typing import TYPE_CHECKING, Any

from tidemill.aws.objects import PARALLEL

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient


@cache
def s3() -> "S3Client":
    client: S3Client = _made("s3")
    return client


@cache
def dynamodb() -> "DynamoDBClient":
    client: DynamoDBClient = _made("dynamodb")
    return client


@cache
def sns() -> "SNSClient":
    client: SNSClient = _made("sns")
    return client


def _made(service: str) -> Any:
    # infer imports the stores, and has clients of its own for them: see docs/decisions/0009.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=PARALLEL,
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]
