"""A window of rows as drift and feed ask for it: counted in blocks, in memory that does not grow with the rows.

Counts are exact at every place where the reference is known: what is tested on them is what all rows would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.profile import (
    MAX_LEVELS,
    LevelsProfile,
    NumericProfile,
    Profile,
    ProfileBuilder,
    Summary,
    TimeProfile,
    level_counts,
    summarise,
)
from tidemill.schema import Levels

Values = npt.NDArray[Any] | Levels
Counts = npt.NDArray[np.int64]
_MOST_LEVELS = 20 * MAX_LEVELS
"""Of levels that the reference does not have, more are not told apart."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """`up_to` counts the values <= each of the reference's edges, `below` those < each edge that is an atom; `far` is
    how many lie beyond its extremes by more than all that is between them."""

    profile: NumericProfile
    up_to: Counts
    below: Counts
    far: int


@dataclass(frozen=True, slots=True)
class Categories:
    """`known` counts the reference's levels, in its order."""

    profile: LevelsProfile
    known: Counts


Seen = Numbers | Categories | TimeProfile


@dataclass(frozen=True, slots=True)
class Window:
    """`unreadable` has the type of what was found where the reference has another kind."""

    rows: int = 0
    columns: Mapping[str, Seen] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


class WindowBuilder:
    """Counts the columns that the reference has."""

    def __init__(self, reference: Profile) -> None:
        self._reference, self._rows = reference, 0
        self._profiles = ProfileBuilder()
        self._numbers: dict[str, _Numbers] = {}
        self._levels: dict[str, _Levels] = {}
        self._unreadable: dict[str, str] = {}

    def add(self, columns: Mapping[str, Values], rows: int | None = None) -> None:
        """A block of rows; their number where there may be no column."""
        self._rows += _length(columns) if rows is None else rows
        pieces: dict[str, Summary] = {}
        for name, before in self._reference.columns.items():
            values = columns.get(name)
            if values is None:
                continue
            if not readable(values, before.kind):
                self._unreadable[name] = str(values.dtype) if isinstance(values, np.ndarray) else "text"
            elif isinstance(before, LevelsProfile):
                self._levels.setdefault(name, _Levels(before)).add(values)
            else:
                pieces[name] = piece = summarise(values, before.kind)
                if isinstance(before, NumericProfile) and piece.sample is not None:
                    self._numbers.setdefault(name, _Numbers(before)).add(piece.sample)
        self._profiles.add(pieces)

    def window(self) -> Window:
        columns: dict[str, Seen] = {name: levels.seen() for name, levels in self._levels.items()}
        for name, profile in self._profiles.profile(self._rows).columns.items():
            if isinstance(profile, NumericProfile):
                columns[name] = self._numbers[name].seen(profile)
            elif isinstance(profile, TimeProfile):
                columns[name] = profile
        readable_ = {name: seen for name, seen in columns.items() if name not in self._unreadable}
        return Window(self._rows, readable_, self._unreadable)


def count(reference: Profile, columns: Mapping[str, Values]) -> Window:
    """A window that is in memory already."""
    builder = WindowBuilder(reference)
    builder.add(columns)
    return builder.window()


def readable(values: Values, kind: str) -> bool:
    """Whether the array is of the type that `Columns` has for the kind."""
    if isinstance(values, Levels):
        return kind == "categorical"
    return values.dtype.kind in {"categorical": "OU", "datetime": "M"}.get(kind, "fiub")


class _Numbers:
    def __init__(self, reference: NumericProfile) -> None:
        self._edges, self._heavy = reference.bins.edges, reference.bins.edges[reference.bins.atoms]
        with np.errstate(all="ignore"):
            span = np.float64(reference.max) - reference.min
            self._low, self._high = reference.min - span, reference.max + span
        self._up_to, self._below = (np.zeros(len(at), dtype=np.int64) for at in (self._edges, self._heavy))
        self._far = 0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        ranked = np.sort(values)
        self._up_to += np.searchsorted(ranked, self._edges, "right")
        self._below += np.searchsorted(ranked, self._heavy, "left")
        low, high = np.searchsorted(ranked, self._low, "left"), np.searchsorted(ranked, self._high, "right")
        self._far += int(low) + len(ranked) - int(high)

    def seen(self, profile: NumericProfile) -> Numbers:
        return Numbers(profile, self._up_to, self._below, self._far if len(self._edges) else 0)


class _Levels:
    def __init__(self, reference: LevelsProfile) -> None:
        self._kind, self._names = reference.kind, reference.counts
        self._known: Counter[str] = Counter()
        self._strange: Counter[str] = Counter()
        self._rows = self._present = 0

    def add(self, values: Values) -> None:
        counts = level_counts(values, self._kind)
        self._rows += len(values.codes) if isinstance(values, Levels) else len(values)
        self._present += counts.total()
        for name, count_ in counts.items():
            (self._known if name in self._names else self._strange)[name] += count_
        if len(self._strange) > _MOST_LEVELS:
            self._strange = Counter(dict(self._strange.most_common(MAX_LEVELS)))

    def seen(self) -> Categories:
        most = (self._known + self._strange).most_common(MAX_LEVELS)
        other = self._present - sum(count_ for _, count_ in most)
        profile = LevelsProfile(self._rows, self._rows - self._present, dict(most), other, self._kind)
        return Categories(profile, np.array([self._known[name] for name in self._names], dtype=np.int64))


def _length(columns: Mapping[str, Values]) -> int:
    return max((len(v.codes) if isinstance(v, Levels) else len(v) for v in columns.values()), default=0)
