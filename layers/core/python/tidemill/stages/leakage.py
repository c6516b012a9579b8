"""Columns that give the target away: what one feature alone, or that it is missing, tells of the target.

Classification: the area under the ROC curve, one class against the rest where there are more than two. Regression: the
share of the target's order (of the variance of its ranks) that the feature explains. Numbers are judged by their order
and, for a regression, by fine bins as well; categories and bins by what they say of the half of the rows that they
were not counted on, so that an id explains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix
from tidemill.schema import Column, Levels, Schema, mixed
from tidemill.stages.classes import class_codes
from tidemill.stages.drift import FEW_VALUES
from tidemill.stages.evolution import Finding
from tidemill.stages.npy import spread

SAMPLE = 50_000
"""Rows looked at, evenly spread."""
SUSPECT, CERTAIN = 0.95, 0.999
"""Honest data have columns that tell much: breast cancer's best alone has an AUC of 0.975."""
FEW = 10
"""Rows that a class, or a regression's column, must have at least: with 10 of 200 an unrelated column reaches an AUC of
0.95 once in a million."""
BINS, BIN_ROWS = 200, 20
ID_LIKE = 0.99
"""Share of a column's values that no other row has."""

JUDGED = 20
"""Classes, the most frequent ones, that a category is judged by: each takes a ranking of its own."""

Values = npt.NDArray[Any] | Levels
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Leak(NamedTuple):
    """`score` from 0.5 (AUC) or 0 (share explained) to 1; `says` and `done` as in `Finding`."""

    column: str
    score: float
    says: str
    done: str

    @property
    def finding(self) -> Finding:
        return Finding("warn", "leakage", self.column, self.says, self.done)


class _Score(NamedTuple):
    """`gaps`: of the column's missing values, not of its values; `code`: of the class that is told from the rest."""

    score: float
    gaps: bool = False
    code: int = 0


def find(columns: Mapping[str, Any], schema: Schema) -> list[Leak]:
    """Features that tell the target almost alone, the surest first.

    `columns` are training rows in arrays of one length (as `Columns`, categories as `Levels` too); those without the
    role of a feature or the target are left alone.
    """
    target = schema.target
    if target.name not in columns:
        return []
    columns = _sample({c.name: columns[c.name] for c in (*schema.features, target) if c.name in columns})
    judge = _Regression(columns[target.name]) if schema.task == "regression" else _Classes(columns[target.name], schema)
    leaks = []
    with np.errstate(all="ignore"):
        for column in schema.features:
            if column.name in columns:
                best = max(judge.scores(_Column(columns[column.name])), default=_Score(0.0))
                if best.score >= SUSPECT:
                    leaks.append(_leak(column.name, best, schema, judge.measure))
    return sorted(leaks, key=lambda leak: -leak.score)


def decoded(schema: Schema, matrix: Matrix, names: Sequence[str]) -> dict[str, Values]:
    """The features of matrix rows as they were before they were encoded, as far as they tell rows apart; without those
    that the matrix lacks."""
    found = {column.name: _decoded(column, matrix, names) for column in schema.features}
    return {name: values for name, values in found.items() if values is not None}


def _decoded(column: Column, matrix: Matrix, names: Sequence[str]) -> Values | None:
    if column.kind == "datetime":
        days, hours = f"datetime.days:{column.name}", f"datetime.hour:{column.name}"
        if days not in names:
            return None
        moments = matrix[:, names.index(days)] * 86_400.0 + matrix[:, names.index(hours)] * 3_600.0
        return np.asarray(moments.astype("datetime64[s]"))
    name = f"{column.kind}:{column.name}"
    if name not in names:
        return None
    values = matrix[:, names.index(name)]
    if column.kind == "categorical":
        return Levels(np.maximum(values, -1).astype(np.int32), column.vocabulary)
    return values.astype(np.float64)


def redundant(columns: Mapping[str, Any], schema: Schema) -> list[Finding]:
    """Features that say nothing or nothing new: ids, and those that say row by row what the id or an earlier feature
    says."""
    identity = schema.of_role("id")
    known = (*([identity] if identity else []), *schema.features)
    columns = _sample({column.name: columns[column.name] for column in known if column.name in columns})
    if identity and identity.name in columns:
        columns[identity.name] = _numbers(columns[identity.name])
    seen: dict[bytes, str] = {}
    found = []
    for column in known:
        if column.name not in columns:
            continue
        values = _Column(columns[column.name])
        why = "" if column.role == "id" else values.why_an_id()
        if why:
            says = f"column {column.name!r} looks like an id: {why}"
            done = "kept; add it to exclude in the spec if it is"
            found.append(Finding("note", "id_as_feature", column.name, says, done))
        same = next(
            (first for mark in values.marks() if (first := seen.setdefault(mark, column.name)) != column.name), ""
        )
        if same:
            says = f"column {column.name!r} says in every row what {same!r} says"
            found.append(Finding("note", "redundant", column.name, says, "kept; one of them is enough"))
    return found


