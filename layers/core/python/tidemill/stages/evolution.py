"""A model's data grows by uploads: how one differs from those before it, and what each difference leads to.

Every difference is told, never only the first. A feature, target, id or time that is gone, unreadable or in another
unit makes the upload invalid (`fail`); what may be the world's doing is accepted and told (`warn`, `note`). No fail or
warn can come of chance more than once in a million comparisons (`BY_CHANCE`): of 3,000 uploads of 30 to 4,000 rows
drawn like those before them, none had one (`EVOLUTION_MONTHS=1000 pytest tests/unit/test_evolution.py -k clean`; 22
columns each). Rows are taken as independent: a season is a real difference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

import numpy as np

from tidemill.profile import ColumnProfile, LevelsProfile, NumericProfile, Profile, TimeProfile
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec
from tidemill.stages.drift import FEW_VALUES, plain
from tidemill.stages.feed import BY_CHANCE, DECADE, MISSING_JUMP, chance_of_sizes, constant, log_sizes, rescaled
from tidemill.stages.special import compare_levels, compare_shares, fisher_p, kolmogorov_p

Weight = Literal["fail", "warn", "note"]

NAME_ALIKE = 0.7
"""Of difflib's ratio: dep_delay and departure_delay have 0.73, unrelated names of columns rarely reach 0.6."""
VALUES_ALIKE = 0.9
"""1 - distance of the distributions. The same column a month apart seldom has less; another one seldom more."""
TENFOLD = 1.0
"""In powers of ten: a scale that changes less is the world's doing, or told as a suspicion."""
TENFOLD_ERRORS = 3.0
"""Standard errors of the medians that a true tenfold change may fall short by, down to the monitor's `DECADE`."""
SKETCHED = 0.005
"""In powers of ten: what a median may be off by in a profile."""
SAME_SHAPE, OTHER_SHAPE = 0.1, 0.25
"""K-S distances: below the one the new unit explains the column, above the other the old one does not."""
NEW_SHARE = 0.1
"""Of rows in categories never seen, beyond what rare categories explain: from here on a warning."""
ALMOST_NONE, NEWLY_MISSING = 0.01, 0.05
"""Share of rows missing before, and its rise. Where more were missing it comes and goes with the seasons (gusts of
wind in New York: 64 % to 89 % by month), and takes a rise by the monitor's `MISSING_JUMP`."""
CLASSES_MOVED = 0.1
"""Total variation distance of the classes' shares: twice the monitor's floor for features, since an outcome moves from
month to month by itself (late flights in 2013: by 5 to 14 points)."""
VOLUME = 10
"""Times as many rows, or as few, as earlier uploads had."""

_UNITS = (
    (1.609344, "miles", "kilometres"),
    (2.20462, "kilograms", "pounds"),
    (2.54, "inches", "centimetres"),
    (3.28084, "metres", "feet"),
    (3.6, "metres a second", "kilometres an hour"),
    (10, "centimetres", "millimetres"),
    (12, "feet", "inches"),
    (24, "days", "hours"),
    (25.4, "inches", "millimetres"),
    (28.3495, "ounces", "grams"),
    (30.48, "feet", "centimetres"),
    (39.3701, "metres", "inches"),
    (60, "hours", "minutes, or minutes seconds"),
    (100, "shares", "percentages, or whole units hundredths"),
    (453.592, "pounds", "grams"),
    (1000, "thousands", "single units, as kilometres metres or seconds milliseconds"),
    (1440, "days", "minutes"),
    (1609.344, "miles", "metres"),
    (3600, "hours", "seconds"),
    (86400, "days", "seconds"),
    (1e6, "millions", "single units"),
)
_SCALES: tuple[tuple[float, float, str], ...] = (
    *((factor, 0.0, f"as if {small} had become {large}") for factor, small, large in _UNITS),
    *((1 / factor, 0.0, f"as if {large.split(',')[0]} had become {small}") for factor, small, large in _UNITS),
    (1.8, 32.0, "as if degrees Celsius had become Fahrenheit"),
    (1 / 1.8, -32 / 1.8, "as if degrees Fahrenheit had become Celsius"),
)
"""now = factor * before + offset, and what that would mean."""
_NAMED_WITHIN = 0.02
"""Of log10: 5 %, so that 24 is told from 25.4 only where the nearer one is right."""
_WORD = re.compile(r"[^a-z0-9]+")
_ROLES = {"feature": "feature", "target": "target", "id": "id", "time": "time column"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is a row of docs/data.md. `says` is what was found; `done` what was done about it, or, for a fail,
    what the sender can do: `says: done` is a sentence. `column` is None where no single one is meant."""

    weight: Weight
    kind: str
    column: str | None
    says: str
    done: str

    @property
    def sentence(self) -> str:
        return f"{self.says}: {self.done}"


class Misread(NamedTuple):
    """Values of one column, of all rows read, that are present but not of its kind; `expected` as in `Parsed`."""

    rows: int
    bad: int
    expected: str
    example: str = ""


_Found = tuple[float, Finding]
"""A finding with the share of rows that it is about."""


def heaviest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Fails, warnings, notes; within each the order given."""
    order = {"fail": 0, "warn": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.weight])


