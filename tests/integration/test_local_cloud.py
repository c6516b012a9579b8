"""The local cloud on a project of its own: no CDK, two handlers, one state machine, one API."""

import dataclasses
import hashlib
import json
import socket
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tidemill_cli.local.cloud import Deployment, LocalCloud
from tidemill_cli.local.errors import StackFailed

pytestmark = pytest.mark.e2e

APP = """
import os, shutil
shutil.copytree("infra/assembly", os.environ["CDK_OUTDIR"])
"""

HANDLER = """
import os, time
import boto3

class Flaky(Exception): pass
class InvalidUpload(Exception): pass

def work(event, context):
    upload = event["detail"]["object"]
    row = boto3.resource("dynamodb").Table(os.environ["TABLE"]).update_item(
        Key={"pk": upload["key"]},
        UpdateExpression="ADD attempts :one SET version = :version",
        ExpressionAttributeValues={":one": 1, ":version": upload["version-id"]},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    if "invalid" in upload["key"]:
        raise InvalidUpload("the file is not a table")
    if "flaky" in upload["key"] and row["attempts"] == 1:
        raise Flaky("the store is away for a moment")
    return {"attempts": int(row["attempts"]), "version": row["version"]}

def answer(event, context):
    time.sleep(float((event.get("queryStringParameters") or {}).get("sleep", 0)))
    body = "GREETING " + event["httpMethod"] + " " + event["path"]
    if event["path"].endswith("/profile"):
        body = os.environ.get("AWS_PROFILE", "none")
    return {"statusCode": 200, "body": body}
"""

MACHINE = {
    "StartAt": "Work",
    "States": {
        "Work": {
            "Type": "Task",
            "Resource": "${WorkArn}",
            "TimeoutSeconds": 30,
            "Retry": [{"ErrorEquals": ["Flaky"], "IntervalSeconds": 1, "MaxAttempts": 2}],
            "Catch": [{"ErrorEquals": ["InvalidUpload"], "ResultPath": "$.error", "Next": "Reject"}],
            "End": True,
        },
        "Reject": {"Type": "Pass", "Result": {"status": "rejected"}, "End": True},
    },
}

START = {
    "Type": "Task",
    "Resource": "arn:aws:states:::states:startExecution",
    "Parameters": {"StateMachineArn": "${MachineArn}", "Name.$": "$.name", "Input.$": "$"},
    "ResultPath": None,
    "TimeoutSeconds": 30,
}
KNOWN = "StepFunctions.ExecutionAlreadyExistsException"
TWICE = {
    "StartAt": "Start",
    "States": {
        "Start": {**START, "Next": "Again"},
        "Again": {**START, "Catch": [{"ErrorEquals": [KNOWN], "Next": "Know"}], "End": True},
        "Know": {"Type": "Pass", "Result": {"status": "known"}, "End": True},
    },
}


