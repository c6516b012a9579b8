"""`tidemill doctor` against accounts that moto has, and against none. What moto lacks is stubbed in its place."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.stages import STAGES
from tests.cloud import ACCOUNT, ROOT
from tidemill_cli import facts
from tidemill_cli.checkup import Needs, Unknown
from tidemill_cli.commands import doctor as doctor_module
from tidemill_cli.local.cloud import LocalCloud
from tidemill_cli.main import main

NEEDS = Needs(
    environment="prod",
    runtime="python3.13",
    architecture="x86_64",
    memory={"train": 4096},
    concurrency=16,
    bootstrap=6,
    cli="2.0.0",
    unsigned=False,
)
TOPIC = f"arn:aws:sns:eu-central-1:{ACCOUNT}:notices"
STACK = {
    "StackName": "Tidemill-prod",
    "StackStatus": "UPDATE_COMPLETE",
    "Description": "Tidemill, environment prod",
    "CreationTime": "2026-01-01T00:00:00Z",
    "Outputs": [{"OutputKey": "NoticeTopicArn", "OutputValue": TOPIC}],
}
LIMIT = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10, "TotalCodeSize": 80_000_000_000}
ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lambda": ("get_account_settings", {"AccountLimit": LIMIT, "AccountUsage": {"TotalCodeSize": 0}}),
    "apigateway": ("get_account", {"cloudwatchRoleArn": f"arn:aws:iam::{ACCOUNT}:role/Tidemill-prod-Role"}),
    "cloudformation": ("describe_stacks", {"Stacks": [STACK]}),
    "sns": (
        "list_subscriptions_by_topic",
        {"Subscriptions": [{"Endpoint": "ops@example.org", "SubscriptionArn": "PendingConfirmation"}]},
    ),
}

Doctor = Callable[..., tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Doctor:
    """The exit code, and the findings by what was checked. No setting of this machine's AWS is seen."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(facts, "needs", lambda *_: NEEDS)

    def run(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
        code = main(["doctor", "--json", *arguments])
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] == (code == 0)
        return code, {finding["check"]: finding for finding in document["findings"]}

    return run


@pytest.fixture
def answers() -> dict[str, Any]:
    """What AWS answers: a document, or an error's code."""
    return {name: document for name, (_, document) in ANSWERS.items()}


