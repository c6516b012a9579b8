"""Is the feed broken? What no change of the world explains: it is repaired, not learned from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tidemill.profile import ColumnProfile, LevelsProfile, NumericProfile, Profile
from tidemill.stages.drift import FEW_VALUES, plain
from tidemill.stages.retrain import ALIKE
from tidemill.stages.special import fisher_p, kolmogorov_p
from tidemill.stages.window import Categories, Numbers, Seen, Window

FEWEST = 50
"""Rows of a window of which more can be said than that a column is absent."""
MISSING_JUMP = 0.3
UNKNOWN_SHARE = 0.5
FAR_SHARE = 0.05
DECADE = 0.9
"""In powers of ten; a little less than one, since the two medians of a true 10x are only estimates."""
BY_CHANCE = 1e-6
_DEGREES = (("Fahrenheit", "Celsius", 1.8, 32.0), ("Celsius", "Fahrenheit", 1 / 1.8, -32 / 1.8))
_EVENLY = (np.arange(512) + 0.5) / 512
_OF_SCALE = ("scale", "unit")
_FEW_WINDOWS, _SILENT = 3, 10
_FIT = 0.25
"""Of the distance of two quartiles: how far each quartile of a converted column may be from where it should be."""


Found = tuple[str, float]
"""Why, and the extent; "" where there is nothing."""
_NOTHING: Found = ("", 0.0)


@dataclass(frozen=True, slots=True)
class FeedProblem:
    """`kind`: refused, absent, missing, scale, unit, range, unknown_categories or constant. `extent`: the share of
    values that it is about, or the powers of ten of a scale, negative where sizes are smaller. `harmless`: see `known`
    and `trusting`."""

    column: str
    kind: str
    sentence: str
    extent: float = 1.0
    harmless: bool = False

    @property
    def broken(self) -> bool:
        """A constant column alone is no proof: the weekday is one in every window of a day."""
        return self.kind != "constant" and not self.harmless

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "broken": self.broken}

    @property
    def look(self) -> str:
        """What is told, and what labels may show to do no harm: of a column that did none in another unit, that says
        nothing of its being absent."""
        return f"{self.kind} {self.column}{' smaller' if self.extent < 0 else ''}"


def feed_problems(reference: Profile, window: Window) -> list[FeedProblem]:
    """What no change of the world explains: values gone, another unit, values far out of range, unknown codes, one
    value for all rows.

    Each is so far from the reference that chance is out of the question (below one in a million); windows of fewer
    than `FEWEST` rows have no finding, but for a column that is absent.
    """
    with np.errstate(all="ignore"):
        found = (_feed(name, ref, window) for name, ref in reference.columns.items())
        return [problem for problem in found if problem is not None]


def trusting(problems: Sequence[FeedProblem], trusted: Collection[str]) -> list[FeedProblem]:
    """`trusted`: columns whose scale may jump."""
    allowed = "which quality.trusted in the spec allows"
    return [
        replace(problem, harmless=True, sentence=f"{problem.sentence}, {allowed}")
        if problem.kind in _OF_SCALE and problem.column in trusted
        else problem
        for problem in problems
    ]


def known(problems: Sequence[FeedProblem], harmless: Mapping[str, float]) -> list[FeedProblem]:
    """`harmless`: see `shown_harmless`. A window of a day is no draw of the year: in one there are no gusts, in another
    a dew point near zero. What did no harm then, and is about as much now, is no broken feed."""
    return [
        replace(problem, harmless=True, sentence=f"{problem.sentence}, as in a window that labels showed fine")
        if problem.broken and abs(problem.extent) <= ALIKE * harmless.get(problem.look, 0.0)
        else problem
        for problem in problems
    ]


def looks(problems: Sequence[FeedProblem]) -> dict[str, float]:
    """Of what looks broken the extent; not of what is refused, since of that answers tell nothing."""
    return {problem.look: abs(problem.extent) for problem in problems if problem.broken and problem.kind != "refused"}


def shown_harmless(checks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What looked broken in windows that labels showed fine, and its largest extent there. `checks`: the registry's
    records of one version. A drop takes nothing of it back: what looked so before and did no harm is not its cause."""
    found: dict[str, float] = {}
    for check in checks:
        if check.get("performance") == "fine" and check.get("together") != "dropped":
            for look, extent in check.get("looks", {}).items():
                found[look] = max(extent, found.get(look, 0.0))
    return found


