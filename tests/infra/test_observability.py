import json
import re
from pathlib import Path

import pytest

from infra.app import NO_BUNDLING, ROOT, synthesize
from infra.config import ENVIRONMENTS
from infra.observability import COUNTED, MEASURED, ROWS
from infra.stages import STAGES
from tests.infra.conftest import Synthesized
from tests.infra.template import Template
from tests.infra.test_storage import refuses_plain_http
from tidemill.aws.lines import count
from tidemill.stages.measures import MEASURES

PAID_BY_USE = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::SubscriptionFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::StepFunctions::StateMachine",
}
"""Alarms and the dashboard cost cents a month, beyond the first ten and the first three of an account."""

OUTPUTS = {
    "DataBucket",
    "ModelBucket",
    "CaptureBucket",
    "RegistryTable",
    "PipelineArn",
    "MonitoringArn",
    "EndpointUrl",
    "NoticeTopicArn",
}


def alarmed(template: Template) -> set[tuple[str, str]]:
    """What is watched: a metric and the logical id of what it is of."""
    return {
        (alarm["MetricName"], template.show(alarm["Dimensions"][0]["Value"]))
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if "MetricName" in alarm
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_is_billed_by_the_hour(synthesized: Synthesized, environment: str) -> None:
    template = synthesized(environment)
    assert {resource["Type"] for resource in template.body["Resources"].values()} <= PAID_BY_USE
    assert not any("ProvisionedConcurrencyConfig" in str(one) for one in template.body["Resources"].values())


def test_api_has_no_cache_which_would_be_billed_by_the_hour(template: Template) -> None:
    assert "CacheClusterEnabled" not in template.the("AWS::ApiGateway::Stage")


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_outputs_are_what_the_command_reads(synthesized: Synthesized, environment: str) -> None:
    assert set(synthesized(environment).outputs) == OUTPUTS


def test_names_of_buckets_and_tables_are_left_to_cloudformation(template: Template) -> None:
    assert not any("BucketName" in bucket for bucket in template.of_type("AWS::S3::Bucket").values())
    assert "TableName" not in template.the("AWS::DynamoDB::Table")


def test_errors_alarm_of_functions_of_which_no_other_alarm_tells(template: Template) -> None:
    callers = ("AWS::StepFunctions::StateMachine", "AWS::ApiGateway::Method")
    called = "".join(str(caller) for kind in callers for caller in template.of_type(kind).values())
    functions = template.of_type("AWS::Lambda::Function")
    assert len(functions) == len(STAGES)
    untold = {name for name in functions if name not in called}
    assert untold
    assert {name for metric, name in alarmed(template) if metric == "Errors"} == untold


def test_a_run_that_was_cut_off_and_not_recorded_alarms(template: Template) -> None:
    dropped = {name for metric, name in alarmed(template) if metric == "AsyncEventsDropped"}
    assert any(name.startswith("Notify") for name in dropped)


@pytest.mark.parametrize("metric", ["ExecutionsFailed", "ExecutionsTimedOut"])
def test_a_monitoring_that_fails_at_every_start_rings_once(template: Template, metric: str) -> None:
    (alarm,) = [
        one
        for one in template.of_type("AWS::CloudWatch::Alarm").values()
        if one.get("MetricName") == metric and "Monitoring" in template.show(one["Dimensions"][0]["Value"])
    ]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 2 * 3_600
    assert alarm["DatapointsToAlarm"] == 1


def test_the_dashboard_draws_what_checks_measure_a_line_a_model(template: Template) -> None:
    body = template.show(template.the("AWS::CloudWatch::Dashboard")["DashboardBody"])
    drawn = re.findall(r"SELECT AVG\((\w+)\) [^)]+\) GROUP BY model", body)
    assert tuple(drawn) == MEASURED == MEASURES


def test_failures_of_every_machine_alarm(template: Template) -> None:
    machines = set(template.of_type("AWS::StepFunctions::StateMachine"))
    watched = alarmed(template)
    assert {name for metric, name in watched if metric == "ExecutionsFailed"} == machines
    assert {name for metric, name in watched if metric == "ExecutionsTimedOut"} == machines


def test_dead_letters_of_every_queue_alarm(template: Template) -> None:
    queues = {f"{name}" for name in template.of_type("AWS::SQS::Queue")}
    watched = {name for metric, name in alarmed(template) if metric == "ApproximateNumberOfMessagesVisible"}
    assert watched == queues


def test_api_alarms_on_errors_and_on_its_slowest_answers(template: Template) -> None:
    assert {metric for metric, _ in alarmed(template)} >= {"5XXError", "Latency"}
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    (latency,) = [alarm for alarm in alarms if alarm.get("MetricName") == "Latency"]
    assert latency["ExtendedStatistic"] == "p99"


@pytest.mark.parametrize("name", ["CaptureLost", "Degraded"])
def test_what_the_endpoint_counts_while_it_goes_on_answering_alarms(
    template: Template, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"):
        monkeypatch.setenv(variable, template.functions["infer"]["Environment"]["Variables"][variable])
    # As functions/infer counts it.
    count(name, 1, model="trips")
    (written,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    (dimensions,) = written["Dimensions"]
    watched = [
        re.fullmatch(r'SELECT SUM\((\w+)\) FROM SCHEMA\("(.+)", (.+)\)', alarm["Metrics"][0]["Expression"])
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if "Metrics" in alarm
    ]
    counted = (name, written["Namespace"], ", ".join(sorted(dimensions)))
    assert counted in [query.groups() for query in watched if query]


def test_nobody_waits_for_a_metric_that_nobody_counts() -> None:
    flow = (ROOT / "layers/core/python/tidemill/flows/infer.py").read_text(encoding="utf-8")
    handler = (ROOT / "functions/infer/handler.py").read_text(encoding="utf-8")
    assert {*COUNTED.values(), *ROWS} <= set(re.findall(r'self\.count\("(\w+)"', flow))
    assert "count(name, value, model=model)" in handler


def test_environments_of_one_account_do_not_share_their_metrics(synthesized: Synthesized) -> None:
    spaces = [
        synthesized(name).functions["infer"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"]
        for name in ENVIRONMENTS
    ]
    assert len(set(spaces)) == len(ENVIRONMENTS)


def test_every_alarm_tells_the_topic_and_is_silent_without_data(template: Template) -> None:
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    topic = template.outputs["NoticeTopicArn"]
    assert all([template.show(action) for action in alarm["AlarmActions"]] == [topic] for alarm in alarms)
    assert {alarm["TreatMissingData"] for alarm in alarms} == {"notBreaching"}


def test_topic_refuses_what_does_not_come_by_tls(template: Template) -> None:
    assert refuses_plain_http(template, "AWS::SNS::TopicPolicy", "Topics", template.outputs["NoticeTopicArn"])


def test_alarms_of_this_account_may_publish(template: Template) -> None:
    # A topic with a policy has lost the default one, by which alarms could.
    statements = template.the("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_nobody_gets_mail_unless_an_address_is_given(template: Template) -> None:
    assert not template.of_type("AWS::SNS::Subscription")


def test_notices_go_to_the_address_of_the_context(tmp_path: Path) -> None:
    synthesize({**NO_BUNDLING, "notice_email": "ops@example.com"}, outdir=tmp_path)
    subscription = Template.load(tmp_path / "Tidemill-dev.template.json").the("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_there_is_one_dashboard(template: Template) -> None:
    assert template.the("AWS::CloudWatch::Dashboard")["DashboardName"] == "Tidemill-dev"


def test_the_dashboard_has_the_rows_that_were_refused_beside_those_that_were_answered(template: Template) -> None:
    body = json.loads(template.show(template.the("AWS::CloudWatch::Dashboard")["DashboardBody"]))
    (rows,) = [widget for widget in body["widgets"] if widget["properties"]["title"] == "Rows"]
    queries = [re.findall(r"SUM\((\w+)\)", str(metric)) for metric in rows["properties"]["metrics"]]
    assert queries == [["Predictions"], ["Refused"]]


def test_no_alarm_rings_for_a_refused_row_of_which_the_check_tells(template: Template) -> None:
    assert not any("Refused" in str(alarm) for alarm in template.of_type("AWS::CloudWatch::Alarm").values())
