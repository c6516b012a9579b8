import numpy as np
import numpy.typing as npt
import pytest

from tidemill.encoding import MISSING
from tidemill.schema import Column, Schema
from tidemill.stages.metrics import METRICS
from tidemill.stages.slices import FEWEST_ROWS, MOST_SLICES, compare, slices, values

AUC = METRICS["roc_auc"]
Array = npt.NDArray[np.float64]
ROWS = 4_000
RNG = np.random.default_rng(0)
SCHEMA = Schema(
    (
        Column("plan", "categorical", "feature", True, ("basic", "plus", "rare")),
        Column("size", "numeric", "feature", True),
        Column("paid", "boolean", "feature", False),
        Column("sent", "datetime", "feature", False),
        Column("y", "numeric", "target", False),
    ),
    "binary",
    ("0", "1"),
)
NAMES = ("categorical:plan", "numeric:size", "boolean:paid", "datetime.weekday:sent", "datetime.year:sent")


def matrix() -> npt.NDArray[np.float32]:
    plan = RNG.choice([0, 1, MISSING], ROWS, p=[0.5, 0.4, 0.1])
    plan[:20] = 2
    size = RNG.normal(size=ROWS)
    size[::8] = np.nan
    columns = [plan, size, RNG.integers(0, 2, ROWS), RNG.integers(0, 7, ROWS), np.full(ROWS, 2024)]
    return np.column_stack(columns).astype(np.float32)


MATRIX = matrix()
TRUTH = RNG.integers(0, 2, ROWS).astype(float)
DUMMY = np.full((ROWS, 2), 0.5)


def answers(quality: Array | float, seed: int) -> Array:
    logit = quality * (TRUTH - 0.5) + np.random.default_rng(seed).normal(size=ROWS)
    positive = 1 / (1 + np.exp(-logit))
    return np.column_stack([1 - positive, positive])


def masks(order: tuple[str, ...] = ("plan", "size", "paid", "sent")) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    return slices(SCHEMA, NAMES, MATRIX, order)


def test_slices_are_categories_quarters_truth_values_weekdays_and_what_is_missing() -> None:
    names = [name for name, _ in masks()]
    assert names[:3] == ["plan is missing", "plan is 'basic'", "plan is 'plus'"]
    assert next(name for name in names if name.startswith("size")) == "size is missing"
    assert len([name for name in names if name.startswith("size is ")]) == 5
    assert "paid is false" in names
    assert "sent is a Wednesday" in names


def test_quarters_hold_each_present_row_once() -> None:
    of_size = [mask for name, mask in masks() if name.startswith("size is") and "missing" not in name]
    assert np.array_equal(np.sum(of_size, axis=0), ~np.isnan(MATRIX[:, 1]))


def test_few_rows_are_no_slice_and_all_rows_are_none_either() -> None:
    assert all(FEWEST_ROWS <= mask.sum() < ROWS for _, mask in masks())
    assert not any("rare" in name for name, _ in masks())


def test_what_matters_most_is_looked_at_first_and_not_without_end() -> None:
    assert masks(("paid", "plan"))[0][0] == "paid is false"
    many = tuple(Column(f"c{i}", "boolean", "feature", False) for i in range(MOST_SLICES))
    wide = np.random.default_rng(1).integers(0, 2, (400, MOST_SLICES)).astype(np.float32)
    found = slices(Schema(many, "binary", ("0", "1")), [f"boolean:c{i}" for i in range(MOST_SLICES)], wide,
                   [f"c{i}" for i in range(MOST_SLICES)])  # fmt: skip
    assert len(found) == MOST_SLICES


def test_a_slice_that_the_candidate_lost_is_the_worst_one() -> None:
    lost = np.where(MATRIX[:, 0] == 1, 0.0, 2.0)
    found = compare(AUC, masks(), TRUTH, answers(lost, 1), answers(2.0, 2), DUMMY, confidence=0.975)
    assert found[0].name == "plan is 'plus'"
    assert found[0].surely_lost > 0.5
    assert found[0].lost > found[0].surely_lost
    assert found[1].surely_lost < 0.5


def test_what_a_slice_lost_can_be_computed_again_from_what_is_told_of_it() -> None:
    lost = np.where(MATRIX[:, 0] == 1, 0.0, 2.0)
    for one in compare(AUC, masks(), TRUTH, answers(lost, 1), answers(2.0, 2), DUMMY, confidence=0.975):
        assert one.lost == pytest.approx((one.champion - one.candidate) / one.earned)
        assert one.surely_lost == pytest.approx(one.lost - one.z * one.standard_error / one.earned)


def test_noise_is_no_loss() -> None:
    worst = [
        compare(AUC, masks(), TRUTH, answers(2.0, 2 * seed), answers(2.0, 2 * seed + 1), DUMMY, confidence=0.975)[0]
        for seed in range(8)
    ]
    assert max(one.surely_lost for one in worst) < 0.1


def test_where_the_champion_earned_nothing_no_loss_is_a_share_of_it() -> None:
    assert compare(AUC, masks(), TRUTH, answers(2.0, 1), DUMMY, DUMMY, confidence=0.975) == []


def test_one_model_alone_is_shown_from_its_worst_slice_on() -> None:
    quality = np.where(MATRIX[:, 0] == 1, 0.0, 2.0)
    shown = values(AUC, masks(), TRUTH, answers(quality, 1))
    assert shown[0]["name"] == "plan is 'plus'"
    assert shown[0]["value"] == pytest.approx(0.5, abs=0.05)
    assert [entry["value"] for entry in shown] == sorted(entry["value"] for entry in shown)


def test_a_slice_of_few_positives_refuses_nobody() -> None:
    truth = np.zeros(2_000)
    truth[:100] = 1
    rng = np.random.default_rng(1)
    good = truth + rng.normal(size=2_000)
    bad = np.where(np.arange(2_000) < 5, -9.0, good)
    worse, better = (np.column_stack([-x, x]) for x in (bad, good))
    mask = np.zeros(2_000, dtype=bool)
    mask[:5] = mask[1_000:1_200] = True
    found = compare(AUC, [("few", mask)], truth, worse, better, np.full((2_000, 2), 0.5), confidence=0.975)
    assert found == []
