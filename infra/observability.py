"""Who is told what: the topic for notices, the alarms, one dashboard."""

import re
from collections.abc import Mapping, Sequence

from aws_cdk import Duration, Stack
from aws_cdk.aws_apigateway import RestApi
from aws_cdk.aws_cloudwatch import (
    ComparisonOperator,
    Dashboard,
    GraphWidget,
    IMetric,
    MathExpression,
    Metric,
    TreatMissingData,
)
from aws_cdk.aws_cloudwatch_actions import SnsAction
from aws_cdk.aws_iam import ServicePrincipal
from aws_cdk.aws_sns import Topic
from aws_cdk.aws_sns_subscriptions import EmailSubscription
from aws_cdk.aws_sqs import Queue
from aws_cdk.aws_stepfunctions import StateMachine
from constructs import Construct

from infra.config import Environment
from infra.functions import StageFunction, metrics_namespace

PERIOD = Duration.minutes(5)
SLOWEST = Duration.seconds(2)
"""Of the API at p99: several times the imports and the model of a cold start, so that one does not alarm."""

COUNTED = {"captures-lost": "CaptureLost", "degraded": "Degraded"}
"""Alarm → what the endpoint counts while it goes on answering, so that no error tells of it."""
UNTOLD = ("capture", "batch")
"""Functions that neither a state machine nor the API calls: of what fails in the others, these tell."""
MEASURED = (
    "CheckedPredictions",
    "LabelCoverage",
    "Performance",
    "EstimatedPerformance",
    "DriftedColumns",
    "DriftedImportance",
)
"""What a check says of a model in numbers, drawn one below the other. It tells itself what they call for."""
ROWS = ("Predictions", "Refused")
"""What the endpoint counts of the rows that it is sent. They ring no alarm: of those that are refused the check tells,
which knows what share they are and why."""


class Notices(Construct):
    """The topic that people listen to."""

    def __init__(self, scope: Construct, name: str, *, environment: Environment) -> None:
        super().__init__(scope, name)
        self.topic = Topic(self, "Topic", enforce_ssl=True)
        # A topic with any policy has lost the default one, which let the account's alarms publish.
        account = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        self.topic.grant_publish(ServicePrincipal("cloudwatch.amazonaws.com", conditions=account))
        if environment.notice_email:
            self.topic.add_subscription(EmailSubscription(environment.notice_email))


class Observability(Construct):
    """Alarms on what went wrong, silent while there is nothing to measure."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        topic: Topic,
        functions: Mapping[str, StageFunction],
        machines: Mapping[str, StateMachine],
        queues: Mapping[str, Queue],
        api: RestApi,
        environment: Environment,
    ) -> None:
        super().__init__(scope, name)
        self._action = SnsAction(topic)
        for stage in UNTOLD:
            errors = functions[stage].function.metric_errors(period=PERIOD, statistic="Sum")
            self._alarm(f"{stage}-errors", errors)
        for machine_name, machine in machines.items():
            periods = _lasting(environment) if machine_name == "monitoring" else 1
            failed = machine.metric_failed(period=PERIOD, statistic="Sum")
            self._alarm(f"{machine_name}-failed", failed, among=periods)
            timed_out = machine.metric_timed_out(period=PERIOD, statistic="Sum")
            self._alarm(f"{machine_name}-timed-out", timed_out, among=periods)
        for queue_name, queue in queues.items():
            self._alarm(
                f"{queue_name}-dead-letters",
                queue.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"),
            )
        self._alarm("api-5xx", api.metric_server_error(period=PERIOD, statistic="Sum"))
        # Of an execution that was cut off, Notify hears by no machine.
        for alarm, stage in {"captures-dropped": "capture", "cut-off-unrecorded": "notify"}.items():
            dropped = functions[stage].function.metric("AsyncEventsDropped", period=PERIOD, statistic="Sum")
            self._alarm(alarm, dropped)
        # The local cloud takes no alarm on a query.
        for alarm, counted in COUNTED.items() if environment.name != "local" else ():
            self._alarm(alarm, _of_every_model(counted, environment))
        latency = api.metric_latency(period=PERIOD, statistic="p99")
        self._alarm("api-p99", latency, threshold=SLOWEST.to_milliseconds(), periods=3)

        each = [construct.function for construct in functions.values()]
        Dashboard(
            self,
            "Dashboard",
            dashboard_name=f"Tidemill-{environment.name}",
            widgets=[
                [
                    _graph("Runs", [m.metric_started() for m in machines.values()]),
                    _graph("Runs that failed", [m.metric_failed() for m in machines.values()]),
                ],
                [
                    _graph("Errors", [f.metric_errors() for f in each]),
                    _graph("Slowest call", [f.metric_duration(statistic="Maximum") for f in each]),
                ],
                [
                    _graph("Rows", [_of_every_model(counted, environment) for counted in ROWS]),
                    _graph("Lost or degraded", [_of_every_model(counted, environment) for counted in COUNTED.values()]),
                ],
                *(
                    [_graph(_spaced(measure), [_by_model(measure, environment)]) for measure in MEASURED[at : at + 2]]
                    for at in range(0, len(MEASURED), 2)
                ),
                [
                    _graph("Requests", [api.metric_count(), api.metric_client_error(), api.metric_server_error()]),
                    _graph("Latency", [api.metric_latency(statistic=s) for s in ("p50", "p99")]),
                ],
            ],
        )

    def _alarm(
        self, name: str, metric: Metric | MathExpression, *, threshold: float = 1, periods: int = 1, among: int = 1
    ) -> None:
        """Rings when so many `periods` in a row are bad; with `among`, when one of so many is."""
        metric.create_alarm(
            self,
            name,
            threshold=threshold,
            evaluation_periods=max(periods, among),
            datapoints_to_alarm=periods,
            comparison_operator=ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=TreatMissingData.NOT_BREACHING,
        ).add_alarm_action(self._action)


def _of_every_model(name: str, environment: Environment) -> MathExpression:
    """Models come and go, each a dimension of its own: a query is the one metric that has all of them."""
    query = f'SELECT SUM({name}) FROM SCHEMA("{metrics_namespace(environment)}", model, service)'  # noqa: S608 no SQL
    return MathExpression(expression=query, using_metrics={}, label=name, period=PERIOD)


def _by_model(name: str, environment: Environment) -> MathExpression:
    """One line a model."""
    space = metrics_namespace(environment)
    query = f'SELECT AVG({name}) FROM SCHEMA("{space}", model, service) GROUP BY model'  # noqa: S608 no SQL
    return MathExpression(expression=query, using_metrics={}, label="", period=PERIOD)


def _lasting(environment: Environment) -> int:
    """Periods within which the clock starts the monitoring machine again, up to the day that CloudWatch looks back: an
    alarm that were over in between would ring at every start."""
    day = Duration.days(1)
    return round(min(2 * environment.monitor_minutes, day.to_minutes()) / PERIOD.to_minutes())


def _spaced(name: str) -> str:
    """`LabelCoverage` as "Label coverage"."""
    return re.sub("(?<!^)[A-Z]", lambda found: f" {found[0].lower()}", name)


def _graph(title: str, metrics: Sequence[IMetric]) -> GraphWidget:
    return GraphWidget(title=title, left=list(metrics), width=12)
