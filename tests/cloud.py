"""Tidemill on moto: the stores, the real state machines and the real handlers, in this process."""

import base64
import gzip
import hashlib
import importlib
import json
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import boto3
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.botocore_stubber import BotocoreStubber
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)

from tests.tables import csv, trips
from tidemill.aws import clients, lean
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill.aws.stores import Notices, Stores
from tidemill.contracts import Start
from tidemill.flows.captures import Captures
from tidemill.stages.captured import Record

ROOT = Path(__file__).resolve().parents[1]
REGION = "us-east-1"
ACCOUNT = "123456789012"
BUCKETS = ("data", "models", "captures")
EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
ENVIRONMENT = {
    "DATA_BUCKET": "data",
    "MODEL_BUCKET": "models",
    "CAPTURE_BUCKET": "captures",
    "REGISTRY_TABLE": "registry",
    "NOTICE_TOPIC": f"arn:aws:sns:{REGION}:{ACCOUNT}:notices",
    "CAPTURE": "log",
    "AUTHORIZATION": "NONE",
}
FUNCTIONS = (
    "claim", "prepare", "train", "validate", "deploy", "notify", "list_models", "monitor", "infer", "capture", "batch",
)  # fmt: skip
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "POWERTOOLS_METRICS_NAMESPACE": "Tidemill",
    "POWERTOOLS_SERVICE_NAME": "test",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}


