"""From sources to assets: what counts as a change, and what a failed synthesis says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill_cli.local import assembly
from tidemill_cli.local.assembly import Asset
from tidemill_cli.local.errors import SynthesisFailed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("functions/infer/handler.py", "infra/app.py", "layers/core/python/tidemill/spec.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("x = 1\n")
    (tmp_path / "cdk.json").write_text(json.dumps({"app": "python infra/app.py", "context": {"flag": True}}))
    return tmp_path


def _write(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("y = 2\n")

    return change


def _rename(root: Path) -> None:
    (root / "infra/app.py").rename(root / "infra/main.py")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_write("functions/infer/handler.py"), id="a handler"),
        pytest.param(_write("infra/app.py"), id="the template"),
        pytest.param(_write("layers/core/python/tidemill/spec.py"), id="the core"),
        pytest.param(_write("statemachines/pipeline.asl.json"), id="a new file"),
        pytest.param(_write("cdk.json"), id="a flag"),
        pytest.param(_write("environments.toml"), id="a setting"),
        pytest.param(_rename, id="a name"),
    ],
)
def test_a_change_of_the_sources_changes_the_digest(root: Path, change: Callable[[Path], None]) -> None:
    before = assembly.digest(root)
    change(root)
    assert assembly.digest(root) != before


@pytest.mark.parametrize("name", ["infra/__pycache__/app.cpython-311.pyc", "README.md"])
def test_what_is_not_deployed_leaves_the_digest(root: Path, name: str) -> None:
    before = assembly.digest(root)
    _write(name)(root)
    assert assembly.digest(root) == before


def test_the_same_folder_gives_the_same_zip(root: Path) -> None:
    asset = Asset(path=root / "functions", bucket="b", key="k")
    before = asset.body()
    os.utime(root / "functions/infer/handler.py", (2_000_000_000, 2_000_000_000))
    assert asset.body() == before


APP = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"]); out.mkdir()
context = os.environ["CDK_CONTEXT_JSON"]
(out / "t.json").write_text(context)
(out / "code").mkdir()
where = {"x": {"bucketName": "assets-${AWS::AccountId}-${AWS::Region}", "objectKey": "key"}}
files = {name: {"source": {"path": name}, "destinations": where} for name in ("t.json", "code")}
(out / "t.assets.json").write_text(json.dumps({"files": files}))
stack = {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
(out / "manifest.json").write_text(json.dumps({"artifacts": {name: stack for name in STACKS}}))
"""


def test_the_app_runs_for_the_local_environment_with_the_flags_of_the_project(root: Path, tmp_path: Path) -> None:
    (root / "infra/app.py").write_text(f"STACKS = ['t']\n{APP}")
    assets, template = assembly.synthesize(root, tmp_path / "out", "eu-west-1")
    context = json.loads(template.body())
    assert context == {"flag": True, **assembly.CONTEXT}
    assert context["environment"] == "local"
    assert {asset.bucket for asset in assets} == {"assets-000000000000-eu-west-1"}


def test_a_failed_synthesis_says_what_the_app_said_last(root: Path, tmp_path: Path) -> None:
    (root / "infra/app.py").write_text("raise ValueError('the moon')")
    with pytest.raises(SynthesisFailed, match=r"`python infra/app\.py` failed: ValueError: the moon"):
        assembly.synthesize(root, tmp_path / "out", "eu-west-1")


def test_an_app_that_says_what_to_mend_is_told_in_full(root: Path, tmp_path: Path) -> None:
    (root / "infra/app.py").write_text("import sys; print('this\\nthat', file=sys.stderr); sys.exit(2)")
    with pytest.raises(SynthesisFailed, match="failed: this; that"):
        assembly.synthesize(root, tmp_path / "out", "eu-west-1")


def test_an_app_of_two_stacks_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "infra/app.py").write_text(f"STACKS = ['one', 'two']\n{APP}")
    with pytest.raises(SynthesisFailed, match="2 stacks"):
        assembly.synthesize(root, tmp_path / "out", "eu-west-1")
