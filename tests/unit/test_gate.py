import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidemill.schema import COPY_BITS
from tidemill.spec import Gate
from tidemill.stages.bootstrap import interval, of_folds
from tidemill.stages.gate import (
    Check,
    beats_dummy,
    better_than_champion,
    champion_check,
    decide,
    dummy_check,
    export_parity,
    floor,
    latency,
    leakage,
    overfit_gap,
    spent,
    split,
    worst_slice,
)
from tidemill.stages.leakage import Leak
from tidemill.stages.metrics import METRICS
from tidemill.stages.parity import Parity
from tidemill.stages.recency import FEWEST_RARE
from tidemill.stages.slices import Slice

AUC, RMSE = METRICS["roc_auc"], METRICS["rmse"]
Array = npt.NDArray[np.float64]


def scores(rows: int, quality: float, *, seed: int, noise: int = 0) -> tuple[Array, Array]:
    """Truth of even classes, and probabilities that know it by `quality` standard deviations."""
    truth = np.random.default_rng(seed).integers(0, 2, rows).astype(float)
    logit = quality * (truth - 0.5) + np.random.default_rng(1_000 + noise).normal(size=rows)
    positive = 1 / (1 + np.exp(-logit))
    return truth, np.column_stack([1 - positive, positive])


def judge(
    candidate: float, champion: float, *, attempt: float = 1, gate: Gate | None = None, rows: int = 2_000
) -> Check:
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


def test_too_few_rows_of_the_rarer_class_are_no_ground_to_compare() -> None:
    truth, new = scores(2_000, 3.0, seed=0, noise=1)
    _, old = scores(2_000, 0.0, seed=0, noise=2)
    rare = np.flatnonzero(truth == 1)[: FEWEST_RARE - 1]
    kept = np.sort(np.concatenate([np.flatnonzero(truth == 0), rare]))
    check, _ = better_than_champion(AUC, truth[kept], new[kept], old[kept], 3, Gate(), 1)
    assert not check.passed
    assert check.value is not None
    assert check.value > 0
    assert "the rarest class has 19 held-out rows, and 20 are needed: upload more rows" in check.sentence


def test_recipes_that_were_cross_validated_say_so() -> None:
    result = of_folds(AUC, [0.80, 0.82, 0.81] * 5, [0.70, 0.71, 0.72] * 5, folds=5, rows=150, confidence=0.985)
    check = champion_check(result, 4, Gate(), 1, folds=True)
    assert check.passed
    assert check.sentence.startswith(
        "it is better than version 4: roc_auc 0.81 against 0.71 in cross-validation of 150 rows"
    )
    assert "on 150 cross-validated rows" in dummy_check(result, "cross-validated").sentence


@pytest.mark.parametrize(("least", "passed"), [(0.6, True), (0.9, False)])
def test_the_specs_floor_holds_for_the_value_itself(least: float, passed: bool) -> None:
    truth, answers = scores(1_000, 1.0, seed=0)
    held_out = interval(AUC, truth, answers, seed=1)
    check = floor(AUC, held_out, Gate(floor=least))
    assert check is not None
    assert check.passed is passed
    assert f"is {'' if passed else 'not '}at least {least:g}, as the spec wants" in check.sentence
    assert floor(AUC, held_out, Gate()) is None


def test_the_floor_of_a_loss_is_a_ceiling() -> None:
    truth = np.random.default_rng(0).normal(size=500)
    held_out = interval(RMSE, truth, truth + 0.5, seed=1)
    low, high = (floor(RMSE, held_out, Gate(floor=bound)) for bound in (0.4, 0.6))
    assert low is not None
    assert high is not None
    assert (low.passed, high.passed) == (False, True)
    assert "is at most 0.6, as the spec wants" in high.sentence


def test_a_graph_that_answers_too_slowly_is_rejected() -> None:
    assert latency(0.2, Gate()).passed
    check = latency(70.0, Gate())
    assert not check.passed
    assert check.sentence == "it answers one row in 70 ms, more than the 50 ms that the spec allows"


def test_no_row_may_have_been_learned_from_and_judge() -> None:
    keys = np.arange(10, dtype=np.uint64)
    assert split(keys[:8], keys[8:], late=0).passed
    check = split(keys[:8], keys[7:], late=3)
    assert not check.passed
    assert check.sentence == "1 rows lie on both sides of the split and 3 training rows are from after the cutoff"


def leak(score: float) -> Leak:
    return Leak("arrival", score, f"column 'arrival' tells (AUC {score})", "kept")


