"""One Lambda function a stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Annotations, Duration, RemovalPolicy, Size
from aws_cdk.aws_iam import Role, ServicePrincipal
from aws_cdk.aws_lambda import (
    Alias,
    Architecture,
    Code,
    Function,
    IFunction,
    ILayerVersion,
    Runtime,
    RuntimeFamily,
    SnapStartConf,
    VersionOptions,
)
from aws_cdk.aws_logs import LogGroup
from constructs import Construct

from infra.config import Environment
from infra.stages import Stage

ARCHITECTURES = {"x86_64": Architecture.X86_64, "arm64": Architecture.ARM_64}
NOT_SHIPPED = ["**/__pycache__", "**/*.pyc"]
AWAITED = ("infer",)
"""Where somebody waits for a cold start; a machine that waits for one loses a second of minutes."""


def metrics_namespace(environment: Environment) -> str:
    """One an environment: in one account, an alarm of one must not ring for another."""
    return f"Tidemill/{environment.name}"


class StageFunction(Construct):
    """A function that may write its own logs, and nothing else until the stack grants it.

    It has no dead letters: what calls it waits for the answer and is told, or keeps what it called it with.
    `called` is what a caller is to name: the function, or the alias of its published version, which SnapStart and
    provisioned concurrency are of. `logs` is its log.
    """

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
        self.logs = LogGroup(
            self, "Logs", retention=environment.log_retention, removal_policy=environment.removal_policy
        )
        # A role of our own, since CDK's default may write every log group of the account.
        role = Role(self, "Role", assumed_by=ServicePrincipal("lambda.amazonaws.com"))
        self.logs.grant_write(role)
        awaited = stage.name in AWAITED
        snapstart = environment.snapstart and awaited
        provisioned = environment.provisioned_concurrency if awaited else 0
        self.function = Function(
            self,
            "Function",
            description=f"Tidemill {environment.name}: {stage.name}",
            runtime=Runtime(environment.runtime, RuntimeFamily.PYTHON, supports_snap_start=True),
            architecture=ARCHITECTURES[environment.architecture],
            code=Code.from_asset(str(source), exclude=NOT_SHIPPED),
            handler="handler.handler",
            role=role,
            layers=list(layers),
            environment={
                "POWERTOOLS_SERVICE_NAME": stage.name,
                "POWERTOOLS_METRICS_NAMESPACE": metrics_namespace(environment),
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **{key: variables[key] for key in stage.environment},
            },
            timeout=Duration.seconds(stage.timeout),
            ephemeral_storage_size=Size.mebibytes(stage.disk),
            memory_size=environment.memory.get(stage.name, stage.memory),
            log_group=self.logs,
            snap_start=SnapStartConf.ON_PUBLISHED_VERSIONS if snapstart else None,
            # The version before this one is what an alias goes back to; CloudFormation would delete it.
            current_version_options=VersionOptions(removal_policy=RemovalPolicy.RETAIN),
        )
        self.called: IFunction = self.function
        if snapstart:
            Annotations.of(self.function).acknowledge_warning(
                "@aws-cdk/aws-lambda:snapStartRequirePublish", "the alias names a published version"
            )
        if snapstart or provisioned:
            self.called = Alias(
                self,
                "Live",
                alias_name="live",
                version=self.function.current_version,
                provisioned_concurrent_executions=provisioned or None,
            )
