import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra.storage import UPLOADS
from tests.infra.template import Properties, Template
from tests.infra.test_storage import refuses_plain_http
from tidemill import errors

OF_AWS = {
    "DynamoDB.ConditionalCheckFailedException",
    "States.ALL",
    "States.TaskFailed",
    "States.Timeout",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "StepFunctions.ExecutionAlreadyExistsException",
    "StepFunctions.SdkClientException",
    "StepFunctions.ThrottlingException",
}
"""As AWS spells them: a name that it does not know is caught by nobody, and no deployment says so."""

MACHINES = pytest.mark.parametrize("name", ["PipelineArn", "MonitoringArn"])


def rule_of(template: Template, machine: str) -> Properties:
    (rule,) = [
        rule
        for rule in template.of_type("AWS::Events::Rule").values()
        if template.show(rule["Targets"][0]["Arn"]) == template.outputs[machine]
    ]
    return rule


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def tasks_of(template: Template, machine: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Task → the logical id of its function and the seconds that it waits."""
    body = template.machines[machine]
    for name, state in states(json.loads(body["DefinitionString"])):
        if state["Type"] == "Task" and (found := re.fullmatch(r"\$\{(\w+FunctionArn)}", state["Resource"])):
            yield name, (template.show(body["DefinitionSubstitutions"][found[1]]), state["TimeoutSeconds"])


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
def test_machine_logs_every_step_without_its_data_and_does_not_trace(template: Template, name: str) -> None:
    machine = template.machines[name]
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert not machine["LoggingConfiguration"].get("IncludeExecutionData")
    assert machine.get("TracingConfiguration", {"Enabled": False}) == {"Enabled": False}


@MACHINES
def test_task_waits_for_its_function_as_long_as_that_may_take(template: Template, name: str) -> None:
    tasks = dict(tasks_of(template, name))
    assert tasks
    functions = template.of_type("AWS::Lambda::Function")
    impatient = [task for task, (function, seconds) in tasks.items() if seconds < functions[function]["Timeout"]]
    assert impatient == []


@MACHINES
def test_every_error_that_is_retried_or_caught_exists(template: Template, name: str) -> None:
    named = {
        error
        for _, state in states(json.loads(template.machines[name]["DefinitionString"]))
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]
        for error in rule["ErrorEquals"]
    }
    ours = {one for one in vars(errors) if isinstance(getattr(errors, one), type)}
    assert named
    assert named - OF_AWS <= ours


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


def test_dead_letters_are_encrypted_and_refuse_what_does_not_come_by_tls(template: Template) -> None:
    (name,) = template.of_type("AWS::SQS::Queue")
    assert template.the("AWS::SQS::Queue")["SqsManagedSseEnabled"]
    assert refuses_plain_http(template, "AWS::SQS::QueuePolicy", "Queues", name)


@MACHINES
def test_rule_may_start_its_machine_only(template: Template, name: str) -> None:
    role = template.show(rule_of(template, name)["Targets"][0]["RoleArn"])
    assert template.may(role) == {f"states:StartExecution {name}"}