def test_a_feature_that_gives_the_target_away_rejects_unless_the_spec_allows_it() -> None:
    check = leakage([leak(1.0)], Gate())
    assert not check.passed
    assert "column 'arrival' tells (AUC 1.0): exclude what is known only after the fact" in check.sentence
    allowed = leakage([leak(1.0)], Gate(allowed_leaks=("arrival",)))
    assert allowed.passed
    assert allowed.warns


def test_a_feature_that_almost_does_warns_and_the_warning_is_a_reason() -> None:
    check = leakage([leak(0.97)], Gate())
    assert (check.passed, check.warns) == (True, True)
    promoted, reasons = decide([check], None)
    assert promoted
    assert reasons[-1] == "column 'arrival' tells (AUC 0.97)"
    assert check.inputs == {"suspects": {"arrival": 0.97}, "allowed": []}
    assert leakage([], Gate()).warns is False


def slice_of(name: str, surely: float) -> Slice:
    return Slice(name, 300, 0.6, 0.7, surely + 0.1, surely, 0.01, 0.25, 2.5)


def test_a_slice_rejects_only_beyond_the_margin_at_its_favourable_end() -> None:
    passed = worst_slice([slice_of("plan is 'a'", 0.05), slice_of("plan is 'b'", -0.3)], 2, Gate(), math.nan)
    assert passed.passed
    assert "nearest to it is plan is 'a'" in passed.sentence
    failed = worst_slice([slice_of("plan is 'a'", 0.3)], 2, Gate(), 0.5)
    assert not failed.passed
    assert "it is worse than version 2 where plan is 'a' (300 rows): 0.6 against 0.7, a loss of 40%" in failed.sentence
    assert failed.inputs["name"] == "plan is 'a'"
    assert worst_slice([], 2, Gate(), math.nan).passed


def test_a_champion_that_has_failed_protects_no_slice() -> None:
    check = worst_slice([slice_of("plan is 'a'", 0.3)], 2, Gate(), 0.51)
    assert (check.passed, check.warns) == (True, True)
    assert check.sentence.endswith("but version 2 has itself surely lost 51% of what it had earned in its evaluation")
    assert not worst_slice([slice_of("plan is 'a'", 0.05)], 2, Gate(), 0.51).warns


def evaluated(name: str, value: float, dummy: float, error: float = 0.0) -> dict[str, Any]:
    return {
        "metric": {"name": name},
        "candidate": {"interval": {"value": value, "standard_error": error}, "dummy": dummy},
    }


def test_what_a_champion_has_spent_is_beyond_chance_and_of_its_own_metric() -> None:
    auc, loss = METRICS["roc_auc"], METRICS["log_loss"]
    truth = np.tile([0.0, 1.0], 500)
    now = replace(interval(auc, truth, np.full((1_000, 2), 0.5), seed=1), value=0.6, standard_error=0.0)
    assert spent(auc, evaluated("roc_auc", 0.7, 0.5), now, 0.5) == pytest.approx(0.5)
    # 1.645 standard errors of both, of 0.2 that were earned
    unsure = spent(auc, evaluated("roc_auc", 0.7, 0.5, error=0.03), replace(now, standard_error=0.04), 0.5)
    assert unsure == pytest.approx(0.5 - 1.645 * 0.05 / 0.2, abs=1e-3)
    # Rows on which a model without features does worse as well are no fault of this one.
    assert spent(loss, evaluated("log_loss", 0.4, 0.6), replace(now, value=0.5), 0.7) == pytest.approx(0.0)
    assert math.isnan(spent(loss, evaluated("roc_auc", 0.7, 0.5), now, 0.5))
    assert math.isnan(spent(auc, evaluated("roc_auc", 0.5, 0.5), now, 0.5))
    assert math.isnan(spent(auc, evaluated("roc_auc", 0.7, 0.5, error=math.nan), now, 0.5))


def test_a_copy_on_the_other_side_is_seen() -> None:
    keys = np.arange(100, dtype=np.uint64) << np.uint64(COPY_BITS)
    assert not split(keys, keys[:10] + np.uint64(1), late=0).passed
    assert split(keys[:50], keys[50:], late=0).passed


def test_too_few_rows_of_a_class_beat_nobody_and_the_gap_says_why() -> None:
    truth = np.zeros(100)
    for positives in (0, 4):
        truth[:positives] = 1
        score = np.linspace(1, 0, 100)
        answers = np.column_stack([1 - score, score])
        check = beats_dummy(AUC, truth, answers, np.full((100, 2), 0.5), Gate())
        assert not check.passed
        assert f"the rarest class has {positives} held-out rows, and 20 are needed" in check.sentence
    gap = overfit_gap(AUC, 0.8, interval(AUC, np.zeros(100), answers, seed=1), 0.5, Gate())
    assert "too few of some class to measure a gap" in gap.sentence
