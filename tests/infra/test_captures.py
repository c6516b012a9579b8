"""The way of captures from infer's log to the bucket."""

from pathlib import Path

import pytest

from infra.app import NO_BUNDLING, synthesize
from infra.config import ENVIRONMENTS
from tests.infra.conftest import Synthesized
from tests.infra.template import Template

FILTER = "AWS::Logs::SubscriptionFilter"


def log_of(template: Template, stage: str) -> str:
    return template.show(template.functions[stage]["LoggingConfig"]["LogGroup"])


def id_of(template: Template, stage: str) -> str:
    functions = template.of_type("AWS::Lambda::Function")
    return next(name for name, one in functions.items() if one is template.functions[stage])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_lines_of_captures_go_from_the_log_of_infer_to_capture(synthesized: Synthesized, environment: str) -> None:
    template = synthesized(environment)
    lines = template.the(FILTER)
    assert template.show(lines["LogGroupName"]) == log_of(template, "infer")
    assert template.show(lines["DestinationArn"]) == id_of(template, "capture")
    assert lines["FilterPattern"] == '{ $.tidemill = "capture" }'
    assert template.functions["infer"]["Environment"]["Variables"]["CAPTURE"] == "log"


def test_only_that_log_may_call_capture(template: Template) -> None:
    allowed = [
        one
        for one in template.of_type("AWS::Lambda::Permission").values()
        if template.show(one["FunctionName"]) == id_of(template, "capture")
    ]
    assert [(one["Principal"], template.show(one["SourceArn"])) for one in allowed] == [
        ("logs.amazonaws.com", log_of(template, "infer"))
    ]


def test_a_batch_that_is_given_up_alarms(template: Template) -> None:
    dropped = [
        alarm
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "AsyncEventsDropped"
    ]
    assert id_of(template, "capture") in [template.show(alarm["Dimensions"][0]["Value"]) for alarm in dropped]


def test_where_captures_are_stored_by_infer_nothing_is_subscribed_and_it_may_store_them(tmp_path: Path) -> None:
    synthesize({**NO_BUNDLING, "capture": "store"}, outdir=tmp_path)
    template = Template.load(tmp_path / "Tidemill-dev.template.json")
    assert not template.of_type(FILTER)
    assert "s3:PutObject CaptureBucket/predictions/*" in template.function_may("infer")
    assert template.functions["infer"]["Environment"]["Variables"]["CAPTURE"] == "store"
