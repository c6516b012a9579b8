"""What starts the machines: an upload the pipeline, the clock the monitoring."""

from aws_cdk import Duration
from aws_cdk.aws_events import EventPattern, Match, Rule, RuleTargetInput, Schedule
from aws_cdk.aws_events_targets import SfnStateMachine
from aws_cdk.aws_s3 import Bucket
from aws_cdk.aws_sqs import Queue, QueueEncryption
from aws_cdk.aws_stepfunctions import StateMachine
from constructs import Construct

from infra.config import Environment
from infra.storage import UPLOADS


class Schedules(Construct):
    """The pipeline gets the event as it is. A start that fails for 24 hours ends among the dead letters."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        data: Bucket,
        pipeline: StateMachine,
        monitoring: StateMachine,
        environment: Environment,
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters = Queue(
            self,
            "DeadLetters",
            encryption=QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            # The longest that SQS can.
            retention_period=Duration.days(14),
        )
        Rule(
            self,
            "Uploads",
            description=f"Tidemill {environment.name}: an upload starts the pipeline",
            event_pattern=EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [data.bucket_name]}, "object": {"key": Match.prefix(UPLOADS)}},
            ),
            targets=[SfnStateMachine(pipeline, dead_letter_queue=self.dead_letters)],
        )
        Rule(
            self,
            "Clock",
            description=f"Tidemill {environment.name}: all champions are monitored",
            schedule=Schedule.rate(environment.monitor_every),
            targets=[
                SfnStateMachine(monitoring, input=RuleTargetInput.from_object({}), dead_letter_queue=self.dead_letters)
            ],
        )
