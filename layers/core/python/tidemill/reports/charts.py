"""Small charts as inline SVG. Each has a title that says what it shows to those who do not see it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from tidemill.reports.page import NOTHING, Markup, Tone, count, finite, join, name, number, percent, tag, text, unit

Points = Sequence[Sequence[float]]
_MOST_CLASSES = 15
_SMALL = (132, 30)
_DAY, _MOST_DATES = 86_400, 10


def svg(width: float, height: float, title: str, *marks: object, class_: str | None = None) -> Markup:
    return tag(
        "svg",
        tag("title", title),
        *marks,
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        class_=class_,
    )


def overlaid(before: Sequence[float], now: Sequence[float], title: str) -> Markup:
    """Two distributions on the same bins: the past filled, the present as an outline."""
    width, height = _SMALL
    top = max([*before, *now, 0.0]) or 1.0
    step = width / max(1, len(now))
    outline = f"M0 {height}" + "".join(
        f"V{height - height * value / top:.1f}H{step * (i + 1):.1f}" for i, value in enumerate(now)
    )
    bars = (
        f"M{step * i:.1f} {height}v-{max(1.0, height * value / top):.1f}h{max(0.5, step):.1f}V{height}z"
        for i, value in enumerate(before)
        if value > 0
    )
    past = tag("path", d="".join(bars), class_="past")
    return svg(width, height, title, past, tag("path", d=f"{outline}V{height}", class_="curve thin"))


def histograms(now: Sequence[float], before: Sequence[float], title: str) -> Markup:
    """As wide as its place. Heights on the same bins and the same scale; `before` may be empty."""
    width, height = 300, 64
    top = max([*now, *before, 0.0]) or 1.0
    past = _steps(before, width, height, top, "past") if before else None
    line = _steps(now, width, height, top, "curve thin now" if before else "bar") if now else None
    axis = tag("path", d=f"M0 {height}H{width}", class_="axis")
    return _stretched(width, height, title, past, line, axis, class_="plot")


def pairs(levels: Sequence[tuple[str, float | None, float | None]], rest: tuple[str, float | None] | None) -> Markup:
    """A label and two shares of one scale a row, now above before; None where there is none to show. The row of a
    `rest` comes without bars: it may be larger than all that is worth telling apart."""
    top = max((share for _, *both in levels for share in both if share), default=0.0) or 1.0

    def row(label: str, now: float | None, before: float | None) -> Iterable[Markup]:
        says = f"{label}: {percent(now)}" + ("" if before is None else f", {percent(before)} before")
        both = now is not None and before is not None
        past = None if before is None else _bar(before / top, *((7, 4) if both else (1, 9)))
        yield tag("span", text(label, 80), title=text(label))
        yield _stretched(
            300,
            11,
            says,
            None if now is None else tag("path", d=_bar(now / top, 1, 6 if both else 9), class_="bar"),
            past and tag("path", d=past, class_="past"),
        )
        yield tag("span", percent(before if now is None else now), class_="r")

    last = [tag("span", rest[0]), tag("span"), tag("span", percent(rest[1]), class_="r")] if rest else []
    return tag("div", *(part for level in levels for part in row(*level)), *last, class_="levels")


def spans(now: tuple[float, float] | None, before: tuple[float, float] | None, title: str) -> Markup:
    """Two ranges on one axis, which runs from the least to the most of both."""
    known = [span for span in (now, before) if span]
    low, high = min(span[0] for span in known), max(span[1] for span in known)

    def bar(span: tuple[float, float], y: int, class_: str) -> Markup:
        left, right = (300 * _part(value, low, high) for value in span)
        left = min(left, 297.0) if high > low else 0.0
        return tag(
            "path", d=f"M{left:.1f} {y}H{max(right, left + 3) if high > low else 300:.1f}v14H{left:.1f}z", class_=class_
        )

    marks = (now and bar(now, 12, "bar"), before and bar(before, 36, "past"))
    return _stretched(300, 64, title, *marks, tag("path", d="M0 64H300", class_="axis"), class_="plot")


def flow(whole: tuple[int, str], parts: Sequence[tuple[int, str, Tone]], title: str) -> Markup:
    """A number and the parts that it falls into, each as thick as its share; a part of nothing keeps its label."""
    full, least, empty = 132.0, 58.0, 30.0
    total = sum(n for n, _, _ in parts) or 1
    slots = [max(least, full * n / total) if n else empty for n, _, _ in parts]
    height = sum(slots)
    start, place, marks = (height - full) / 2, 0.0, []
    for (n, _, tone), slot in zip(parts, slots, strict=True):
        thick = full * n / total
        end, drawn = place + (slot - thick) / 2, max(1.5, thick)
        place += slot
        if n:
            low, left = end + drawn, start + drawn
            there = f"M4 {start:.1f}C150 {start:.1f} 150 {end:.1f} 296 {end:.1f}"
            back = f"V{low:.1f}C150 {low:.1f} 150 {left:.1f} 4 {left:.1f}z"
            marks += [
                tag("path", d=there + back, class_=f"band {tone}"),
                tag("path", d=f"M296 {end:.1f}h4V{low:.1f}h-4z", class_=f"tone {tone}"),
            ]
            start += thick
    source = tag("path", d=f"M0 {(height - full) / 2:.1f}h4v{full:g}h-4z", class_="past")
    labels = (
        tag(
            "div",
            tag("b", count(n)),
            tag("span", label, f" · {percent(n / total)}" if n else None, class_=f"badge {tone}"),
            style=f"height:{slot:.0f}px",
            class_=None if n else "none",
        )
        for (n, label, tone), slot in zip(parts, slots, strict=True)
    )
    return tag(
        "div",
        tag("p", count(whole[0]), unit(whole[1])),
        _stretched(300, height, title, source, *marks, style=f"height:{height:.0f}px"),
        tag("div", *labels),
        class_="flow",
    )


def meter(value: float | None, threshold: float | None, tone: Tone, title: str) -> Markup:
    """A share as a bar, and the threshold that it is held against as a tick."""
    width, height = 96, 8
    at, limit = min(1.0, max(0.0, finite(value) or 0.0)), min(1.0, max(0.0, finite(threshold) or 0.0))
    return svg(
        width,
        height,
        title,
        tag("path", d=f"M0 4H{width}", class_="grid"),
        tag("path", d=f"M0 1h{at * width:.1f}v6H0z", class_="tone"),
        tag("path", d=f"M{limit * width:.1f} 0v8", class_="mark"),
        class_=tone,
    )


def course(values: Sequence[float | None], threshold: float, title: str) -> Markup:
    """A value a window, the oldest first, and the threshold that it is held against; gaps where there was none."""
    width, height = 96, 26
    top = max([*(value for value in values if value is not None), threshold]) * 1.1 or 1.0
    places = [
        None
        if value is None
        else (3 + (width - 6) * i / max(1, len(values) - 1), height - 2 - (height - 4) * value / top)
        for i, value in enumerate(values)
    ]
    runs = [[place for place in run if place] for there, run in groupby(places, bool) if there]
    lines = ("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in runs)
    limit = height - 2 - (height - 4) * threshold / top
    (x, y) = runs[-1][-1]
    return svg(
        width,
        height,
        title,
        tag("path", d=f"M0 {limit:.1f}H{width}", class_="ideal"),
        tag("path", d="".join(lines), class_="curve thin"),
        tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, class_="dot"),
    )


def fold_dots(scores: Iterable[float | None], low: float, high: float, title: str) -> Markup:
    width, height = _SMALL[0], 16
    known = [score for score in map(finite, scores) if score is not None]
    places = [6 + (width - 12) * _part(score, low, high) for score in known]
    dots = (tag("circle", cx=f"{x:.1f}", cy=8, r=3.5, class_="cloud") for x in places)
    return svg(width, height, title, tag("path", d=f"M0 8H{width}", class_="grid"), *dots)


def strip(tones: Sequence[Tone], title: str) -> Markup:
    """One square a check."""
    squares = (
        tag("rect", x=i * 18, y=0, width=14, height=14, rx=2, class_=f"tone {tone}") for i, tone in enumerate(tones)
    )
    return svg(18 * len(tones), 14, title, *squares, class_="strip")


@dataclass(frozen=True)
class Plot:
    """A frame with axes; `x` and `y` are the ranges shown."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 420
    height: int = 280

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            52 + (self.width - 64) * _part(x, *self.x),
            self.height - 42 - (self.height - 54) * _part(y, *self.y),
        )

    def path(self, points: Points, class_: str) -> Markup:
        places = (self.at(point[0], point[1]) for point in points)
        return tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places), class_=class_)

    def dots(self, points: Points, radius: float, class_: str) -> Markup:
        places = (self.at(point[0], point[1]) for point in points)
        return join(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, class_=class_) for x, y in places)

    def x_ticks(self) -> Iterable[tuple[float, str]]:
        return ((value, number(value)) for value in ticks(*self.x))

    def draw(self, *marks: object, diagonal: bool = False) -> Markup:
        low, high = max(self.x[0], self.y[0]), min(self.x[1], self.y[1])
        ideal = self.path([(low, low), (high, high)], "ideal") if diagonal and low < high else None
        picture = svg(self.width, self.height, self.title, *self._axes(), ideal, *marks)
        return tag("figure", tag("h3", self.title), picture)

    def _axes(self) -> Iterable[Markup]:
        (left, bottom), (right, top) = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[1])
        for value in ticks(*self.y):
            y = self.at(self.x[0], value)[1]
            yield tag("path", d=f"M{left:.1f} {y:.1f}H{right:.1f}", class_="grid")
            yield tag("text", number(value), x=left - 8, y=f"{y + 4:.1f}", text_anchor="end")
        for value, label in self.x_ticks():
            x = self.at(value, self.y[0])[0]
            yield tag("text", label, x=f"{x:.1f}", y=bottom + 18, text_anchor="middle")
        yield tag("path", d=f"M{left:.1f} {bottom:.1f}H{right:.1f}", class_="axis")
        yield tag("text", self.x_label, x=f"{(left + right) / 2:.1f}", y=self.height - 4, text_anchor="middle")
        middle = f"{(top + bottom) / 2:.1f}"
        yield tag(
            "text", self.y_label, x=11, y=middle, text_anchor="middle", transform=f"rotate(-90 11 {middle})"
        )  # fmt: skip