def compare_header(
    schema: Schema,
    names: Sequence[str],
    spec: ModelSpec,
    before: Profile | None = None,
    head: Profile | None = None,
) -> list[Finding]:
    """Which columns a file has, before its rows are read.

    `head` profiles the first rows' columns that the schema does not know, under the kinds that they show: with
    `before`, the earlier uploads, it tells a renamed column from one that is gone.
    """
    known = {column.name for column in schema.columns}
    needed = {column.name: _ROLES[column.role] for column in schema.columns if column.role in _ROLES}
    needed |= {
        name: _ROLES[role] for name, role in ((spec.id, "id"), (spec.time, "time")) if name and name not in known
    }
    missing = [name for name in needed if name not in names]
    new = [name for name in names if name not in known]
    renamed = _renamed(schema, missing, new, before, head)
    found = _named_in_spec(spec, {*known, *names})
    for name in sorted(missing, key=lambda name: (needed[name] != "target", name not in renamed)):
        says, leave = f"column {name!r}, {_article(needed[name])} of the model, is missing", _or_leave_out(needed[name])
        if name in renamed:
            other, why = renamed[name]
            says += f"; the new column {other!r} looks like it ({why})"
            found.append(Finding("fail", "renamed", name, says, f"rename it back{leave}"))
        else:
            found.append(Finding("fail", "removed", name, says, f"put it back{leave}"))
    taken = {other for other, _ in renamed.values()}
    for name in new:
        if name in taken or name in needed:
            continue
        done = "it is not used, as the spec says" if name in spec.exclude else "it is missing in all earlier rows"
        found.append(Finding("note", "added", name, f"column {name!r} is new", done))
    for column in schema.columns:
        if column.name not in needed and column.name not in names:
            says = f"column {column.name!r} is missing"
            found.append(Finding("note", "unused_removed", column.name, says, "no model uses it, so nothing changes"))
    places = {name: place for place, name in enumerate(names)}
    order = [places[column.name] for column in schema.columns if column.name in places]
    if order != sorted(order):
        says = "columns come in another order than before"
        found.append(Finding("note", "reordered", None, says, "they are told by their names, so nothing changes"))
    return heaviest_first(found)


def compare_profiles(
    before: Profile | None,
    now: Profile,
    schema: Schema,
    spec: ModelSpec,
    *,
    misread: Mapping[str, Misread] | None = None,
    moment: datetime | None = None,
    uploads: int = 1,
) -> list[Finding]:
    """What an upload's accepted rows look like against earlier ones, the heaviest and most frequent first.

    `schema` is the one before this upload's categories and classes were learned; `before` profiles one or more
    (`uploads`) earlier uploads, None for the first. `moment` is now, in UTC.
    """
    found: list[_Found] = []
    for name, values in (misread or {}).items():
        found += _type_broken(name, values, spec)
    with np.errstate(all="ignore"):  # values near the largest float
        for column in schema.columns:
            if column.role not in _ROLES or column.name not in now.columns:
                continue
            earlier, current = before.columns.get(column.name) if before else None, now.columns[column.name]
            if earlier is not None:
                found += _compare(column, earlier, current, schema, spec)
            else:
                found += _look(column, current)
            if column.role == "time" and isinstance(current, TimeProfile):
                found += _moments(column.name, earlier, current, moment)
    if before and before.rows and now.rows:
        found += _volume(before.rows / max(1, uploads), now.rows)
    targets = {column.name for column in schema.columns if column.role == "target"}
    found.sort(key=lambda entry: (entry[1].column not in targets, -entry[0]))
    return heaviest_first(finding for _, finding in found)


