import pytest

from infra.config import ENVIRONMENTS
from infra.stages import STAGES, Stage
from tests.infra.conftest import Synthesized
from tests.infra.template import Template
from tidemill.settings import NEEDS

ALL = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def test_there_is_one_function_a_stage_and_none_of_cdk(template: Template) -> None:
    assert sorted(template.functions) == sorted(stage.name for stage in STAGES)
    assert len(template.of_type("AWS::Lambda::Function")) == len(STAGES)


@pytest.mark.parametrize("field", ["Role", "LoggingConfig"])
def test_no_two_functions_share_a_role_or_logs(template: Template, field: str) -> None:
    assert len({str(function[field]) for function in template.functions.values()}) == len(STAGES)


@ALL
def test_function_has_only_its_layers(template: Template, stage: Stage) -> None:
    descriptions = {name: layer["Description"] for name, layer in template.of_type("AWS::Lambda::LayerVersion").items()}
    layers = [
        descriptions[template.show(layer)].rpartition(" ")[2] for layer in template.functions[stage.name]["Layers"]
    ]
    # CDK sorts them by name.
    assert layers == sorted(["core", "powertools", *stage.layers])
    assert len(layers) <= 5


@ALL
def test_function_gets_what_its_settings_need_and_no_more(template: Template, stage: Stage) -> None:
    variables = set(template.functions[stage.name]["Environment"]["Variables"])
    assert {name for name in variables if not name.startswith("POWERTOOLS_")} == NEEDS[stage.name]


@ALL
def test_function_knows_its_name_and_the_namespace_of_its_metrics(template: Template, stage: Stage) -> None:
    variables = template.functions[stage.name]["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == stage.name
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "Tidemill/dev"
    assert variables["POWERTOOLS_LOG_LEVEL"] == "INFO"


@ALL
def test_function_keeps_within_the_limits_of_lambda(template: Template, stage: Stage) -> None:
    function = template.functions[stage.name]
    assert function["Timeout"] <= 900
    assert 128 <= function["MemorySize"] <= 10_240


def test_infer_gives_up_when_api_gateway_does(template: Template) -> None:
    assert template.functions["infer"]["Timeout"] == 29


def test_memory_of_an_environment_goes_over_the_table(synthesized: Synthesized) -> None:
    assert synthesized("prod").functions["infer"]["MemorySize"] == 1769
    assert synthesized("dev").functions["infer"]["MemorySize"] == 1024


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_log_group_has_the_retention_of_the_environment(synthesized: Synthesized, environment: str) -> None:
    groups = synthesized(environment).of_type("AWS::Logs::LogGroup").values()
    assert {group.get("RetentionInDays") for group in groups} == {ENVIRONMENTS[environment].log_days}


def test_function_has_no_dead_letters_which_only_calls_that_nobody_waits_for_have(template: Template) -> None:
    assert not [name for name, function in template.functions.items() if "DeadLetterConfig" in function]


def test_runtime_is_one_that_loads_the_wheels(template: Template) -> None:
    # Not python3.11, which is Amazon Linux 2 with glibc 2.26.
    assert {function["Runtime"] for function in template.functions.values()} <= {"python3.12", "python3.13"}
