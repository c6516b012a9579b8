import ast
import dataclasses
import re

import pytest

from infra.app import ROOT
from infra.stack import CHAMPION, SINCE
from infra.stages import STAGES
from tests.infra.template import Template
from tidemill.aws.registry import Champion

CORE = ROOT / "layers" / "core" / "python" / "tidemill"

ACTIONS = {
    "get_object": ("s3:GetObject", "s3:GetObjectVersion"),
    "download_file": ("s3:GetObject", "s3:GetObjectVersion"),
    "put_object": ("s3:PutObject",),
    "upload_file": ("s3:PutObject", "s3:AbortMultipartUpload"),
    # Of objects without tags, as all of ours are.
    "copy_object": ("s3:GetObject", "s3:PutObject"),
    "list_objects_v2": ("s3:ListBucket",),
    "get_item": ("dynamodb:GetItem",),
    "query": ("dynamodb:Query",),
    "put_item": ("dynamodb:PutItem",),
    "update_item": ("dynamodb:UpdateItem",),
    # A transaction needs what its parts need, and all of ours are puts.
    "transact_write_items": ("dynamodb:PutItem",),
    "publish": ("sns:Publish",),
}
"""What IAM calls a method of boto3."""

MAY: dict[str, set[str]] = {
    "claim": {
        "dynamodb:GetItem RegistryTable",
        "dynamodb:PutItem RegistryTable without since version",
        "sns:Publish NoticeTopicArn",
    },
    "prepare": {
        "s3:GetObject DataBucket/uploads/*",
        "s3:GetObjectVersion DataBucket/uploads/*",
        "s3:GetObject DataBucket/specs/*",
        "s3:GetObject DataBucket/datasets/*",
        "s3:PutObject DataBucket/datasets/*",
        "s3:AbortMultipartUpload DataBucket/datasets/*",
        "s3:ListBucket DataBucket",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:Query RegistryTable",
        "s3:GetObject CaptureBucket/predictions/*",
        "s3:GetObject CaptureBucket/labels/*",
        "s3:ListBucket CaptureBucket only predictions/* labels/*",
        "dynamodb:PutItem RegistryTable without since version",
        "dynamodb:UpdateItem RegistryTable without since version",
    },
    "train": {
        "s3:GetObject DataBucket/datasets/*",
        "s3:GetObject ModelBucket/models/*",
        "s3:PutObject ModelBucket/candidates/*",
        "dynamodb:GetItem RegistryTable",
    },
    "validate": {
        "s3:GetObject DataBucket/datasets/*",
        "s3:GetObject ModelBucket/candidates/*",
        "s3:GetObject ModelBucket/models/*",
        "s3:PutObject ModelBucket/models/*",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:Query RegistryTable",
        "dynamodb:PutItem RegistryTable without since",
        "dynamodb:UpdateItem RegistryTable without since",
    },
    "deploy": {
        "s3:GetObject ModelBucket/models/*",
        "s3:ListBucket ModelBucket",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:PutItem RegistryTable",
    },
    "notify": {
        "dynamodb:PutItem RegistryTable without since",
        "dynamodb:UpdateItem RegistryTable without since version",
        "sns:Publish NoticeTopicArn",
    },
    "infer": {
        "s3:GetObject ModelBucket/models/*",
        "s3:ListBucket ModelBucket",
        "s3:PutObject CaptureBucket/labels/*",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:Query RegistryTable",
    },
    "capture": {"s3:PutObject CaptureBucket/predictions/*", "s3:PutObject CaptureBucket/refusals/*"},
    "batch": {
        "s3:GetObject DataBucket/batch/*",
        "s3:GetObjectVersion DataBucket/batch/*",
        "s3:GetObject DataBucket/batch-results/*",
        "s3:PutObject DataBucket/batch-results/*",
        "s3:AbortMultipartUpload DataBucket/batch-results/*",
        "s3:ListBucket DataBucket",
        "s3:GetObject ModelBucket/models/*",
        "s3:ListBucket ModelBucket",
        "dynamodb:GetItem RegistryTable",
        "sns:Publish NoticeTopicArn",
    },
    "list_models": {
        "s3:GetObject DataBucket/specs/*",
        "s3:ListBucket DataBucket",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:Query RegistryTable",
    },
    "monitor": {
        "s3:GetObject DataBucket/specs/*",
        "s3:ListBucket DataBucket",
        "s3:GetObject ModelBucket/models/*",
        "s3:PutObject CaptureBucket/drift/*",
        "dynamodb:GetItem RegistryTable",
        "dynamodb:Query RegistryTable",
        "s3:GetObject CaptureBucket/predictions/*",
        "s3:GetObject CaptureBucket/refusals/*",
        "s3:GetObject CaptureBucket/labels/*",
        "s3:GetObject CaptureBucket/drift/*",
        "s3:ListBucket CaptureBucket only predictions/* refusals/* labels/*",
        "s3:ListBucket CaptureBucket",
        "dynamodb:PutItem RegistryTable without since",
    },
    "PipelineArn": {
        f"lambda:InvokeFunction {stage}" for stage in ("claim", "prepare", "train", "validate", "deploy", "notify")
    },
    "MonitoringArn": {
        "lambda:InvokeFunction list_models",
        "lambda:InvokeFunction monitor",
        "states:StartExecution PipelineArn",
        "sns:Publish NoticeTopicArn",
        "dynamodb:UpdateItem RegistryTable without since version",
    },
}
"""Who may do what, written out by hand: a grant that is new stands in a diff of this table too."""


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_function_may_do_what_the_table_says_and_no_more(template: Template, stage: str) -> None:
    assert template.function_may(stage) == MAY[stage]


