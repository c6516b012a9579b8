"""What a column looks like, in a few kilobytes that can be merged: the memory that drift is judged against.

Accuracy: counts of rows, moments and extremes are exact, before and after a merge. A numeric column's cumulative
share is exact at the profile's edges for the data profiled; where a large file's numbers were thinned, its standard
error is at most 0.5 / sqrt(numbers kept), 0.001 for a quarter of a million. A merge reads each sketch inside its bins
by straight lines, so a share is off by at most one bin, 1 / 128: far less where values are smooth, and not at heavy
values. Categories are exact up to 200; beyond, one may miss the rows that a part called other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tidemill.schema import Levels

FloatArray = npt.NDArray[np.float64]
MAX_DISTINCT = 100
"""Up to here every value of a numeric column has its own count."""
BINS = 128
MAX_LEVELS = 200
_FEW_BYTES = 1_000_000
"""Sorted before a thread has begun."""


class Bins(NamedTuple):
    """A numeric profile's bins, each (k,): all values up to `edges`, from `low` on, of which `reached` counts those up
    to the edge."""

    low: FloatArray
    edges: FloatArray
    counts: FloatArray
    reached: FloatArray
    atoms: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NumericProfile:
    """Bin i holds the values in (edges[i - 1], edges[i]]; with atoms[i] they all equal edges[i].

    Moments, edges and counts are of the finite values. `variance` is the population's. NaN without a value.
    """

    rows: int
    missing: int
    infinite: int
    mean: float
    variance: float
    min: float
    max: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    atoms: tuple[bool, ...]
    kind: str = "numeric"

    @property
    def present(self) -> int:
        return self.rows - self.missing - self.infinite

    @cached_property
    def bins(self) -> Bins:
        edges, counts = np.array(self.edges, dtype=np.float64), np.array(self.counts, dtype=np.float64)
        low = np.append(self.min, edges)[:-1]
        return Bins(low, edges, counts, np.cumsum(counts), np.array(self.atoms, dtype=np.bool_))

    def cumulative(self, at: npt.ArrayLike, *, below: bool = False) -> FloatArray:
        """How many values are <= each point (below: < it); inside a bin that is no atom, by straight line."""
        points = np.asarray(at, dtype=np.float64)
        if not self.edges:
            return np.zeros(points.shape)
        # Bin j is the one that a point falls in; one on an edge has the whole of that bin behind it.
        j = np.searchsorted(self.bins.edges, points, side="left")
        low, edges, counts, reached, atoms = (each[np.minimum(j, len(self.edges) - 1)] for each in self.bins)
        width = edges - low
        with np.errstate(over="ignore"):
            share = np.divide(points - low, width, out=np.ones(points.shape), where=width > 0).clip(0.0, 1.0)
        share = np.where(atoms, (points >= edges) & (not below), share)
        within = reached - counts + share * counts
        outside = np.where(points < self.min, 0.0, self.bins.reached[-1])
        return np.where((points < self.min) | (j == len(self.edges)), outside, within)

    def quantile(self, q: npt.ArrayLike) -> FloatArray:
        """Values that hold the shares q of the values at or below them; NaN without values."""
        shares = np.asarray(q, dtype=np.float64)
        if not self.edges:
            return np.full(shares.shape, np.nan)
        wanted = shares * self.bins.reached[-1]
        j = np.minimum(np.searchsorted(self.bins.reached, wanted, side="left"), len(self.edges) - 1)
        low, edges, counts, reached, atoms = (each[j] for each in self.bins)
        part = 1 - np.divide(reached - wanted, counts, out=np.zeros(shares.shape), where=counts > 0)
        inside: FloatArray = low + part * (edges - low)
        return np.where(atoms, edges, inside)


@dataclass(frozen=True, slots=True)
class LevelsProfile:
    """Categorical and boolean ("false", "true"): the most frequent, and in `other` the rows of the rest."""

    rows: int
    missing: int
    counts: Mapping[str, int]
    other: int
    kind: str

    @property
    def present(self) -> int:
        return self.rows - self.missing


@dataclass(frozen=True, slots=True)
class TimeProfile:
    """Datetime: ISO 8601 in UTC, None without a value."""

    rows: int
    missing: int
    min: str | None
    max: str | None
    kind: str = "datetime"

    @property
    def present(self) -> int:
        return self.rows - self.missing


ColumnProfile = NumericProfile | LevelsProfile | TimeProfile


@dataclass(frozen=True, slots=True)
class Profile:
    rows: int
    columns: Mapping[str, ColumnProfile]

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "columns": {name: _column_to_json(c) for name, c in self.columns.items()}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        columns = {name: _column_from_json(entry) for name, entry in document["columns"].items()}
        return cls(document["rows"], columns)


def profile(columns: Mapping[str, Any], kinds: Mapping[str, str]) -> Profile:
    """Columns that have a kind; the others, and kinds without a column, are left out."""
    profiles = {name: profile_column(columns[name], kind) for name, kind in kinds.items() if name in columns}
    return Profile(max((_rows(values) for values in columns.values()), default=0), profiles)


def profile_column(values: npt.NDArray[Any] | Levels, kind: str) -> ColumnProfile:
    return combine([summarise(values, kind)])


@dataclass(frozen=True, slots=True)
class Summary:
    """One piece of a column: what is counted of all its rows, and the values that its distribution is drawn from."""

    kind: str
    rows: int
    missing: int
    infinite: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: Any = None
    high: Any = None
    sample: FloatArray | None = None
    levels: Mapping[str, int] | None = None

    @property
    def present(self) -> int:
        return self.rows - self.missing - self.infinite

    def thinned(self, every: int) -> Summary:
        """With every k-th value of its sample only."""
        return self if self.sample is None else replace(self, sample=self.sample[::every].copy())


def summarise(values: npt.NDArray[Any] | Levels, kind: str) -> Summary:
    """A column's piece, whose sample is all its numbers."""
    match kind:
        case "numeric":
            return _summarise_numbers(np.asarray(values, dtype=np.float64))
        case "boolean" | "categorical":
            levels = level_counts(values, kind)
            rows = _rows(values)
            return Summary(kind, rows, rows - levels.total(), levels=levels)
        case "datetime":
            moments = np.asarray(values)
            known = moments[~np.isnat(moments)]
            low, high = (known.min(), known.max()) if known.size else (None, None)
            return Summary(kind, len(moments), len(moments) - known.size, low=low, high=high)
    raise ValueError(f"a column's kind is numeric, boolean, categorical or datetime, not {kind!r}")


