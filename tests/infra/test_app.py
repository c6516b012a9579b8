import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra import app
from infra.app import NO_BUNDLING, ROOT, LocalInTheCloudError, main, synthesize
from infra.config import FILE
from infra.packages import LockError
from tests.infra.template import Template


def run_app(
    folder: Path, *, python: tuple[str, ...] = (), variables: dict[str, str] | None = None, **context: object
) -> "subprocess.CompletedProcess[str]":
    """As on a fresh machine: no AWS variables, an empty PATH (no node, no docker), a home with nothing in it.

    It stands in `folder`, whose `environments.toml` counts, and not that of this checkout.
    """
    environment = {
        "HOME": str(folder),
        "PATH": str(folder),
        "PYTHONPATH": str(ROOT),
        "CDK_OUTDIR": str(folder / "out"),
        "CDK_CONTEXT_JSON": json.dumps({**NO_BUNDLING, **context}),
        **(variables or {}),
    }
    command = [sys.executable, *python, "-m", "infra.app"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_fresh_machine_synthesizes_what_this_one_does(tmp_path: Path, template: Template) -> None:
    run = run_app(tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    fresh = Template.load(tmp_path / "out" / "Tidemill-dev.template.json")
    assert set(fresh.body["Resources"]) == set(template.body["Resources"])
    assert fresh.outputs == template.outputs


def test_unknown_environment_is_one_sentence_that_names_the_known_ones(tmp_path: Path) -> None:
    run = run_app(tmp_path, environment="production")
    assert run.returncode == 2
    assert run.stderr == '-c environment = "production": one of local, dev, staging, prod is expected\n'


SAID = """
[aws]
architecture = "arm64"
notice_email = "ops@example.org"
[staging]
keeps_data = true
log_days = 3
capture_days = 11
noncurrent_days = 12
monitor_minutes = 90
throttle_rate = 7
throttle_burst = 8
memory.train = 3008
"""


def test_what_a_project_says_is_deployed(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(SAID)
    run = run_app(tmp_path, environment="staging")
    assert run.returncode == 0, run.stderr
    built = Template.load(tmp_path / "out" / "Tidemill-staging.template.json")
    assert built.functions["train"]["MemorySize"] == 3008
    assert all(function["Architectures"] == ["arm64"] for function in built.functions.values())
    assert built.the("AWS::SNS::Subscription")["Endpoint"] == "ops@example.org"
    assert built.the("AWS::DynamoDB::Table")["DeletionProtectionEnabled"]
    assert {group["RetentionInDays"] for group in built.of_type("AWS::Logs::LogGroup").values()} == {3}
    assert "rate(90 minutes)" in {
        rule.get("ScheduleExpression") for rule in built.of_type("AWS::Events::Rule").values()
    }
    (method,) = built.the("AWS::ApiGateway::Stage")["MethodSettings"]
    assert (method["ThrottlingRateLimit"], method["ThrottlingBurstLimit"]) == (7, 8)
    buckets = json.dumps(list(built.of_type("AWS::S3::Bucket").values()))
    assert '"ExpirationInDays": 11' in buckets
    assert buckets.count('"NoncurrentDays": 12') == 2


def test_all_that_is_wrong_with_the_settings_is_said_at_once_a_line_each(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('[prod]\nmemory.tran = 3008\nlog_days = "7"\n')
    run = run_app(tmp_path, runtime="python3.11")
    assert run.returncode == 2
    tran, days, runtime = run.stderr.splitlines()
    assert "did you mean memory.train?" in tran
    assert "one of 1, 3, 5, 7" in days
    assert "one of python3.12, python3.13 is expected" in runtime


def test_python_without_the_packages_is_told_which_one_has_them(tmp_path: Path) -> None:
    run = run_app(tmp_path, python=("-S",))
    assert run.returncode == 2
    assert run.stderr == (
        f"{sys.executable} has no CDK: run `make setup` once, and `source .venv/bin/activate` before this\n"
    )


def test_missing_node_is_one_sentence(tmp_path: Path) -> None:
    run = run_app(tmp_path, variables={"JSII_NODE": "/no/node"})
    assert run.returncode == 2
    assert run.stderr == "JSII_NODE is /no/node, where no Node is: unset it, or run `make setup` again\n"


def test_what_the_build_of_layers_says_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise LockError("the layers need 'x', which is not locked")

    monkeypatch.setattr(app, "synthesize", fail)
    assert main() == 2
    assert capsys.readouterr().err == "the layers need 'x', which is not locked\n"


def test_context_chooses_runtime_and_architecture(tmp_path: Path) -> None:
    synthesize({**NO_BUNDLING, "runtime": "python3.13", "architecture": "arm64"}, outdir=tmp_path)
    built = Template.load(tmp_path / "Tidemill-dev.template.json")
    assert {function["Runtime"] for function in built.functions.values()} == {"python3.13"}
    assert all(function["Architectures"] == ["arm64"] for function in built.functions.values())
    layers = built.of_type("AWS::Lambda::LayerVersion").values()
    assert all(layer["CompatibleArchitectures"] == ["arm64"] for layer in layers)


def test_environment_without_signed_calls_is_not_deployed_to_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "123456789012")
    with pytest.raises(LocalInTheCloudError, match="account 123456789012 is not the local cloud"):
        synthesize({**NO_BUNDLING, "environment": "local"})


def test_an_endpoint_that_anybody_may_call_is_warned_of(tmp_path: Path) -> None:
    assembly = synthesize({**NO_BUNDLING, "authorization": "NONE"}, outdir=tmp_path)
    said = [str(message.entry.data) for message in assembly.stacks[0].messages]
    assert any("whoever finds the endpoint" in one for one in said), said