@dataclass
class Cloud:
    """What a test does from outside, and the stores to look into.

    `calls` has every invocation in order; `before[function]` runs once, just before that function's next one.
    """

    stores: Stores
    machines: Mapping[str, str]
    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], Any]] = field(default_factory=dict)
    closed: bool = False

    def close(self) -> None:
        """Wait for what a test left running: it would go on with the functions and the stores of the next one's
        account. Its next call of a function ends it."""
        self.closed = True
        client = boto3.client("stepfunctions")
        for machine in client.list_state_machines()["stateMachines"]:
            left = client.list_executions(stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING")
            for execution in left["executions"]:
                self.wait(execution["executionArn"])

    def spec(self, model: str, text: str) -> None:
        self.stores.data.put(f"specs/{model}.toml", text.encode())

    def upload(self, model: str, name: str, data: bytes, top: str = "uploads") -> dict[str, Any]:
        """The event that S3 would send for this upload."""
        key = f"{top}/{model}/{name}"
        answer = clients.s3().put_object(Bucket="data", Key=key, Body=data)
        entry = {"key": key, "size": len(data), "version-id": answer["VersionId"], "etag": answer["ETag"]}
        return {"detail-type": "Object Created", "detail": {"bucket": {"name": "data"}, "object": entry}}

    def run(self, machine: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Start an execution and wait for its end; status, output, error and cause."""
        client = boto3.client("stepfunctions")
        arn = client.start_execution(
            stateMachineArn=self.machines[machine], input=json.dumps(event), name=str(uuid4())
        )["executionArn"]
        return self.wait(arn)

    def wait(self, arn: str) -> dict[str, Any]:
        client = boto3.client("stepfunctions")
        while (state := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.01)
        return dict(state)

    def train(self, model: str, name: str, data: bytes) -> dict[str, Any]:
        """Upload and run the pipeline; the run's record."""
        event = self.upload(model, name, data)
        self.run("pipeline", event)
        return self.stores.registry.run(model, Start.from_event(event).run)

    def champion(self, spec: str, rows: int) -> None:
        """A version of trips that serves, from one upload: trained once a process, and put back after that."""
        self.spec("trips", spec)
        if (spec, rows) not in _CHAMPIONS:
            assert self.train("trips", "first.csv", csv(trips(rows)))["status"] == "promoted"
            _CHAMPIONS[spec, rows] = _kept()
        else:
            _put_back(_CHAMPIONS[spec, rows])

    def http(self, method: str, path: str, document: Any = None, body: str | None = None) -> tuple[int, Any]:
        event = {
            "httpMethod": method,
            "path": path,
            "body": body if body is not None else (json.dumps(document) if document is not None else None),
            "isBase64Encoded": False,
            "requestContext": {"requestId": f"q{len(self.calls)}"},
        }
        reply = self.invoke("infer", event)
        return reply["statusCode"], json.loads(reply["body"])

    def captured(self, kind: str = "predictions") -> list[Record]:
        """All that was, of model trips."""
        return list(Captures(self.stores.captures).read(kind, "trips", *EVER))

    def _infer(self, handler: Callable[[Any, Any], Any], event: Mapping[str, Any], context: Any) -> Any:
        """With its log, which the subscription carries on."""
        written: list[str] = []
        with patch("tidemill.aws.lines.write", written.append):
            reply = handler(event, context)
        lines = [line for line in written if '"tidemill"' in line]
        if lines:
            self.invoke("capture", awslogs(lines))
        return reply

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        if self.closed:
            raise ClosedError
        self.calls.append(function)
        if hook := self.before.pop(function, None):
            hook()
        context = SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: 900_000)
        handler = importlib.import_module(f"functions.{function}.handler").handler
        return self._infer(handler, event, context) if function == "infer" else handler(event, context)


class ClosedError(Exception):
    """A call after its test's end."""


Kept = tuple[Mapping[tuple[str, str], bytes], Sequence[Mapping[str, Any]]]
"""Every object by bucket and key, and every item of the registry."""
_CHAMPIONS: dict[tuple[str, int], Kept] = {}


def _kept() -> Kept:
    stores = [Objects(clients.s3(), bucket) for bucket in BUCKETS]
    objects = {(store.bucket, key): store.get(key) for store in stores for key in store.keys("")}
    return objects, clients.dynamodb().scan(TableName=ENVIRONMENT["REGISTRY_TABLE"])["Items"]


def _put_back(kept: Kept) -> None:
    objects, items = kept
    for (bucket, key), data in objects.items():
        Objects(clients.s3(), bucket).put(key, data)
    for item in items:
        clients.dynamodb().put_item(TableName=ENVIRONMENT["REGISTRY_TABLE"], Item=item)


def awslogs(lines: Sequence[str], stream: str = "2026/11/25/[$LATEST]s") -> dict[str, Any]:
    """The event by which CloudWatch Logs delivers lines to a function."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": "infer",
        "logStream": stream,
        "subscriptionFilters": ["captures"],
        "logEvents": [
            {
                "id": hashlib.sha256(line.encode()).hexdigest(),
                "timestamp": 1_764_000_000_000 + i,
                "message": f"{line}\n",
            }
            for i, line in enumerate(lines)
        ],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()}}


@contextmanager
def account(**environment: str) -> Iterator[Stores]:
    """The stores that the template makes, in an empty account: moto's, or the one that `environment` leads to."""
    with patch.dict(os.environ, {**CREDENTIALS, **ENVIRONMENT, **environment}):
        _forget_clients()
        _make_stores()
        yield _stores()
        _forget_clients()


@contextmanager
def cloud() -> Iterator[Cloud]:
    """An empty account with everything that the template makes."""
    config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    with mock_aws(config=config), account() as stores:
        made = Cloud(stores, {})
        invoke = patch.object(LambdaSimpleBackend, "invoke", _invoker(made))
        # moto hears what botocore sends, and nothing else.
        lean = patch("tidemill.aws.stores.lean", clients)
        start = patch.object(StateTaskServiceSfn, "_eval_service_task", _start_execution)
        stored = patch.object(BotocoreStubber, "process_request", _one_at_a_time)
        with invoke, start, lean, stored:
            made.machines = _make_machines()
            try:
                yield made
            finally:
                made.close()


def _forget_clients() -> None:
    for made in (clients.s3, clients.dynamodb, clients.sns, lean.s3, lean.dynamodb):
        made.cache_clear()
    for name in FUNCTIONS:
        module = importlib.import_module(f"functions.{name}.handler")
        getattr(module, "endpoint" if name == "infer" else "stores").cache_clear()


def _stores() -> Stores:
    s3 = clients.s3()
    return Stores(
        models=Objects(s3, "models"),
        captures=Objects(s3, "captures"),
        registry=Registry(clients.dynamodb(), "registry"),
        data=Objects(s3, "data"),
        notices=Notices(clients.sns(), ENVIRONMENT["NOTICE_TOPIC"]),
    )


def _make_stores() -> None:
    s3 = clients.s3()
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    clients.dynamodb().create_table(
        TableName="registry",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    clients.sns().create_topic(Name="notices")


def _make_machines() -> dict[str, str]:
    iam = boto3.client("iam")
    role = iam.create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions = boto3.client("lambda")
    arns = {}
    for name in FUNCTIONS:
        made = functions.create_function(
            FunctionName=name, Runtime="python3.12", Role=role, Handler="handler.handler", Code={"ZipFile": b"-"}
        )
        arns[f"{name.title().replace('_', '')}FunctionArn"] = made["FunctionArn"]
    arns |= {"NoticeTopicArn": ENVIRONMENT["NOTICE_TOPIC"], "RegistryTable": ENVIRONMENT["REGISTRY_TABLE"]}
    machines: dict[str, str] = {}
    client = boto3.client("stepfunctions")
    for name in ("pipeline", "monitoring"):
        text = (ROOT / "statemachines" / f"{name}.asl.json").read_text()
        for key, arn in {**arns, "PipelineArn": machines.get("pipeline", "")}.items():
            text = text.replace(f"${{{key}}}", arn)
        machines[name] = client.create_state_machine(name=name, definition=text, roleArn=role)["stateMachineArn"]
    return machines


_process_request = BotocoreStubber.process_request
_STORES = re.compile(r"https://([^/]*\.)?(s3|dynamodb)[.]")
_LOCK = RLock()


def _one_at_a_time(self: BotocoreStubber, request: Any) -> Any:
    """moto's stores are dictionaries, which an execution's thread changes while the test's reads them."""
    with _LOCK if _STORES.match(request.url) else nullcontext():
        return _process_request(self, request)


_eval_service_task = StateTaskServiceSfn._eval_service_task


def _start_execution(self: Any, env: Any, **kwargs: Any) -> None:
    """moto 5.2 hands a state's `StateMachineArn` to an API that calls it `stateMachineArn`, and leaves a datetime
    in the state."""
    given = kwargs.pop("normalised_parameters")
    renamed = {name[0].lower() + name[1:]: value for name, value in given.items()}
    _eval_service_task(self, env=env, normalised_parameters=renamed, **kwargs)
    env.stack[-1]["startDate"] = env.stack[-1]["startDate"].timestamp()


def _invoker(cloud: Cloud) -> Any:
    def invoke(
        _self: Any, function_name: str, _qualifier: Any, body: Any, _headers: Any, response_headers: Any
    ) -> bytes:
        response_headers["x-amz-executed-version"] = "$LATEST"
        try:
            result = cloud.invoke(function_name.rsplit(":", 1)[-1], json.loads(body))
        except Exception as error:  # noqa: BLE001 - what Lambda does with any exception
            response_headers["x-amz-function-error"] = "Unhandled"
            result = {
                "errorType": type(error).__name__,
                "errorMessage": str(error),
                "stackTrace": traceback.format_tb(error.__traceback__),
            }
        return json.dumps(result).encode()

    return invoke