@dataclass(frozen=True)
class TimePlot(Plot):
    """Its x are seconds since 1970, shown as dates; as wide as the page."""

    width: int = 880
    height: int = 260

    def x_ticks(self) -> Iterable[tuple[float, str]]:
        low, high = self.x
        days = max(1, math.ceil((high - low) / _DAY / _MOST_DATES))
        for day in range(math.ceil(low / _DAY), math.floor(high / _DAY) + 1, days):
            moment = datetime.fromtimestamp(day * _DAY, UTC)
            yield day * _DAY, f"{moment.day} {moment:%b}"

    def whiskers(self, points: Points, class_: str, shift: float) -> Markup:
        """Value, low and high at a time, `shift` to the right, so that two of one time are both seen."""

        def whisker(at: float, value: float, low: float, high: float) -> Markup:
            (x, y), (_, bottom), (_, top) = (self.at(at, v) for v in (value, low, high))
            line = tag("path", d=f"M{x + shift:.1f} {bottom:.1f}V{top:.1f}", class_="whisker thin")
            return tag("g", line, tag("circle", cx=f"{x + shift:.1f}", cy=f"{y:.1f}", r=4, class_="dot"), class_=class_)

        return join(whisker(*point) for point in points)

    def event(self, at: float, words: str, line: int) -> Markup:
        """`line` is where the words stand, so that those of neighbours do not meet."""
        (x, bottom), (_, top) = self.at(at, self.y[0]), self.at(at, self.y[1])
        mark = tag("path", d=f"M{x:.1f} {bottom:.1f}V{top:.1f}", class_="ideal")
        return join([mark, tag("text", words, x=f"{x + 4:.1f}", y=f"{top + 10 + 13 * line:.1f}")])


