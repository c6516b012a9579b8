import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.app import NO_BUNDLING, ROOT, synthesize
from infra.config import ENVIRONMENTS, UnknownSettingError, read_environment
from tests.infra.template import Template


def run_app(folder: Path, **context: object) -> "subprocess.CompletedProcess[str]":
    """As on a fresh machine: no AWS variables, an empty PATH (no node, no docker), a home with nothing in it."""
    environment = {
        "HOME": str(folder),
        "PATH": str(folder),
        "CDK_OUTDIR": str(folder / "out"),
        "CDK_CONTEXT_JSON": json.dumps({**NO_BUNDLING, **context}),
    }
    command = [sys.executable, "-m", "infra.app"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_fresh_machine_synthesizes_what_this_one_does(tmp_path: Path, template: Template) -> None:
    run = run_app(tmp_path)
    assert run.returncode == 0, run.stderr
    fresh = Template.load(tmp_path / "out" / "Tidemill-dev.template.json")
    assert set(fresh.body["Resources"]) == set(template.body["Resources"])
    assert fresh.outputs == template.outputs


def test_unknown_environment_is_one_sentence_that_names_the_known_ones(tmp_path: Path) -> None:
    run = run_app(tmp_path, environment="production")
    assert run.returncode == 2
    assert run.stderr == "environment 'production' is unknown; known are: local, dev, staging, prod\n"


@pytest.mark.parametrize("key", ["environment", "runtime", "architecture"])
def test_unknown_value_names_its_key(key: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"{key} 'x' is unknown"):
        read_environment(lambda name: "x" if name == key else None)


def test_environment_is_dev_unless_told() -> None:
    assert read_environment(lambda _: None) == ENVIRONMENTS["dev"]


def test_context_chooses_runtime_and_architecture(tmp_path: Path) -> None:
    synthesize({**NO_BUNDLING, "runtime": "python3.13", "architecture": "arm64"}, outdir=tmp_path)
    built = Template.load(tmp_path / "Tidemill-dev.template.json")
    assert {function["Runtime"] for function in built.functions.values()} == {"python3.13"}
    assert all(function["Architectures"] == ["arm64"] for function in built.functions.values())
    layers = built.of_type("AWS::Lambda::LayerVersion").values()
    assert all(layer["CompatibleArchitectures"] == ["arm64"] for layer in layers)


def test_calls_must_be_signed_everywhere_but_on_the_local_cloud() -> None:
    unsigned = {name for name, environment in ENVIRONMENTS.items() if environment.authorization == "NONE"}
    assert unsigned == {"local"}