def combine(pieces: Sequence[Summary]) -> ColumnProfile:
    """The profile of a column from all its pieces, in any order."""
    rows, missing = sum(piece.rows for piece in pieces), sum(piece.missing for piece in pieces)
    kind = pieces[0].kind
    if kind == "numeric":
        return _combine_numbers(pieces, rows, missing)
    known = [piece for piece in pieces if piece.present]
    if kind == "datetime":
        low = min((piece.low for piece in known), default=None)
        high = max((piece.high for piece in known), default=None)
        return TimeProfile(rows, missing, None if low is None else str(low), None if high is None else str(high))
    levels: Counter[str] = Counter()
    for piece in pieces:
        levels.update(piece.levels)
    return _levels(levels, missing, 0, kind)


class ProfileBuilder:
    """Profiles columns that come in pieces, in memory that does not grow with them: once all numbers take more than the
    budget (bytes), every second one is let go, again and again."""

    def __init__(self, budget: int = 24_000_000) -> None:
        self._budget, self._every = budget, 1
        self._pieces: dict[str, list[Summary]] = {}

    def add(self, pieces: Mapping[str, Summary]) -> None:
        for name, piece in pieces.items():
            self._pieces.setdefault(name, []).append(piece.thinned(self._every))
        while self._held() > self._budget:
            self._every *= 2
            self._pieces = {name: [piece.thinned(2) for piece in some] for name, some in self._pieces.items()}

    def profile(self, rows: int) -> Profile:
        if self._held() < _FEW_BYTES:
            return Profile(rows, {name: combine(pieces) for name, pieces in self._pieces.items()})
        # Sorting is most of it, and lets other threads run.
        with ThreadPoolExecutor(2) as pool:
            return Profile(rows, dict(zip(self._pieces, pool.map(combine, self._pieces.values()), strict=True)))

    def _held(self) -> int:
        pieces = (piece for some in self._pieces.values() for piece in some)
        return sum(piece.sample.nbytes for piece in pieces if piece.sample is not None)