def silence(rows: int, usual: Sequence[int], refused: int = 0) -> str:
    """Why a window has strikingly few rows beside earlier ones, `refused` ones counted too; that is a fact, and no
    failure."""
    middle = float(np.median(usual)) if len(usual) >= _FEW_WINDOWS else 0.0
    if (rows + refused) * _SILENT > middle or not middle:
        return ""
    others = f", beside {refused} rows that were refused" if refused else ""
    return f"{rows or 'no'} predictions came in this window{others}, where {middle:,.0f} are usual"


def _feed(name: str, reference: ColumnProfile, window: Window) -> FeedProblem | None:
    seen = window.columns.get(name)
    if seen is None and name not in window.unreadable:
        return FeedProblem(name, "absent", f"{name} is absent from the window")
    if seen is None or window.rows < FEWEST or not reference.rows:
        return None
    now = seen.profile if isinstance(seen, Numbers | Categories) else seen
    for kind, (reason, extent) in (
        ("missing", _gone(reference, now)),
        ("scale", _rescaled(reference, now)),
        ("unit", (_converted(reference, now), 1.0)),
        ("range", _far(reference, seen)),
        ("unknown_categories", _unknown(reference, seen)),
        ("constant", (constant(reference, now), 1.0)),
    ):
        if reason:
            return FeedProblem(name, kind, f"{name} {reason}", extent)
    return None


def _gone(reference: ColumnProfile, now: ColumnProfile) -> Found:
    gone, gone_before = now.rows - now.present, reference.rows - reference.present
    share, share_before = gone / now.rows, gone_before / reference.rows
    if not now.present and reference.present:
        certain = fisher_p(gone, now.rows, gone_before, reference.rows) < BY_CHANCE
    else:
        certain = share - share_before >= MISSING_JUMP
    return (f"is missing in {share:.1%} of {now.rows} rows, {share_before:.1%} before", share) if certain else _NOTHING


def _rescaled(reference: ColumnProfile, now: ColumnProfile) -> Found:
    """The typical size is ten times another, beyond the sizes that the column usually spans, and beyond chance.

    Of two heavy values, the median falls on either."""
    if not isinstance(reference, NumericProfile) or not isinstance(now, NumericProfile):
        return _NOTHING
    before, after = log_sizes(reference), log_sizes(now)
    if before is None or after is None or abs(after[1] - before[1]) < max(DECADE, before[2] - before[0]):
        return _NOTHING
    if chance_of_sizes(reference, now) >= BY_CHANCE:
        return _NOTHING
    return f"{rescaled(before[1], after[1])}, as if in another unit", after[1] - before[1]


def log_sizes(column: NumericProfile) -> tuple[float, float, float] | None:
    """The quartiles of log10 of the sizes that are not zero; None with too few of them."""
    drawn = np.abs(column.quantile(_EVENLY))
    sizes = np.sort(drawn[drawn > 0])
    if len(sizes) / len(drawn) * column.present < FEW_VALUES:
        return None
    quarters = np.array([0.25, 0.5, 0.75]) * (len(sizes) - 1)
    low, median, high = np.interp(quarters, np.arange(len(sizes)), np.log10(sizes)).tolist()
    return low, median, high


def chance_of_sizes(before: NumericProfile, now: NumericProfile) -> float:
    """The two-sample K-S test's p of the sizes that are not zero: values around zero change their sizes and not their
    middle, and zeros have no unit."""
    points = np.unique(np.abs([*before.edges, *now.edges]))
    shares, sizes = [], []
    for column in (before, now):
        zeros = float(column.cumulative(0.0) - column.cumulative(0.0, below=True))
        within = column.cumulative(points) - column.cumulative(-points, below=True) - zeros
        sizes.append(round(column.present - zeros))
        shares.append(within / sizes[-1])
    return kolmogorov_p(float(np.abs(shares[0] - shares[1]).max(initial=0.0)), *sizes)