class Project:
    """A root folder whose app gives a ready-made assembly."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._assembly = root / "infra" / "assembly"
        self._assembly.mkdir(parents=True)
        (root / "cdk.json").write_text(json.dumps({"app": "python infra/app.py"}))
        (root / "infra" / "app.py").write_text(APP)
        self.write()

    def write(self, *, greeting: str = "hello", role: str = "Role", extra: dict[str, Any] | None = None) -> None:
        code = self._assembly / "code"
        code.mkdir(exist_ok=True)
        (code / "handler.py").write_text(HANDLER.replace("GREETING", greeting))
        key = f"{hashlib.sha256(HANDLER.replace('GREETING', greeting).encode()).hexdigest()}.zip"
        template = json.dumps(_template(key, role, extra or {}))
        (self._assembly / "t.template.json").write_text(template)
        name = f"{hashlib.sha256(template.encode()).hexdigest()}.json"
        bucket = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
        files = {
            "code": _file("code", "zip", bucket, key),
            "template": _file("t.template.json", "file", bucket, name),
        }
        (self._assembly / "t.assets.json").write_text(json.dumps({"files": files}))
        stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.template.json"}}
        (self._assembly / "manifest.json").write_text(json.dumps({"artifacts": {"t": stack}}))


def _file(path: str, packaging: str, bucket: str, key: str) -> dict[str, Any]:
    destination = {"bucketName": bucket, "objectKey": key}
    return {"source": {"path": path, "packaging": packaging}, "destinations": {"here": destination}}


def _function(name: str, key: str, role: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": f"handler.{name}",
            "Timeout": 20,
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Environment": {"Variables": {"TABLE": {"Ref": "Table"}}},
            "Code": {
                "S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"},
                "S3Key": key,
            },
        },
    }


def _machine(definition: dict[str, Any], substitutions: dict[str, Any], role: str) -> dict[str, Any]:
    return {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "DefinitionString": json.dumps(definition),
            "DefinitionSubstitutions": substitutions,
            "RoleArn": {"Fn::GetAtt": [role, "Arn"]},
        },
    }


def _template(key: str, role: str, extra: dict[str, Any]) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    uri = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Answer.Arn}/invocations"
    proxy = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri}}
    resources = {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}},
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "VersioningConfiguration": {"Status": "Enabled"},
                "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            },
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            },
        },
        "Work": _function("work", key, role),
        "Answer": _function("answer", key, role),
        "Machine": _machine(MACHINE, {"WorkArn": {"Fn::GetAtt": ["Work", "Arn"]}}, role),
        "Twice": _machine(TWICE, {"MachineArn": {"Ref": "Machine"}}, role),
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [{"Ref": "Bucket"}]},
                        "object": {"key": [{"prefix": "uploads/"}]},
                    },
                },
                "Targets": [{"Id": "m", "Arn": {"Ref": "Machine"}, "RoleArn": {"Fn::GetAtt": [role, "Arn"]}}],
            },
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}},
        "Path": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "{proxy+}",
            },
        },
        "Method": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "ResourceId": {"Ref": "Path"},
                "HttpMethod": "ANY",
                "AuthorizationType": "NONE",
                "Integration": proxy,
            },
        },
        "Release": {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "live"},
            "DependsOn": ["Method"],
        },
        **extra,
    }
    return {
        "Resources": resources,
        "Outputs": {
            "Bucket": {"Value": {"Ref": "Bucket"}},
            "Table": {"Value": {"Ref": "Table"}},
            "Machine": {"Value": {"Ref": "Machine"}},
            "Twice": {"Value": {"Ref": "Twice"}},
            "Answer": {"Value": {"Ref": "Answer"}},
            "EndpointUrl": {"Value": {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live/"}},
        },
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def cloud(project: Project) -> Iterator[LocalCloud]:
    """Started by someone who works on a real account."""
    cloud = LocalCloud(project.root, port=0)
    config = project.root / "aws-config"
    config.write_text("[profile production]\nregion = eu-central-1\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_CONFIG_FILE", str(config))
        environment.setenv("AWS_PROFILE", "production")
        yield cloud
        cloud.reset()


@pytest.fixture
def deployment(cloud: LocalCloud, project: Project) -> Deployment:
    project.write()
    return cloud.up()


def _upload(deployment: Deployment, key: str) -> tuple[str, dict[str, Any]]:
    """The object's version and the execution that it started, ended."""
    states = deployment.client("stepfunctions")
    machine = deployment.outputs["Machine"]
    before = {e["executionArn"] for e in states.list_executions(stateMachineArn=machine)["executions"]}
    bucket = deployment.outputs["Bucket"]
    put = deployment.client("s3").put_object(Bucket=bucket, Key=key, Body=b"a,b\n1,2\n")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for execution in states.list_executions(stateMachineArn=machine)["executions"]:
            if execution["executionArn"] not in before:
                return put["VersionId"], _ended(deployment, execution["executionArn"])
    raise AssertionError("no execution started within 30 s")


def _ended(deployment: Deployment, execution_arn: str) -> dict[str, Any]:
    states = deployment.client("stepfunctions")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        execution: dict[str, Any] = states.describe_execution(executionArn=execution_arn)
        if execution["status"] != "RUNNING":
            return execution
    raise AssertionError("the execution did not end within 30 s")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return str(reply.read().decode())


def test_an_upload_starts_the_machine_with_the_version_of_the_object(deployment: Deployment) -> None:
    version, execution = _upload(deployment, "uploads/plain.csv")
    assert json.loads(execution["output"]) == {"attempts": 1, "version": version}


def test_a_retry_by_the_exceptions_name_runs_again(deployment: Deployment) -> None:
    _, execution = _upload(deployment, "uploads/flaky.csv")
    assert json.loads(execution["output"])["attempts"] == 2


def test_a_catch_by_the_exceptions_name_is_taken_at_once(deployment: Deployment) -> None:
    _, execution = _upload(deployment, "uploads/invalid.csv")
    assert json.loads(execution["output"]) == {"status": "rejected"}
    table = deployment.client("dynamodb")
    row = table.get_item(TableName=deployment.outputs["Table"], Key={"pk": {"S": "uploads/invalid.csv"}})
    assert row["Item"]["attempts"] == {"N": "1"}


def test_a_second_execution_of_one_name_is_caught_by_the_name_that_aws_gives_it(
    deployment: Deployment,
) -> None:
    states = deployment.client("stepfunctions")
    name = uuid.uuid4().hex
    started = states.start_execution(stateMachineArn=deployment.outputs["Twice"], input=json.dumps({"name": name}))
    execution = _ended(deployment, started["executionArn"])
    assert json.loads(execution["output"]) == {"status": "known"}


def test_the_api_reaches_its_function(deployment: Deployment) -> None:
    assert _get(f"{deployment.api_url}/models/late/predict") == "hello GET /models/late/predict"


