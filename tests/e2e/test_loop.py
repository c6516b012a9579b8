"""The whole loop on a local cloud of its own, by the command and by plain HTTP and S3, as a user has it."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn import datasets

from tests.cloud import ROOT
from tests.tables import SPEC, csv, trips
from tidemill_cli import cloud as cloud_module
from tidemill_cli import main as main_module
from tidemill_cli.commands import local as local_module
from tidemill_cli.local.cloud import LocalCloud

pytestmark = pytest.mark.e2e

Tidemill = Callable[..., tuple[int, dict[str, Any]]]
QUICK = SPEC.replace('"linear", "boosting"', '"linear"')


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """On a free port and in its own folder: the user's own local cloud is not touched."""
    cloud = LocalCloud(ROOT, tmp_path_factory.mktemp("local"), port=0)
    cloud.up()
    yield cloud
    cloud.reset()


@pytest.fixture
def tidemill(
    local_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Tidemill:
    """Run the command with --json; its exit code and document."""
    for module in (cloud_module, local_module):
        monkeypatch.setattr(module, "local_cloud", lambda *_: local_cloud)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main_module.main([*arguments, "--local", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("model", "frame", "task"),
    [
        ("cancer", datasets.load_breast_cancer(as_frame=True).frame, "binary"),
        ("wine", datasets.load_wine(as_frame=True).frame, "multiclass"),
        ("diabetes", datasets.load_diabetes(as_frame=True).frame, "regression"),
    ],
)
def test_any_table_with_a_target_becomes_an_endpoint(
    tidemill: Tidemill, tmp_path: Path, model: str, frame: pd.DataFrame, task: str
) -> None:
    file = write(tmp_path / f"{model}.csv", csv(frame))
    code, inferred = tidemill("init", model, file, "--target", "target")
    assert (code, inferred["task"]) == (0, task)
    code, run = tidemill("upload", model, file, "--wait")
    assert (code, run["status"], run["version"]) == (0, "promoted", 1), run
    code, reply = tidemill("predict", model, "--file", file)
    assert code == 0
    assert len(reply["predictions"]) == len(frame)
    assert ("probabilities" in reply["predictions"][0]) == (task != "regression")


def test_the_loop_turns(tidemill: Tidemill, tmp_path: Path, local_cloud: LocalCloud) -> None:
    """Upload, champion, drift, retrain, better champion, broken file, rollback, restart."""
    spec = write(tmp_path / "trips.toml", QUICK.encode())
    assert tidemill("spec", "trips", spec)[0] == 0
    _, run = tidemill("upload", "trips", write(tmp_path / "first.csv", csv(trips(1_500))), "--wait")
    assert run["status"] == "promoted", run

    later = trips(3_000, seed=3, flipped=True, start=10_000)
    rows = write(tmp_path / "later.csv", csv(later.drop(columns="late")))
    truth = later[["trip", "late"]].set_axis(["id", "label"], axis="columns")
    assert len(tidemill("predict", "trips", "--file", rows)[1]["predictions"]) == 3_000
    assert tidemill("label", "trips", "--file", write(tmp_path / "labels.csv", csv(truth)))[1]["accepted"] == 3_000
    code, checked = tidemill("monitor", "trips", "--wait-retrain")
    assert (code, checked["action"]) == (0, "retrain"), checked
    assert checked["retrain"]["status"] == "promoted", checked["retrain"]
    assert checked["retrain"]["version"] == 2

    broken = write(tmp_path / "broken.csv", b"trip,distance,wind,carrier,late\n" + b"x,1,calm,ash,yes\n" * 50)
    code, run = tidemill("upload", "trips", broken, "--wait")
    assert (code, run["status"]) == (3, "invalid")
    code, shown = tidemill("report", "trips", "--run", run["run"])
    assert code == 0
    assert shown["quarantine"][0]["value"] == "calm"
    assert "<html" in Path(shown["path"]).read_text()

    assert tidemill("rollback", "trips")[0] == 0
    assert champion(tidemill) == 1
    assert tidemill("rollback", "trips", "--to", "2")[0] == 0

    assert local_cloud.down()
    local_cloud.up()
    assert champion(tidemill) == 2
    code, history = tidemill("history", "trips")
    promotions = [event["version"] for event in history["events"] if event["what"] == "promoted"]
    assert promotions == [1, 2, 1, 2]


def champion(tidemill: Tidemill) -> int | None:
    models = {entry["model"]: entry["version"] for entry in tidemill("models")[1]["models"]}
    version: int | None = models["trips"]
    return version


def test_a_plain_s3_copy_starts_the_pipeline_and_plain_http_is_answered(
    tidemill: Tidemill, tmp_path: Path, local_cloud: LocalCloud
) -> None:
    spec = write(tmp_path / "plain.toml", QUICK.encode())
    tidemill("spec", "plain", spec)
    deployment = local_cloud.up()
    s3 = deployment.client("s3")
    s3.put_object(Bucket=deployment.outputs["DataBucket"], Key="uploads/plain/a b.csv", Body=csv(trips(1_000)))
    assert wait_for_run(tidemill, "plain")["status"] == "promoted"
    row = {"distance": 120.5, "wind": 2.0, "carrier": "cedar"}
    request = urllib.request.Request(
        f"{deployment.api_url}/models/plain/predict", json.dumps({"rows": [row]}).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        reply = json.load(response)
    assert reply["predictions"][0]["prediction"] == "yes"


def test_the_endpoint_describes_itself_and_answers_by_the_open_inference_protocol(
    tidemill: Tidemill, tmp_path: Path, local_cloud: LocalCloud
) -> None:
    """Through the API's stage, where only relative addresses lead anywhere."""
    spec, file = write(tmp_path / "v2.toml", QUICK.encode()), write(tmp_path / "v2.csv", csv(trips(1_000)))
    tidemill("spec", "v2", spec)
    assert tidemill("upload", "v2", file, "--wait")[1]["status"] == "promoted"
    url = local_cloud.up().api_url
    with urllib.request.urlopen(f"{url}/docs", timeout=30) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "script-src 'sha256-" in response.headers["Content-Security-Policy"]
        assert b"openapi.json" in response.read()
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as response:
        api = json.load(response)
    (body,) = api["components"]["schemas"]["v2.Request"]["examples"]
    with urllib.request.urlopen(f"{url}/models/v2/predict", json.dumps(body).encode(), timeout=30) as response:
        reply = json.load(response)
    tensors = [
        {"name": name, "datatype": "BYTES" if isinstance(value, str) else "FP64", "shape": [1], "data": [value]}
        for name, value in body["rows"][0].items()
    ]
    asked = json.dumps({"inputs": tensors}).encode()
    with urllib.request.urlopen(f"{url}/v2/models/v2/infer", asked, timeout=30) as response:
        outputs = {output["name"]: output["data"] for output in json.load(response)["outputs"]}
    assert outputs["prediction"] == [reply["predictions"][0]["prediction"]]
    assert outputs["probabilities"] == list(reply["predictions"][0]["probabilities"].values())


def test_without_a_spec_a_run_says_what_to_do(tidemill: Tidemill, local_cloud: LocalCloud) -> None:
    deployment = local_cloud.up()
    bucket = deployment.outputs["DataBucket"]
    deployment.client("s3").put_object(Bucket=bucket, Key="uploads/nospec/a.csv", Body=b"a,b\n1,2\n")
    run = wait_for_run(tidemill, "nospec")
    assert run["status"] == "invalid"
    assert "tidemill init nospec" in run["reasons"][0]


def wait_for_run(tidemill: Tidemill, model: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        code, listed = tidemill("runs", model)
        if code == 0 and listed["runs"] and listed["runs"][0]["status"] != "pending":
            run: dict[str, Any] = listed["runs"][0]
            return run
        time.sleep(0.5)
    raise AssertionError(f"no run of {model} ended")


def test_what_does_not_exist_is_exit_4_and_wrong_usage_is_exit_2(tidemill: Tidemill, tmp_path: Path) -> None:
    code, told = tidemill("predict", "nobody", '{"a": 1}')
    assert (code, "does not exist" in told["error"]) == (4, True)
    code, told = tidemill("upload", "nobody", str(tmp_path / "nothing.csv"))
    assert code in (2, 3, 4)
    assert "nothing.csv" in told["error"]
    assert tidemill("predict", "nobody")[0] == 2