def over_time(
    measured: Points, estimated: Points, events: Sequence[tuple[float, str]], baseline: Any, title: str, y_label: str
) -> Markup | None:
    """Points are (seconds, value, low, high); estimates are drawn beside what was measured."""
    known = [[p for p in points if all(finite(value) is not None for value in p)] for points in (measured, estimated)]
    times = [point[0] for points in known for point in points]
    if not times:
        return None
    drawn = [value for points in known for point in points for value in point[1:]]
    level = finite(baseline)
    y = padded([*drawn, *([] if level is None else [level])])
    span = (min([*times, *(at for at, _ in events)]), max([*times, *(at for at, _ in events)]))
    plot = TimePlot(title, "", y_label, (span[0] - _DAY / 2, span[1] + _DAY / 2), y)
    return plot.draw(
        *(plot.event(*event, line % 3) for line, event in enumerate(sorted(events))),
        None if level is None else plot.path([(plot.x[0], level), (plot.x[1], level)], "ideal"),
        plot.whiskers(known[1], "other", 7),
        plot.whiskers(known[0], "", 0),
    )


def curve(
    points: Points, title: str, x_label: str, y_label: str, *, diagonal: bool = False, dots: bool = False
) -> Markup:
    """A curve of shares: both axes run from 0 to 1."""
    plot = Plot(title, x_label, y_label, (0.0, 1.0), (0.0, 1.0))
    known = placeable(points)
    line = plot.path(known, "curve") if known else None
    return plot.draw(line, plot.dots(known, 3.5, "dot") if dots else None, diagonal=diagonal)


