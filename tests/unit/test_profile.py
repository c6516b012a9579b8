"""Profiles: exact where they say so, mergeable within the accuracy they promise, and small."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidemill.profile import (
    BINS,
    LevelsProfile,
    NumericProfile,
    Profile,
    TimeProfile,
    merge,
    merge_column,
    profile,
    profile_column,
)

Array = npt.NDArray[Any]


def numeric(values: Any) -> NumericProfile:
    column = profile_column(np.asarray(values, dtype=np.float64), "numeric")
    assert isinstance(column, NumericProfile)
    return column


def levels(values: Any, kind: str = "categorical") -> LevelsProfile:
    column = profile_column(np.asarray(values, dtype=object if kind == "categorical" else np.float64), kind)
    assert isinstance(column, LevelsProfile)
    return column


def samples(seed: int, rows: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "normal": rng.normal(size=rows),
        "log-normal over decades": np.exp(3 * rng.normal(size=rows)),
        "mostly zero": np.where(rng.random(rows) < 0.6, 0.0, rng.normal(size=rows)),
        "heavy value among many": np.where(rng.random(rows) < 0.3, 1.0, rng.normal(size=rows)),
        "counts": rng.poisson(3, rows).astype(float),
        "many whole numbers": rng.poisson(900, rows).astype(float),
        "beside the largest": rng.uniform(-1e300, 1e300, rows),
    }


def share_at(values: Array, points: Array) -> Array:
    return np.searchsorted(np.sort(values), points, side="right") / len(values)


@pytest.mark.parametrize("name", samples(0, 1))
def test_cumulative_counts_are_exact_at_the_edges_of_profiled_data(name: str) -> None:
    values = samples(1, 5000)[name]
    column = numeric(values)
    edges = np.asarray(column.edges)
    assert np.cumsum(column.counts).tolist() == [int((values <= edge).sum()) for edge in edges]
    assert column.cumulative(edges).tolist() == np.cumsum(column.counts).tolist()
    heavy = edges[np.asarray(column.atoms)]
    assert column.cumulative(heavy, below=True).tolist() == [int((values < v).sum()) for v in heavy]
    assert (len(edges) <= BINS, edges[-1], column.min) == (True, values.max(), values.min())


def test_few_distinct_values_are_counted_one_by_one() -> None:
    column = numeric([3.0, 1.0, 3.0, 2.5])
    assert (column.edges, column.counts, all(column.atoms)) == ((1.0, 2.5, 3.0), (1, 1, 2), True)


def test_missing_and_infinite_values_are_counted_apart() -> None:
    column = numeric([1.0, math.nan, math.inf, -math.inf, 3.0])
    assert (column.rows, column.missing, column.infinite, column.present) == (5, 1, 2, 2)
    assert (column.mean, column.variance, column.min, column.max) == (2.0, 1.0, 1.0, 3.0)


@pytest.mark.parametrize("name", samples(0, 1))
def test_a_merge_keeps_moments_and_counts_exact_and_shares_within_one_bin(name: str) -> None:
    first, second = samples(1, 4000)[name], 1.3 * samples(2, 7000)[name]
    together = np.concatenate([first, second])
    merged, direct = merge_column(numeric(first), numeric(second)), numeric(together)
    assert isinstance(merged, NumericProfile)
    assert (merged.rows, merged.present, merged.min, merged.max) == (11000, 11000, direct.min, direct.max)
    assert sum(merged.counts) == 11000
    if name != "beside the largest":
        assert merged.mean == pytest.approx(direct.mean, rel=1e-9, abs=1e-12)
        assert merged.variance == pytest.approx(direct.variance, rel=1e-9)
    edges = np.asarray(merged.edges)
    error = np.abs(merged.cumulative(edges) / 11000 - share_at(together, edges)).max()
    assert error <= 1 / BINS
    if name in ("mostly zero", "heavy value among many"):
        value = 0.0 if name == "mostly zero" else 1.0
        jump = merged.cumulative(value) - merged.cumulative(value, below=True)
        assert jump == pytest.approx((together == value).sum(), abs=11000 / BINS)


def test_a_merge_of_thirty_parts_stays_within_one_percent() -> None:
    for name in ("normal", "log-normal over decades", "mostly zero"):
        parts = [samples(seed, 1000)[name] for seed in range(30)]
        merged = numeric(parts[0])
        for part in parts[1:]:
            step = merge_column(merged, numeric(part))
            assert isinstance(step, NumericProfile)
            merged = step
        together = np.concatenate(parts)
        edges = np.asarray(merged.edges)
        assert np.abs(merged.cumulative(edges) / together.size - share_at(together, edges)).max() < 0.01


def test_a_merge_does_not_depend_on_order() -> None:
    a, b = numeric(samples(1, 3000)["mostly zero"]), numeric(samples(2, 500)["normal"])
    forth, back = merge_column(a, b), merge_column(b, a)
    assert isinstance(forth, NumericProfile)
    assert isinstance(back, NumericProfile)
    assert (forth.edges, forth.counts, forth.atoms) == (back.edges, back.counts, back.atoms)
    assert forth.mean == pytest.approx(back.mean)


def test_merged_exact_counts_stay_exact_while_values_are_few() -> None:
    assert merge_column(numeric([1, 2, 2]), numeric([2, 5])) == numeric([1, 2, 2, 2, 5])


def test_quantiles_are_those_of_the_data_within_one_bin() -> None:
    for name, values in samples(3, 6000).items():
        q = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
        found = numeric(values).quantile(q)
        below, upto = (values[:, None] < found).mean(axis=0), (values[:, None] <= found).mean(axis=0)
        assert ((below - 1 / BINS <= q) & (q <= upto + 1 / BINS)).all(), name


def test_columns_without_a_value_merge_and_travel() -> None:
    empty, some = numeric([math.nan, math.nan]), numeric([1.0, 2.0])
    assert math.isnan(empty.mean)
    merged = merge_column(empty, some)
    assert (merged.rows, merged.missing, merged.present) == (4, 2, 2)
    document = Profile(2, {"x": empty}).to_json()
    assert Profile.from_json(json.loads(json.dumps(document, allow_nan=False))).to_json() == document
    assert empty.cumulative([0.0]).tolist() == [0.0]
    assert np.isnan(empty.quantile([0.5])).all()


def test_booleans_and_categories_are_counted_by_level() -> None:
    assert levels([1, 0, 1, math.nan], "boolean").counts == {"true": 2, "false": 1}
    column = levels(["b", "a", "b", None])
    assert (dict(column.counts), column.missing, column.rows) == ({"b": 2, "a": 1}, 1, 4)


def test_rare_categories_share_one_count_and_rows_are_never_lost() -> None:
    column = levels([f"c{i % 500:03}" for i in range(2000)] + ["often"] * 50)
    assert (len(column.counts), next(iter(column.counts))) == (200, "often")
    merged = merge_column(column, levels(["often", "new", None]))
    assert isinstance(merged, LevelsProfile)
    assert sum(merged.counts.values()) + merged.other + merged.missing == merged.rows == 2053
    assert merged.counts["often"] == 51


def test_a_datetime_column_keeps_its_span() -> None:
    early = np.array(["2026-01-01T00:00", "NaT"], dtype="datetime64[us]")
    late = np.array(["2026-02-01T12:30"], dtype="datetime64[us]")
    merged = merge_column(profile_column(early, "datetime"), profile_column(late, "datetime"))
    assert merged == TimeProfile(3, 1, "2026-01-01T00:00:00.000000", "2026-02-01T12:30:00.000000")
    nothing = profile_column(early[1:], "datetime")
    assert merge_column(nothing, nothing) == TimeProfile(2, 2, None, None)


def test_a_profile_travels_as_json() -> None:
    rng = np.random.default_rng(4)
    columns: dict[str, Array] = {
        "x": rng.normal(size=1000),
        "n": rng.poisson(2, 1000).astype(float),
        "up": (rng.random(1000) < 0.5).astype(float),
        "who": rng.choice(np.array(["a", "b", None], dtype=object), 1000),
        "at": np.datetime64("2026-01-01", "us") + np.arange(1000),
    }
    kinds = {"x": "numeric", "n": "numeric", "up": "boolean", "who": "categorical", "at": "datetime"}
    whole = profile(columns, kinds)
    assert Profile.from_json(json.loads(json.dumps(whole.to_json(), allow_nan=False))) == whole


def test_a_numeric_column_takes_about_three_kilobytes() -> None:
    for name, values in samples(5, 50_000).items():
        size = len(json.dumps(Profile(1, {"x": numeric(values)}).to_json()))
        assert size < (3600 if name != "beside the largest" else 4100), name


def test_profiles_merge_column_by_column() -> None:
    kinds = {"x": "numeric", "late": "boolean"}
    first = profile({"x": np.array([1.0])}, kinds)
    second = profile({"x": np.array([2.0, 3.0]), "late": np.array([1.0, 0.0])}, kinds)
    merged = merge(first, second)
    assert (merged.rows, merged.columns["x"]) == (3, numeric([1, 2, 3]))
    assert merged.columns["late"].rows == 2  # the rows that had the column


def test_kinds_that_do_not_exist_or_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="not 'text'"):
        profile_column(np.array([1.0]), "text")
    with pytest.raises(ValueError, match="numeric and categorical"):
        merge_column(numeric([1.0]), levels(["a"]))
