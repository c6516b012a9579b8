import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.builders import Data, dataset, observations, trained
from tidemill.encoding import encode
from tidemill.schema import Column, Schema
from tidemill.stages.evaluate import HeldOut, answer, curves, describe, golden_rows, importance, latency, measures
from tidemill.stages.metrics import METRICS, as_judged
from tidemill.stages.onnx_model import OnnxModel


def held_out(data: Data) -> HeldOut:
    return HeldOut(data.schema, data.names, data.matrix[data.held_out], data.target[data.held_out])


def test_an_older_version_answers_under_the_class_order_of_the_newer_rows() -> None:
    data = dataset(observations(400, task="multiclass"))
    model = OnnxModel(trained("linear", data).onnx)
    rows = held_out(data)
    newer = replace(rows, schema=replace(rows.schema, classes=("brand new", "low", "high", "rare")))
    own, aligned = answer(model, data.schema, rows), answer(model, data.schema, newer)
    assert aligned.shape == (len(own), 4)
    assert not aligned[:, 0].any()
    np.testing.assert_array_equal(aligned[:, [2, 1, 3]], own)


def test_an_older_version_picks_its_own_columns() -> None:
    frame = observations(400, task="binary").assign(key=range(400))
    old = dataset(frame.drop(columns=["town", "day"]), 'target = "y"\nid = "key"')
    new = dataset(frame, 'target = "y"\nid = "key"')
    model = OnnxModel(trained("boosting", old).onnx)
    np.testing.assert_array_equal(
        answer(model, old.schema, HeldOut(new.schema, new.names, new.matrix, new.target)), model.predict(old.matrix)
    )


def test_a_metric_that_rows_do_not_define_is_none_and_not_a_number() -> None:
    answers = np.array([[0.4, 0.6], [0.7, 0.3]])
    values = measures("binary", np.zeros(2), answers, 0.5)
    assert values["roc_auc"] is None
    assert values["accuracy"] == 0.5
    described = describe(METRICS["roc_auc"], "binary", np.zeros(2), answers, 0.5)
    assert described["interval"]["value"] is None


def test_confusion_counts_truth_by_answer() -> None:
    truth = np.array([0.0, 1.0, 2.0, 2.0])
    answers = np.eye(3)[[0, 2, 2, 1]]
    drawn = curves("multiclass", truth, answers, ("a", "b", "c"), None)
    assert drawn["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert "roc" not in drawn


def test_the_threshold_moves_decisions_and_leaves_probabilities_alone() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    positive = np.array([0.1, 0.3, 0.3, 0.6])
    answers = np.column_stack([1 - positive, positive])
    half, lower = (measures("binary", truth, answers, threshold) for threshold in (0.5, 0.3))
    assert (half["accuracy"], lower["accuracy"]) == (0.75, 0.75)
    assert half["f1"] == pytest.approx(2 / 3)
    assert lower["f1"] == pytest.approx(0.8)
    assert half["log_loss"] == lower["log_loss"]
    assert curves("binary", truth, answers, ("a", "b"), 0.3)["confusion"] == [[1, 1], [0, 2]]
    assert as_judged(METRICS["roc_auc"], answers, 0.3) is answers


def test_latency_is_the_median_of_one_row_in_milliseconds() -> None:
    ticks = itertools.count()
    data = dataset(observations(300, task="binary"))
    model = OnnxModel(trained("linear", data).onnx)
    assert latency(model, data.matrix, lambda: next(ticks) * 0.002) == pytest.approx(2.0)


@pytest.mark.parametrize("constant", [False, True])
def test_binary_curves_start_at_nothing_and_end_at_everything(constant: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300).astype(float)
    positive = np.full(300, 0.5) if constant else np.clip(truth * 0.3 + rng.random(300) * 0.7, 0, 1)
    drawn = curves("binary", truth, np.column_stack([1 - positive, positive]), ("a", "b"), 0.5)
    roc = np.array(drawn["roc"])
    assert roc[0].tolist() == [0, 0]
    assert roc[-1].tolist() == [1, 1]
    assert (np.diff(roc, axis=0) >= 0).all()
    assert drawn["precision_recall"][-1][0] == 1
    assert sum(rows for _, _, rows in drawn["calibration"]) == 300


def test_regression_residuals_count_every_row() -> None:
    truth = np.linspace(0, 1, 1_000)
    drawn = curves("regression", truth, truth + 0.1 * np.sin(np.arange(1_000)), (), None)
    assert sum(drawn["residuals"]["counts"]) == 1_000
    assert len(drawn["scatter"]) == 250


def test_the_column_that_decides_is_the_most_important_and_noise_is_not() -> None:
    frame = observations(600, task="binary").assign(noise=np.random.default_rng(9).normal(size=600))
    data = dataset(frame.drop(columns="town"))
    found = importance(OnnxModel(trained("linear", data).onnx), held_out(data), METRICS["roc_auc"], 0.5)
    assert set(found) == {column.name for column in data.schema.features}
    assert list(found) == sorted(found, key=lambda name: -found[name])
    assert next(iter(found)) == "size"
    assert abs(found["noise"]) < 0.1 * found["size"]


def test_a_column_is_not_shuffled_with_another_whose_name_begins_alike() -> None:
    frame = observations(600, task="binary")
    frame["noise.size"] = frame.pop("size")
    data = dataset(frame.assign(noise=np.random.default_rng(9).normal(size=600)))
    found = importance(OnnxModel(trained("linear", data).onnx), held_out(data), METRICS["roc_auc"], 0.5)
    assert abs(found["noise"]) < 0.1 * found["noise.size"]


def test_golden_rows_keep_the_raw_row_beside_the_expected_answer() -> None:
    schema = Schema((Column("size", "numeric", "feature"),), "regression")

    class Doubled(OnnxModel):
        def __init__(self) -> None: ...

        def predict(self, matrix: np.ndarray) -> np.ndarray:
            return matrix[:, 0].astype(float) * 2

    matrix = encode(schema, {"size": np.array([1.0, 2.0, 3.0])}, 3)
    assert golden_rows(Doubled(), matrix, {2: {"size": 3.0}, 0: {"size": 1.0}}) == [
        {"row": {"size": 1.0}, "expected": [2.0]},
        {"row": {"size": 3.0}, "expected": [6.0]},
    ]