def _leak(name: str, best: _Score, schema: Schema, measure: str) -> Leak:
    what = f"whether column {name!r} is missing" if best.gaps else f"column {name!r}"
    told = repr(schema.target.name)
    if len(schema.classes) > 2:
        told = f"class {schema.classes[best.code]!r} of {told}"
    verb = f"gives {told} away" if best.score >= CERTAIN else f"alone almost tells {told}"
    done = "kept; if it is known only after the fact, add it to exclude in the spec"
    return Leak(name, best.score, f"{what} {verb} ({measure} {best.score:.4f})", done)


def _sample(columns: Mapping[str, Any]) -> dict[str, Values]:
    """Rows evenly spread over all of them."""
    columns = {n: v if isinstance(v, Levels) else np.asarray(v) for n, v in columns.items()}
    rows = max((_rows(values) for values in columns.values()), default=0)
    if rows <= SAMPLE:
        return columns
    at = spread(rows, SAMPLE)
    return {
        name: Levels(values.codes[at], values.names) if isinstance(values, Levels) else values[at]
        for name, values in columns.items()
    }


def _numbers(ids: Values) -> Values:
    """Ids as numbers where all of them are."""
    try:
        return ids if isinstance(ids, Levels) else ids.astype(np.float64)
    except (ValueError, TypeError):
        return ids


def _rows(values: Values) -> int:
    return len(values.codes) if isinstance(values, Levels) else len(values)