def _named_in_spec(spec: ModelSpec, columns: set[str]) -> list[Finding]:
    named = {"exclude": spec.exclude, "quality.trusted": spec.quality.trusted, "columns": tuple(spec.columns)}
    return [
        Finding("fail", "unknown_name", name, f"{key} of the spec names {name!r}", "it is no column; correct the name")
        for key, names in named.items()
        for name in names
        if name not in columns
    ]


def _article(what: str) -> str:
    return f"the {what}" if what != "feature" else "a feature"


def _or_leave_out(what: str) -> str:
    return ", or add it to exclude in the spec" if what == "feature" else ""


def _renamed(
    schema: Schema, missing: Sequence[str], new: Sequence[str], before: Profile | None, head: Profile | None
) -> dict[str, tuple[str, str]]:
    """Of a missing column the new one that is most like it, each taken once, and how alike they are."""
    pairs = []
    for name in missing:
        column = schema.column(name)
        for other in new:
            now, was = _column_of(head, other), _column_of(before, name)
            if now and column and column.role != "id" and now.kind != column.kind:
                continue
            names = SequenceMatcher(None, _plain_name(name), _plain_name(other), autojunk=False).ratio()
            values = _alike(was, now)
            if names >= NAME_ALIKE or (values or 0.0) >= VALUES_ALIKE:
                why = f"names {names:.0%} alike" + ("" if values is None else f", values {values:.0%}")
                pairs.append((names + (values or 0.0), name, other, why))
    found: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for _, name, other, why in sorted(pairs, key=lambda pair: -pair[0]):
        if name not in found and other not in taken:
            found[name] = other, why
            taken.add(other)
    return found


def _plain_name(name: str) -> str:
    return _WORD.sub("", name.lower()) or name


def _column_of(profile: Profile | None, name: str) -> ColumnProfile | None:
    return profile.columns.get(name) if profile else None


def _alike(before: ColumnProfile | None, now: ColumnProfile | None) -> float | None:
    """1 - K-S or total variation distance; None where many unrelated columns would be alike: few values, yes and no,
    a handful of numbers, dates."""
    if before is None or now is None or min(before.present, now.present) < FEW_VALUES:
        return None
    if isinstance(before, NumericProfile) and isinstance(now, NumericProfile):
        return None if min(len(before.edges), len(now.edges)) < 10 else 1 - _distance(before, now)
    if (
        isinstance(before, LevelsProfile)
        and isinstance(now, LevelsProfile)
        and before.kind == now.kind == "categorical"
    ):
        shares = (min(n / before.present, now.counts.get(level, 0) / now.present) for level, n in before.counts.items())
        return math.fsum(shares)
    return None


def _distance(before: NumericProfile, now: NumericProfile, factor: float = 1.0, offset: float = 0.0) -> float:
    """K-S distance of `now` and factor * `before` + offset, between the edges, where rounding does not matter."""
    edges = np.asarray(before.edges)
    points = (edges[:-1] + edges[1:]) / 2
    was, is_now = before.cumulative(points) / before.present, now.cumulative(factor * points + offset) / now.present
    return float(np.nan_to_num(np.abs(was - is_now)).max(initial=0.0))


def _type_broken(name: str, values: Misread, spec: ModelSpec) -> Iterator[_Found]:
    if not values.rows or values.bad <= spec.quality.max_rejected * values.rows:
        return
    share = values.bad / values.rows
    example = f", such as {values.example!r}" if values.example else ""
    says = f"{share:.1%} of the values of column {name!r} are not {values.expected}{example}"
    done = (
        f"more than the {spec.quality.max_rejected:.1%} that the spec allows; correct the file, or exclude the column"
    )
    yield share, Finding("fail", "type_broken", name, says, done)


def _look(column: Column, now: ColumnProfile) -> Iterator[_Found]:
    """A column without a history."""
    if not now.rows:
        return
    if not now.present:
        says, kind = f"column {column.name!r} has no value in any of {now.rows:,} rows", "all_missing"
    elif (value := _only_value(now)) is not None and now.present > 1:
        says, kind = f"column {column.name!r} is {value} in all {now.present:,} rows that have it", "constant"
    else:
        return
    yield 0.0, Finding("note", kind, column.name, says, "kept; nothing can be learned from it as long as it is so")


