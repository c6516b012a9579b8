"""Has the world moved? A window of rows against the profile of the rows that a model learned from.

A column has drifted when a two-sample test says so after Holm's correction over all tests of the report, and its
effect reaches a floor. The model's answers and the way the columns go together are columns as all others. A broken
feed is a different finding: see `tidemill.stages.feed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from tidemill.profile import ColumnProfile, LevelsProfile, NumericProfile, Profile, TimeProfile
from tidemill.stages.special import Comparison, compare_levels, compare_shares, holm, kolmogorov_p
from tidemill.stages.window import Categories, Counts, Numbers, Seen, Window

Verdict = Literal["drift", "no_drift", "insufficient_data"]
Status = Literal["tested", "not_tested", "absent", "unreadable", "no_values", "too_few_values"]
Part = Literal["feature", "answer", "together"]

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
class Compared:
    """A window, and the profile that it is compared with. Under `fewest` values nothing is said of a column's own."""

    reference: Profile
    window: Window
    of: Part = "feature"
    fewest: int = FEW_VALUES


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
    of: Part = "feature"

    @property
    def drifted(self) -> bool:
        return any(test.drifted for test in self.tests)

    @property
    def effect(self) -> float:
        """The largest that drifted; 0 where none did."""
        return max((test.effect for test in self.tests if test.drifted), default=0.0)

    @property
    def leading(self) -> ColumnTest | None:
        """The test that the sentence is about: one that found drift, else the one nearest to it."""
        return min(self.tests, key=lambda test: (not test.drifted, test.adjusted_p), default=None)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """`drifted` names columns, the most important x effect first. `importance`: see `importance_of`, None where nothing
    drifted or nothing is known of it."""

    verdict: Verdict
    sentence: str
    rows: int
    needed: int
    reference_rows: int
    drifted: tuple[str, ...]
    columns: tuple[ColumnDrift, ...]
    policy: DriftPolicy
    importance: float | None = None

    @property
    def effects(self) -> Mapping[str, float]:
        """Of each column that drifted, in the order of `drifted`."""
        found = {column.name: column.effect for column in self.columns if column.drifted}
        return {name: found[name] for name in self.drifted}

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
    compared: Compared | Sequence[Compared],
    policy: DriftPolicy | None = None,
    importance: Mapping[str, float] | None = None,
) -> DriftReport:
    """What is compared first are the features. Without `importance` all weigh the same; what is no feature weighs as
    much as all of them."""
    policy = policy or DriftPolicy()
    compared = [compared] if isinstance(compared, Compared) else compared
    reference_rows, rows = compared[0].reference.rows, compared[0].window.rows
    found: list[ColumnDrift] = []

    def report(
        verdict: Verdict, sentence: str, drifted: tuple[str, ...] = (), share: float | None = None
    ) -> DriftReport:
        columns = tuple(found)
        return DriftReport(verdict, sentence, rows, policy.min_rows, reference_rows, drifted, columns, policy, share)

    if rows < policy.min_rows:
        return report("insufficient_data", f"{rows} rows in the window, {policy.min_rows} are needed")
    with np.errstate(all="ignore"):  # values near the largest float overflow in a plot's bins, nowhere else
        found = [column for each in compared for column in _looked_at(each, policy)]
    adjusted = iter(holm(np.array([test.p for column in found for test in column.tests])).tolist())
    found = [_conclude(column, [next(adjusted) for _ in column.tests], policy) for column in found]
    tested = sum(bool(column.tests) for column in found)
    if not tested:
        return report("insufficient_data", f"none of {len(found)} columns could be tested")
    shares = _shares(found, importance)

    def weight(column: ColumnDrift) -> float:
        return column.effect * (shares[column.name] if column.of == "feature" else 1.0)

    moved = sorted((column for column in found if column.drifted), key=weight, reverse=True)
    if not moved:
        return report("no_drift", f"none of {tested} tested columns drifted in {rows} rows")
    drifted = tuple(column.name for column in moved)
    names = ", ".join(drifted[:3]) + (", …" if len(drifted) > 3 else "")
    sentence = f"{len(drifted)} of {tested} tested columns drifted in {rows} rows: {names}"
    return report("drift", sentence, drifted, None if importance is None else importance_of(drifted, importance))


def importance_of(drifted: Sequence[str], importance: Mapping[str, float]) -> float:
    """Share of the summed positive importance of the model's columns, those that are not captured too, that is in
    `drifted`. All of it where no column has any, and where something drifted of which none is known, such as the
    predictions."""
    positive = {name: max(loss, 0.0) for name, loss in importance.items()}
    total = sum(positive.values())
    if not total or not positive.keys() >= set(drifted):
        return 1.0
    return sum(positive[name] for name in drifted) / total


