"""The table of contents of a deployment, and who may do what in it."""

from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk.aws_stepfunctions import StateMachine
from constructs import Construct

from infra.api import Api
from infra.config import Environment
from infra.functions import StageFunction
from infra.layers import Layers
from infra.observability import Notices, Observability
from infra.schedules import Schedules
from infra.stages import STAGES
from infra.storage import Storage
from infra.workflows import Workflow


class TidemillStack(Stack):
    """All of one environment. `root` has the functions, layers and state machines that are deployed."""

    def __init__(self, scope: Construct, name: str, *, root: Path, environment: Environment) -> None:
        super().__init__(scope, name, description=f"Tidemill, environment {environment.name}")
        self.storage = Storage(self, "Storage", environment=environment)
        self.topic = Notices(self, "Notices", environment=environment).topic
        self.functions = self._functions(root, environment)
        self.pipeline, self.monitoring = self._workflows(root / "statemachines", environment)
        self.schedules = Schedules(
            self,
            "Schedules",
            data=self.storage.data,
            pipeline=self.pipeline,
            monitoring=self.monitoring,
            environment=environment,
        )
        self.api = Api(self, "Api", infer=self.functions["infer"].function, environment=environment).rest
        Observability(
            self,
            "Observability",
            topic=self.topic,
            functions=self.functions,
            machines={"pipeline": self.pipeline, "monitoring": self.monitoring},
            queues={
                "start": self.schedules.dead_letters,
                **{name: construct.dead_letters for name, construct in self.functions.items()},
            },
            api=self.api,
            environment=environment,
        )
        self._grant()
        self._output()

    def _functions(self, root: Path, environment: Environment) -> dict[str, StageFunction]:
        layers = Layers(self, "Layers", root=root, environment=environment)
        variables = {
            "DATA_BUCKET": self.storage.data.bucket_name,
            "MODEL_BUCKET": self.storage.models.bucket_name,
            "CAPTURE_BUCKET": self.storage.captures.bucket_name,
            "REGISTRY_TABLE": self.storage.registry.table_name,
            "NOTICE_TOPIC": self.topic.topic_arn,
        }
        return {
            stage.name: StageFunction(
                self,
                stage.name.title().replace("_", ""),
                stage=stage,
                source=root / "functions" / stage.name,
                layers=layers.of(stage),
                variables=variables,
                environment=environment,
            )
            for stage in STAGES
        }

    def _workflows(self, folder: Path, environment: Environment) -> tuple[StateMachine, StateMachine]:
        function = {name: construct.function for name, construct in self.functions.items()}
        pipeline = Workflow(
            self,
            "Pipeline",
            definition=folder / "pipeline.asl.json",
            invokes={
                "ClaimFunctionArn": function["claim"],
                "PrepareFunctionArn": function["prepare"],
                "TrainFunctionArn": function["train"],
                "ValidateFunctionArn": function["validate"],
                "DeployFunctionArn": function["deploy"],
                "NotifyFunctionArn": function["notify"],
            },
            environment=environment,
        ).machine
        monitoring = Workflow(
            self,
            "Monitoring",
            definition=folder / "monitoring.asl.json",
            invokes={
                "ListModelsFunctionArn": function["list_models"],
                "MonitorFunctionArn": function["monitor"],
            },
            substitutions={
                "PipelineArn": pipeline.state_machine_arn,
                "NoticeTopicArn": self.topic.topic_arn,
            },
            environment=environment,
        ).machine
        return pipeline, monitoring

    def _grant(self) -> None:
        """Who may do what, beyond what each construct needs to work at all."""
        data, models, captures = self.storage.data, self.storage.models, self.storage.captures
        registry = self.storage.registry
        function = {name: construct.function for name, construct in self.functions.items()}

        registry.grant_read_write_data(function["claim"])

        for prefix in ("uploads/*", "specs/*", "datasets/*"):
            data.grant_read(function["prepare"], prefix)
        data.grant_put(function["prepare"], "datasets/*")
        captures.grant_read(function["prepare"], "predictions/*")
        captures.grant_read(function["prepare"], "labels/*")
        registry.grant_read_write_data(function["prepare"])

        data.grant_read(function["train"], "datasets/*")
        models.grant_read(function["train"], "candidates/*")
        models.grant_put(function["train"], "candidates/*")

        data.grant_read(function["validate"], "datasets/*")
        models.grant_read(function["validate"], "candidates/*")
        models.grant_read(function["validate"], "models/*")
        models.grant_put(function["validate"], "models/*")
        registry.grant_read_write_data(function["validate"])

        models.grant_read(function["deploy"], "models/*")
        registry.grant_read_write_data(function["deploy"])

        registry.grant_read_write_data(function["notify"])
        self.topic.grant_publish(function["notify"])

        models.grant_read(function["infer"], "models/*")
        captures.grant_put(function["infer"], "predictions/*")
        captures.grant_put(function["infer"], "labels/*")
        registry.grant_read_data(function["infer"])

        registry.grant_read_data(function["list_models"])

        data.grant_read(function["monitor"], "specs/*")
        models.grant_read(function["monitor"], "models/*")
        for prefix in ("predictions/*", "labels/*", "drift/*"):
            captures.grant_read(function["monitor"], prefix)
        captures.grant_put(function["monitor"], "drift/*")
        registry.grant_read_write_data(function["monitor"])

        self.pipeline.grant_start_execution(self.monitoring)
        self.topic.grant_publish(self.monitoring)

    def _output(self) -> None:
        """The names are a contract with the command."""
        outputs = {
            "DataBucket": self.storage.data.bucket_name,
            "ModelBucket": self.storage.models.bucket_name,
            "CaptureBucket": self.storage.captures.bucket_name,
            "RegistryTable": self.storage.registry.table_name,
            "PipelineArn": self.pipeline.state_machine_arn,
            "MonitoringArn": self.monitoring.state_machine_arn,
            "EndpointUrl": self.api.url,
            "NoticeTopicArn": self.topic.topic_arn,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