def _only_value(now: ColumnProfile) -> str | None:
    if isinstance(now, LevelsProfile):
        levels = [level for level, count in now.counts.items() if count]
        return repr(levels[0]) if len(levels) == 1 and not now.other else None
    if now.min != now.max:
        return None
    return f"{now.min:g}" if isinstance(now, NumericProfile) else now.min


def _compare(
    column: Column, before: ColumnProfile, now: ColumnProfile, schema: Schema, spec: ModelSpec
) -> Iterator[_Found]:
    name = column.name
    if not now.present or not before.present:
        yield from _all_missing(column, before, now)
        return
    yield from _missing(name, before, now)
    stopped = constant(before, now)
    if stopped:
        yield (
            1.0,
            Finding("warn", "constant", name, f"column {name!r} {stopped}", "accepted; see that it is still filled"),
        )
    elif _only_value(now) is not None:
        yield from _look(column, now)
    if column.role == "target" and schema.classes:
        yield from _classes(name, before, now, schema)
    elif isinstance(before, NumericProfile) and isinstance(now, NumericProfile):
        yield from _numbers(name, before, now, spec)
    elif isinstance(before, LevelsProfile) and isinstance(now, LevelsProfile) and now.kind == "categorical":
        yield from _new_categories(column, before, now)
        yield from _gone_categories(name, before, now)


def _all_missing(column: Column, before: ColumnProfile, now: ColumnProfile) -> Iterator[_Found]:
    if now.present:
        return
    if fisher_p(now.rows, now.rows, before.rows - before.present, before.rows) >= BY_CHANCE:
        yield from _look(column, now)
        return
    share = before.present / before.rows
    says = f"column {column.name!r} has no value in any of {now.rows:,} rows, {share:.1%} of rows had one before"
    yield 1.0, Finding("fail", "all_missing", column.name, says, "fill it, or add it to exclude in the spec")


def _missing(name: str, before: ColumnProfile, now: ColumnProfile) -> Iterator[_Found]:
    gone, gone_before = now.rows - now.present, before.rows - before.present
    result = compare_shares(gone, now.rows, gone_before, before.rows)
    floor = NEWLY_MISSING if gone_before <= ALMOST_NONE * before.rows else MISSING_JUMP
    if result.statistic >= floor and result.p < BY_CHANCE:
        says = f"column {name!r} is missing in {gone / now.rows:.1%} of rows, {gone_before / before.rows:.1%} before"
        yield (
            result.effect,
            Finding("warn", "newly_missing", name, says, "accepted; missing values are learned as such"),
        )


def _numbers(name: str, before: NumericProfile, now: NumericProfile, spec: ModelSpec) -> Iterator[_Found]:
    scale = _scale(name, before, now, spec)
    if scale:
        yield 1.0, scale
    else:
        yield from _range(name, before, now)
    if _whole(before) and not _whole(now):
        says = f"column {name!r} held whole numbers only and now has decimals"
        yield 0.0, Finding("note", "widened", name, says, "accepted; models read decimals either way")


def _scale(name: str, before: NumericProfile, now: NumericProfile, spec: ModelSpec) -> Finding | None:
    jump = _tenfold(before, now)
    if jump:
        says = f"column {name!r} {jump}"
        if name in spec.quality.trusted:
            return Finding("note", "unit_jump", name, says, "accepted, since quality.trusted in the spec names it")
        done = "send it in the unit of earlier uploads, or add it to quality.trusted in the spec if it is right"
        return Finding("fail", "unit_jump", name, says, done)
    meaning = "" if name in spec.quality.trusted else _other_unit(before, now)
    if not meaning:
        return None
    medians = f"median {plain(float(before.quantile(0.5)))} → {plain(float(now.quantile(0.5)))}"
    done = "accepted as it is; send it in the unit of earlier uploads if so"
    return Finding("warn", "unit_suspected", name, f"column {name!r} looks {meaning} ({medians})", done)


