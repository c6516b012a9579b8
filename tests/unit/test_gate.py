import math

import numpy as np
import numpy.typing as npt
import pytest

from tidemill.spec import Gate
from tidemill.stages.bootstrap import interval
from tidemill.stages.gate import (
    Check,
    beats_dummy,
    better_than_champion,
    decide,
    export_parity,
    overfit_gap,
)
from tidemill.stages.metrics import METRICS
from tidemill.stages.parity import Parity

AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
Array = npt.NDArray[np.float64]


def scores(rows: int, quality: float, *, seed: int, noise: int = 0) -> tuple[Array, Array]:
    """Truth of even classes, and probabilities that know it by `quality` standard deviations."""
    truth = np.random.default_rng(seed).integers(0, 2, rows).astype(float)
    logit = quality * (truth - 0.5) + np.random.default_rng(1_000 + noise).normal(size=rows)
    positive = 1 / (1 + np.exp(-logit))
    return truth, np.column_stack([1 - positive, positive])


def judge(candidate: float, champion: float, *, attempt: int = 1, gate: Gate | None = None, rows: int = 2_000) -> Check:
    truth, new = scores(rows, candidate, seed=0, noise=1)
    _, old = scores(rows, champion, seed=0, noise=2)
    check, _ = better_than_champion(AUC, truth, new, old, 7, gate or Gate(), attempt)
    return check


def test_candidate_within_noise_of_champion_is_rejected() -> None:
    check = judge(1.05, 1.0)
    assert not check.passed
    assert "it is not surely better than version 7: roc_auc" in check.sentence
    assert "on the same 2,000 rows" in check.sentence


def test_a_clearly_better_candidate_passes() -> None:
    check = judge(1.6, 1.0)
    assert check.passed
    assert check.value is not None
    assert check.value > 0 == check.threshold
    assert check.sentence.startswith("it is better than version 7: roc_auc 0.8")


def test_a_worse_candidate_is_called_worse() -> None:
    check = judge(0.7, 1.0)
    assert not check.passed
    assert check.sentence.startswith("it is worse than version 7")


def test_a_tie_keeps_the_champion() -> None:
    truth, same = scores(500, 1.0, seed=0)
    for gate in (Gate(), Gate(mode="non_inferior", margin=0.0)):
        check, difference = better_than_champion(AUC, truth, same, same, 1, gate, 1)
        assert not check.passed
        assert difference is not None
        assert difference.difference == 0


def test_for_a_metric_where_less_is_better_less_wins() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=800)
    close, far = truth + rng.normal(0, 0.5, 800), truth + rng.normal(0, 1, 800)
    assert better_than_champion(RMSE, truth, close, far, 1, Gate(), 1)[0].passed
    assert not better_than_champion(RMSE, truth, far, close, 1, Gate(), 1)[0].passed


def test_attempts_on_the_same_rows_spend_the_error_and_never_more_than_all_of_it() -> None:
    truth, new = scores(300, 1.2, seed=0, noise=1)
    _, old = scores(300, 1.0, seed=0, noise=2)
    spent, bounds = [], []
    for attempt in range(1, 6):
        _, difference = better_than_champion(AUC, truth, new, old, 1, Gate(confidence=0.95), attempt)
        assert difference is not None
        spent.append(1 - difference.confidence)
        bounds.append(difference.lower)
    assert spent == pytest.approx([0.05 * 6 / (math.pi * n) ** 2 for n in range(1, 6)])
    assert sum(0.05 * 6 / (math.pi * n) ** 2 for n in range(1, 100_000)) < 0.05
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 5


def test_a_win_that_was_enough_once_is_not_enough_at_the_hundredth_attempt() -> None:
    assert judge(1.2, 1.0).passed
    late = judge(1.2, 1.0, attempt=100)
    assert not late.passed
    assert "attempt 100 on these rows" in late.sentence


def test_a_margin_lets_through_what_loses_less_than_it() -> None:
    gate = Gate(mode="non_inferior", margin=0.05)
    equal = judge(1.0, 1.0, gate=gate)
    assert equal.passed
    assert equal.threshold == -0.05
    assert equal.sentence.startswith("it is no worse than the margin allows")
    assert not judge(0.7, 1.0, gate=gate).passed