@pytest.mark.parametrize("machine", ["PipelineArn", "MonitoringArn"])
def test_machine_may_do_what_the_table_says_and_no_more(template: Template, machine: str) -> None:
    assert template.machine_may(machine) == MAY[machine]


def test_only_the_delivery_of_logs_is_allowed_on_all_resources(template: Template) -> None:
    # Step Functions wants it so: these actions know no resource.
    broad = {
        action
        for policy in template.of_type("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == "*"
        for action in statement["Action"]
    }
    assert all(action.startswith("logs:") for action in broad)


def test_no_action_is_a_pattern(template: Template) -> None:
    actions = [
        str(statement["Action"])
        for policy in template.of_type("AWS::IAM::Policy").values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert not [action for action in actions if "*" in action]


def test_nobody_may_delete() -> None:
    assert not [sentence for allowed in MAY.values() for sentence in allowed if "Delete" in sentence]


def test_only_deploy_may_write_a_whole_champion() -> None:
    # An item without `since` is no champion to any reader.
    makers = {name for name, allowed in MAY.items() if "dynamodb:PutItem RegistryTable" in allowed}
    assert makers == {"deploy"}


def test_the_champion_is_the_only_item_with_a_since() -> None:
    assert set(CHAMPION) < {field.name for field in dataclasses.fields(Champion)}
    source = (CORE / "aws" / "registry.py").read_text(encoding="utf-8")
    written = [line for line in source.splitlines() if f'"{SINCE}":' in line]
    assert len(written) == 1
    assert '"CHAMPION"' in written[0]
    assert not [path for path in CORE.rglob("*.py") if re.search(rf"put_\w+\([^)]*\b{SINCE}=", path.read_text("utf-8"))]


def test_functions_may_do_all_that_the_stores_call_and_nothing_else() -> None:
    granted = {sentence.split()[0] for stage in STAGES for sentence in MAY[stage.name]}
    assert granted == {action for call in calls() for action in ACTIONS[call]}


def calls() -> set[str]:
    """Every method of a boto3 client that the core calls, a paginator by what it asks for."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (CORE / "aws").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = set()
    for node in nodes:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="client"), attr="get_paginator"), args=[ast.Constant(name)]
            ):
                found.add(str(name))
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="client"), attr=name)):
                found.add(name)
    return found