def _tenfold(before: NumericProfile, now: NumericProfile) -> str:
    """The typical size and its spread are ten times others, beyond the sizes that the column usually spans."""
    was, size = log_sizes(before), log_sizes(now)
    if was is None or size is None:
        return ""
    jump = size[1] - was[1]
    # The error of a median of a normal sample with these quartiles.
    errors = [1.2533 / 1.349 * (q[2] - q[0]) / math.sqrt(c.present) for q, c in ((was, before), (size, now))]
    needed = max(DECADE, TENFOLD - max(SKETCHED, TENFOLD_ERRORS * math.hypot(*errors)))
    if abs(jump) < max(needed, was[2] - was[0]):
        return ""
    spreads = [10.0 ** min(q[2], 300.0) - 10.0 ** min(q[0], 300.0) for q in (was, size)]
    if any(spreads):
        # A meter that only counts on has larger values, not larger steps between them.
        wider = math.log10(spreads[1] / spreads[0]) if all(spreads) else 0.0
        if wider * math.copysign(1.0, jump) < needed:
            return ""
    if chance_of_sizes(before, now) >= BY_CHANCE:
        return ""
    nearest = min(_SCALES[:-2], key=lambda scale: abs(math.log10(scale[0]) - jump))
    named = abs(math.log10(nearest[0]) - jump) <= _NAMED_WITHIN
    return rescaled(was[1], size[1]) + (f", {nearest[2]}" if named else ", as if in another unit")


def _other_unit(before: NumericProfile, now: NumericProfile) -> str:
    """A unit that makes the one distribution the other, where as it is they are far apart."""
    distance = _distance(before, now)
    if distance < OTHER_SHAPE or kolmogorov_p(distance, before.present, now.present) >= BY_CHANCE:
        return ""
    near = [scale for scale in _SCALES if 0.1 < scale[0] < 10]
    fits = {meaning: _distance(before, now, factor, offset) for factor, offset, meaning in near}
    best = min(fits, key=lambda meaning: fits[meaning])
    return best if fits[best] <= SAME_SHAPE else ""


def _whole(column: NumericProfile) -> bool:
    """By the edges, all of them values but for those that a merge puts just below one."""
    edges = np.asarray(column.edges)
    return bool(edges.size and (np.abs(edges - np.rint(edges)) <= 1e-9 * np.maximum(1.0, np.abs(edges))).all())


def _range(name: str, before: NumericProfile, now: NumericProfile) -> Iterator[_Found]:
    """By the exchangeability of rows: that k of n rows exceed all m earlier ones has a known chance, whatever the
    distribution and its tails."""
    width = before.max - before.min
    if not width > 0 or not math.isfinite(width):
        return
    high, low = _beyond(now, before.max + width, upper=True), _beyond(now, before.min - width, upper=False)
    far = high + low
    was = f"earlier rows had {plain(before.min)} to {plain(before.max)}"
    says = f"column {name!r} goes from {plain(now.min)} to {plain(now.max)}; {was}"
    if far and fisher_p(far, now.present, 0, before.present) < BY_CHANCE:
        says += f", and at least {far / now.present:.1%} of rows lie far outside"
        yield far / now.present, Finding("warn", "range", name, says, "accepted; see whether these values can be")
    elif now.max > before.max + VOLUME * width or now.min < before.min - VOLUME * width:
        yield 0.0, Finding("note", "range", name, says, "accepted; see whether these values can be")


def _beyond(column: NumericProfile, limit: float, *, upper: bool) -> int:
    """Rows that certainly lie beyond: whole bins, and one for the extreme."""
    edges, counts = np.asarray(column.edges), np.asarray(column.counts)
    lows = np.concatenate([[column.min], edges[:-1]])
    lows = np.where(column.atoms, edges, lows)
    inside = lows > limit if upper else edges < limit
    extreme = column.max > limit if upper else column.min < limit
    return max(int(counts[inside].sum()), int(extreme))


def _new_categories(column: Column, before: LevelsProfile, now: LevelsProfile) -> Iterator[_Found]:
    known = {*column.vocabulary, *before.counts}
    fresh = {level: count for level, count in now.counts.items() if count and level not in known}
    if not fresh:
        return
    rows = sum(fresh.values())
    share = rows / now.present
    many = f"{len(fresh):,} new {'category' if len(fresh) == 1 else 'categories'}"
    example = max(fresh, key=lambda level: fresh[level])
    says = f"column {column.name!r} has {many} in {share:.1%} of rows, such as {example!r}"
    # What the next rows hold of categories not seen so far: the share of those seen once (Good, 1953).
    rare = before.other + sum(count == 1 for count in before.counts.values())
    surprising = fisher_p(rows, now.present, rare, before.present) < BY_CHANCE
    weight: Weight = "warn" if share - rare / before.present >= NEW_SHARE and surprising else "note"
    yield share, Finding(weight, "new_categories", column.name, says, "accepted; the next model learns them")


