"""A window's metric before its labels came: what is estimated, what is not, and what cannot be seen."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression

from tidemill.stages.estimate import Estimate, _Expected, _newton_steps, estimate, learn, surprises
from tidemill.stages.finish import LEAST, Sigmoid
from tidemill.stages.metrics import METRICS, Metric, as_judged, dummy_prediction

Array = npt.NDArray[np.float64]
AUC, F1, RMSE, R2 = (METRICS[name] for name in ("roc_auc", "f1", "rmse", "r2"))
BINARY = [metric for metric in METRICS.values() if "binary" in metric.tasks]


def rows(count: int, seed: int, at: float = 0.0, spread: float = 1.0, slope: float = 1.4) -> tuple[Array, Array]:
    """Truth, and the answers of a model that is too sure of itself; `slope` is what the rows mean."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(at, spread, count)
    truth = (rng.random(count) < 1 / (1 + np.exp(-slope * seen))).astype(np.float64)
    said = 1 / (1 + np.exp(-(2.2 * seen + 0.4)))
    return truth, np.column_stack([1 - said, said])


def costs(count: int, seed: int, at: float = 0.0) -> tuple[Array, Array]:
    """Truth and answers, whose errors grow with the answer."""
    rng = np.random.default_rng(seed)
    said = rng.normal(at, 1, count)
    return said + rng.normal(size=count) * np.exp(0.4 * said), said


def estimated(
    metric: Metric, answers: Array, held_out: tuple[Array, Array] | None = None, needed: int = 100
) -> Estimate:
    regression = answers.ndim == 1
    truth, said = held_out or (costs(3_000, 0) if regression else rows(3_000, 0))
    task = "regression" if regression else "binary"
    table = json.loads(json.dumps(learn(metric, task, truth, said, 0.5), allow_nan=False))
    dummy = metric.bind(truth, dummy_prediction(task, truth, len(truth), 2))(None)
    return estimate(table, metric, answers, threshold=0.5, dummy=dummy, needed=needed)


@pytest.mark.parametrize("metric", BINARY, ids=lambda metric: metric.name)
@pytest.mark.parametrize("at", [0.0, -0.8])
def test_the_measured_value_is_within_the_limits_though_the_rows_have_moved(metric: Metric, at: float) -> None:
    truth, answers = rows(1_500, 3, at)
    found = estimated(metric, answers)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= metric.bind(truth, as_judged(metric, answers, 0.5))(None) <= found.high


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
@pytest.mark.parametrize("at", [0.0, 0.8])
def test_a_loss_is_estimated_from_rows_of_like_answers(name: str, at: float) -> None:
    truth, answers = costs(1_500, 3, at)
    found = estimated(METRICS[name], answers)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= METRICS[name].bind(truth, answers)(None) <= found.high


def test_expected_accuracy_and_f1_are_those_of_the_expected_confusion_table() -> None:
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    right, found, asked, there = 0.9 + 0.6 + 0.8 + 0.7, 0.6 + 0.8, 2.0, 0.1 + 0.6 + 0.8 + 0.3
    assert _Expected(METRICS["accuracy"], shares, 0.5)(shares, None) == pytest.approx(right / 4)
    assert _Expected(F1, shares, 0.5)(shares, None) == pytest.approx(2 * found / (asked + there))


def test_expected_losses_are_those_of_each_row_weighed_by_its_chances() -> None:
    said = np.array([[0.9, 0.1], [0.4, 0.6]])
    true = np.array([[0.8, 0.2], [0.5, 0.5]])
    brier = np.mean(true[:, 1] * (said[:, 1] - 1) ** 2 + true[:, 0] * said[:, 1] ** 2)
    assert _Expected(METRICS["brier"], said, None)(true, None) == pytest.approx(brier)
    loss = -np.mean((true * np.log(said)).sum(axis=1))
    assert _Expected(METRICS["log_loss"], said, None)(true, None) == pytest.approx(loss)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_expected_areas_are_the_mean_of_what_labels_could_make_of_them(name: str) -> None:
    _, answers = rows(400, 1)
    rng = np.random.default_rng(2)
    drawn = [METRICS[name].bind((rng.random(400) < answers[:, 1]).astype(float), answers)(None) for _ in range(400)]
    assert _Expected(METRICS[name], answers, None)(answers, None) == pytest.approx(np.mean(drawn), abs=0.01)


def test_one_step_of_newton_is_near_to_fitting_again() -> None:
    truth, answers = rows(2_000, 4)
    whole = truth.astype(np.int64)
    fitted = Sigmoid.fit(answers, whole)
    drawn = np.random.default_rng(5).integers(0, 2_000, 2_000)
    weights = np.bincount(drawn, minlength=2_000) - 1.0
    moved = np.r_[fitted.slope, fitted.offsets[1:]] + weights @ _newton_steps(fitted, answers, whole)
    again = Sigmoid.fit(answers[drawn], whole[drawn])
    assert moved == pytest.approx([again.slope, again.offsets[1]], abs=0.02)
    logs = np.log(np.clip(answers, LEAST, 1))
    theirs = LogisticRegression(C=np.inf).fit(logs[:, 1:] - logs[:, :1], truth)
    assert [fitted.slope, fitted.offsets[1]] == pytest.approx([theirs.coef_[0, 0], theirs.intercept_[0]], abs=0.02)