def scatter(points: Points, title: str, x_label: str, y_label: str) -> Markup:
    """Both axes show the same range, so that the diagonal is where both are equal."""
    known = placeable(points)
    span = padded([value for point in known for value in point[:2]])
    plot = Plot(title, x_label, y_label, span, span)
    return plot.draw(plot.dots(known, 3, "cloud"), diagonal=True)


def histogram(edges: Sequence[float], counts: Sequence[float], title: str, x_label: str) -> Markup | None:
    if len(edges) < 2 or not all(finite(edge) is not None for edge in edges):
        return None
    plot = Plot(title, x_label, "rows", (edges[0], edges[-1]), (0.0, max([*counts, 1])))
    columns = []
    for low, high, height in zip(edges, edges[1:], counts, strict=False):
        (left, top), (right, bottom) = plot.at(low, height), plot.at(high, 0)
        columns.append(f"M{left:.1f} {bottom:.1f}V{top:.1f}H{max(left, right - 1):.1f}V{bottom:.1f}z")
    zero = plot.path([(0, 0), (0, plot.y[1])], "ideal") if edges[0] < 0 < edges[-1] else None
    return plot.draw(tag("path", d="".join(columns), class_="bar"), zero)


def ranking(entries: Sequence[tuple[object, float, str]], heads: tuple[str, str]) -> Markup:
    """Horizontal bars, one a row: a label, the value that is drawn, and the value as it is written."""
    most = max((value for _, value, _ in entries), default=0.0) or 1.0
    rows = (
        tag("tr", tag("td", name(label)), tag("td", stripe(value / most)), tag("td", written, class_="r"))
        for label, value, written in entries
    )
    head = tag("tr", tag("th", heads[0]), tag("th"), tag("th", heads[1], class_="r"))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="ranking")


