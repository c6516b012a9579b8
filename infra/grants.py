"""Grants of the actions that our code calls. CDK's own come in families: deletion with every write, a scan with every
read."""

from aws_cdk.aws_dynamodb import Table
from aws_cdk.aws_iam import Grant, IGrantable
from aws_cdk.aws_s3 import Bucket


def read(bucket: Bucket, who: IGrantable, *prefixes: str) -> None:
    _objects(bucket, who, "s3:GetObject", prefixes)


def read_versions(bucket: Bucket, who: IGrantable, *prefixes: str) -> None:
    """An object by its version, whatever replaced it since."""
    _objects(bucket, who, "s3:GetObjectVersion", prefixes)


def write(bucket: Bucket, who: IGrantable, *prefixes: str) -> None:
    _objects(bucket, who, "s3:PutObject", prefixes)


def write_in_parts(bucket: Bucket, who: IGrantable, *prefixes: str) -> None:
    """Of a file, and what clears away the parts of one that could not be finished."""
    write(bucket, who, *prefixes)
    _objects(bucket, who, "s3:AbortMultipartUpload", prefixes)


def find(bucket: Bucket, who: IGrantable, *prefixes: str) -> None:
    """List the keys under prefixes, and no others."""
    _list(bucket, who, {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}})


def learn_of_absence(bucket: Bucket, who: IGrantable) -> None:
    """For a flow that goes on when an object is not there.

    To whoever may not list the bucket, S3 says 403 and not 404. A request for an object has no `s3:prefix`, so under a
    condition on it the answer would be 403 again.
    """
    _list(bucket, who, None)


def call(table: Table, who: IGrantable, *actions: str) -> None:
    table.grant(who, *(f"dynamodb:{action}" for action in actions))


def call_without(table: Table, who: IGrantable, *actions: str, attributes: tuple[str, ...]) -> None:
    """Writes that name none of the `attributes`: the nearest that IAM comes to single items, since it knows a table's
    partition keys and no sort keys."""
    Grant.add_to_principal(
        grantee=who,
        actions=[f"dynamodb:{action}" for action in actions],
        resource_arns=[table.table_arn],
        conditions={"ForAllValues:StringNotEquals": {"dynamodb:Attributes": list(attributes)}},
    )


def _objects(bucket: Bucket, who: IGrantable, action: str, prefixes: tuple[str, ...]) -> None:
    arns = [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
    Grant.add_to_principal(grantee=who, actions=[action], resource_arns=arns)


def _list(bucket: Bucket, who: IGrantable, conditions: dict[str, dict[str, list[str]]] | None) -> None:
    Grant.add_to_principal(
        grantee=who, actions=["s3:ListBucket"], resource_arns=[bucket.bucket_arn], conditions=conditions
    )
