"""What Train writes beside a model, and what it makes of a small table's champion."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from tests.cloud import Cloud
from tests.tables import csv, trips
from tidemill.contracts import TrainRequest
from tidemill.errors import TrainingFailed
from tidemill.flows import train as flow
from tidemill.stages import own

SPEC = """
target = "late"
id = "trip"
[train]
candidates = ["linear"]
trials = 2
"""


def candidate(cloud: Cloud, rows: int, name: str, *, start: int = 0, spec: str = SPEC) -> dict[str, Any]:
    """candidate.json of a run on an upload."""
    cloud.spec("trips", spec)
    run = cloud.train("trips", name, csv(trips(rows, seed=start, start=start)))
    assert run["status"] in ("promoted", "rejected"), run["reasons"]
    document: dict[str, Any] = cloud.stores.models.get_json(f"candidates/trips/{run['run']}/linear/candidate.json")
    return document


def test_a_candidate_says_how_it_came_about(cloud: Cloud) -> None:
    told = candidate(cloud, 1_200, "a.csv")
    assert told["search"] == {"planned": 2, "tried": 2, "rows": [told["rows"]], "stopped": ""}
    assert [trial["rows"] for trial in told["trials"]] == [told["rows"]] * 2
    assert told["complete"] is True
    assert told["seed"] == 2013
    assert (told["threshold"], told["threshold_by"]) == (0.5, "half")
    assert set(told["calibration"]) == {"method", "log_loss", "log_loss_calibrated"}
    assert set(told["timings"]) == {"search", "history", "fit", "export"}
    assert set(told["digests"]) == {"model.onnx", "model.joblib"}
    assert {"numpy", "scipy", "scikit-learn", "joblib", "skl2onnx", "onnx", "onnxruntime"} <= set(told["libraries"])
    assert len(str(told["code"])) == 64
    assert told["repeated"] is None
    assert told["estimator"] is None


def test_the_specs_threshold_and_ranges_are_kept(cloud: Cloud) -> None:
    told = candidate(cloud, 400, "a.csv", spec=f"{SPEC}threshold = 0.25\n[train.linear]\nstrength = 0.5")
    assert (told["threshold"], told["threshold_by"]) == (0.25, "spec")
    assert told["params"] == {"strength": 0.5}
    assert told["search"]["planned"] == 1


def test_of_few_rows_recipes_are_compared_with_the_champions_on_what_its_version_knew(cloud: Cloud) -> None:
    first = candidate(cloud, 300, "a.csv")["repeated"]
    assert first["champion"] is None
    assert (first["folds"], first["repeats"], first["rows"]) == (5, 10, 300)
    champion = cloud.stores.registry.champion("trips")
    assert champion
    second = candidate(cloud, 500, "b.csv", start=10_000)["repeated"]
    assert second["rows"] == 800
    assert second["champion"]["version"] == champion.version
    assert len(second["champion"]["scores"]) == len(second["candidate"]) == len(second["dummy"]) == 50
    assert np.mean(second["candidate"]) > np.mean(second["champion"]["scores"]) > np.mean(second["dummy"])


def test_a_champion_by_a_recipe_that_this_deployment_does_not_have_is_not_compared(cloud: Cloud) -> None:
    candidate(cloud, 300, "a.csv")
    champion = cloud.stores.registry.champion("trips")
    assert champion
    key = f"models/trips/{champion.version}/manifest.json"
    manifest = cloud.stores.models.get_json(key)
    cloud.stores.models.put(key, json.dumps({**manifest, "candidate": "oracle"}).encode())
    assert candidate(cloud, 300, "b.csv", start=10_000)["repeated"]["champion"] is None


def test_a_champion_whose_own_estimator_does_not_learn_any_more_is_not_compared(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TrainingFailed("it does not learn")

    candidate(cloud, 300, "a.csv")
    champion = cloud.stores.registry.champion("trips")
    assert champion
    key = f"models/trips/{champion.version}/manifest.json"
    manifest = {**cloud.stores.models.get_json(key), "candidate": "own", "estimator": "monotone", "params": {}}
    cloud.stores.models.put(key, json.dumps(manifest).encode())
    monkeypatch.setattr(own, "build", broken)
    told = candidate(cloud, 300, "b.csv", start=10_000)["repeated"]
    assert (told["champion"], len(told["candidate"])) == (None, 50)


def test_a_run_whose_rows_are_all_of_one_class_says_so(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    frame = trips(300).assign(late="yes")
    run = cloud.train("trips", "a.csv", csv(frame))
    assert run["status"] == "invalid"
    assert run["reasons"] == ["target 'late' has only the class 'yes': a classifier needs at least two"]


def test_a_candidate_says_how_many_seconds_it_took(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    run = cloud.train("trips", "a.csv", csv(trips(1_200)))
    dataset = cloud.stores.registry.version("trips", 1)["dataset"]
    left = itertools.count(900, -1)  # a second passes with each look
    trained = flow.run(TrainRequest("trips", run["run"], dataset, "linear"), cloud.stores, lambda: float(next(left)))
    assert trained.seconds == 900 - next(left) - 1