def level_counts(values: npt.NDArray[Any] | Levels, kind: str) -> Counter[str]:
    """All levels of a boolean or categorical column; what is neither, is missing."""
    if isinstance(values, Levels):
        times = np.bincount(values.codes[values.codes >= 0], minlength=len(values.names))
        return Counter({name: int(n) for name, n in zip(values.names, times, strict=True) if n})
    if kind == "boolean":
        return Counter(false=int((values == 0).sum()), true=int((values == 1).sum()))
    return Counter({level: count for level, count in Counter(values.tolist()).items() if isinstance(level, str)})


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of both row sets together; order does not matter. Raises ValueError where kinds differ."""
    columns = dict(a.columns)
    for name, column in b.columns.items():
        columns[name] = merge_column(columns[name], column) if name in columns else column
    return Profile(a.rows + b.rows, columns)


def merge_column(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    if isinstance(a, NumericProfile) and isinstance(b, NumericProfile):
        return _merge_numeric(a, b)
    rows, missing = a.rows + b.rows, a.missing + b.missing
    if isinstance(a, LevelsProfile) and isinstance(b, LevelsProfile) and a.kind == b.kind:
        return _levels(Counter(a.counts) + Counter(b.counts), missing, a.other + b.other, a.kind)
    if isinstance(a, TimeProfile) and isinstance(b, TimeProfile):
        lows = [t.min for t in (a, b) if t.min]
        highs = [t.max for t in (a, b) if t.max]
        return TimeProfile(rows, missing, min(lows, default=None), max(highs, default=None))
    raise ValueError(f"profiles of kind {a.kind} and {b.kind} cannot be merged")


def _rows(values: npt.NDArray[Any] | Levels) -> int:
    return len(values.codes) if isinstance(values, Levels) else len(values)


def _summarise_numbers(values: FloatArray) -> Summary:
    usable = np.isfinite(values)
    finite = values if usable.all() else values[usable]
    missing = int(np.isnan(values).sum()) if len(finite) < len(values) else 0
    infinite = len(values) - missing - len(finite)
    if not finite.size:
        return Summary("numeric", len(values), missing, infinite, sample=finite)
    low, high = finite.min(), finite.max()
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float: no variance, no error
        mean = float(finite.mean())
        squares = float(finite.var()) * len(finite)
    return Summary("numeric", len(values), missing, infinite, mean, squares, float(low), float(high), finite)


def _combine_numbers(pieces: Sequence[Summary], rows: int, missing: int) -> NumericProfile:
    infinite = sum(piece.infinite for piece in pieces)
    known = [piece for piece in pieces if piece.present]
    if not known:
        return NumericProfile(rows, missing, infinite, math.nan, math.nan, math.nan, math.nan, (), (), ())
    present, mean, squares = 0, 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in known:  # Chan, Golub and LeVeque (1979)
            step = np.float64(piece.mean) - mean
            total = present + piece.present
            squares += piece.squares + float(step**2 * (present / total) * piece.present)
            mean += float(step * (piece.present / total))
            present = total
    low, high = min(piece.low for piece in known), max(piece.high for piece in known)
    values = np.concatenate([piece.sample for piece in known if piece.sample is not None])
    if len(values) != present:  # thinned: the extremes are kept all the same
        values = np.append(values, [low, high])
    values.sort()
    reached = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))
    edges, counts, atoms = _reduced(values[reached - 1], reached, np.ones(len(reached), dtype=bool))
    if len(values) != present:
        scaled = np.rint(np.cumsum(counts) * (present / len(values))).astype(np.int64)
        counts = tuple(np.diff(scaled, prepend=0).tolist())
    return NumericProfile(rows, missing, infinite, mean, squares / present, low, high, edges, counts, atoms)


def _merge_numeric(a: NumericProfile, b: NumericProfile) -> NumericProfile:
    rows, missing, infinite = a.rows + b.rows, a.missing + b.missing, a.infinite + b.infinite
    if not a.present or not b.present:
        return replace(a if a.present else b, rows=rows, missing=missing, infinite=infinite)
    n = a.present + b.present
    with np.errstate(over="ignore", invalid="ignore"):
        step = np.float64(b.mean) - a.mean
        mean = float((a.present * np.float64(a.mean) + b.present * np.float64(b.mean)) / n)
        within = (a.present * np.float64(a.variance) + b.present * np.float64(b.variance)) / n
        variance = float(within + step**2 * (a.present / n) * (b.present / n))
    points = np.union1d(a.edges, b.edges)
    below = a.cumulative(points, below=True) + b.cumulative(points, below=True)
    reached = a.cumulative(points) + b.cumulative(points)
    before = np.concatenate([[0.0], reached[:-1]])
    # A heavy value of one side, smooth values of the other just before it: an edge between keeps it whole.
    split = (below - before >= 0.5) & (reached - below >= 0.5)
    points, place = np.unique(np.concatenate([points, np.nextafter(points[split], -np.inf)]), return_index=True)
    reached = np.concatenate([reached, below[split]])[place]
    atoms = np.concatenate([split | (below - before < 0.5), np.zeros(split.sum(), dtype=bool)])[place]
    edges, counts, whole = _reduced(points, np.rint(reached).astype(np.int64), atoms)
    low, high = min(a.min, b.min), max(a.max, b.max)
    return NumericProfile(rows, missing, infinite, mean, variance, low, high, edges, counts, whole)


def _reduced(
    edges: FloatArray, reached: npt.NDArray[np.int64], atoms: npt.NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[bool, ...]]:
    """All points if they are few atoms; otherwise those that the 128 even shares fall on.

    A bin that two shares fall in is heavy: the edge before it is kept too, so that it stays that narrow.
    """
    kept = np.ones(len(edges), dtype=np.bool_)
    if len(edges) > MAX_DISTINCT or not atoms.all():
        shares = np.unique(np.ceil(np.arange(1, BINS + 1) * (reached[-1] / BINS)))
        hit = np.searchsorted(reached, shares, side="left")
        heavy = hit[1:][hit[1:] == hit[:-1]]
        kept[:] = False
        kept[hit] = kept[np.maximum(heavy - 1, 0)] = True
    places = np.flatnonzero(kept)
    counts = np.diff(np.append(0, reached[places]))
    whole = atoms[places] & (np.diff(np.append(-1, places)) == 1)
    return tuple(edges[places].tolist()), tuple(counts.tolist()), tuple(whole.tolist())


def _levels(levels: Counter[str], missing: int, other: int, kind: str) -> LevelsProfile:
    ranked = sorted(levels.items(), key=lambda item: (-item[1], item[0]))
    rest = other + sum(count for _, count in ranked[MAX_LEVELS:])
    return LevelsProfile(levels.total() + other + missing, missing, dict(ranked[:MAX_LEVELS]), rest, kind)


def _column_to_json(column: ColumnProfile) -> dict[str, Any]:
    entry = asdict(column)
    if isinstance(column, NumericProfile):
        entry["atoms"] = "all" if all(column.atoms) else np.flatnonzero(column.atoms).tolist()
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()
    }


def _column_from_json(entry: Mapping[str, Any]) -> ColumnProfile:
    match entry["kind"]:
        case "numeric":
            bins = range(len(entry["edges"]))
            listed = bins if entry["atoms"] == "all" else set(entry["atoms"])
            moments = ("mean", "variance", "min", "max")
            numbers = {key: math.nan if entry[key] is None else entry[key] for key in moments}
            arrays = {"edges": tuple(entry["edges"]), "counts": tuple(entry["counts"])}
            return NumericProfile(**{**entry, **numbers, **arrays, "atoms": tuple(i in listed for i in bins)})
        case "datetime":
            return TimeProfile(**entry)
    return LevelsProfile(**entry)
