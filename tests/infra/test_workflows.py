import json
import re

import pytest

from infra.storage import UPLOADS
from tests.infra.template import Properties, Template

MACHINES = pytest.mark.parametrize("name", ["PipelineArn", "MonitoringArn"])


def rule_of(template: Template, machine: str) -> Properties:
    (rule,) = [
        rule
        for rule in template.of_type("AWS::Events::Rule").values()
        if template.show(rule["Targets"][0]["Arn"]) == template.outputs[machine]
    ]
    return rule


@MACHINES
def test_every_variable_of_the_definition_has_a_substitution_and_none_is_idle(template: Template, name: str) -> None:
    machine = template.machines[name]
    named = set(re.findall(r"\$\{(\w+)}", machine["DefinitionString"]))
    assert named == set(machine["DefinitionSubstitutions"])


@MACHINES
def test_definition_is_json_with_a_time_limit_of_its_own(template: Template, name: str) -> None:
    # CDK ignores `timeout` for a definition that is text.
    assert json.loads(template.machines[name]["DefinitionString"])["TimeoutSeconds"] > 0


@MACHINES
def test_machine_logs_errors_and_does_not_trace(template: Template, name: str) -> None:
    machine = template.machines[name]
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    assert machine.get("TracingConfiguration", {"Enabled": False}) == {"Enabled": False}


def test_upload_starts_the_pipeline_with_the_event_as_it_is(template: Template) -> None:
    rule = rule_of(template, "PipelineArn")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [{"Ref": template.outputs["DataBucket"]}]},
            "object": {"key": [{"prefix": UPLOADS}]},
        },
    }
    assert not {"Input", "InputPath", "InputTransformer"} & set(rule["Targets"][0])


def test_clock_starts_monitoring_of_all_models(template: Template) -> None:
    rule = rule_of(template, "MonitoringArn")
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert rule["Targets"][0]["Input"] == "{}"


@MACHINES
def test_start_that_fails_for_good_is_kept(template: Template, name: str) -> None:
    queue = template.show(rule_of(template, name)["Targets"][0]["DeadLetterConfig"]["Arn"])
    assert queue in template.of_type("AWS::SQS::Queue")


@MACHINES
def test_rule_may_start_its_machine_only(template: Template, name: str) -> None:
    role = template.show(rule_of(template, name)["Targets"][0]["RoleArn"])
    assert template.may(role) == {f"start {name}"}