def intervals(rows: Sequence[tuple[str, Any, Any, Any]], mark: Any = None) -> Markup:
    """Label, value, low and high a row, all on one scale; `mark` is drawn through all of them."""
    low, high = padded([v for v in map(finite, [*(v for row in rows for v in row[1:]), mark]) if v is not None])
    width, half = 360, 12

    def x(value: Any) -> str | None:
        known = finite(value)
        return None if known is None else f"{8 + (width - 16) * _part(known, low, high):.1f}"

    def line(label: str, value: Any, least: Any, most: Any) -> Markup:
        at, left, right, ideal = map(x, (value, least, most, mark))
        return svg(
            width,
            2 * half,
            f"{label}: {_interval(value, least, most)}",
            tag("path", d=f"M0 {half}H{width}", class_="grid"),
            ideal and tag("path", d=f"M{ideal} 0V{2 * half}", class_="ideal"),
            left and right and tag("path", d=f"M{left} {half - 5}v10m0-5H{right}m0-5v10", class_="whisker"),
            at and tag("circle", cx=at, cy=half, r=4.5, class_="dot"),
            class_=None if label == rows[0][0] else "other",
        )

    scale = (tag("text", number(v), x=x(v), y=11, text_anchor="middle") for v in ticks(low, high))
    lines = [tag("tr", tag("td", row[0]), tag("td", line(*row)), tag("td", _interval(*row[1:]))) for row in rows]
    axis = tag("tr", tag("td"), tag("td", svg(width, 14, "Scale", *scale)), tag("td"))
    return tag("table", tag("tbody", *lines, axis), class_="stack bare")


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    limits = NOTHING if finite(low) is None else f"{number(low)} to {number(high)}"
    return f"{number(value)} ({limits})"


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Rows are the truth. Of many classes, the most frequent mistakes are listed instead."""
    if len(classes) > _MOST_CLASSES:
        wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
        worst = sorted(wrong, reverse=True)[:20]
        entries = [
            (join([name(classes[i]), " answered as ", name(classes[j])]), float(n), count(n)) for n, i, j in worst
        ]
        return tag("figure", tag("h3", "Most frequent mistakes"), ranking(entries, ("Truth and answer", "Rows")))
    head = tag("tr", tag("th", "Truth ↓  Answer →"), *(tag("th", name(label), class_="r") for label in classes))
    rows = []
    for label, row in zip(classes, counts, strict=True):
        shares = [n / (sum(row) or 1) for n in row]
        cells = (
            tag("td", count(n), tag("span", percent(share), class_="unit"), style=f"--share:{share:.2f}")
            for n, share in zip(row, shares, strict=True)
        )
        rows.append(tag("tr", tag("th", name(label)), *cells))
    grid = tag("table", tag("thead", head), tag("tbody", *rows), class_="confusion")
    return tag("figure", tag("h3", "Confusion"), tag("div", grid, class_="scroll"))


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside the range."""
    rough = (high - low) / wanted
    if not math.isfinite(rough) or rough <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((step for step in (power, 2 * power, 5 * power) if step >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low) * 0.06 or abs(high) * 0.05 or 0.5
    return low - pad, high + pad


def placeable(points: Points) -> list[Sequence[float]]:
    return [point for point in points if finite(point[0]) is not None and finite(point[1]) is not None]


def _part(value: float, low: float, high: float) -> float:
    """Where in the range the value lies, 0 to 1."""
    span = high - low
    return min(1.0, max(0.0, (value - low) / span)) if math.isfinite(span) and span > 0 else 0.5


def _steps(heights: Sequence[float], width: float, height: float, top: float, class_: str) -> Markup:
    """A histogram in one stroke."""
    step = width / len(heights)
    ups = "".join(f"V{height - (height - 2) * value / top:.1f}H{step * (i + 1):.1f}" for i, value in enumerate(heights))
    return tag("path", d=f"M0 {height:g}{ups}V{height:g}", class_=class_)


def _bar(share: float, y: float, thick: float) -> str:
    """Of 300; a share that is not 0 is seen."""
    return f"M0 {y:g}h{max(1.5 if share else 0.0, 300 * min(1.0, share)):.1f}v{thick:g}H0z"


def _stretched(width: float, height: float, title: str, *marks: object, **attributes: object) -> Markup:
    """As wide as its place, whatever that is."""
    box = f"0 0 {width:g} {height:g}"
    return tag(
        "svg", tag("title", title), *marks, viewBox=box, preserveAspectRatio="none", role="img", **attributes
    )  # fmt: skip


def stripe(share: float) -> Markup:
    """As wide as its cell."""
    return _stretched(300, 12, percent(share), tag("path", d=_bar(share, 1, 10), class_="bar"))
