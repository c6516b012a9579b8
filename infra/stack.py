"""The table of contents of a deployment, and who may do what in it."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk.aws_lambda import Function
from aws_cdk.aws_stepfunctions import StateMachine
from constructs import Construct

from infra import grants
from infra.api import Api
from infra.captures import CaptureStream
from infra.config import Environment
from infra.functions import StageFunction
from infra.layers import Layers
from infra.observability import Notices, Observability
from infra.schedules import Schedules
from infra.stages import STAGES
from infra.storage import BATCH, UPLOADS, Storage
from infra.workflows import Workflow

SINCE = "since"
"""The attribute that a champion's item has and no other: nobody reads a champion without it."""
CHAMPION = ("version", SINCE)
"""Who can write neither can make no champion, and set none to another version."""


class TidemillStack(Stack):
    """All of one environment. `root` has the functions, layers and state machines that are deployed."""

    def __init__(self, scope: Construct, name: str, *, root: Path, environment: Environment) -> None:
        super().__init__(
            scope,
            name,
            description=f"Tidemill, environment {environment.name}",
            termination_protection=environment.keeps_data,
        )
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
            batch=self.functions["batch"].function,
            notify=self.functions["notify"].function,
            environment=environment,
        )
        infer = self.functions["infer"]
        if environment.capture == "log":
            CaptureStream(self, "Captured", log=infer.logs, capture=self.functions["capture"].function)
        self.api = Api(self, "Api", infer=infer.called, environment=environment)
        Observability(
            self,
            "Observability",
            topic=self.topic,
            functions=self.functions,
            machines={"pipeline": self.pipeline, "monitoring": self.monitoring},
            queues={"start": self.schedules.dead_letters},
            api=self.api.rest,
            environment=environment,
        )
        self._grant(environment)
        self._output()

    def _functions(self, root: Path, environment: Environment) -> dict[str, StageFunction]:
        layers = Layers(self, "Layers", root=root, environment=environment)
        variables = {
            "DATA_BUCKET": self.storage.data.bucket_name,
            "MODEL_BUCKET": self.storage.models.bucket_name,
            "CAPTURE_BUCKET": self.storage.captures.bucket_name,
            "REGISTRY_TABLE": self.storage.registry.table_name,
            "NOTICE_TOPIC": self.topic.topic_arn,
            "CAPTURE": environment.capture,
            "AUTHORIZATION": environment.authorization,
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
                "RegistryTable": self.storage.registry.table_name,
            },
            environment=environment,
        ).machine
        return pipeline, monitoring

    def _grant(self, environment: Environment) -> None:
        """Who may do what, beyond what each construct needs to work at all: what its flow calls, and no more."""
        function = {name: construct.function for name, construct in self.functions.items()}
        self._grant_learning(function)
        self._grant_answering(function, environment)
        self._grant_watching(function)

    def _grant_learning(self, function: Mapping[str, Function]) -> None:
        data, models, captures = self.storage.data, self.storage.models, self.storage.captures
        registry = self.storage.registry

        grants.call(registry, function["claim"], "GetItem")
        grants.call_without(registry, function["claim"], "PutItem", attributes=CHAMPION)
        self.topic.grant_publish(function["claim"])

        # `GetObject` beside the versions: an event without one reads the newest.
        grants.read_versions(data, function["prepare"], UPLOADS)
        grants.read(data, function["prepare"], UPLOADS, "specs/", "datasets/")
        grants.learn_of_absence(data, function["prepare"])
        grants.write_in_parts(data, function["prepare"], "datasets/")
        # Labels too: a retrain learns from labelled predictions.
        grants.read(captures, function["prepare"], "predictions/", "labels/")
        grants.find(captures, function["prepare"], "predictions/", "labels/")
        grants.call(registry, function["prepare"], "GetItem", "Query")
        grants.call_without(registry, function["prepare"], "PutItem", "UpdateItem", attributes=CHAMPION)

        grants.read(data, function["train"], "datasets/")
        grants.write(models, function["train"], "candidates/")
        # Of a small table, the champion's recipe is fitted again beside the candidate's.
        grants.read(models, function["train"], "models/")
        grants.call(registry, function["train"], "GetItem")

        grants.read(data, function["validate"], "datasets/")
        grants.read(models, function["validate"], "candidates/", "models/")
        grants.write(models, function["validate"], "models/")
        grants.call(registry, function["validate"], "GetItem", "Query")
        # It numbers a run, so it may set `version`: of the champion too, which only the code keeps it from.
        grants.call_without(registry, function["validate"], "PutItem", "UpdateItem", attributes=(SINCE,))

        grants.read(models, function["deploy"], "models/")
        grants.learn_of_absence(models, function["deploy"])
        grants.call(registry, function["deploy"], "GetItem", "PutItem")

        # Its event has a version, its update of the run has none.
        grants.call_without(registry, function["notify"], "PutItem", attributes=(SINCE,))
        grants.call_without(registry, function["notify"], "UpdateItem", attributes=CHAMPION)
        self.topic.grant_publish(function["notify"])

    def _grant_answering(self, function: Mapping[str, Function], environment: Environment) -> None:
        data, models, captures = self.storage.data, self.storage.models, self.storage.captures
        registry = self.storage.registry

        grants.read(models, function["infer"], "models/")
        grants.learn_of_absence(models, function["infer"])
        # What it answered and refused it writes to its log.
        stored = () if environment.capture == "log" else ("predictions/", "refusals/")
        grants.write(captures, function["infer"], *stored, "labels/")
        grants.call(registry, function["infer"], "GetItem", "Query")

        grants.write(captures, function["capture"], "predictions/", "refusals/")

        grants.read_versions(data, function["batch"], BATCH)
        grants.read(data, function["batch"], BATCH, "batch-results/")
        grants.learn_of_absence(data, function["batch"])
        grants.write_in_parts(data, function["batch"], "batch-results/")
        grants.read(models, function["batch"], "models/")
        grants.learn_of_absence(models, function["batch"])
        grants.call(registry, function["batch"], "GetItem")
        self.topic.grant_publish(function["batch"])

    def _grant_watching(self, function: Mapping[str, Function]) -> None:
        models, captures, registry = self.storage.models, self.storage.captures, self.storage.registry

        for watcher in ("list_models", "monitor"):
            grants.read(self.storage.data, function[watcher], "specs/")
            grants.learn_of_absence(self.storage.data, function[watcher])
        grants.call(registry, function["list_models"], "GetItem", "Query")

        grants.read(models, function["monitor"], "models/")
        grants.read(captures, function["monitor"], "predictions/", "refusals/", "labels/", "drift/")
        grants.find(captures, function["monitor"], "predictions/", "refusals/", "labels/")
        # Reports are deleted after their time, and the next check hands on what the last one knew.
        grants.learn_of_absence(captures, function["monitor"])
        grants.write(captures, function["monitor"], "drift/")
        grants.call(registry, function["monitor"], "GetItem", "Query")
        grants.call_without(registry, function["monitor"], "PutItem", attributes=(SINCE,))

        self.pipeline.grant_start_execution(self.monitoring)
        self.topic.grant_publish(self.monitoring)
        # It takes back an order that could not be started.
        grants.call_without(registry, self.monitoring, "UpdateItem", attributes=CHAMPION)

    def _output(self) -> None:
        """The names are a contract with the command."""
        outputs = {
            "DataBucket": self.storage.data.bucket_name,
            "ModelBucket": self.storage.models.bucket_name,
            "CaptureBucket": self.storage.captures.bucket_name,
            "RegistryTable": self.storage.registry.table_name,
            "PipelineArn": self.pipeline.state_machine_arn,
            "MonitoringArn": self.monitoring.state_machine_arn,
            "EndpointUrl": self.api.rest.url,
            "NoticeTopicArn": self.topic.topic_arn,
            **({"ApiKeyId": self.api.key.key_id} if self.api.key else {}),
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
