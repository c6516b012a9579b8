"""Has the world moved? A window of rows against the profile of the rows that a model learned from.

A column has drifted when a two-sample test says so after Holm's correction over all tests of the report, and its
effect reaches a floor. A broken feed is a different finding: see `tidemill.stages.feed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill.profile import (
    ColumnProfile,
    LevelsProfile,
    NumericProfile,
    Profile,
    TimeProfile,
    level_counts,
    profile_column,
)
from tidemill.schema import Columns
from tidemill.stages.special import Comparison, compare_levels, compare_shares, holm, kolmogorov_p

Verdict = Literal["drift", "no_drift", "insufficient_data"]
Status = Literal["tested", "not_tested", "absent", "unreadable", "no_values", "too_few_values"]
Values = npt.NDArray[Any]

FEW_VALUES = 30
PLOT_BINS = 24
OTHERS = "all others"
_EFFECTS = {"ks": "K-S distance", "levels": "total variation distance", "missing": "difference"}


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """`false_alarms` is the family-wise level of one report; a floor is the least effect worth acting on."""

    min_rows: int = 100
    false_alarms: float = 0.005
    ks_floor: float = 0.05
    levels_floor: float = 0.05
    missing_floor: float = 0.05


@dataclass(frozen=True, slots=True)
class ColumnTest:
    """`name` is ks, levels or missing; drifted = adjusted_p <= the policy's false_alarms and effect >= threshold."""

    name: str
    statistic: float
    effect: float
    p: float
    threshold: float
    moved: str
    detail: str
    adjusted_p: float = 1.0
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares on common bins: `labels`, or for numbers k + 1 `edges` (the outer bins hold what lies beyond)."""

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    name: str
    kind: str
    status: Status
    sentence: str
    tests: tuple[ColumnTest, ...] = ()
    histogram: Histogram | None = None

    @property
    def drifted(self) -> bool:
        return any(test.drifted for test in self.tests)

    @property
    def leading(self) -> ColumnTest | None:
        """The test that the sentence is about: one that found drift, else the one nearest to it."""
        return min(self.tests, key=lambda test: (not test.drifted, test.adjusted_p), default=None)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`drifted` names columns, the most important x effect first."""

    verdict: Verdict
    sentence: str
    rows: int
    needed: int
    reference_rows: int
    drifted: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    policy: DriftPolicy

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        for entry, column in zip(document["columns"], self.columns, strict=True):
            entry["drifted"] = column.drifted
            entry["leading"] = column.leading and column.leading.name
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DriftReport:
        columns = tuple(_column_from_json(entry) for entry in document["columns"])
        fields = {"drifted": tuple(document["drifted"]), "columns": columns}
        return cls(**{**document, **fields, "policy": DriftPolicy(**document["policy"])})


def detect(
    reference: Profile,
    columns: Columns,
    policy: DriftPolicy | None = None,
    importance: Mapping[str, float] | None = None,
) -> DriftReport:
    """Columns that the reference does not have are not looked at; without `importance` all weigh the same."""
    policy = policy or DriftPolicy()
    rows = max((len(values) for values in columns.values()), default=0)

    def report(verdict: Verdict, sentence: str, drifted: tuple[str, ...] = ()) -> DriftReport:
        return DriftReport(verdict, sentence, rows, policy.min_rows, reference.rows, drifted, tuple(found), policy)

    found: list[ColumnDrift] = []
    if rows < policy.min_rows:
        return report("insufficient_data", f"{rows} rows in the window, {policy.min_rows} are needed")
    with np.errstate(all="ignore"):  # values near the largest float overflow in a plot's bins, nowhere else
        found = [_look(name, ref, columns.get(name), policy) for name, ref in reference.columns.items()]
    adjusted = iter(holm(np.array([test.p for column in found for test in column.tests])).tolist())
    found = [_conclude(column, [next(adjusted) for _ in column.tests], policy) for column in found]
    tested = sum(bool(column.tests) for column in found)
    if not tested:
        return report("insufficient_data", f"none of {len(found)} columns could be tested")

    def weight(column: ColumnDrift) -> float:
        effect = max(test.effect for test in column.tests if test.drifted)
        return effect * (1.0 if importance is None else importance.get(column.name, 0.0))

    drifted = tuple(c.name for c in sorted((c for c in found if c.drifted), key=weight, reverse=True))
    if not drifted:
        return report("no_drift", f"none of {tested} tested columns drifted in {rows} rows")
    names = ", ".join(drifted[:3]) + (", …" if len(drifted) > 3 else "")
    return report("drift", f"{len(drifted)} of {tested} tested columns drifted in {rows} rows: {names}", drifted)