def test_requests_are_answered_side_by_side(deployment: Deployment) -> None:
    _get(f"{deployment.api_url}/warm")
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(_get, f"{deployment.api_url}/slow?sleep=3")
        assert _get(f"{deployment.api_url}/quick") == "hello GET /quick"
        assert not slow.done()
        assert slow.result() == "hello GET /slow"


def test_a_handler_sees_nothing_of_the_users_account(deployment: Deployment) -> None:
    assert _get(f"{deployment.api_url}/profile") == "none"


def test_only_the_loopback_address_is_bound(deployment: Deployment) -> None:
    port = int(deployment.endpoint.rpartition(":")[2])
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", port)) != 0


def test_a_second_up_has_nothing_to_do(cloud: LocalCloud, deployment: Deployment) -> None:
    steps: list[str] = []
    assert cloud.up(steps.append) == deployment
    assert steps == []


def test_changed_code_is_deployed_by_the_next_up(cloud: LocalCloud, project: Project, deployment: Deployment) -> None:
    _get(f"{deployment.api_url}/warm")
    project.write(greeting="good evening")
    assert cloud.status().outdated
    assert _get(f"{cloud.up().api_url}/x") == "good evening GET /x"


def test_what_is_stored_survives_down_and_up(cloud: LocalCloud, deployment: Deployment) -> None:
    version, _ = _upload(deployment, "uploads/kept.csv")
    assert cloud.down()
    assert cloud.status().deployment is None
    steps: list[str] = []
    again = cloud.up(steps.append)
    assert steps == ["starting MiniStack"]
    assert again.outputs == deployment.outputs
    kept = again.client("s3").get_object(Bucket=again.outputs["Bucket"], Key="uploads/kept.csv")
    assert kept["VersionId"] == version
    row = again.client("dynamodb").get_item(TableName=again.outputs["Table"], Key={"pk": {"S": "uploads/kept.csv"}})
    assert row["Item"]["version"] == {"S": version}
    assert _get(f"{again.api_url}/x") == "hello GET /x"
    assert _upload(again, "uploads/flaky-again.csv")[1]["status"] == "SUCCEEDED"


def test_a_stack_changed_by_another_is_outdated(cloud: LocalCloud, deployment: Deployment) -> None:
    client = deployment.client("cloudformation")
    body = client.get_template(StackName="Tidemill-local")["TemplateBody"]
    body = json.loads(body) if isinstance(body, str) else dict(body)
    body["Outputs"]["More"] = {"Value": "x"}
    client.update_stack(StackName="Tidemill-local", TemplateBody=json.dumps(body))
    client.get_waiter("stack_update_complete").wait(StackName="Tidemill-local", WaiterConfig={"Delay": 1})
    assert cloud.status().outdated
    assert cloud.up() == deployment


def test_down_does_not_wait_for_a_handler_in_the_middle_of_something(cloud: LocalCloud, deployment: Deployment) -> None:
    _get(f"{deployment.api_url}/warm")
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(_get, f"{deployment.api_url}/slow?sleep=20")
        _get(f"{deployment.api_url}/quick")
        began = time.monotonic()
        cloud.down()
        assert time.monotonic() - began < 10
        assert isinstance(slow.exception(), OSError)
    assert cloud.up() == dataclasses.replace(deployment, endpoint=cloud.up().endpoint)


def test_a_stack_that_could_not_be_made_is_made_when_it_can(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    unknown = {"Fn::GetAtt": ["Table", "Nonsense"]}
    project.write(extra={"Broken": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": unknown}}})
    cloud = LocalCloud(project.root, port=0)
    try:
        with pytest.raises(StackFailed, match="ROLLBACK_COMPLETE"):
            cloud.up()
        project.write()
        assert "Table" in cloud.up().outputs
    finally:
        cloud.reset()


def test_a_failure_names_the_resource_and_the_reason(
    cloud: LocalCloud, project: Project, deployment: Deployment
) -> None:
    unknown = {"Fn::GetAtt": ["Table", "Nonsense"]}
    project.write(extra={"Broken": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": unknown}}})
    with pytest.raises(StackFailed, match=r"Broken \(AWS::SNS::Topic\): .*Nonsense"):
        cloud.up()
    project.write()
    assert cloud.up() == deployment


def test_two_ups_at_once_start_one(project: Project, tmp_path: Path) -> None:
    clouds = [LocalCloud(project.root, tmp_path, port=0) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda cloud: cloud.up(deploy=False), clouds)
    assert first.endpoint == second.endpoint
    assert [cloud.down() for cloud in clouds] == [True, False]


def test_a_taken_port_is_left_to_its_owner(project: Project, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cloud = LocalCloud(project.root, tmp_path, port=port)
        deployment = cloud.up(deploy=False)
        cloud.down()
    assert not deployment.endpoint.endswith(f":{port}")