def _shares(found: Sequence[ColumnDrift], importance: Mapping[str, float] | None) -> Mapping[str, float]:
    """Of all that the features weigh; one that is better shuffled weighs nothing."""
    names = [column.name for column in found if column.of == "feature"]
    weights = {name: 1.0 if importance is None else max(0.0, importance.get(name, 0.0)) for name in names}
    total = sum(weights.values())
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _looked_at(compared: Compared, policy: DriftPolicy) -> Iterator[ColumnDrift]:
    window = compared.window
    for name, reference in compared.reference.columns.items():
        found = window.unreadable.get(name)
        if found:
            reason = f"is not {reference.kind} in the window: it holds {found} values"
            yield ColumnDrift(name, reference.kind, "unreadable", f"{name} {reason}", of=compared.of)
        else:
            yield _look(name, reference, window.columns.get(name), policy, compared)


def _look(
    name: str, reference: ColumnProfile, seen: Seen | None, policy: DriftPolicy, compared: Compared
) -> ColumnDrift:
    """The column's tests, not yet corrected for each other."""

    def untested(status: Status, reason: str, *tests: ColumnTest) -> ColumnDrift:
        return ColumnDrift(name, reference.kind, status, f"{name} {reason}", tests, of=compared.of)

    if seen is None:
        return untested("absent", "is absent from the window")
    if isinstance(seen, TimeProfile):
        return untested("not_tested", "is a point in time, which moves on: it is not tested")
    now = seen.profile
    missing = _missing(reference, now, policy)
    if not now.present or not reference.present:
        where = "the reference" if now.present else "the window"
        return untested("no_values", f"has no value in {where}", *missing)
    if now.present < compared.fewest:
        few = f"has {now.present} values in the window, {compared.fewest} are needed"
        return untested("too_few_values", few, *missing)
    note, plot, tests = "", None, []
    if isinstance(seen, Categories) and isinstance(reference, LevelsProfile):
        before, after, labels = _level_counts(reference, seen)
        tests, plot = [_levels(before, after, labels, policy)], _level_bins(before, after, labels)
    if isinstance(seen, Numbers) and isinstance(reference, NumericProfile):
        tests, plot = [_numbers(reference, seen, policy)], _number_bins(reference, seen.profile)
        note = f"; {seen.profile.infinite} infinite values left out" if seen.profile.infinite else ""
    return ColumnDrift(name, reference.kind, "tested", note, (*tests, *missing), plot, compared.of)


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


def _numbers(reference: NumericProfile, seen: Numbers, policy: DriftPolicy) -> ColumnTest:
    """K-S at the profile's edges, and just below those that hold one heavy value: nothing in between is known."""
    bins, now = reference.bins, seen.profile
    before = np.concatenate([bins.reached, (bins.reached - bins.counts)[bins.atoms]])
    gaps = before / reference.present - np.concatenate([seen.up_to, seen.below]) / now.present
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


def _level_counts(reference: LevelsProfile, seen: Categories) -> tuple[Counts, Counts, list[str]]:
    """Counts by level in the reference and in the window; the last place is all other levels."""
    labels, before = list(reference.counts), np.array(list(reference.counts.values()), dtype=np.int64)
    named = np.ones(len(labels), dtype=np.bool_)
    if reference.other:
        # The least frequent of those kept were chosen for being frequent here: they would seem to decline.
        cutoff = min(reference.counts.values())
        named = before >= cutoff + 4 * math.sqrt(cutoff)
    before, after = before[named], seen.known[named]
    rest = reference.present - before.sum(), seen.profile.present - after.sum()
    names = [label for label, by_name in zip(labels, named, strict=True) if by_name]
    return np.append(before, rest[0]), np.append(after, rest[1]), [*names, OTHERS]


def _levels(before: Counts, after: Counts, labels: list[str], policy: DriftPolicy) -> ColumnTest:
    shares, shares_now = before / before.sum(), after / after.sum()
    most = int(np.argmax(np.abs(shares_now - shares)))
    detail = f"share of {labels[most]!r} {shares[most]:.1%} → {shares_now[most]:.1%}"
    return ColumnTest("levels", *compare_levels(after, before), policy.levels_floor, "changed", detail)


def _level_bins(before: Counts, after: Counts, labels: list[str]) -> Histogram:
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


def _column_from_json(entry: Mapping[str, Any]) -> ColumnDrift:
    plot = entry["histogram"] and Histogram(**{key: tuple(value) for key, value in entry["histogram"].items()})
    tests = tuple(ColumnTest(**test) for test in entry["tests"])
    known = {key: entry[key] for key in ("name", "kind", "status", "sentence", "of")}
    return ColumnDrift(**known, tests=tests, histogram=plot)
