"""One Lambda function a stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Duration
from aws_cdk.aws_iam import Role, ServicePrincipal
from aws_cdk.aws_lambda import Architecture, Code, Function, ILayerVersion, Runtime, RuntimeFamily
from aws_cdk.aws_logs import LogGroup
from aws_cdk.aws_sqs import Queue, QueueEncryption
from constructs import Construct

from infra.config import Environment
from infra.stages import METRICS_NAMESPACE, Stage

ARCHITECTURES = {"x86_64": Architecture.X86_64, "arm64": Architecture.ARM_64}
NOT_SHIPPED = ["**/__pycache__", "**/*.pyc"]


class StageFunction(Construct):
    """A function that may write its own logs and dead letters, and nothing else until the stack grants it."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        source: Path,
        layers: Sequence[ILayerVersion],
        variables: Mapping[str, str],
        environment: Environment,
    ) -> None:
        super().__init__(scope, name)
        logs = LogGroup(self, "Logs", retention=environment.log_retention, removal_policy=environment.removal_policy)
        # A role of our own, since CDK's default may write every log group of the account.
        role = Role(self, "Role", assumed_by=ServicePrincipal("lambda.amazonaws.com"))
        logs.grant_write(role)
        self.dead_letters = dead_letter_queue(self, "DeadLetters")
        self.function = Function(
            self,
            "Function",
            description=f"Tidemill {environment.name}: {stage.name}",
            runtime=Runtime(environment.runtime, RuntimeFamily.PYTHON),
            architecture=ARCHITECTURES[environment.architecture],
            code=Code.from_asset(str(source), exclude=NOT_SHIPPED),
            handler="handler.handler",
            role=role,
            layers=list(layers),
            environment={
                "POWERTOOLS_SERVICE_NAME": stage.name,
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **{key: variables[key] for key in stage.environment},
            },
            timeout=Duration.seconds(stage.timeout),
            memory_size=environment.memory.get(stage.name, stage.memory),
            log_group=logs,
            dead_letter_queue=self.dead_letters,
        )


def dead_letter_queue(scope: Construct, name: str) -> Queue:
    """Keeps what could not be delivered for 14 days, the longest that SQS can."""
    return Queue(
        scope,
        name,
        encryption=QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )
