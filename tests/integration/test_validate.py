"""What the gate makes of tables that no model should come of, and what it writes down."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.tables import csv, trips
from tidemill.stages.attempts import error_of
from tidemill.stages.special import student_t_quantile

SPEC = 'target = "late"\nid = "trip"\n[train]\ncandidates = ["linear", "boosting"]\ntrials = 1\n'
LINEAR = SPEC.replace('"linear", "boosting"', '"linear"')


def outcome(cloud: Cloud, frame: pd.DataFrame, spec: str = SPEC, name: str = "a.csv") -> dict[str, Any]:
    cloud.spec("trips", spec)
    return cloud.train("trips", name, csv(frame))


def evaluation(cloud: Cloud, version: int) -> dict[str, Any]:
    document: dict[str, Any] = cloud.stores.models.get_json(f"models/trips/{version}/evaluation.json")
    return document


def noise(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(late=np.random.default_rng(5).permutation(frame["late"]))


def perfect(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(arrival=(frame["late"] == "yes") * 30.0 + np.arange(len(frame)) % 7)


def constant(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=1.0, wind=2.0, carrier="ash")


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    extra = np.random.default_rng(3).normal(size=(len(frame), len(frame))).round(3)
    return pd.concat([noise(frame), pd.DataFrame(extra).add_prefix("c")], axis=1)


def duplicated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(trip="t1")


@pytest.mark.parametrize(
    ("made", "rows", "expected"),
    [
        (noise, 1_500, "does not surely beat a model without features"),
        (perfect, 1_500, "column 'arrival' gives 'late' away (AUC 1.0000): exclude what is known only after the fact"),
        (wide, 150, "does not surely beat a model without features"),
        (lambda frame: frame.assign(late="yes"), 300, "target 'late' has only the class 'yes'"),
        (constant, 300, ""),
        (duplicated, 300, ""),
    ],
    ids=["noise", "perfect", "wide", "one class", "constant columns", "one row again and again"],
)
def test_what_teaches_nothing_ends_in_words_and_never_in_a_champion(
    cloud: Cloud, made: Callable[[pd.DataFrame], pd.DataFrame], rows: int, expected: str
) -> None:
    run = outcome(cloud, made(trips(rows)))
    assert run["status"] in ("rejected", "invalid")
    assert expected in "; ".join(run["reasons"])
    assert cloud.stores.registry.champion("trips") is None
    assert not any("Error" in reason or "Traceback" in reason for reason in run["reasons"])


def test_a_class_with_one_row_is_no_reason_to_fail(cloud: Cloud) -> None:
    frame = trips(300)
    frame["late"] = np.where(frame["wind"] > 0.5, "long", frame["late"])
    frame.loc[0, "late"] = "once"
    run = outcome(cloud, frame)
    assert run["status"] in ("promoted", "rejected", "invalid"), run
    assert run["reasons"]


def test_classes_that_are_written_as_numbers_with_a_point_are_classes(cloud: Cloud) -> None:
    frame = trips(1_200)
    frame["late"] = (frame["late"] == "yes").astype(float)
    run = outcome(cloud, frame)
    assert run["status"] == "promoted"
    status, reply = cloud.http(
        "POST", "/models/trips/predict", {"rows": [{"distance": 10, "wind": 3, "carrier": "ash"}]}
    )
    assert status == 200
    assert reply["predictions"][0]["prediction"] == 1


@pytest.mark.parametrize("bad", ["inf", "-inf", "nan", "1e999"])
def test_targets_that_are_no_numbers_are_quarantined(cloud: Cloud, bad: str) -> None:
    frame = trips(800)
    noise = np.random.default_rng(1).normal(size=len(frame))
    frame["late"] = (10 + 3 * frame["wind"] + 2 * noise).round(3).astype(str)
    frame.loc[frame.index[::40], "late"] = bad
    run = outcome(cloud, frame, SPEC + "metric = 'rmse'\n")
    assert run["status"] == "promoted", run["reasons"]
    assert evaluation(cloud, int(run["version"]))["rows"]["all"] == 780


def test_the_verdict_can_be_recomputed_from_what_was_written(cloud: Cloud) -> None:
    assert outcome(cloud, trips(1_500))["status"] == "promoted"
    run = outcome(cloud, trips(1_500, seed=1, start=10_000), name="b.csv")
    told = evaluation(cloud, int(run["version"]))
    difference, attempt = told["comparison"]["difference"], told["comparison"]["attempt"]
    assert attempt == 1.0
    assert difference["confidence"] == pytest.approx(1 - error_of(attempt, 0.025))
    z = (difference["difference"] - difference["lower"]) / difference["standard_error"]
    assert z == pytest.approx(2.165, abs=0.001)  # the normal quantile of 1 - 0.025 * 6 / pi²
    check = next(check for check in told["checks"] if check["name"] == "better_than_champion")
    assert check["value"] == difference["lower"]
    assert check["passed"] is (difference["lower"] > check["threshold"])
    assert told["promote"] is all(check["passed"] or check["name"] == "overfit_gap" for check in told["checks"])
    assert {check["name"] for check in told["checks"]} == {
        "export_parity", "artifact_size", "latency", "split", "leakage", "beats_dummy", "overfit_gap",
        "better_than_champion", "worst_slice",
    }  # fmt: skip
    assert told["slices"][0]["rows"] >= 100


def test_the_same_rows_judge_a_second_time_at_less_of_the_error(cloud: Cloud) -> None:
    assert outcome(cloud, trips(1_500), LINEAR)["status"] == "promoted"
    # A few rows more are no fresh evidence.
    few = outcome(cloud, trips(30, seed=1, start=10_000), LINEAR, "b.csv")
    more = outcome(cloud, trips(30, seed=2, start=20_000), LINEAR, "c.csv")
    first, second = (evaluation(cloud, int(run["version"]))["comparison"] for run in (few, more))
    assert first["attempt"] == 1.0
    assert second["attempt"] == pytest.approx(2.0, abs=0.05)
    assert second["difference"]["confidence"] > first["difference"]["confidence"]
    assert ", attempt 2 on these rows" in " ".join(more["reasons"])


def test_a_small_table_is_judged_by_cross_validation(cloud: Cloud) -> None:
    assert outcome(cloud, trips(300))["status"] == "promoted"
    run = outcome(cloud, trips(300, seed=1, start=10_000), name="b.csv")
    told = evaluation(cloud, int(run["version"]))
    folds, difference = told["candidate"]["repeated"], told["comparison"]["difference"]
    gaps = np.subtract(folds["candidate"], folds["champion"]["scores"])
    error = gaps.std(ddof=1) * np.sqrt(1 / len(gaps) + 2 / 4)
    assert difference["standard_error"] == pytest.approx(error)
    t = student_t_quantile(difference["confidence"], len(gaps) - 1)
    assert difference["lower"] == pytest.approx(gaps.mean() - t * error)
    assert "in cross-validation of 600 rows" in next(
        check["sentence"] for check in told["checks"] if check["name"] == "better_than_champion"
    )


def test_the_manifest_has_the_digest_of_every_artifact_and_says_how_it_was_made(cloud: Cloud) -> None:
    version = int(outcome(cloud, trips(1_200))["version"])
    prefix = f"models/trips/{version}/"
    manifest = cloud.stores.models.get_json(f"{prefix}manifest.json")
    names = {
        "model.onnx",
        "model.joblib",
        "golden.json",
        "profile.json",
        "evaluation.json",
        "estimate.json",
        "report.html",
        "background.npy",
        "reference.json",
    }
    assert set(manifest["digests"]) == names
    for name in names:
        assert hashlib.sha256(cloud.stores.models.get(prefix + name)).hexdigest() == manifest["digests"][name]
    assert {"seed", "code", "search", "trials", "timings", "libraries", "threshold", "params"} <= set(manifest)


def test_the_threshold_decides_what_is_answered_and_what_is_counted(cloud: Cloud) -> None:
    version = int(outcome(cloud, trips(1_200), SPEC + "threshold = 0.01\n")["version"])
    told = evaluation(cloud, version)
    assert told["candidate"]["threshold"] == 0.01
    assert np.array(told["curves"]["confusion"])[:, 1].sum() > 0.9 * told["rows"]["held_out"]
    rows = [{"distance": 10, "wind": wind, "carrier": "ash"} for wind in (-2, 0, 2)]
    _, reply = cloud.http("POST", "/models/trips/predict", {"rows": rows})
    for answer in reply["predictions"]:
        assert answer["prediction"] == ("yes" if answer["probabilities"]["yes"] >= 0.01 else "no")


def test_noise_that_is_sent_again_spends_the_error_of_the_first_model(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    frame = noise(trips(1_500))
    for name, rows in (("a.csv", 1_500), ("b.csv", 1_490)):
        run = cloud.train("trips", name, csv(frame[:rows]))
        assert run["status"] == "rejected"
    checks = cloud.stores.models.get_json(f"models/trips/{run['version']}/evaluation.json")["checks"]
    dummy = next(check for check in checks if check["name"] == "beats_dummy")
    assert dummy["inputs"]["confidence"] == pytest.approx(1 - 0.025 * 6 / (np.pi * 2) ** 2, abs=1e-4)


def test_a_model_of_a_world_that_turned_learns_from_new_rows_and_is_judged_by_them(cloud: Cloud) -> None:
    assert outcome(cloud, trips(4_000))["status"] == "promoted"
    run = outcome(cloud, trips(1_600, seed=1, start=10_000, flipped=True), name="b.csv")
    assert run["status"] == "promoted", run["reasons"]
    version = int(run["version"])
    told = evaluation(cloud, version)
    assert told["candidate"]["history"]["chosen"] == 1
    assert 1_200 < told["rows"]["training"] < 1_400
    assert 200 < told["rows"]["held_out"] == told["comparison"]["difference"]["rows"] < 400
    assert told["comparison"]["difference"]["candidate"] > 0.7
    assert told["comparison"]["difference"]["champion"] < 0.4
    manifest = cloud.stores.models.get_json(f"models/trips/{version}/manifest.json")
    assert manifest["learned_from"] == manifest["partitions"][1:]
    # The reference for drift is of the new world alone.
    assert cloud.stores.models.get_json(f"models/trips/{version}/profile.json")["rows"] == 1_600


def test_more_of_the_same_is_learned_from_beside_the_old_and_judged_by_the_new(cloud: Cloud) -> None:
    assert outcome(cloud, trips(4_000))["status"] == "promoted"
    run = outcome(cloud, trips(1_600, seed=1, start=10_000), name="b.csv")
    told = evaluation(cloud, int(run["version"]))
    assert told["candidate"]["history"]["chosen"] == 0
    assert told["rows"]["training"] + told["rows"]["held_out"] == told["rows"]["all"] == 5_600
    assert 200 < told["comparison"]["difference"]["rows"] < 400 < told["rows"]["held_out"]
    assert told["comparison"]["attempt"] == 1.0
    assert abs(spent(told)) < 0.5


def test_a_champion_that_lost_most_of_what_it_had_earned_is_known_to_have_failed(cloud: Cloud) -> None:
    assert outcome(cloud, trips(4_000))["status"] == "promoted"
    half = trips(1_600, seed=1, start=10_000)
    half[:700] = trips(700, seed=2, start=10_000, flipped=True)
    told = evaluation(cloud, int(outcome(cloud, half, name="b.csv")["version"]))
    assert told["comparison"]["difference"]["champion"] > 0.5
    assert 0.5 < spent(told) < 1


def spent(told: dict[str, Any]) -> float:
    (check,) = (check for check in told["checks"] if check["name"] == "worst_slice")
    value: float = check["inputs"]["spent"]
    return value


def test_a_class_that_came_only_at_the_end_of_time_is_learned(cloud: Cloud) -> None:
    frame = trips(1_200)
    frame["day"] = pd.date_range("2024-01-01", periods=len(frame), freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame.loc[1_170:, "late"] = "cancelled"
    run = outcome(cloud, frame, SPEC.replace("[train]", 'time = "day"\n[train]'))
    assert run["status"] == "promoted", run["reasons"]
    manifest = cloud.stores.models.get_json("models/trips/1/manifest.json")
    assert manifest["schema"]["classes"] == ["cancelled", "no", "yes"]
