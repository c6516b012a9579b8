"""From what infer writes to its log to the capture bucket."""

from aws_cdk.aws_lambda import Function
from aws_cdk.aws_logs import FilterPattern, LogGroup, SubscriptionFilter
from aws_cdk.aws_logs_destinations import LambdaDestination
from constructs import Construct


class CaptureStream(Construct):
    """CloudWatch Logs delivers the lines, in batches, and tries for 24 hours; the log keeps them for longer."""

    def __init__(self, scope: Construct, name: str, *, log: LogGroup, capture: Function) -> None:
        super().__init__(scope, name)
        SubscriptionFilter(
            self,
            "Lines",
            log_group=log,
            destination=LambdaDestination(capture),
            filter_pattern=FilterPattern.string_value("$.tidemill", "=", "capture"),
        )