def test_without_common_rows_nothing_is_promoted_and_the_remedy_is_told() -> None:
    none = np.zeros((0, 2))
    check, difference = better_than_champion(AUC, np.zeros(0), none, none, 3, Gate(), 1)
    assert (check.passed, difference) == (False, None)
    assert "neither it nor version 3 was trained on: upload newer rows" in check.sentence


def test_rows_of_one_class_cannot_be_compared_and_say_so() -> None:
    _truth, new = scores(50, 1.0, seed=0)
    check, _ = better_than_champion(AUC, np.zeros(50), new, new, 3, Gate(), 1)
    assert not check.passed
    assert check.value is None
    assert "it cannot be compared with version 3" in check.sentence


def test_equal_models_are_rarely_promoted() -> None:
    gate = Gate(confidence=0.95)
    passed = 0
    for seed in range(40):
        truth, new = scores(300, 1.0, seed=seed, noise=2 * seed)
        _, old = scores(300, 1.0, seed=seed, noise=2 * seed + 1)
        passed += better_than_champion(AUC, truth, new, old, 1, gate, 1)[0].passed
    assert passed <= 5


def test_a_model_that_learned_nothing_does_not_beat_the_dummy() -> None:
    truth, blind = scores(500, 0.0, seed=0)
    dummy = np.full((500, 2), 0.5)
    check = beats_dummy(AUC, truth, blind, dummy, Gate())
    assert not check.passed
    assert check.sentence.startswith("it does not surely beat a model without features: roc_auc 0.")
    _, seeing = scores(500, 1.0, seed=0)
    assert beats_dummy(AUC, truth, seeing, dummy, Gate()).passed


@pytest.mark.parametrize(
    ("cross_validated", "quality", "passed", "words"),
    [
        (0.77, 1.0, True, "of what it learned in cross-validation is lost"),
        (0.70, 1.0, True, "nothing is lost"),
        (0.95, 1.0, False, "of what it learned in cross-validation is lost"),
        (0.50, 1.0, False, "cross-validation found nothing beyond a model without features"),
        (math.nan, 1.0, False, "cross-validation found nothing beyond a model without features"),
    ],
)
def test_the_overfit_gap_is_what_of_the_learned_is_lost(
    cross_validated: float, quality: float, passed: bool, words: str
) -> None:
    truth, answers = scores(3_000, quality, seed=0)
    held_out = interval(AUC, truth, answers, seed=1)
    check = overfit_gap(AUC, cross_validated, held_out, 0.5, Gate())
    assert check.passed is passed
    assert words in check.sentence
    if check.value is not None:
        assert check.value == pytest.approx((cross_validated - held_out.value) / (cross_validated - 0.5))


def test_on_few_rows_the_gap_fails_only_where_even_the_favourable_end_is_too_wide() -> None:
    truth, answers = scores(40, 1.0, seed=3)
    held_out = interval(AUC, truth, answers, seed=1)
    just_beyond = (held_out.value - 0.25 * 0.5) / 0.75 + 0.02
    check = overfit_gap(AUC, just_beyond, held_out, 0.5, Gate())
    assert check.value is not None
    assert check.value > 0.25
    assert check.passed


def test_the_gap_of_an_error_is_measured_downwards() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2_000)
    held_out = interval(RMSE, truth, truth + rng.normal(0, 0.8, 2_000), seed=1)
    assert not overfit_gap(RMSE, 0.1, held_out, 1.0, Gate()).passed
    assert overfit_gap(RMSE, 0.78, held_out, 1.0, Gate()).passed


def test_an_export_that_differs_is_never_promoted() -> None:
    assert export_parity(Parity(rows=100, largest=1e-6, beyond=0)).passed
    check = export_parity(Parity(rows=100, largest=0.3, beyond=2))
    assert not check.passed
    assert "differs from the trained model (largest difference 3.0e-01 on 100 rows, 2 beyond 1e-04)" in check.sentence


def test_one_failed_check_rejects_and_every_failed_sentence_is_a_reason() -> None:
    good = Check("beats_dummy", True, 1.0, 0.0, "it beats")
    bad, worse = Check("overfit_gap", False, 1.0, 0.0, "it lost"), Check("export_parity", False, 1.0, 0.0, "it differs")
    assert decide([good, bad, worse], None) == (False, ["it lost", "it differs"])
    assert decide([good], None) == (True, ["it is the first model, and it passed every absolute check"])
    won = Check("better_than_champion", True, 0.1, 0.0, "it is better than version 1")
    assert decide([good, won], 1) == (True, ["it is better than version 1"])
