"""An own estimator from the spec to the endpoint, in the real pipeline with the real handlers, on moto."""

import numpy as np
import pytest

from tests.cloud import Cloud
from tests.tables import csv, trips
from tidemill_estimators import monotone

SPEC = """
target = "late"
id = "trip"
[train]
candidates = ["linear"]
estimator = "monotone"
"""
ALONE = SPEC.replace('["linear"]', "[]")


def test_an_own_estimator_is_trained_exported_judged_and_served(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monotone, "RISING", ("wind",))
    monkeypatch.setattr(monotone, "FALLING", ())
    cloud.spec("trips", ALONE)
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    assert (run["status"], run["version"]) == ("promoted", 1)
    evaluation = cloud.stores.models.get_json("models/trips/1/evaluation.json")
    assert [entry["candidate"] for entry in evaluation["candidates"]] == ["own"]
    assert (evaluation["candidate"]["estimator"], evaluation["candidate"]["parity"]["beyond"]) == ("monotone", 0)
    rows = [
        {"trip": f"t{place}", "distance": 120.5, "wind": wind, "carrier": "cedar"}
        for place, wind in enumerate(np.linspace(-4, 4, 50))
    ]
    status, reply = cloud.http("POST", "/models/trips/predict", {"rows": rows})
    assert status == 200
    late = [answer["probabilities"]["yes"] for answer in reply["predictions"]]
    assert late == sorted(late)
    assert late[0] < 0.2
    assert late[-1] > 0.8


def test_an_own_estimator_that_does_not_fit_the_data_leaves_the_others_to_compete(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    assert cloud.train("trips", "first.csv", csv(trips(1_500)))["status"] == "promoted"
    evaluation = cloud.stores.models.get_json("models/trips/1/evaluation.json")
    failed = {entry["candidate"]: entry["failed"] for entry in evaluation["candidates"]}
    assert failed["linear"] == ""
    assert "tidemill_estimators/monotone.py: build(schema, task) failed with ValueError: the data" in failed["own"]


def test_a_name_that_is_not_deployed_is_told_in_the_runs_reasons_with_those_that_are(cloud: Cloud) -> None:
    cloud.spec("trips", ALONE.replace("monotone", "os"))
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    assert run["status"] == "failed"
    assert "own: TrainingFailed: train.estimator = 'os' is none of the own estimators (monotone)" in run["reasons"][0]
