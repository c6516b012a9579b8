"""boto3 clients, made on first use and kept: importing this module connects to nothing."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tidemill.aws.objects import PARALLEL

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=60, max_pool_connections=PARALLEL
)


@cache
def s3() -> "S3Client":
    return boto3.client("s3", config=_CONFIG)


@cache
def dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", config=_CONFIG)


@cache
def sns() -> "SNSClient":
    return boto3.client("sns", config=_CONFIG)
