"""The state machines. The loop closes here, never in an import."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_logs import LogGroup
from aws_cdk.aws_stepfunctions import DefinitionBody, LogLevel, LogOptions, StateMachine
from constructs import Construct

from infra.config import Environment


class Workflow(Construct):
    """A state machine whose ASL is a file of its own, in which `${X}` stands for `substitutions["X"]`.

    The time limit is in the ASL: CDK ignores `timeout` for a definition that is text (aws-cdk#37150).
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        definition: Path,
        invokes: Mapping[str, Function],
        substitutions: Mapping[str, str] | None = None,
        environment: Environment,
    ) -> None:
        super().__init__(scope, name)
        logs = LogGroup(
            self,
            "Logs",
            # Under this prefix a log group needs no entry in the account's resource policy, which is short.
            log_group_name=f"/aws/vendedlogs/states/{Stack.of(self).stack_name}-{name}",
            retention=environment.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.machine = StateMachine(
            self,
            "Machine",
            # From text, so that the definition stays in the template, where tests read it.
            definition_body=DefinitionBody.from_string(definition.read_text(encoding="utf-8")),
            definition_substitutions={
                **{key: function.function_arn for key, function in invokes.items()},
                **(substitutions or {}),
            },
            logs=LogOptions(destination=logs, level=LogLevel.ALL),
            tracing_enabled=False,
        )
        for function in invokes.values():
            function.grant_invoke_latest_version(self.machine)