def rescaled(before: float, after: float) -> str:
    """Two medians of `log_sizes`, for people."""
    was, size, factor = np.power(10.0, [before, after, abs(after - before)]).tolist()
    times = f"{plain(float(f'{factor:.2g}'))} times {'larger' if after > before else 'smaller'}"
    return f"is about {times}: median size {plain(was)} → {plain(size)}"


def _converted(reference: ColumnProfile, now: ColumnProfile) -> str:
    """Fahrenheit for Celsius, or the other way: the middle half lies beyond the middle nine tenths of before, and just
    where the formula puts it."""
    if not isinstance(reference, NumericProfile) or not isinstance(now, NumericProfile):
        return ""
    if min(reference.present, now.present) < FEW_VALUES:
        return ""
    before, after = (column.quantile([0.05, 0.25, 0.5, 0.75, 0.95]) for column in (reference, now))
    if after[1] <= before[4] and after[3] >= before[0]:
        return ""
    for unit, instead_of, factor, offset in _DEGREES:
        expected = factor * before[1:4] + offset
        if np.abs(after[1:4] - expected).max() < _FIT * (expected[2] - expected[0]):
            medians = f"median {plain(before[2])} → {plain(after[2])}"
            return f"looks like degrees {unit} instead of {instead_of}: {medians}"
    return ""


def _far(reference: ColumnProfile, seen: Seen) -> Found:
    if not isinstance(reference, NumericProfile) or not isinstance(seen, Numbers) or not reference.present:
        return _NOTHING
    far, present = seen.far, seen.profile.present
    if present < FEW_VALUES or far < FAR_SHARE * present or fisher_p(far, present, 0, reference.present) >= BY_CHANCE:
        return _NOTHING
    worst = (
        seen.profile.max if seen.profile.max - reference.max > reference.min - seen.profile.min else seen.profile.min
    )
    usual = f"{plain(reference.min)} to {plain(reference.max)}"
    share = far / present
    return f"is far out of range in {share:.1%} of {present} values, e.g. {plain(worst)}: before, {usual}", share


def _unknown(reference: ColumnProfile, seen: Seen) -> Found:
    if not isinstance(reference, LevelsProfile) or not isinstance(seen, Categories):
        return _NOTHING
    if reference.kind != "categorical" or not reference.present or seen.profile.present < FEW_VALUES:
        return _NOTHING
    # Levels too rare for the profile are unknown to it, not to the model: their usual share is taken off.
    present = seen.profile.present
    share = 1 - int(seen.known.sum()) / present - reference.other / reference.present
    if share <= UNKNOWN_SHARE:
        return _NOTHING
    example = next((name for name in seen.profile.counts if name not in reference.counts), "")
    return f"has categories never seen before in {share:.1%} of {present} values, e.g. {example!r}", share


def constant(reference: ColumnProfile, now: ColumnProfile) -> str:
    """Why the column has stopped varying, "" if it has not or chance may explain it: every value drawn from the
    reference falls on this one, or in the bin that it lies in."""
    if isinstance(now, NumericProfile) and isinstance(reference, NumericProfile):
        if not now.present or not reference.present or now.min != now.max or reference.min == reference.max:
            return ""
        value, bins = f"{now.min:g}", np.searchsorted(reference.edges, now.min)
        usual = reference.counts[bins] if bins < len(reference.counts) else 0
    elif isinstance(now, LevelsProfile) and isinstance(reference, LevelsProfile):
        levels = [level for level, count in now.counts.items() if count]
        seen = sum(count > 0 for count in reference.counts.values())
        if len(levels) != 1 or now.other or seen < 2:
            return ""
        value, usual = repr(levels[0]), reference.counts.get(levels[0], reference.other)
    else:
        return ""
    if ((usual + 1) / (reference.present + 1)) ** now.present >= BY_CHANCE:
        return ""
    return f"is {value} in all {now.present} rows, {usual / reference.present:.1%} of rows before"
