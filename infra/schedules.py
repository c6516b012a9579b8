"""What starts what: an upload the pipeline, the clock the monitoring, a file of rows the function that answers, an
execution that was cut off the function that records how a run ended."""

from aws_cdk import Duration
from aws_cdk.aws_events import EventPattern, Match, Rule, RuleTargetInput, Schedule
from aws_cdk.aws_events_targets import LambdaFunction, SfnStateMachine
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_s3 import Bucket
from aws_cdk.aws_sqs import Queue, QueueEncryption
from aws_cdk.aws_stepfunctions import StateMachine
from constructs import Construct

from infra.config import Environment
from infra.storage import BATCH, UPLOADS


class Schedules(Construct):
    """What is started gets the event as it is; a start that fails for 24 hours ends among the dead letters. Lambda
    takes an event at once, and calls its function twice more if that fails, of which its alarm tells."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        data: Bucket,
        pipeline: StateMachine,
        monitoring: StateMachine,
        batch: Function,
        notify: Function,
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
            event_pattern=_written_to(data, UPLOADS),
            targets=[SfnStateMachine(pipeline, dead_letter_queue=self.dead_letters)],
        )
        Rule(
            self,
            "Files",
            description=f"Tidemill {environment.name}: a file of rows is answered",
            event_pattern=_written_to(data, BATCH),
            targets=[LambdaFunction(batch, dead_letter_queue=self.dead_letters)],
        )
        Rule(
            self,
            "CutOff",
            description=f"Tidemill {environment.name}: a run whose execution was ended from outside is recorded",
            event_pattern=EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                # One that failed has recorded its run itself.
                detail={"stateMachineArn": [pipeline.state_machine_arn], "status": ["ABORTED", "TIMED_OUT"]},
            ),
            targets=[LambdaFunction(notify, dead_letter_queue=self.dead_letters)],
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


def _written_to(bucket: Bucket, prefix: str) -> EventPattern:
    return EventPattern(
        source=["aws.s3"],
        detail_type=["Object Created"],
        detail={"bucket": {"name": [bucket.bucket_name]}, "object": {"key": Match.prefix(prefix)}},
    )
