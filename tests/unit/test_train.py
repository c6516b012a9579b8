import io
from collections.abc import Callable, Iterator
from dataclasses import replace

import joblib
import numpy as np
import pytest

from tests.unit.builders import FOREVER, TOWNS, dataset, observations, trained, training_side
from tidemill.schema import Column, Schema
from tidemill.spec import parse_spec
from tidemill.stages import train as stage
from tidemill.stages.estimators import settings
from tidemill.stages.export import predict
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.train import TrainingSide, choose_metric, folds, mean_score, train


def running_out(*readings: float) -> Callable[[], float]:
    """A clock that shows these seconds, one a look, and then stays at the last."""
    shown: Iterator[float] = iter(readings)
    return lambda: next(shown, readings[-1])


def side_of(target: list[float], moments: list[int] | None = None, classes: int = 2) -> TrainingSide:
    schema = Schema(
        (Column("x", "numeric", "feature"), Column("y", "categorical", "target")),
        "multiclass" if classes > 2 else "binary",
        tuple(f"c{i}" for i in range(classes)),
    )
    rows = len(target)
    times = None if moments is None else np.array(moments, dtype=np.int64)
    return TrainingSide(schema, np.arange(rows, dtype=np.float32).reshape(-1, 1), np.array(target), times)


@pytest.mark.parametrize("candidate", ["linear", "forest", "boosting"])
def test_the_same_training_gives_the_same_bytes(candidate: str) -> None:
    first, again = (trained(candidate, dataset(observations(300, task="binary"))) for _ in range(2))
    assert first.onnx == again.onnx
    assert first.scores == again.scores
    assert first.params == again.params


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


def test_the_search_keeps_the_best_of_its_trials() -> None:
    result = trained("linear", dataset(observations(400, task="multiclass")), trials=4)
    assert len(result.trials) == 4
    assert result.complete
    assert result.metric == "log_loss"
    assert mean_score(result.scores) == min(mean_score(trial.scores) for trial in result.trials)


def test_more_trials_than_a_candidate_has_settings_is_not_an_incomplete_search() -> None:
    result = trained("linear", dataset(observations(200, task="binary")), trials=50)
    assert len(result.trials) == 4
    assert result.complete


def test_when_time_runs_out_the_best_so_far_is_trained_and_said_to_be_incomplete() -> None:
    data = dataset(observations(200, task="binary"))
    result = trained("linear", data, running_out(100, 60, 60, 20), trials=4)
    assert len(result.trials) == 1
    assert not result.complete
    assert result.parity.holds
    assert result.params == {"strength": 1.0}


def test_without_time_to_cross_validate_all_rows_the_scores_are_the_searchs_and_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "SEARCH_ROWS", 100)
    data = dataset(observations(300, task="binary"))
    late = trained("linear", data, running_out(100, 99, 99, 0))
    assert late.scores == late.trials[0].scores
    assert not late.complete
    in_time = trained("linear", data)
    assert in_time.scores != in_time.trials[0].scores
    assert in_time.complete


def test_settings_start_with_the_default_and_never_repeat() -> None:
    drawn = list(settings("boosting", 30, seed=1))
    assert drawn[0] == {
        "learning_rate": 0.08,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "max_iter": 150,
        "l2_regularization": 0.0,
    }
    assert len({tuple(entry.items()) for entry in drawn}) == 30
    assert drawn == list(settings("boosting", 30, seed=1)) != list(settings("boosting", 30, seed=2))


def test_folds_go_forward_in_time() -> None:
    moments = np.random.default_rng(0).permutation(200).tolist()
    side = side_of([0.0, 1.0] * 100, moments)
    assert side.moments is not None
    for fit, judge in folds(side):
        assert side.moments[fit].max() < side.moments[judge].min()


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