def test_rows_that_the_model_tells_apart_less_are_an_estimated_drop() -> None:
    _, answers = rows(3_000, 6, spread=0.3)
    found = estimated(AUC, answers)
    assert found.status == "estimated_drop"
    assert found.loss is not None
    assert found.loss > 0.2
    assert found.sentence.endswith("of what it had learned is lost, if only the rows have changed")


def test_a_drop_by_chance_or_too_small_to_matter_is_none() -> None:
    assert estimated(AUC, rows(150, 6, spread=0.85)[1]).status == "estimated_fine"
    assert estimated(AUC, rows(3_000, 6, spread=0.97)[1]).status == "estimated_fine"


def test_a_change_of_what_the_rows_mean_is_not_seen() -> None:
    truth, answers = rows(3_000, 7, slope=-1.4)
    found = estimated(AUC, answers)
    assert found.status == "estimated_fine"
    assert found.low is not None
    assert AUC.bind(truth, answers)(None) < found.low


def test_windows_like_the_held_out_rows_are_no_drop() -> None:
    held_out = rows(1_000, 0)
    assert not any(estimated(AUC, rows(300, seed)[1], held_out).status == "estimated_drop" for seed in range(100, 130))


def test_answers_outside_of_all_that_was_held_out_are_not_estimated_from() -> None:
    found = estimated(RMSE, costs(500, 3, at=3.0)[1])
    assert (found.status, found.value) == ("not_estimated", None)
    assert found.outside is not None
    assert found.outside > 0.05
    assert found.sentence.endswith("of the answers are outside of all that held-out rows were answered")


@pytest.mark.parametrize(
    ("held_out", "why"),
    [
        (rows(150, 0), "150 rows were held out, and 200 are needed to learn how far an answer may be believed"),
        (rows(400, 0, at=-4.0), "held-out rows are of the rarest class, and 20 are needed"),
    ],
)
def test_of_too_few_held_out_rows_nothing_is_estimated(held_out: tuple[Array, Array], why: str) -> None:
    found = estimated(AUC, rows(500, 1)[1], held_out)
    assert found.status == "not_estimated"
    assert found.sentence.endswith(why)


def test_one_row_is_not_estimated_from() -> None:
    found = estimated(AUC, rows(1, 1)[1])
    assert (found.status, found.sentence) == ("not_estimated", "1 predictions, and 100 are needed to estimate")


def test_a_version_of_before_there_was_a_table_has_no_estimate() -> None:
    found = estimate(None, AUC, rows(500, 1)[1], threshold=None, dummy=0.5, needed=100)
    assert found.sentence == "this version has no table to estimate from"


def test_answers_that_are_no_numbers_are_not_estimated_from() -> None:
    answers = rows(500, 1)[1]
    answers[3] = np.nan
    assert estimated(AUC, answers).sentence == "some answers are no numbers"


def test_a_model_that_does_not_mean_its_probabilities_is_not_believed() -> None:
    """No sigmoid makes probabilities of answers whose order changes half way."""
    truth, answers = rows(3_000, 0)
    turned = np.where(answers[:, 1] > 0.5, answers[:, 1], 0.5 - answers[:, 1] / 1.01)
    answers = np.column_stack([1 - turned, turned])
    found = estimated(F1, answers[:500], (truth, answers))
    assert (found.status, found.sentence) == ("not_estimated", "the answers do not tell the f1 of the held-out rows")


def test_three_classes_are_estimated_as_two_are() -> None:
    rng = np.random.default_rng(0)

    def three(count: int) -> tuple[Array, Array]:
        raised = rng.normal(size=(count, 3)) * 1.5
        shares = np.exp(raised) / np.exp(raised).sum(axis=1, keepdims=True)
        return (shares.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1).astype(float), shares

    metric = METRICS["log_loss"]
    truth, answers = three(2_000)
    table = learn(metric, "multiclass", truth, answers, None)
    truth, answers = three(1_000)
    found = estimate(table, metric, answers, threshold=None, dummy=1.1, needed=100)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= metric.bind(truth, answers)(None) <= found.high


def test_many_classes_have_no_table() -> None:
    assert (
        "30 classes"
        in learn(METRICS["log_loss"], "multiclass", np.zeros(500), np.full((500, 30), 1 / 30), None)["unusable"]
    )


def test_a_large_window_is_estimated_from_an_even_draw() -> None:
    _, answers = costs(50_000, 3)
    found = estimated(R2, answers)
    assert found.rows == 50_000
    assert found == replace(found, status="estimated_fine")


def test_the_same_window_has_the_same_estimate() -> None:
    def once() -> Any:
        return estimated(AUC, rows(500, 1)[1]).to_json()

    assert once() == once()


def test_an_estimate_surprises_below_all_that_labels_showed_fine() -> None:
    guess = Estimate("estimated_drop", "roc_auc", 500, "", value=0.62)
    assert surprises(METRICS["roc_auc"], guess, [])
    assert surprises(METRICS["roc_auc"], guess, [0.63, 0.7])
    assert not surprises(METRICS["roc_auc"], guess, [0.7, 0.61])
    assert not surprises(METRICS["rmse"], guess, [0.7])