def _look(name: str, reference: ColumnProfile, values: Values | None, policy: DriftPolicy) -> ColumnDrift:
    """The column's tests, not yet corrected for each other."""

    def untested(status: Status, reason: str, *tests: ColumnTest) -> ColumnDrift:
        return ColumnDrift(name, reference.kind, status, f"{name} {reason}", tests)

    if values is None:
        return untested("absent", "is absent from the window")
    if isinstance(reference, TimeProfile):
        return untested("not_tested", "is a point in time, which moves on: it is not tested")
    if not readable(values, reference.kind):
        return untested("unreadable", f"is not {reference.kind} in the window: it holds {values.dtype} values")
    now: Any = profile_column(values, reference.kind)  # of the reference's own kind
    missing = _missing(reference, now, policy)
    if not now.present or not reference.present:
        where = "the reference" if now.present else "the window"
        return untested("no_values", f"has no value in {where}", *missing)
    if now.present < FEW_VALUES:
        few = f"has {now.present} values in the window, {FEW_VALUES} are needed"
        return untested("too_few_values", few, *missing)
    note, plot = "", None
    if isinstance(reference, LevelsProfile):
        before, after, labels = _level_counts(reference, values)
        tests, plot = [_levels(before, after, labels, policy)], _level_bins(before, after, labels)
    else:
        tests, plot = [_numbers(reference, now, values, policy)], _number_bins(reference, now)
        note = f"; {now.infinite} infinite values left out" if now.infinite else ""
    return ColumnDrift(name, reference.kind, "tested", note, (*tests, *missing), plot)


def _conclude(column: ColumnDrift, adjusted: list[float], policy: DriftPolicy) -> ColumnDrift:
    """The tests with their corrected p-values, and the sentence that follows from them."""
    tests = tuple(
        replace(test, adjusted_p=p, drifted=p <= policy.false_alarms and test.effect >= test.threshold)
        for test, p in zip(column.tests, adjusted, strict=True)
    )
    column = replace(column, tests=tests)
    lead = column.leading
    if lead is None or not (lead.drifted or column.status == "tested"):
        return column
    p = f"adjusted p {'< 0.0001' if lead.adjusted_p < 1e-4 else f'= {lead.adjusted_p:.2g}'}"
    verb = "looks as before"
    if lead.drifted:
        verb = lead.moved
    elif lead.adjusted_p <= policy.false_alarms:
        verb = f"{lead.moved}, less than the {lead.threshold:g} that matters"
    note = column.sentence if column.status == "tested" else ""
    sentence = f"{column.name} {verb}: {lead.detail} ({_EFFECTS[lead.name]} {lead.effect:.2f}, {p}){note}"
    return replace(column, sentence=sentence)


def _missing(reference: ColumnProfile, now: ColumnProfile, policy: DriftPolicy) -> list[ColumnTest]:
    """No test where nothing is missing on either side: it could never reject, and would cost the others power."""
    gone, gone_before = now.rows - now.present, reference.rows - reference.present
    if not gone + gone_before or not reference.rows:
        return []
    result = compare_shares(gone, now.rows, gone_before, reference.rows)
    moved = "is missing more often" if result.statistic > 0 else "is missing less often"
    detail = f"{gone_before / reference.rows:.1%} → {gone / now.rows:.1%} of rows"
    return [ColumnTest("missing", *result, policy.missing_floor, moved, detail)]


