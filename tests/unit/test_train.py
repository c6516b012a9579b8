import io
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

from tests.unit.builders import FOREVER, TOWNS, dataset, observations, trained, training_side
from tidemill.errors import InvalidUpload, TrainingFailed
from tidemill.schema import Column, Schema
from tidemill.spec import CANDIDATES, parse_spec
from tidemill.stages import search
from tidemill.stages.export import predict
from tidemill.stages.folds import TrainingSide, folds
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.parity import Parity
from tidemill.stages.search import mean_score
from tidemill.stages.train import choose_metric, train


def ticking(seconds: float, a_look: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever it is looked at."""
    left = itertools.count(seconds, -a_look)
    return lambda: next(left)


def side_of(target: list[float], moments: list[int] | None = None, classes: int = 2) -> TrainingSide:
    schema = Schema(
        (Column("x", "numeric", "feature"), Column("y", "categorical", "target")),
        "multiclass" if classes > 2 else "binary",
        tuple(f"c{i}" for i in range(classes)),
    )
    rows = len(target)
    times = None if moments is None else np.array(moments, dtype=np.int64)
    return TrainingSide(schema, np.arange(rows, dtype=np.float32).reshape(-1, 1), np.array(target), times)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_column_that_only_the_newest_rows_have_stops_no_candidate(candidate: str) -> None:
    rows = observations(600, task="binary").dropna(subset=["day"])
    rows["height"] = rows["size"].where(rows["day"] > "2024-09")
    result = trained(candidate, dataset(rows, 'target = "y"\ntime = "day"'))
    assert result.complete
    assert mean_score(result.scores) > result.dummy_score


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_same_training_gives_the_same_bytes(candidate: str, task: str) -> None:
    first, again = (trained(candidate, dataset(observations(200, task=task)), trials=2) for _ in range(2))
    assert first.onnx == again.onnx
    assert first.joblib == again.joblib
    assert first.scores == again.scores
    assert first.params == again.params


_DIGESTS = """
import hashlib
from tests.unit.builders import dataset, observations, trained
for candidate in ("linear", "forest", "boosting"):
    result = trained(candidate, dataset(observations(200, task="binary")))
    print(hashlib.sha256(result.onnx).hexdigest(), hashlib.sha256(result.joblib).hexdigest())
"""


def test_another_process_with_other_hashes_gives_the_same_bytes() -> None:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _DIGESTS],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    told = [process.communicate()[0] for process in processes]
    assert told[0] == told[1]
    assert len(told[0].split()) == 6


def test_a_candidate_that_learns_is_better_than_no_features_and_both_are_told() -> None:
    result = trained("linear", dataset(observations(500, task="binary")))
    assert result.metric == "roc_auc"
    assert result.dummy_score == 0.5
    assert mean_score(result.scores) > 0.85
    assert result.training_score >= mean_score(result.scores) - 0.02


def test_the_joblib_beside_the_graph_is_the_same_model() -> None:
    data = dataset(observations(300, task="regression"))
    result = trained("boosting", data)
    pipeline = joblib.load(io.BytesIO(result.joblib))
    np.testing.assert_allclose(predict(pipeline, data.matrix), OnnxModel(result.onnx).predict(data.matrix), rtol=1e-4)


def test_when_time_runs_out_the_best_so_far_is_trained_and_said_to_be_incomplete() -> None:
    data = dataset(observations(200, task="binary"))
    result = trained("linear", data, ticking(20, 2), trials=12)
    assert 1 <= len(result.trials) < result.planned
    assert result.stopped == f"time ran out after {len(result.trials)} of {result.planned} settings on 161 rows"
    assert not result.complete
    assert result.parity.holds
    assert trained("linear", data, trials=12).complete


def test_a_fit_that_there_is_no_time_for_is_made_on_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FIRST_ROWS_OF_OTHERS", 500)
    data = dataset(observations(1_000, task="binary"))
    rows = int((~data.held_out).sum())
    result = trained("linear", data, ticking(9, 2))
    assert result.trials[0].rows == 500 <= result.rows < rows
    assert f"time was left to fit {result.rows} of {rows} rows" in result.stopped
    assert result.scores
    assert trained("linear", data).rows == rows


def test_folds_go_forward_in_time() -> None:
    moments = np.random.default_rng(0).permutation(200).tolist()
    side = side_of([0.0, 1.0] * 100, moments)
    assert side.moments is not None
    for fit, judge in folds(side):
        assert side.moments[fit].max() < side.moments[judge].min()


@pytest.mark.parametrize("rows", [400, 24_000], ids=["folds", "one split"])
def test_a_class_that_came_last_is_learned_and_judged_out_of_time(rows: int) -> None:
    side = side_of([*[0.0, 1.0] * (rows // 2 - 10), *[2.0] * 20], list(range(rows)), classes=3)
    for fit, judge in folds(side):
        assert set(side.target[fit]) == set(side.target[judge]) == {0.0, 1.0, 2.0}


def test_without_a_time_every_row_is_judged_once_and_classes_keep_their_shares() -> None:
    side = side_of([1.0] * 20 + [0.0] * 180)
    judged = [judge for _, judge in folds(side)]
    assert sorted(np.concatenate(judged).tolist()) == list(range(200))
    assert [int(side.target[judge].sum()) for judge in judged] == [4] * 5


@pytest.mark.parametrize("rare", [1, 2, 3])
def test_a_class_of_very_few_rows_does_not_stop_the_folds(rare: int) -> None:
    side = side_of([0.0] * 50 + [1.0] * 50 + [2.0] * rare, classes=3)
    pairs = list(folds(side))
    assert len(pairs) == {1: 5, 2: 2, 3: 3}[rare]
    assert all(not set(fit.tolist()) & set(judge.tolist()) for fit, judge in pairs)


def test_a_class_of_one_row_trains_and_its_fold_is_left_out_of_the_mean() -> None:
    frame = observations(300, task="multiclass")
    frame["y"] = frame["y"].where(frame["y"] != "rare", "low")
    frame.loc[0, "y"] = "single"
    result = trained("linear", dataset(frame))
    assert sum(score != score for score in result.scores) == 1
    assert mean_score(result.scores) == mean_score([score for score in result.scores if score == score])
    assert mean_score(result.scores) > 0
    assert mean_score([]) != mean_score([])


def test_a_multi_class_model_whose_data_shows_two_classes_still_trains() -> None:
    data = dataset(observations(400, task="multiclass"))
    side = training_side(data)
    kept = side.target != data.schema.classes.index("rare")
    two = replace(side.schema, classes=("high", "low"))
    less = TrainingSide(two, side.matrix[kept], side.target[kept], None)
    for candidate in ("forest", "boosting"):
        result = train(candidate, less, parse_spec('target = "y"\n[train]\ntrials = 1'), data.matrix, FOREVER)
        assert result.parity.holds


def test_the_metric_is_the_specs_or_fits_the_target() -> None:
    schema = side_of([0, 1]).schema
    even, rare = np.array([0.0, 1.0]), np.array([1.0] + [0.0] * 19)
    default, named = parse_spec('target = "y"'), parse_spec('target = "y"\n[train]\nmetric = "brier"')
    assert choose_metric(default, schema, even).name == "roc_auc"
    assert choose_metric(default, schema, rare).name == "average_precision"
    assert choose_metric(named, schema, even).name == "brier"


def test_many_categories_are_learned_from_whatever_their_code_order() -> None:
    frame = observations(2_000, task="multiclass")
    shuffled = dict(zip(TOWNS, np.random.default_rng(3).permutation(TOWNS), strict=True))
    frame["town"] = frame["town"].map(shuffled)
    with_towns = trained("forest", dataset(frame))
    without = trained("forest", dataset(frame.drop(columns="town")))
    assert mean_score(with_towns.scores) < mean_score(without.scores) - 0.05


# What cannot be learned from, and what looks as if it could not


@pytest.mark.parametrize(
    ("target", "task", "sentence"),
    [
        (
            [1.0] * 30,
            "binary",
            "all 30 training rows are of class 'c1', so that there is nothing to learn",
        ),
        ([7.5] * 30, "regression", "the target is 7.5 in all 30 training rows, so that there is nothing to learn"),
        ([0.0, 1.0] * 4, "binary", "there are 8 training rows, and at least 10 are needed: upload more"),
        ([0.0, np.nan, np.inf] * 10, "regression", "20 of 30 training rows have no finite target"),
    ],
    ids=["one-class", "constant", "few", "not-finite"],
)
def test_rows_without_anything_to_learn_are_refused_in_words(target: list[float], task: str, sentence: str) -> None:
    side = side_of(target)
    schema = side.schema if task == "binary" else replace(side.schema, task="regression", classes=())
    side = replace(side, schema=schema)
    with pytest.raises(TrainingFailed, match=sentence):
        train("linear", side, parse_spec('target = "y"'), side.matrix, FOREVER)


def test_a_metric_that_the_task_does_not_know_is_refused_with_those_that_it_knows() -> None:
    spec = parse_spec('target = "y"\n[train]\nmetric = "rmse"')
    with pytest.raises(TrainingFailed, match=r"train\.metric in the spec: no metric 'rmse' .* use one of roc_auc"):
        choose_metric(spec, side_of([0, 1]).schema, np.array([0.0, 1.0]))


def wide() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(60, 150)).round(3)).add_prefix("x").assign(y=["yes", "no"] * 30)


def one_row_of_a_class() -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).random(200), "y": ["a", "b"] * 99 + ["a", "single"]})


def float_coded() -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).random(300), "y": [0.0, 1.0, 2.0] * 100})


def without_finite_targets() -> pd.DataFrame:
    y = np.random.default_rng(0).random(300).round(4).astype(object)
    y[:3] = ["NaN", "inf", "-inf"]
    return pd.DataFrame({"x": np.random.default_rng(1).random(300), "y": y})


def copies() -> pd.DataFrame:
    return pd.DataFrame({"x": [1.0, 2.0] * 150, "y": ["yes", "no"] * 150})


def given_away() -> pd.DataFrame:
    y = np.random.default_rng(0).integers(0, 2, 300)
    return pd.DataFrame({"x": y + 0.5, "z": np.random.default_rng(1).random(300), "y": np.where(y, "yes", "no")})


def noise() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.random(300), "z": rng.choice(["a", "b"], 300), "y": rng.choice(["yes", "no"], 300)})


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize(
    "make", [wide, one_row_of_a_class, float_coded, without_finite_targets, copies, given_away, noise]
)
def test_odd_tables_are_trained_on_and_export(make: Callable[[], pd.DataFrame], candidate: str) -> None:
    data = dataset(make(), 'target = "y"\n[quality]\nmax_rejected = 0.1')
    result = trained(candidate, data)
    assert np.isfinite(result.training_score)
    assert result.parity.holds
    assert np.isfinite(data.target).all()


def test_noise_earns_nothing_in_cross_validation_and_a_column_that_gives_the_target_away_everything() -> None:
    assert abs(mean_score(trained("boosting", dataset(noise()), trials=4).scores) - 0.5) < 0.15
    assert mean_score(trained("boosting", dataset(given_away())).scores) == 1


def test_constant_columns_teach_nothing_and_stop_nothing() -> None:
    side = side_of([0.0, 1.0] * 50)
    side = replace(side, matrix=np.zeros_like(side.matrix))
    for candidate in CANDIDATES:
        result = train(candidate, side, parse_spec('target = "y"\n[train]\ntrials = 1'), side.matrix, FOREVER)
        assert mean_score(result.scores) == 0.5
    frame = pd.DataFrame({"x": [1.0] * 100, "y": ["yes", "no"] * 50})
    with pytest.raises(InvalidUpload, match="no column is left to learn from"):
        dataset(frame)


def test_a_graph_that_answers_otherwise_than_the_model_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.stages.train.parity", lambda *_: Parity(rows=200, largest=0.25, beyond=3))
    with pytest.raises(TrainingFailed, match="differs from the trained model on 3 of 200 held-out rows"):
        trained("linear", dataset(observations(400, task="binary")))
