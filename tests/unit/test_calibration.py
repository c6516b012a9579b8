import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.builders import FOREVER, dataset, observations, training_side
from tidemill.spec import parse_spec
from tidemill.stages.calibration import Answers, calibrate, threshold
from tidemill.stages.finish import LogScale, Sigmoid
from tidemill.stages.train import train

Array = npt.NDArray[np.float64]


def answers_of(probabilities: Array, folds: int = 3) -> Answers:
    """As cross-validation would have given them."""
    return [(places, probabilities[places]) for places in np.array_split(np.arange(len(probabilities)), folds)]


def of_two(second: Array) -> Array:
    return np.stack([1 - second, second], axis=1)


def drawn(rows: int, stretch: float, shift: float, seed: int = 0) -> tuple[Array, Array]:
    """What a model says whose log-odds are `stretch` times too far out and `shift` off, and what is true."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, rows)
    truth = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    return of_two(1 / (1 + np.exp(-(odds * stretch + shift)))), truth


def test_an_overconfident_model_is_brought_back() -> None:
    said, truth = drawn(4_000, 3, 1)
    found = calibrate(answers_of(said), truth)
    assert found
    assert found.sigmoid
    assert found.sigmoid.slope == pytest.approx(1 / 3, abs=0.03)
    assert found.sigmoid.offsets == pytest.approx((0, -1 / 3), abs=0.1)
    assert found.log_loss_calibrated < found.log_loss - 0.1
    assert found.to_json()["method"] == "sigmoid"


def test_a_calibrated_model_is_left_as_it_is() -> None:
    found = [calibrate(answers_of(said), truth) for said, truth in (drawn(300, 1, 0, seed) for seed in range(20))]
    assert sum(one is not None and one.sigmoid is None for one in found) >= 15
    for one in found:
        assert one
        assert (one.sigmoid is None) == (one.log_loss_calibrated >= one.log_loss)


def test_the_folds_that_judge_a_sigmoid_did_not_make_it() -> None:
    said, truth = drawn(600, 3, 1)
    found = calibrate(answers_of(said), truth)
    assert found
    for judged, (places, told) in enumerate(found.answers):
        others = np.concatenate([at for fold, (at, _) in enumerate(found.answers) if fold != judged])
        np.testing.assert_allclose(told, Sigmoid.fit(said[others], truth[others].astype(np.int64))(said[places]))


def test_a_sigmoid_moves_no_rank_and_shares_add_up() -> None:
    said, _ = drawn(500, 1, 0)
    told = Sigmoid(0.4, (0.0, 1.0))(said)
    assert np.argsort(told[:, 1]).tolist() == np.argsort(said[:, 1]).tolist()
    np.testing.assert_allclose(told.sum(axis=1), 1)


def test_more_classes_are_calibrated_by_one_slope_and_an_offset_each() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal((0.0, 0.5, -1.0), 1.5, (3_000, 3))
    shares = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=share) for share in shares], dtype=np.float64)
    said = np.exp(2.5 * odds) / np.exp(2.5 * odds).sum(axis=1, keepdims=True)
    found = calibrate(answers_of(said), truth)
    assert found
    assert found.sigmoid
    assert found.sigmoid.slope == pytest.approx(0.4, abs=0.04)
    assert len(found.sigmoid.offsets) == 3


def test_one_small_fold_alone_cannot_tell() -> None:
    said, truth = drawn(100, 3, 1)
    assert calibrate(answers_of(said, folds=1), truth) is None


def test_one_large_fold_is_judged_in_parts_that_did_not_make_its_sigmoid() -> None:
    said, truth = drawn(4_000, 3, 1)
    found = calibrate(answers_of(said, folds=1), truth)
    assert found
    assert found.sigmoid
    assert found.sigmoid.slope == pytest.approx(1 / 3, abs=0.03)
    ((places, told),) = found.answers
    part = np.arange(len(places)) % 3 == 1
    learned = places[~part]
    sigmoid = Sigmoid.fit(said[learned], truth[learned].astype(np.int64))
    np.testing.assert_allclose(told[part], sigmoid(said[places[part]]), atol=1e-4)


def test_a_forest_of_a_rare_class_is_calibrated_after_weighing() -> None:
    frame = observations(1_500, task="binary")
    frame = frame[(frame["y"] == "no") | (np.random.default_rng(0).random(len(frame)) < 0.1)]
    side, spec = (
        training_side(dataset(frame)),
        parse_spec('target = "y"\n[train]\ntrials = 1\n[train.forest]\nbalance = 1'),
    )
    result = train("forest", side, spec, side.matrix, FOREVER)
    assert result.params["balance"] == 1
    assert result.calibration
    assert result.calibration["method"] == "sigmoid"
    assert result.threshold_by == "f1"


# Where the line is drawn


def test_a_half_draws_the_line_where_both_classes_are_frequent() -> None:
    said, truth = drawn(500, 1, 0)
    assert threshold(answers_of(said), truth, "binary", None) == (0.5, "half")


def test_the_spec_has_the_last_word_and_other_tasks_have_no_line() -> None:
    said, truth = drawn(500, 1, -4)
    assert threshold(answers_of(said), truth, "binary", 0.3) == (0.3, "spec")
    assert threshold(answers_of(said), truth, "multiclass", None) == (None, None)
    assert threshold((), truth, "regression", None) == (None, None)


@pytest.mark.parametrize("rare", [0, 1])
def test_of_a_rare_class_the_line_is_that_of_its_best_f1_on_either_side(rare: int) -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(4_000) < 0.05
    score = np.clip(rng.normal(0.1, 0.08, 4_000) + 0.15 * hit, 0.001, 0.999)
    said, truth = of_two(score if rare else 1 - score), (hit if rare else ~hit).astype(np.float64)
    line, by = threshold(answers_of(said), truth, "binary", None)
    assert by == "f1"
    assert line is not None

    def f1(at: float) -> float:
        told = (said[:, 1] >= at) == bool(rare)
        return float(2 * (told & hit).sum() / (told.sum() + hit.sum()))

    assert f1(line) >= max(f1(at) for at in np.linspace(0, 1, 2_001))
    assert not np.isin(np.float32(line), said[:, 1].astype(np.float32))


# Targets on a log scale


@pytest.mark.parametrize("values", [[-5.0, 0.0, 3.0, 1e6], [1e-9, 1e-3, 2.0], [0.0, 0.0, 0.0]])
def test_a_log_scale_goes_there_and_back(values: list[float]) -> None:
    target = np.array(values)
    scale = LogScale.of(target)
    np.testing.assert_allclose(scale.values(scale.logs(target)), target, rtol=1e-12, atol=1e-12)


def test_an_answer_that_runs_on_stays_within_e_times_the_outermost_target() -> None:
    scale = LogScale.of(np.array([1.0, 10.0, 1_000.0]))
    assert scale.values(np.array([1e9]))[0] == pytest.approx(1_000 * np.e, rel=1e-3)
