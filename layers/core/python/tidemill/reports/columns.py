"""Columns as small pictures: what one upload has in each, drawn over what the one before it had, on the same axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tidemill.profile import ColumnProfile, LevelsProfile, NumericProfile, TimeProfile
from tidemill.reports import charts
from tidemill.reports.page import Markup, count, join, moment, name, number, percent, sentence, tag, text, unit

BINS = 32
_MOST_LEVELS = 5
_NEAR = 0.4
"""Of the range between the 1 % and the 99 % points: as far beyond it as the extremes of most samples lie."""
_MOST_STEPS = 400
_ALIKE, _MOVED = 0.05, 0.1
"""Distances of distributions, and differences of shares, 0 to 1: worth a word from the one on, a loud one from the
other."""


@dataclass(frozen=True)
class Card:
    """`now` is None where only the previous upload has the column, `before` where only this one has."""

    name: str
    role: str
    note: str
    now: ColumnProfile | None
    before: ColumnProfile | None
    badges: Sequence[Markup] = ()

    @cached_property
    def apart(self) -> float:
        """How far the distributions are from each other: K-S or total variation distance."""
        now, before = _with_values(self.now), _with_values(self.before)
        if isinstance(now, NumericProfile) and isinstance(before, NumericProfile):
            points = np.unique([*now.edges, *before.edges])
            gaps = np.abs(now.cumulative(points) / now.present - before.cumulative(points) / before.present)
            return float(gaps.max(initial=0.0))
        if isinstance(now, LevelsProfile) and isinstance(before, LevelsProfile):
            return sum(abs(share - was) for _, share, was in _both(now, before)) / 2
        return 0.0

    @property
    def moved(self) -> float:
        """Likewise of the missing share, if that moved more; 1 for a column that came or went."""
        if self.now is None or self.before is None:
            return 1.0
        return max(self.apart, abs((_missing_share(self.now) or 0.0) - (_missing_share(self.before) or 0.0)))

    def draw(self) -> Markup:
        kind = next(column.kind for column in (self.now, self.before) if column)
        role = self.role if self.role not in ("", "feature") else None
        return tag(
            "div",
            tag("h3", name(self.name)),
            unit(" · ".join(filter(None, (kind, role)))),
            tag("div", _picture(self.name, _with_values(self.now), _with_values(self.before)), class_="drawn"),
            *(() if self.now is None else _words(self, self.now)),
            tag("div", *self.badges, class_="badges") if self.badges else None,
            class_="card",
        )


def common_bins(columns: Sequence[NumericProfile]) -> npt.NDArray[np.float64] | None:
    """Edges of even bins for all of them: from the 1 % to the 99 % points, or to the extremes where these are near.

    Every bin has as many values as any other where these lie evenly apart, as whole numbers do. None where the range
    is wider than a float can tell.
    """
    low, high = min(float(c.quantile(0.01)) for c in columns), max(float(c.quantile(0.99)) for c in columns)
    least, most = min(c.min for c in columns), max(c.max for c in columns)
    near = _NEAR * (high - low)
    low, high = least if low - least <= near else low, most if most - high <= near else high
    if low == high:
        low, high = least, most
    if not math.isfinite(high - low) or not math.isfinite(2 * high):
        return None
    if low == high:
        half = abs(low) / 2 or 0.5
        return np.linspace(low - half, low + half, 12)
    return _evenly(columns, low, high) if all(all(c.atoms) for c in columns) else np.linspace(low, high, BINS + 1)


def heights_in(column: NumericProfile, edges: npt.NDArray[np.float64]) -> list[float]:
    """Shares of the values; the outermost bins hold all that lies beyond them."""
    reached = column.cumulative(edges)
    reached[0], reached[-1] = 0.0, column.present
    heights: list[float] = (np.diff(reached) / column.present).tolist()
    return heights


def _evenly(columns: Sequence[NumericProfile], low: float, high: float) -> npt.NDArray[np.float64]:
    points = np.unique(np.concatenate([c.edges for c in columns]))
    points = points[(points >= low) & (points <= high)]
    steps = (high - low) / float(np.diff(points).min())
    if steps >= _MOST_STEPS or np.abs((points - low) / (high - low) * round(steps) % 1 - 0.5).min() < 0.25:
        return np.linspace(low, high, BINS + 1)
    values, step = round(steps) + 1, (high - low) / round(steps)
    each = math.ceil(values / BINS)
    return np.asarray(low + step * (each * np.arange(math.ceil(values / each) + 1) - 0.5))


def _picture(name: str, now: ColumnProfile | None, before: ColumnProfile | None) -> Markup:
    title = f"{name[:60]}: this upload and the previous one" if now and before else name[:60]
    some = [column for column in (now, before) if column]
    if numbers := [column for column in some if isinstance(column, NumericProfile)]:
        edges = common_bins(numbers)
        if edges is None:
            return join([charts.histograms([], [], title), _ends("too wide a range to draw", "")])
        ours, theirs = (heights_in(c, edges) if isinstance(c, NumericProfile) else [] for c in (now, before))
        low, high = min(c.min for c in numbers), max(c.max for c in numbers)
        least, most = max(low, float(edges[0])), min(high, float(edges[-1]))
        ends = f"{'≤ ' if least > low else ''}{number(least)}", f"{'≥ ' if most < high else ''}{number(most)}"
        return join([charts.histograms(ours, theirs, title), _ends(*ends)])
    if any(isinstance(column, LevelsProfile) for column in some):
        return _levels(*(column if isinstance(column, LevelsProfile) else None for column in (now, before)))
    if some:
        span, was = _range(now), _range(before)
        known = [each for each in (span, was) if each]
        outer = min(low for low, _ in known), max(high for _, high in known)
        return join([charts.spans(span, was, title), _ends(*(moment(np.datetime64(int(at), "us")) for at in outer))])
    return join([charts.histograms([], [], title), _ends("no value", "")])


def _levels(now: LevelsProfile | None, before: LevelsProfile | None) -> Markup:
    """The largest of both, and the rest of this upload as one."""
    known = [column for column in (now, before) if column]
    both = _both(*(column or LevelsProfile(0, 0, {}, 0, known[0].kind) for column in (now, before)))
    both.sort(key=lambda level: -level[1] - level[2])
    shown = both if len(both) <= _MOST_LEVELS + 1 else both[:_MOST_LEVELS]
    over = "over " if any(column.other for column in known) else ""
    others = len(both) - len(shown)
    rest = 1 - sum(share if now else was for _, share, was in shown)
    return charts.pairs(
        [(level or "(empty)", share if now else None, was if before else None) for level, share, was in shown],
        (f"{over}{count(others)} others", max(0.0, rest)) if others or over else None,
    )


def _both(now: LevelsProfile, before: LevelsProfile) -> list[tuple[str, float, float]]:
    """Levels and their shares of the values, now and before."""
    levels = dict.fromkeys([*now.counts, *before.counts])
    each = ((level, now.counts.get(level, 0), before.counts.get(level, 0)) for level in levels)
    return [(level, n / (now.present or 1), was / (before.present or 1)) for level, n, was in each if n or was]


def _range(column: ColumnProfile | None) -> tuple[float, float] | None:
    if not isinstance(column, TimeProfile):
        return None
    low, high = (float(np.datetime64(end, "us").astype(np.int64)) for end in (column.min, column.max))
    return low, high


def _ends(low: str, high: str) -> Markup:
    return tag("div", tag("span", low), tag("span", high), class_="ends")


def _words(card: Card, now: ColumnProfile) -> Iterable[Markup]:
    change, summary = _change(card), _summary(now)
    if change:
        yield unit(change)
    yield _missing(now, card.before)
    if summary:
        yield unit(summary)
    if card.note:
        yield unit(sentence(card.note))


def _change(card: Card) -> Markup | str | None:
    """Of the values; the missing share has a line of its own."""
    now, before = _with_values(card.now), _with_values(card.before)
    if now is None or before is None:
        return tag("span", "had values before", class_="moved") if before else None
    if isinstance(now, TimeProfile):
        return None
    if card.apart < _ALIKE:
        return "much as before"
    loud = "moved" if card.apart >= _MOVED else None
    if isinstance(now, NumericProfile) and isinstance(before, NumericProfile):
        quarters = (("median", 0.5), ("lower quarter", 0.25), ("upper quarter", 0.75))
        values = [(label, float(before.quantile(q)), float(now.quantile(q))) for label, q in quarters]
        most = max([*values, ("mean", before.mean, now.mean)], key=lambda value: abs(value[2] - value[1]))
        median = values[0]
        label, was, is_now = most if 2 * abs(median[2] - median[1]) < abs(most[2] - most[1]) else median
        return tag("span", f"{label} {number(was)} → {number(is_now)}", class_=loud)
    if isinstance(now, LevelsProfile) and isinstance(before, LevelsProfile):
        level, share, was = max(_both(now, before), key=lambda each: abs(each[1] - each[2]))
        return tag("span", text(level or "(empty)", 40), f" {percent(was)} → {percent(share)}", class_=loud)
    return None


def _missing(now: ColumnProfile, before: ColumnProfile | None) -> Markup:
    share, was = _missing_share(now), _missing_share(before)
    if share is None:
        return unit("no rows")
    if not share and not was:
        return unit("none missing")
    changed = was is not None and percent(was) != percent(share)
    words = f"{percent(was)} → {percent(share)} missing" if changed else f"{percent(share)} missing"
    moved = was is not None and abs(share - was) >= _ALIKE
    drawn = charts.meter(share, was, "warn" if moved else "calm", words) if max(share, was or 0.0) >= 0.01 else None
    return tag("div", tag("span", words, class_="moved" if moved else None), drawn, class_="unit share-of")


def _summary(column: ColumnProfile) -> str | None:
    if isinstance(column, NumericProfile):
        infinite = f"{count(column.infinite)} infinite" if column.infinite else ""
        if column.present <= 0:
            return infinite or None
        range_ = f"{number(column.min)} to {number(column.max)} · median {number(float(column.quantile(0.5)))}"
        return f"{range_} · {infinite}" if infinite else range_
    if isinstance(column, TimeProfile):
        return f"{moment(column.min)} to {moment(column.max)}" if column.present else None
    levels = sum(1 for times in column.counts.values() if times)
    return f"{'over ' if column.other else ''}{count(levels)} different values" if levels > _MOST_LEVELS + 1 else None


def _with_values(column: ColumnProfile | None) -> ColumnProfile | None:
    return column if column and column.present > 0 else None


def _missing_share(column: ColumnProfile | None) -> float | None:
    return column.missing / column.rows if column and column.rows else None
