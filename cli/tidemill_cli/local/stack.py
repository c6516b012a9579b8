"""A CloudFormation stack on the local cloud: made, changed, described."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Required, TypedDict

from botocore.exceptions import ClientError

from tidemill_cli.local.assembly import Asset
from tidemill_cli.local.errors import StackFailed

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_s3 import S3Client

# Named as in `cdk bootstrap`'s own template: the CDK command finds its toolkit here and updates it, where it
# would stumble over a bucket that no stack owns.
TOOLKIT = "CDKToolkit"
TOOLKIT_TEMPLATE = {
    "Resources": {
        "StagingBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}},
        },
        "CdkBootstrapVersion": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Name": "/cdk-bootstrap/hnb659fds/version", "Value": "30"},
        },
    },
}
# What a failed creation leaves behind can only be deleted.
REMAINS = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
DEPLOY_SECONDS = 600.0


class StackRequest(TypedDict, total=False):
    """What creation and update both take."""

    StackName: Required[str]
    TemplateBody: str
    TemplateURL: str
    Capabilities: list[Literal["CAPABILITY_NAMED_IAM"]]


def describe(client: "CloudFormationClient", name: str) -> "StackTypeDef | None":
    """None where there is no such stack."""
    try:
        return client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise


def outputs(stack: "StackTypeDef") -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def revision(stack: "StackTypeDef") -> str:
    """Another one after every change of the stack, whoever makes it."""
    return f"{stack['StackId']} {stack.get('LastUpdatedTime', stack['CreationTime']).isoformat()}"


def publish(s3: "S3Client", assets: Iterable[Asset]) -> None:
    """An asset's key names its content, so one that is there stays."""
    for asset in assets:
        if s3.list_objects_v2(Bucket=asset.bucket, Prefix=asset.key)["KeyCount"] == 0:
            s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=asset.body())


def deploy(client: "CloudFormationClient", request: "StackRequest") -> "StackTypeDef":
    """Creates or updates; what failed to be created is made anew. Raises StackFailed: what and why."""
    name = request["StackName"]
    stack = describe(client, name)
    if stack is not None and stack["StackStatus"] in REMAINS:
        client.delete_stack(StackName=name)
        _settled(client, stack["StackId"])
        stack = None
    try:
        started = client.create_stack(**request) if stack is None else client.update_stack(**request)
    except ClientError as error:
        reason = error.response["Error"]["Message"]
        if stack is not None and "No updates are to be performed" in reason:
            return stack
        raise StackFailed(f"stack {name}: {reason}") from error
    stack = _settled(client, started["StackId"])
    if stack["StackStatus"] not in DEPLOYED:
        raise StackFailed(f"stack {name} is {stack['StackStatus']}: {_first_failure(client, stack)}")
    return stack


def _settled(client: "CloudFormationClient", stack_id: str) -> "StackTypeDef":
    deadline = time.monotonic() + DEPLOY_SECONDS
    while True:
        stack = client.describe_stacks(StackName=stack_id)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        if time.monotonic() > deadline:
            raise StackFailed(f"stack {stack['StackName']} is still {stack['StackStatus']}")
        time.sleep(0.1)


def _first_failure(client: "CloudFormationClient", stack: "StackTypeDef") -> str:
    """What failed first in the last operation: the others were cancelled because of it."""
    cause = None
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    for event in (event for page in pages for event in page["StackEvents"]):
        status, resource = event["ResourceStatus"], event["LogicalResourceId"]
        if resource == stack["StackName"]:
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                break
        elif status.endswith("_FAILED"):
            cause = f"{resource} ({event['ResourceType']}): {event['ResourceStatusReason']}"
    return cause or _first_refusal(client, stack) or stack.get("StackStatusReason", "no reason was given")


def _first_refusal(client: "CloudFormationClient", stack: "StackTypeDef") -> str | None:
    """What CloudFormation refused before it made anything; such a resource has no event of the stack."""
    for event in client.describe_events(StackName=stack["StackId"])["OperationEvents"]:
        if reason := event.get("ValidationStatusReason"):
            return f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
    return None
