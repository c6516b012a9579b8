"""Drift: the tests against scipy, the false alarms and the power that are promised, and reports that survive."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

from tests.bench.worlds import MIX, Number, World, of_cells
from tidemill.profile import NumericProfile, Profile, merge, profile, profile_column
from tidemill.stages.drift import ColumnDrift, Compared, DriftPolicy, DriftReport, detect, importance_of
from tidemill.stages.feed import FeedProblem, feed_problems, known, looks, shown_harmless, silence, trusting
from tidemill.stages.special import (
    chi_square_p,
    compare_levels,
    fisher_p,
    holm,
    kolmogorov_p,
    student_t_p,
    student_t_quantile,
)
from tidemill.stages.window import Window, WindowBuilder, count

Array = npt.NDArray[Any]
LETTERS = np.array(list("abcdefghijklmnopqrst"), dtype=object)


def world(rng: np.random.Generator, rows: int) -> dict[str, Array]:
    """Twenty columns: normal, log-normal, heavy ties, categories even and skewed, booleans, with values missing."""
    columns: dict[str, Array] = {f"normal{i}": rng.normal(size=rows) for i in range(5)}
    columns |= {f"wide{i}": np.exp(2 * rng.normal(size=rows)) for i in range(4)}
    columns |= {f"count{i}": rng.poisson(1 + i, rows).astype(float) for i in range(3)}
    columns |= {f"zero{i}": np.where(rng.random(rows) < 0.7, 0.0, rng.normal(size=rows)) for i in range(2)}
    skewed = 1 / np.arange(1, 21)
    columns |= {f"skewed{i}": LETTERS[rng.choice(20, rows, p=skewed / skewed.sum())] for i in range(2)}
    columns["even"] = LETTERS[rng.integers(0, 4, rows)]
    columns["rare"] = (rng.random(rows) < 0.01).astype(float)
    for i, share in enumerate((0.02, 0.3)):
        columns[f"gaps{i}"] = np.where(rng.random(rows) < share, math.nan, rng.normal(size=rows))
    return columns


def kinds_of(columns: Mapping[str, Array]) -> dict[str, str]:
    def kind(name: str, values: Array) -> str:
        if values.dtype.kind == "M":
            return "datetime"
        return "categorical" if values.dtype.kind == "O" else "boolean" if name == "rare" else "numeric"

    return {name: kind(name, values) for name, values in columns.items()}


def profiled(columns: Mapping[str, Array]) -> Profile:
    return profile(columns, kinds_of(columns))


def numbers(seed: int, rows: int, shift: float = 0.0) -> dict[str, Array]:
    return {"temp": np.random.default_rng(seed).normal(36 + shift, 5, rows)}


def judged(
    reference: Profile,
    window: Mapping[str, Array],
    policy: DriftPolicy | None = None,
    importance: Mapping[str, float] | None = None,
) -> DriftReport:
    return detect(Compared(reference, count(reference, window)), policy, importance)


def problems_of(reference: Profile, window: Mapping[str, Array]) -> list[FeedProblem]:
    return feed_problems(reference, count(reference, window))


def only(report: DriftReport) -> ColumnDrift:
    assert len(report.columns) == 1
    return report.columns[0]


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 199])
def test_the_chi_square_tail_is_scipys(freedom: int) -> None:
    for statistic in freedom * np.array([0.0, 0.1, 0.9, 1.0, 1.3, 2.0, 5.0]):
        assert chi_square_p(float(statistic), freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9)


def test_the_kolmogorov_tail_is_scipys_exact_one_within_a_tenth() -> None:
    rng = np.random.default_rng(1)
    for n, m, shift in [(100, 5000, 0.5), (300, 5000, 0.3), (300, 1000, 0.25), (1000, 900, 0.2)]:
        exact = stats.ks_2samp(rng.normal(shift, 1, n), rng.normal(size=m), method="exact")
        assert kolmogorov_p(float(exact.statistic), n, m) == pytest.approx(exact.pvalue, rel=0.11)
    assert kolmogorov_p(0.001, 100, 100) == 1.0


def test_the_kolmogorov_series_goes_on_for_as_long_as_its_terms_matter() -> None:
    root = math.sqrt(10**6 / 2)
    for x in (0.3, 0.31, 0.5, 1.0, 2.0, 5.0, 12.0):
        distance = x / (root + 0.12 + 0.11 / root)
        assert kolmogorov_p(distance, 10**6, 10**6) == pytest.approx(special.kolmogorov(x), rel=1e-11)


def test_fishers_tails_are_those_of_the_hypergeometric_distribution() -> None:
    for hits, rows, other_hits, other_rows in [(7, 100, 100, 5000), (0, 100, 300, 5000), (900, 1000, 4000, 5000)]:
        law = stats.hypergeom(rows + other_rows, hits + other_hits, rows)
        exact = min(1.0, 2 * min(law.sf(hits - 1), law.cdf(hits)))
        assert fisher_p(hits, rows, other_hits, other_rows) == pytest.approx(exact, rel=1e-8)
    assert fisher_p(5, 5, 7, 7) == 1.0


def test_students_t_is_scipys_far_out_in_the_tail_too() -> None:
    for freedom in (1, 2, 9, 49, 1_000):
        for t in (-5.0, 0.0, 0.01, 1.0, 3.0, 40.0):
            assert student_t_p(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9)
        for confidence in (0.5, 0.975, 0.9999):
            assert student_t_quantile(confidence, freedom) == pytest.approx(
                stats.t.ppf(confidence, freedom), rel=1e-9, abs=1e-9
            )


def test_holm_multiplies_by_the_tests_that_are_left() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).tolist() == []


def test_common_levels_are_compared_by_pearsons_chi_square() -> None:
    window, reference = np.array([30, 40, 30, 0]), np.array([500, 300, 200, 0])
    oracle = stats.chi2_contingency([window[:3], reference[:3]], correction=False)
    result = compare_levels(window, reference)
    assert (result.statistic, result.p) == pytest.approx((oracle.statistic, oracle.pvalue))
    assert result.effect == pytest.approx(0.2)


def test_a_new_category_is_seen_though_the_chi_square_cannot_hold_it() -> None:
    window, reference = np.array([50, 35, 15]), np.array([2500, 2500, 0])
    assert compare_levels(window, reference).p < 1e-9


@pytest.mark.parametrize("rows", [300, 1000])
def test_clean_windows_raise_the_alarm_as_rarely_as_promised(rows: int) -> None:
    windows, flagged = 250, 0
    for seed in range(windows):
        rng = np.random.default_rng([seed, rows])
        if seed % 5 == 0:
            reference = profiled(world(rng, 3000))
        flagged += judged(reference, world(rng, rows)).verdict == "drift"
    # One in a hundred would be 2.5 of 250; seven or more would come by chance once in 80 then.
    assert flagged < 7


@pytest.mark.parametrize(("rows", "shift"), [(300, 0.5), (1000, 0.25)])
def test_a_shift_of_one_column_in_twenty_is_found(rows: int, shift: float) -> None:
    windows, found = 100, 0
    reference = profiled(world(np.random.default_rng(0), 5000))
    for seed in range(1, windows + 1):
        window = world(np.random.default_rng([seed, rows]), rows)
        window["normal0"] = window["normal0"] + shift
        found += "normal0" in judged(reference, window).drifted
    assert found >= 95


def test_a_reference_merged_from_many_uploads_raises_no_alarm() -> None:
    parts = [profiled(world(np.random.default_rng(seed), 300)) for seed in range(30)]
    reference = reduce(merge, parts)
    flagged = [judged(reference, world(np.random.default_rng([seed, 9]), 20_000)).drifted for seed in range(5)]
    assert flagged == [()] * 5


def test_five_hundred_even_categories_do_not_drift_by_being_cut_off() -> None:
    rng = np.random.default_rng(3)
    names = np.array([f"c{i}" for i in range(500)], dtype=object)
    for rows in (1000, 20_000):
        reference = profiled({"c": names[rng.integers(0, 500, 5000)]})
        assert judged(reference, {"c": names[rng.integers(0, 500, rows)]}).verdict == "no_drift"


def test_a_shift_below_the_floor_is_significant_and_not_drift() -> None:
    report = judged(profiled(numbers(1, 100_000)), numbers(2, 100_000, shift=0.3))
    lead = only(report).leading
    assert lead is not None
    assert lead.adjusted_p < 1e-4
    assert report.verdict == "no_drift"
    assert "less than the 0.05 that matters" in only(report).sentence


def test_a_moved_column_says_so_in_numbers() -> None:
    report = judged(profiled(numbers(1, 5000)), numbers(2, 500, shift=35))
    assert report.sentence == "1 of 1 tested columns drifted in 500 rows: temp"
    sentence = only(report).sentence
    assert sentence.startswith("temp moved up: median 3")
    assert sentence.endswith("(K-S distance 1.00, adjusted p < 0.0001)")


def test_the_direction_of_a_move_is_named() -> None:
    reference, centred = profiled(numbers(1, 5000)), numbers(2, 500)["temp"] - 36
    assert "temp moved down" in only(judged(reference, {"temp": centred + 30})).sentence
    assert "temp spread out: middle 90 %" in only(judged(reference, {"temp": 3 * centred + 36})).sentence
    assert "temp drew together" in only(judged(reference, {"temp": 0.3 * centred + 36})).sentence


def test_a_heavy_value_that_moves_a_little_is_seen_between_the_edges() -> None:
    reference = profiled({"x": np.repeat([36.0, 37.0], 500)})
    moved = only(judged(reference, {"x": np.repeat([35.9, 37.0], 200)}))
    assert moved.drifted
    assert moved.leading is not None
    assert moved.leading.effect == pytest.approx(0.5)


def test_a_category_that_grew_is_named_with_its_shares() -> None:
    reference = profiled({"carrier": np.repeat(LETTERS[:4], [400, 300, 200, 100])})
    column = only(judged(reference, {"carrier": np.repeat(LETTERS[:4], [100, 100, 100, 200])}))
    assert column.sentence.startswith("carrier changed: share of 'd' 10.0% → 40.0% (total variation distance 0.30")


def test_values_that_go_missing_are_drift_of_their_own() -> None:
    values = numbers(2, 500)["temp"]
    values[:100] = math.nan
    column = only(judged(profiled(numbers(1, 5000)), {"temp": values}))
    assert column.sentence.startswith("temp is missing more often: 0.0% → 20.0% of rows")
    assert [test.drifted for test in column.tests] == [False, True]


def test_time_moves_on_and_is_never_tested() -> None:
    start = np.datetime64("2026-01-01", "us")
    columns = {"at": start + np.arange(500) * 10**6, **numbers(1, 500)}
    report = judged(profiled(columns), {**columns, "at": columns["at"] + np.timedelta64(400, "D")})
    assert (report.verdict, report.columns[0].status) == ("no_drift", "not_tested")
    assert "moves on" in report.columns[0].sentence


def test_too_few_rows_are_a_verdict_with_what_is_needed() -> None:
    report = judged(profiled(numbers(1, 500)), numbers(2, 40), DriftPolicy(min_rows=100))
    assert (report.verdict, report.rows, report.needed) == ("insufficient_data", 40, 100)
    assert report.sentence == "40 rows in the window, 100 are needed"


def test_bad_columns_have_their_own_words_and_do_not_void_the_report() -> None:
    names = ("gone", "empty", "sparse", "text", "infinite", "never", "huge")
    good = {name: np.random.default_rng(i).normal(size=400) for i, name in enumerate(names)}
    good["huge"] = 1.7e308 * np.linspace(-1, 1, 400)
    window = {**good, "moved": good["gone"] + 1}
    reference = profiled({**good, "moved": good["gone"], "never": np.full(400, math.nan)})
    del window["gone"]
    window["empty"] = np.full(400, math.nan)
    window["sparse"] = np.where(np.arange(400) < 5, 1.0, math.nan)
    window["text"] = np.array(["?"] * 400, dtype=object)
    window["infinite"] = np.where(np.arange(400) < 5, math.inf, good["infinite"])
    report = judged(reference, window)
    by_name = {column.name: column for column in report.columns}
    assert report.verdict == "drift"
    assert "moved" in report.drifted
    statuses = {name: by_name[name].status for name in names}
    assert statuses == {
        "gone": "absent",
        "empty": "no_values",
        "sparse": "too_few_values",
        "text": "unreadable",
        "infinite": "tested",
        "never": "no_values",
        "huge": "tested",
    }
    assert by_name["infinite"].sentence.endswith("5 infinite values left out")
    assert by_name["empty"].sentence.startswith("empty is missing more often: 0.0% → 100.0%")
    assert all(column.sentence.startswith(column.name + " ") for column in report.columns)
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_a_window_without_a_testable_column_is_no_evidence_of_anything() -> None:
    assert judged(profiled(numbers(1, 500)), {"other": np.zeros(500)}).verdict == "insufficient_data"


def test_drifted_columns_are_ordered_by_importance_times_effect() -> None:
    rng = np.random.default_rng(5)
    reference = profiled({name: rng.normal(size=3000) for name in ("little", "much", "same")})
    window = {"little": rng.normal(0.6, 1, 500), "much": rng.normal(2, 1, 500), "same": rng.normal(size=500)}
    assert judged(reference, window).drifted == ("much", "little")
    assert judged(reference, window, importance={"little": 0.9, "much": 0.05}).drifted == ("little", "much")


def test_a_report_travels_as_json() -> None:
    report = judged(profiled(world(np.random.default_rng(1), 2000)), world(np.random.default_rng(2), 300))
    assert DriftReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_plots_share_at_most_twenty_four_bins_and_whole_distributions() -> None:
    report = judged(profiled(world(np.random.default_rng(1), 2000)), world(np.random.default_rng(2), 300))
    for column in report.columns:
        plot = column.histogram
        assert plot is not None
        bins = len(plot.labels) or len(plot.edges) - 1
        assert bins == len(plot.reference) == len(plot.window) <= 24
        assert (sum(plot.reference), sum(plot.window)) == pytest.approx((1.0, 1.0))


def test_a_clean_feed_has_no_problem() -> None:
    reference = profiled(world(np.random.default_rng(1), 3000))
    for seed in range(2, 42):
        assert problems_of(reference, world(np.random.default_rng(seed), 60 + 10 * seed)) == []


def test_drift_is_not_a_broken_feed() -> None:
    window = world(np.random.default_rng(2), 500)
    for name, values in window.items():
        if values.dtype.kind == "f" and name != "rare":
            window[name] = values + 2
    assert problems_of(profiled(world(np.random.default_rng(1), 3000)), window) == []


@pytest.mark.parametrize(
    ("name", "broken", "kind", "words"),
    [
        ("temp", np.full(300, math.nan), "missing", "missing in 100.0% of 300 rows, 0.0% before"),
        ("temp", numbers(2, 300)["temp"] * 10, "scale", "times larger: median size 3"),
        ("temp", numbers(2, 300)["temp"] / 1000, "scale", "times smaller"),
        ("zero0", np.append(np.zeros(200), 1000 * numbers(2, 100)["temp"]), "scale", "as if in another unit"),
        ("temp", np.full(300, 21.5), "constant", "is 21.5 in all 300 rows"),
        ("even", np.array(["A", "B", "c"] * 100, dtype=object), "unknown_categories", "in 66.7% of 300"),
        ("even", np.array(["a"] * 300, dtype=object), "constant", "is 'a' in all 300 rows"),
    ],
)
def test_a_broken_feed_is_named(name: str, broken: Array, kind: str, words: str) -> None:
    columns = {**world(np.random.default_rng(1), 3000), **numbers(1, 3000)}
    problem = problems_of(profiled(columns), {**columns, name: broken})
    assert [(p.column, p.kind) for p in problem] == [(name, kind)]
    assert words in problem[0].sentence


def test_an_absent_column_is_a_feed_problem() -> None:
    problems = problems_of(profiled(numbers(1, 500)), {})
    assert [(p.column, p.kind) for p in problems] == [("temp", "absent")]


def test_a_column_that_spans_decades_is_not_rescaled_by_moving_within_them() -> None:
    rng = np.random.default_rng(1)
    reference = profiled({"wide": np.exp(3 * rng.normal(size=3000))})
    window = np.exp(3 * rng.normal(size=300))
    assert problems_of(reference, {"wide": 10 * window}) == []
    assert [p.kind for p in problems_of(reference, {"wide": 1000 * window})] == ["scale"]


LUMPS: dict[str, tuple[list[float], list[float]]] = {
    "two": ([12.0, 120.0], [0.52, 0.48]),
    "two and zero": ([0.0, 12.0, 120.0], [0.4, 0.305, 0.295]),
    "two of either sign": ([-1.5, 1.5, 45.0], [0.3, 0.21, 0.49]),
}


@pytest.mark.parametrize(("values", "shares"), LUMPS.values(), ids=LUMPS)
def test_a_median_that_flips_between_two_heavy_values_is_no_other_unit(
    values: list[float], shares: list[float]
) -> None:
    rng = np.random.default_rng(8)
    reference = profiled({"size": rng.choice(values, 3000, p=shares)})
    called = [problems_of(reference, {"size": rng.choice(values, 100, p=shares)}) for _ in range(200)]
    assert [problem for problem in called if problem] == []


@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize(("values", "shares"), LUMPS.values(), ids=LUMPS)
def test_heavy_values_in_another_unit_are_found(
    values: list[float], shares: list[float], factor: float, rows: int
) -> None:
    rng = np.random.default_rng(9)
    reference = profiled({"size": rng.choice(values, 3000, p=shares)})
    window = {"size": factor * rng.choice(values, rows, p=shares)}
    assert [problem.kind for problem in problems_of(reference, window)] == ["scale"]


@pytest.mark.parametrize("rows", [100, 1000])
@pytest.mark.parametrize("factor", [10.0, 0.1, 1000.0])
def test_another_unit_is_found_however_many_rows_are_zero(factor: float, rows: int) -> None:
    rng = np.random.default_rng(10)

    def sizes(count: int, zeros: float) -> Array:
        return np.where(rng.random(count) < zeros, 0.0, np.exp(3 + 0.3 * rng.normal(size=count)))

    for zeros in (0.0, 0.6):
        reference = profiled({"size": sizes(3000, zeros)})
        problem = problems_of(reference, {"size": factor * sizes(rows, zeros)})
        assert [one.kind for one in problem] == ["scale"]


@pytest.mark.parametrize("rows", [100, 1000])
def test_other_degrees_are_found_either_way(rows: int) -> None:
    celsius, now = numbers(1, 3000)["temp"], numbers(2, rows)["temp"]
    for reference, window in ((celsius, 1.8 * now + 32), (1.8 * celsius + 32, now)):
        assert [one.kind for one in problems_of(profiled({"temp": reference}), {"temp": window})] == ["unit"]


def test_a_constant_that_chance_explains_is_no_problem() -> None:
    reference = profiled({"rare": (np.arange(3000) % 100 == 0).astype(float)})
    assert problems_of(reference, {"rare": np.zeros(300)}) == []


def test_a_window_that_came_in_blocks_is_judged_as_if_it_had_come_at_once() -> None:
    reference, window = profiled(world(np.random.default_rng(1), 2000)), world(np.random.default_rng(2), 3000)
    window["normal1"] = window["normal1"] + 0.2
    builder = WindowBuilder(reference)
    for start in range(0, 3000, 700):
        builder.add({name: values[start : start + 700] for name, values in window.items()})
    assert detect(Compared(reference, builder.window())) == judged(reference, window)


def test_what_a_bench_draws_as_counts_is_what_a_check_counts_of_rows() -> None:
    """Rows put into the cells that the bench draws its counts for give the same tests."""
    drawn = World.of(20).changed("c0", shift=0.3)
    rng = np.random.default_rng(3)
    reference, rows = drawn.profile(World.of(20).draw(rng, 2000)), drawn.draw(rng, 4000)
    columns = dict(count(reference, rows).columns)
    for name, before in reference.columns.items():
        if isinstance(before, NumericProfile):
            values = np.asarray(rows[name])
            columns[name] = of_cells(before, 4000, in_cells(before, values[~np.isnan(values)]))
    by_rows, by_cells = (detect(Compared(reference, one)) for one in (count(reference, rows), Window(4000, columns)))
    assert by_rows.drifted == by_cells.drifted == ("c0",)
    for one, other in zip(by_rows.columns, by_cells.columns, strict=True):
        assert [(t.statistic, t.effect, t.p) for t in one.tests] == [(t.statistic, t.effect, t.p) for t in other.tests]


@pytest.mark.parametrize("law", [law for law in MIX if isinstance(law, Number)])
def test_cells_have_the_shares_that_rows_fall_into_them_with(law: Number) -> None:
    rng = np.random.default_rng(4)
    reference = profile_column(replace(law, missing=0.0).draw(rng, 3000), "numeric")
    assert isinstance(reference, NumericProfile)
    found = in_cells(reference, replace(law, missing=0.0).draw(rng, 200_000))
    expected = 200_000 * law.cells(reference)
    assert expected.sum() == pytest.approx(200_000)
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected) + 1).all()


def in_cells(reference: NumericProfile, values: Array) -> Array:
    """By turns strictly between two edges, and on one."""
    edges = np.asarray(reference.edges)
    place = np.searchsorted(edges, values, "left")
    on = (place < len(edges)) & (edges[place.clip(max=len(edges) - 1)] == values)
    return np.bincount(2 * place + on, minlength=2 * len(edges) + 1)


@pytest.mark.parametrize(
    ("name", "broken", "kind", "words"),
    [
        ("temp", numbers(2, 300)["temp"] * 1.8 + 32, "unit", "degrees Fahrenheit instead of Celsius: median 3"),
        ("hot", (numbers(2, 300)["temp"] * 1.8 + 32 - 32) / 1.8, "unit", "degrees Celsius instead of Fahrenheit"),
        ("temp", np.append(np.full(30, -999.0), numbers(2, 270)["temp"]), "range", "range in 10.0% of 300 values"),
    ],
)
def test_a_feed_in_other_degrees_or_far_out_of_range_is_named(name: str, broken: Array, kind: str, words: str) -> None:
    columns = {**numbers(1, 3000), "hot": numbers(5, 3000)["temp"] * 1.8 + 32}
    problem = problems_of(profiled(columns), {**columns, name: broken})
    assert [(p.column, p.kind, p.broken) for p in problem] == [(name, kind, True)]
    assert words in problem[0].sentence


def test_a_few_outliers_are_the_world_and_not_the_feed() -> None:
    window = numbers(2, 300)["temp"]
    window[:10] = 900.0
    assert problems_of(profiled(numbers(1, 3000)), {"temp": window}) == []


def test_a_bad_column_takes_no_other_with_it() -> None:
    columns = world(np.random.default_rng(1), 3000)
    window = {
        **world(np.random.default_rng(2), 400),
        "normal0": np.full(400, math.nan),
        "even": np.array(["?"] * 400, dtype=object),
    }
    window["normal1"] = window["normal1"] + 1
    report, problems = judged(profiled(columns), window), problems_of(profiled(columns), window)
    assert {"normal1", "normal0", "even"} <= set(report.drifted)
    assert {(p.column, p.kind) for p in problems} == {("normal0", "missing"), ("even", "unknown_categories")}


def test_a_report_says_how_much_of_the_importance_drifted() -> None:
    rng = np.random.default_rng(5)
    reference = profiled({name: rng.normal(size=3000) for name in ("little", "much", "same")})
    window = {"little": rng.normal(0.6, 1, 500), "much": rng.normal(2, 1, 500), "same": rng.normal(size=500)}
    weights = {"little": 0.1, "much": 0.3, "same": 0.6, "gone": -0.2}
    assert judged(reference, window, importance=weights).importance == pytest.approx(0.4)
    assert judged(reference, window).importance is None


@pytest.mark.parametrize(
    ("drifted", "importance", "share"),
    [
        (["a"], {"a": 0.03, "b": 0.01, "c": -0.5}, 0.75),
        (["c"], {"a": 0.03, "b": 0.01, "c": -0.5}, 0.0),
        (["a", "b"], {"a": 0.03, "b": 0.01}, 1.0),
        (["predictions"], {"a": 0.03}, 1.0),
        (["a"], {"a": 0.0, "b": -0.1}, 1.0),
        (["a"], {}, 1.0),
    ],
)
def test_drift_weighs_what_its_columns_hold_of_the_importance(
    drifted: list[str], importance: dict[str, float], share: float
) -> None:
    assert importance_of(drifted, importance) == pytest.approx(share)


def test_a_column_that_is_not_captured_keeps_its_share_of_the_importance() -> None:
    rng = np.random.default_rng(5)
    reference = profiled({name: rng.normal(size=3000) for name in ("little", "same")})
    window = {"little": rng.normal(0.6, 1, 500), "same": rng.normal(size=500)}
    weights = {"little": 0.1, "same": 0.1, "dropped": 0.8}
    assert judged(reference, window, importance=weights).importance == pytest.approx(0.1)


def test_a_silent_window_is_told_beside_what_is_usual() -> None:
    assert silence(0, [1200, 1000, 1400]) == "no predictions came in this window, where 1,200 are usual"
    assert silence(100, [1200, 1000, 1400]).startswith("100 predictions came")
    assert silence(500, [1200, 1000, 1400]) == silence(0, [1200]) == silence(0, [0, 0, 0]) == ""


def test_what_was_fine_before_is_no_broken_feed_but_what_was_refused_stays_one() -> None:
    gone = FeedProblem("gust", "missing", "gust is missing")
    other, refused = (
        FeedProblem("wind", "missing", "wind is missing"),
        FeedProblem("gust", "refused", "60 rows refused"),
    )
    absent = FeedProblem("gust", "absent", "gust is absent")
    found = known([gone, absent, other, refused], {"missing gust": 1.0})
    assert [problem.broken for problem in found] == [False, True, True, True]


def test_what_is_half_as_much_again_as_what_did_no_harm_is_harmless_and_no_more() -> None:
    problems = [FeedProblem("gust", "missing", "gust is missing", extent) for extent in (0.3, 0.6, 0.61)]
    assert [problem.broken for problem in known(problems, {"missing gust": 0.4})] == [False, False, True]


def test_a_scale_that_did_no_harm_in_one_direction_may_do_it_in_the_other() -> None:
    larger, smaller = (FeedProblem("gust", "scale", "gust is about 10 times …", extent) for extent in (1.0, -1.0))
    assert looks([larger]) == {"scale gust": 1.0}
    assert [problem.broken for problem in known([larger, smaller], looks([smaller]))] == [True, False]


def test_what_looked_broken_is_harmless_by_the_windows_that_labels_showed_fine() -> None:
    def check(performance: str, together: str, **looked: float) -> dict[str, Any]:
        return {"performance": performance, "together": together, "looks": looked}

    checks = [
        check("dropped", "fine", gust=0.9, rain=0.3),
        check("fine", "fine", gust=0.4),
        check("fine", "dropped", gust=0.8),
        check("insufficient_labels", "fine", gust=0.9),
        check("fine", "fine", gust=0.5),
        {"performance": "fine"},
    ]
    assert shown_harmless(checks) == {"gust": 0.5}


def test_a_constant_column_is_no_look_of_a_broken_feed() -> None:
    problems = [FeedProblem("weekday", kind, "") for kind in ("constant", "refused", "missing")]
    assert looks(problems) == {"missing weekday": 1.0}


def test_the_scale_of_a_trusted_column_may_jump_and_nothing_else_of_it() -> None:
    problems = [FeedProblem("price", kind, f"price {kind}") for kind in ("scale", "unit", "missing")]
    found = trusting(problems, ["price"])
    assert [problem.broken for problem in found] == [False, False, True]
    assert looks(found) == {"missing price": 1.0}
    assert found[0].sentence == "price scale, which quality.trusted in the spec allows"