def _numbers(reference: NumericProfile, now: NumericProfile, values: Values, policy: DriftPolicy) -> ColumnTest:
    """K-S at the profile's edges, and just below those that hold one heavy value: nothing in between is known."""
    edges, ranked = np.asarray(reference.edges), np.sort(values[np.isfinite(values)])
    heavy = edges[np.asarray(reference.atoms)]
    before = np.concatenate([reference.cumulative(edges), reference.cumulative(heavy, below=True)])
    after = np.concatenate([np.searchsorted(ranked, edges, "right"), np.searchsorted(ranked, heavy, "left")])
    gaps = before / reference.present - after / now.present
    up, down = float(gaps.max(initial=0.0)), float(-gaps.min(initial=0.0))
    distance = max(up, down)
    result = Comparison(distance, distance, kolmogorov_p(distance, now.present, reference.present))
    (low, median, high), (low_now, median_now, high_now) = (c.quantile([0.05, 0.5, 0.95]) for c in (reference, now))
    moved, detail = "moved up" if up > down else "moved down", f"median {plain(median)} → {plain(median_now)}"
    if median == median_now or (median_now > median) != (up > down):
        detail = f"mean {plain(reference.mean)} → {plain(now.mean)}"
    if min(up, down) > 0.5 * distance:
        moved = "spread out" if high_now - low_now > high - low else "drew together"
        detail = f"middle 90 % {plain(low)} to {plain(high)} → {plain(low_now)} to {plain(high_now)}"
    return ColumnTest("ks", *result, policy.ks_floor, moved, detail)


def _level_counts(reference: LevelsProfile, values: Values) -> tuple[Values, Values, list[str]]:
    """Counts by level in the reference and in the window; the last place is all other levels."""
    labels = list(reference.counts)
    if reference.other:
        # The least frequent of those kept were chosen for being frequent here: they would seem to decline.
        cutoff = min(reference.counts.values())
        labels = [label for label in labels if reference.counts[label] >= cutoff + 4 * math.sqrt(cutoff)]
    now = level_counts(values, reference.kind)
    before, after = ([counts.get(label, 0) for label in labels] for counts in (reference.counts, now))
    rest = reference.present - sum(before), now.total() - sum(after)
    return np.array([*before, rest[0]]), np.array([*after, rest[1]]), [*labels, OTHERS]


def _levels(before: Values, after: Values, labels: list[str], policy: DriftPolicy) -> ColumnTest:
    shares, shares_now = before / before.sum(), after / after.sum()
    most = int(np.argmax(np.abs(shares_now - shares)))
    detail = f"share of {labels[most]!r} {shares[most]:.1%} → {shares_now[most]:.1%}"
    return ColumnTest("levels", *compare_levels(after, before), policy.levels_floor, "changed", detail)


def _level_bins(before: Values, after: Values, labels: list[str]) -> Histogram:
    rows = [
        tuple(np.append(counts[: PLOT_BINS - 1], counts[PLOT_BINS - 1 :].sum()) / counts.sum())
        for counts in (before, after)
    ]
    names = (*labels[:-1][: PLOT_BINS - 1], OTHERS)
    return Histogram((), names, tuple(map(float, rows[0][: len(names)])), tuple(map(float, rows[1][: len(names)])))


def _number_bins(reference: NumericProfile, now: NumericProfile) -> Histogram | None:
    points = np.union1d(reference.edges, now.edges)
    if len(points) <= PLOT_BINS and all(reference.atoms) and all(now.atoms):
        shares = [(c.cumulative(points) - c.cumulative(points, below=True)) / c.present for c in (reference, now)]
        labels = tuple(f"{point:g}" for point in points)
        return Histogram((), labels, tuple(shares[0].tolist()), tuple(shares[1].tolist()))
    ends = np.concatenate([c.quantile([0.01, 0.99]) for c in (reference, now)])
    edges = np.linspace(ends.min(), ends.max(), PLOT_BINS + 1)
    if not np.isfinite(edges).all():
        return None
    shares = []
    for column in (reference, now):
        reached = column.cumulative(edges) / column.present
        reached[[0, -1]] = 0.0, 1.0
        shares.append(np.diff(reached))
    return Histogram(tuple(edges.tolist()), (), tuple(shares[0].tolist()), tuple(shares[1].tolist()))


def plain(number: float) -> str:
    """Four digits for people, without an exponent where none is needed."""
    return f"{number:,.0f}" if 1_000 <= abs(number) < 1e15 else f"{number:.4g}"


def readable(values: Values, kind: str) -> bool:
    """Whether the array is of the type that `Columns` has for the kind."""
    return values.dtype.kind in {"categorical": "OU", "datetime": "M"}.get(kind, "fiub")


def _column_from_json(entry: Mapping[str, Any]) -> ColumnDrift:
    plot = entry["histogram"] and Histogram(**{key: tuple(value) for key, value in entry["histogram"].items()})
    tests = tuple(ColumnTest(**test) for test in entry["tests"])
    return ColumnDrift(entry["name"], entry["kind"], entry["status"], entry["sentence"], tests, plot)