class _Column:
    """A column as places in the order of its different values, -1 where missing."""

    def __init__(self, values: Values) -> None:
        self.numbers: npt.NDArray[Any] | None = None
        if isinstance(values, Levels):
            self.places = values.codes.astype(np.int64)
        elif values.dtype.kind in "OU":
            numbered: dict[Any, int] = {}
            each = (-1 if value is None else numbered.setdefault(value, len(numbered)) for value in values.tolist())
            self.places = np.fromiter(each, dtype=np.int64, count=len(values))
        else:
            self.numbers = values if values.dtype.kind == "M" else values.astype(np.float64, copy=False)
            missing = np.isnat(self.numbers) if values.dtype.kind == "M" else np.isnan(self.numbers)
            self.places = np.full(len(values), -1, dtype=np.int64)
            _, self.places[~missing] = np.unique(self.numbers[~missing], return_inverse=True)
        self.present = self.places >= 0

    @property
    def levels(self) -> IntArray:
        """0 for missing, then the different values."""
        return self.places + 1

    def binned(self) -> IntArray:
        """As `levels`, with `BIN_ROWS` rows or more to a bin where there are many different numbers."""
        rows = int(self.present.sum())
        bins = max(1, min(BINS, rows // BIN_ROWS))
        if int(self.places.max(initial=-1)) < bins:
            return self.levels
        ranks = _ranks(self.places[self.present])
        binned = np.zeros(len(self.places), dtype=np.int64)
        binned[self.present] = 1 + np.minimum((ranks - 1) * bins // max(1, rows), bins - 1).astype(np.int64)
        return binned

    def why_an_id(self) -> str:
        present = self.places[self.present]
        if len(present) < FEW_VALUES:
            return ""
        times = np.bincount(present)
        alone = int((times == 1).sum()) / len(present)
        if self.numbers is None:
            return f"{alone:.1%} of its values occur once only" if alone >= ID_LIKE else ""
        if self.numbers.dtype.kind == "f" and alone == 1.0 and (np.diff(present) > 0).all():
            whole = self.numbers[self.present]
            if np.isfinite(whole).all() and (whole == np.rint(whole)).all():
                return "whole numbers that rise with every row"
        return ""

    def marks(self) -> Iterator[bytes]:
        """Equal for columns of which each tells the other: by the rows that share a value, where many do; and by the
        order of numbers, up or down."""
        times = np.bincount(self.places[self.present])
        times = times[times > 0]
        if len(times) < 2 or len(self.places) - int(times.max()) < FEW:
            return
        if 2 * len(times) <= len(self.places):
            _, first, levels = np.unique(self.levels, return_index=True, return_inverse=True)
            yield b"rows" + np.argsort(np.argsort(first))[levels].tobytes()
        elif self.numbers is not None:
            last = int(self.places.max())
            for order in (self.places, np.where(self.present, last - self.places, -1)):
                yield b"order" + order.tobytes()


def _ranks(places: IntArray) -> FloatArray:
    """From 1, equal values sharing the mean of theirs, of places in an order."""
    times = np.bincount(places)
    return np.asarray((np.cumsum(times) - (times - 1) / 2)[places])


def _halves(rows: int) -> npt.NDArray[np.bool_]:
    """Not every second row: a file may alternate."""
    return np.asarray(mixed(np.arange(1, rows + 1, dtype=np.uint64)) >> np.uint64(40) & np.uint64(1), dtype=bool)


class _Classes:
    measure = "AUC"

    def __init__(self, target: Values, schema: Schema) -> None:
        self.codes = class_codes(target, schema.target.kind, schema.classes).astype(np.int64)
        self.classes = len(schema.classes)

    def scores(self, column: _Column) -> Iterator[_Score]:
        if column.numbers is None:
            yield self._by_rates(column.levels)
            return
        yield self._by_order(column.places, column.present)
        all_rows = np.ones(len(column.present), dtype=bool)
        yield self._by_order(column.present.astype(np.int64), all_rows)._replace(gaps=True)

    def _by_order(self, places: IntArray, rows: npt.NDArray[np.bool_]) -> _Score:
        """Mann-Whitney's, of every class against the rest by one ranking, in the better direction."""
        rows = rows & (self.codes >= 0)
        codes = self.codes[rows]
        each = np.bincount(codes, minlength=self.classes).astype(np.float64)
        pairs = each * (len(codes) - each)
        sums = np.bincount(codes, weights=_ranks(places[rows]), minlength=self.classes)
        areas = np.abs((sums - each * (each + 1) / 2) / pairs - 0.5) + 0.5
        areas[(each < FEW) | (len(codes) - each < FEW)] = 0.0
        best = int(np.argmax(areas)) if len(areas) else 0
        return _Score(float(areas.max(initial=0.0)), code=best)

    def _by_rates(self, levels: IntArray) -> _Score:
        """By the classes' shares among a level's rows in the other half of the rows; the mean of both halves."""
        known = self.codes >= 0
        codes, half = self.codes[known], _halves(len(levels))[known]
        _, levels = np.unique(levels[known], return_inverse=True)
        each = np.bincount(codes, minlength=self.classes)
        judged = [1] if self.classes == 2 else np.argsort(-each, kind="stable")[:JUDGED].tolist()
        best = _Score(0.0)
        for code in judged:
            if min(each[code], len(codes) - each[code]) >= FEW:
                areas = [_area(levels, codes == code, seen) for seen in (half, ~half)]
                best = max(best, _Score(float(np.mean(areas)), code=code))
        return best


def _area(levels: IntArray, hits: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]) -> float:
    """Of the rows not seen, by what the others say of their levels."""
    rates = _rates(levels[seen], hits[seen].astype(np.float64), int(levels.max()) + 1, float(hits.mean()))
    _, places = np.unique(rates, return_inverse=True)
    positive = hits[~seen]
    n = float(positive.sum())
    pairs = n * (len(positive) - n)
    return float((_ranks(places[levels[~seen]])[positive].sum() - n * (n + 1) / 2) / pairs) if pairs else 0.0


class _Regression:
    measure = "share of its order explained"

    def __init__(self, target: Values) -> None:
        values = _Column(target)
        self.known = values.present
        self.ranks = np.zeros(len(values.places))
        self.ranks[self.known] = _ranks(values.places[self.known])

    def scores(self, column: _Column) -> Iterator[_Score]:
        both = column.present & self.known
        if column.numbers is None:
            yield _Score(self._by_means(column.levels))
            return
        yield _Score(self._by_means(column.binned()))
        if both.sum() >= FEW:
            of_target = _ranks(np.unique(self.ranks[both], return_inverse=True)[1])
            yield _Score(_squared_correlation(_ranks(column.places[both]), of_target))

    def _by_means(self, levels: IntArray) -> float:
        """The share of variance that the means of a level's rows in the other half explain."""
        levels, ranks, half = levels[self.known], self.ranks[self.known], _halves(len(levels))[self.known]
        if len(ranks) < 2 * FEW:
            return 0.0
        size = int(levels.max(initial=-1)) + 1
        mean = float(ranks.mean())
        expected = np.empty(len(ranks))
        for seen in (half, ~half):
            expected[~seen] = _rates(levels[seen], ranks[seen], size, mean)[levels[~seen]]
        spread = float(((ranks - mean) ** 2).sum())
        return 1 - float(((ranks - expected) ** 2).sum()) / spread if spread else 0.0


def _rates(levels: IntArray, values: FloatArray, size: int, usual: float) -> FloatArray:
    """The mean of each level's values; the usual one where a level has none."""
    times = np.bincount(levels, minlength=size)
    sums = np.bincount(levels, weights=values, minlength=size)
    means: FloatArray = np.divide(sums, times, out=np.full(size, usual), where=times > 0)
    return means


def _squared_correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    spread = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) ** 2 / spread if spread else 0.0
