import pytest

from infra.stages import STAGES
from tests.infra.template import Template

REGISTRY = {"read RegistryTable", "write RegistryTable"}

MAY: dict[str, set[str]] = {
    "claim": REGISTRY,
    "prepare": REGISTRY
    | {"list DataBucket", "read DataBucket/uploads/*", "read DataBucket/specs/*", "read DataBucket/datasets/*"}
    | {"write DataBucket/datasets/*"}
    | {"list CaptureBucket", "read CaptureBucket/predictions/*", "read CaptureBucket/labels/*"},
    "train": {"list DataBucket", "read DataBucket/datasets/*"}
    | {"list ModelBucket", "read ModelBucket/candidates/*", "write ModelBucket/candidates/*"},
    "validate": REGISTRY
    | {"list DataBucket", "read DataBucket/datasets/*"}
    | {"list ModelBucket", "read ModelBucket/candidates/*", "read ModelBucket/models/*", "write ModelBucket/models/*"},
    "deploy": REGISTRY | {"list ModelBucket", "read ModelBucket/models/*"},
    "notify": REGISTRY | {"publish NoticeTopicArn"},
    "infer": {"read RegistryTable"}
    | {"list ModelBucket", "read ModelBucket/models/*"}
    | {"write CaptureBucket/predictions/*", "write CaptureBucket/labels/*"},
    "list_models": {"read RegistryTable"},
    "monitor": REGISTRY
    | {"list DataBucket", "read DataBucket/specs/*"}
    | {"list ModelBucket", "read ModelBucket/models/*"}
    | {"list CaptureBucket", "read CaptureBucket/predictions/*", "read CaptureBucket/labels/*"}
    | {"read CaptureBucket/drift/*", "write CaptureBucket/drift/*"},
    "PipelineArn": {f"invoke {stage}" for stage in ("claim", "prepare", "train", "validate", "deploy", "notify")},
    "MonitoringArn": {"invoke list_models", "invoke monitor", "start PipelineArn", "publish NoticeTopicArn"},
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