def _gone_categories(name: str, before: LevelsProfile, now: LevelsProfile) -> Iterator[_Found]:
    least = min(now.counts.values(), default=0) if now.other else 0
    gone = {
        level: count / before.present
        for level, count in before.counts.items()
        if not now.counts.get(level)
        and count / before.present * now.present > 2 * least
        and fisher_p(0, now.present, count, before.present) < BY_CHANCE
    }
    if gone:
        most = max(gone, key=lambda level: gone[level])
        many = "a category" if len(gone) == 1 else f"{len(gone):,} categories"
        says = f"column {name!r} has lost {many} of earlier rows, such as {most!r} ({gone[most]:.1%} of rows)"
        yield sum(gone.values()), Finding("note", "gone_categories", name, says, "their codes stay as they are")


def _classes(name: str, before: ColumnProfile, now: ColumnProfile, schema: Schema) -> Iterator[_Found]:
    was, is_now = _class_counts(before), _class_counts(now)
    if not was or not is_now:
        return
    rows, rows_before = sum(is_now.values()), sum(was.values())
    fresh = [level for level in is_now if level not in schema.classes and level not in was]
    if fresh:
        share = sum(is_now[level] for level in fresh) / rows
        says = f"target {name!r} has new classes in {share:.1%} of rows: {_listed(fresh)}"
        yield share, Finding("warn", "new_classes", name, says, "accepted; models trained from now on answer them too")
    gone = [level for level in schema.classes if was.get(level) and not is_now.get(level)]
    if gone:
        likely = any(fisher_p(0, rows, was[level], rows_before) < BY_CHANCE for level in gone)
        says = f"target {name!r} has no row of {_listed(gone)}, which earlier uploads had"
        done = "accepted; earlier rows keep the class in the data set"
        yield 1.0, Finding("warn" if likely else "note", "gone_classes", name, says, done)
    levels = [level for level in was if level not in gone]
    after = np.array([*(is_now.get(level, 0) for level in levels), 0], dtype=np.int64)
    earlier = np.array([*(was[level] for level in levels), 0], dtype=np.int64)
    if not after.any() or not earlier.any():
        return
    moved = compare_levels(after, earlier)
    if moved.effect >= CLASSES_MOVED and moved.p < BY_CHANCE:
        shares, shares_before = after / after.sum(), earlier / earlier.sum()
        most = int(np.argmax(np.abs(shares - shares_before)))
        says = f"target {name!r} is {levels[most]!r} in {shares[most]:.1%} of rows, {shares_before[most]:.1%} before"
        yield moved.effect, Finding("warn", "class_shares", name, says, "accepted; see whether the rows were chosen")


def _class_counts(column: ColumnProfile) -> dict[str, int]:
    """Rows by class name (see `tidemill.stages.classes`); empty where the profile does not tell them one by one."""
    if isinstance(column, LevelsProfile):
        return {level: count for level, count in column.counts.items() if count}
    if isinstance(column, NumericProfile) and all(column.atoms):
        return {f"{value + 0.0:.15g}": count for value, count in zip(column.edges, column.counts, strict=True) if count}
    return {}


def _moments(name: str, before: ColumnProfile | None, now: TimeProfile, moment: datetime | None) -> Iterator[_Found]:
    if isinstance(before, TimeProfile) and before.max and now.min and now.min < before.max:
        says = f"time column {name!r} begins at {now.min[:19]}, before the end of earlier uploads ({before.max[:19]})"
        yield 0.0, Finding("note", "overlap", name, says, "accepted; rows of the same id or content count once")
    if moment and now.max and now.max > moment.replace(tzinfo=None).isoformat(timespec="microseconds"):
        says = f"time column {name!r} goes to {now.max[:19]}, which is in the future"
        yield 0.0, Finding("note", "future", name, says, "accepted; see whether these rows can be known already")


def _volume(usual: float, rows: int) -> Iterator[_Found]:
    if rows < usual / VOLUME or rows > usual * VOLUME:
        says = f"the upload has {rows:,} rows where earlier ones had about {usual:,.0f}"
        yield 0.0, Finding("note", "volume", None, says, "accepted; see whether it is complete")


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")
