"""Builds the real layers (from an index, once) and uses them alone, as Lambda does."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.app import ROOT
from infra.bundling import Bundle, build, check, find_compiler
from infra.packages import RUNTIMES, Target
from infra.stages import STAGES, Stage

pytestmark = pytest.mark.slow

IN_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six")

LOAD_THE_HANDLER = """
import handler
assert callable(handler.handler)
"""

FIT_CONVERT_AND_RUN = """
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, x[:, 0] > 0)
assert cross_val_score(model, x, x[:, 0] > 0).mean() > 0.9
graph = to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString()
_, scores = onnxruntime.InferenceSession(graph).run(None, {"X": x})
assert np.abs(scores - model.predict_proba(x)).max() < 1e-5
"""

WRITE_AND_READ_PARQUET = """
import io
import pandas as pd, pyarrow as pa, pyarrow.csv, pyarrow.parquet
frame = pd.DataFrame({"n": [1.0, None], "s": ["a", None], "t": pd.to_datetime(["2026-01-01", None], utc=True)})
frame.to_parquet(file := io.BytesIO(), compression="zstd")
pd.testing.assert_frame_equal(pd.read_parquet(file), frame)
assert pa.csv.read_csv(io.BytesIO(b"a,b\\n1,x\\n")).to_pylist() == [{"a": 1, "b": "x"}]
"""


@pytest.fixture(scope="module", params=RUNTIMES)
def target(request: pytest.FixtureRequest) -> Target:
    target = Target(runtime=request.param, architecture="x86_64")
    if find_compiler(target) is None:
        pytest.skip(f"no {target.runtime} on this machine")
    return target


@pytest.fixture(scope="module")
def bundle(target: Target) -> Bundle:
    return build(target)


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Lambda's runtime brings: the SDK, here of the developer's environment, and nothing beside it."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in IN_THE_RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
        (folder / source.name).symlink_to(source)
    return folder


def run(target: Target, program: str, *folders: Path) -> None:
    """Without site-packages, the variables of this process, or byte code being written."""
    python = find_compiler(target)
    assert python is not None
    set_path = "import sys; sys.path += sys.argv[1:]\n"
    command = [python, "-I", "-S", "-B", "-c", set_path + program, *map(str, folders)]
    done = subprocess.run(command, env={"AWS_DEFAULT_REGION": "eu-west-1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def layers_of(stage: Stage, bundle: Bundle) -> list[Path]:
    return [bundle.folders[layer] / "python" for layer in stage.all_layers]


def test_every_function_fits(bundle: Bundle) -> None:
    check(bundle)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_handler_loads_from_its_layers_alone(stage: Stage, target: Target, bundle: Bundle, sdk: Path) -> None:
    run(target, LOAD_THE_HANDLER, ROOT / "functions" / stage.name, *layers_of(stage, bundle), sdk)


@pytest.mark.parametrize(
    ("name", "program"), [("train", FIT_CONVERT_AND_RUN), ("prepare", WRITE_AND_READ_PARQUET)], ids=["train", "prepare"]
)
def test_pruned_packages_still_do_their_work(name: str, program: str, target: Target, bundle: Bundle) -> None:
    (stage,) = (stage for stage in STAGES if stage.name == name)
    run(target, program, *layers_of(stage, bundle))