@pytest.fixture
def account(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bootstrapped, with a stack, ten executions at once, and a listener who did not confirm."""
    make = boto3.Session.client

    def client(session: boto3.Session, name: str, **arguments: Any) -> Any:
        made = make(session, name, **arguments)  # type: ignore[call-overload]
        if name in ANSWERS:
            stubber = Stubber(made)
            method, answer = ANSWERS[name][0], answers[name]
            if isinstance(answer, str):
                stubber.add_client_error(method, answer, "it is so")
            else:
                stubber.add_response(method, answer)
            stubber.activate()
        return made

    with mock_aws():
        ssm = boto3.client("ssm", region_name="eu-central-1")
        ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        monkeypatch.setattr(boto3.Session, "client", client)
        yield


PROD = ("--environment", "prod", "--region", "eu-central-1")


@pytest.mark.usefixtures("account")
def test_an_account_that_is_ready_has_warnings_at_most(doctor: Doctor) -> None:
    code, found = doctor(*PROD)
    assert code == 0
    assert found["credentials"]["found"] == f"arn:aws:sts::{ACCOUNT}:user/moto, account {ACCOUNT}"
    assert found["bootstrap"]["found"] == "version 30"
    assert found["stack"]["found"] == "Tidemill-prod is UPDATE_COMPLETE"
    assert found["api logs"]["verdict"] == "ok"
    assert "10 executions at once" in found["concurrency"]["found"]
    assert found["notices"]["found"] == "ops@example.org did not confirm"


@pytest.mark.usefixtures("account")
def test_a_region_without_bootstrap_fails_with_the_command_for_it(doctor: Doctor) -> None:
    code, found = doctor("--environment", "prod", "--region", "eu-west-1")
    assert code == 1
    assert found["bootstrap"]["verdict"] == "fail"
    assert f"bootstrap aws://{ACCOUNT}/eu-west-1" in found["bootstrap"]["remedy"]


@pytest.mark.usefixtures("account")
def test_a_stack_that_was_never_made_fails(doctor: Doctor, answers: dict[str, Any]) -> None:
    answers["cloudformation"] = {"Stacks": [{**STACK, "StackStatus": "ROLLBACK_COMPLETE"}]}
    code, found = doctor(*PROD)
    assert code == 1
    assert "delete-stack --stack-name Tidemill-prod" in found["stack"]["remedy"]


@pytest.mark.usefixtures("account")
def test_before_the_first_deployment_there_is_no_stack_and_nobody_to_hear_of_alarms(
    doctor: Doctor, answers: dict[str, Any]
) -> None:
    answers["cloudformation"] = "ValidationError"
    code, found = doctor(*PROD)
    assert code == 0
    assert found["stack"]["found"] == "Tidemill-prod is not deployed yet"
    assert found["notices"]["found"] == "nobody hears of alarms"
    assert found["memory"]["verdict"] == "warn"


@pytest.mark.usefixtures("account")
def test_what_may_not_be_asked_is_unknown_and_the_rest_is_told(doctor: Doctor, answers: dict[str, Any]) -> None:
    answers["lambda"] = "AccessDeniedException"
    code, found = doctor(*PROD)
    assert code == 0
    assert found["concurrency"]["verdict"] == "unknown"
    assert found["concurrency"]["found"] == "could not check: it is so (GetAccountSettings)"
    assert found["bootstrap"]["verdict"] == "ok"


@pytest.mark.usefixtures("account")
def test_the_region_of_the_cdk_cli_is_the_one_that_is_examined(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    code, found = doctor("--environment", "prod")
    assert (code, found["region"]["found"]) == (0, "eu-central-1")


def test_without_a_region_nothing_regional_is_asked(doctor: Doctor) -> None:
    with mock_aws():
        code, found = doctor("--environment", "prod")
    assert code == 1
    assert found["region"]["remedy"].startswith("set AWS_REGION")
    assert found["credentials"]["verdict"] == "ok"
    assert found["bootstrap"]["found"] == "could not check: it needs credentials and a region"


def test_without_credentials_it_says_how_to_get_some(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    code, found = doctor(*PROD)
    assert code == 1
    assert "credentials" in found["credentials"]["found"]
    assert "aws sso login" in found["credentials"]["remedy"]


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_profile_that_does_not_exist_is_named(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    if by_variable:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
    code, found = doctor(*PROD, *(() if by_variable else ("--profile", "nobody")))
    assert code == 1
    assert "nobody" in found["credentials"]["found"]


@pytest.fixture(params=["refused", "silent", "a door"])
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing listens; or something does and never answers; or it answers what is not AWS's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        if request.param != "refused":
            listener.listen()
        if request.param == "a door":
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        yield


def _greet(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin")


@pytest.mark.usefixtures("no_network")
def test_without_a_network_it_says_what_it_could_not_check(doctor: Doctor) -> None:
    code, found = doctor(*PROD)
    assert code == 0
    for check in ("credentials", "bootstrap", "stack", "concurrency", "notices"):
        assert found[check]["verdict"] == "unknown"
        assert found[check]["found"].startswith("could not check: no answer from ")


def test_the_needs_are_those_of_the_template() -> None:
    needs = facts.needs(ROOT, "prod")
    assert isinstance(needs, Needs), needs
    assert needs.memory["infer"] == 1769
    assert set(needs.memory) == {stage.name for stage in STAGES}
    # Ten candidates at once, five models at once, and a prediction.
    assert needs.concurrency == 16
    assert needs.bootstrap >= 6
    assert needs.cli.startswith("2.")
    assert not needs.unsigned


def test_an_app_that_cannot_be_synthesized_says_why(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "python app.py"}))
    (tmp_path / "app.py").write_text("import sys; sys.exit('the memory of train is too much')")
    needs = facts.needs(tmp_path, "prod")
    assert isinstance(needs, Unknown)
    assert needs.reason.endswith("the memory of train is too much")


def test_elsewhere_it_says_where_to_stand(tmp_path: Path) -> None:
    assert facts.needs(tmp_path, "prod") == Unknown(
        f"there is no cdk.json in {tmp_path}: stand in the project's folder"
    )


def test_a_package_of_another_version_than_the_locks_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements" / "dev.txt"
    lock.parent.mkdir()
    lock.write_text('boto3==1.0.0 \\\n    --hash=sha256:0\nnot-there==1 ; python_version < "3"\nmissing-one==2\n')
    drifted = facts.machine(tmp_path, None).drifted
    assert drifted == [f"boto3 {boto3.__version__} for 1.0.0", "missing-one none for 2"]


def test_with_nothing_said_it_is_the_local_cloud_that_is_examined(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor_module, "local_cloud", lambda: LocalCloud(ROOT, tmp_path / "none", port=0))
    code, found = doctor()
    assert code == 0
    assert found["local cloud"]["remedy"] == "`tidemill local up` starts it"
    assert found["state folder"]["verdict"] == "ok"
    assert "credentials" not in found


def test_a_finding_is_a_line_with_its_remedy_below(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor_module, "local_cloud", lambda: LocalCloud(ROOT, tmp_path / "none", port=0))
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("warn  local cloud   it is not running")
    assert lines[at + 1].strip() == "→ `tidemill local up` starts it"
