"""JSON rows become one matrix, column by column: what is as it should be goes through in a few steps for all rows at
once, and only what is odd is looked at for itself."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from tidemill.encoding import LARGEST, MISSING, NULL_WORDS, Matrix, Value, read_value, value_encoder
from tidemill.schema import Column, Schema

MOST_PROBLEMS = 100
"""Of a request are told; so of a column no more need be found."""
_MOST_WARNINGS = 20
_NAN = float("nan")
_NUMBERS, _BOOLEANS = frozenset({int, float}), frozenset({bool})

Row = Mapping[str, Any]


@dataclass
class Notes:
    """Problems refuse the request; warnings are told beside the answer. `more`: not all problems were looked for."""

    problems: list[dict[str, Any]] = field(default_factory=list)
    more: bool = False
    warnings: dict[str, int] = field(default_factory=dict)
    untold: int = 0
    """Warnings beyond those that are told anyway."""

    def problem(self, row: int, name: str, expected: str, got: str) -> None:
        self.problems.append({"row": row, "field": name, "expected": expected, "got": got})

    def warn(self, sentence: str, rows: int = 1) -> None:
        self.warnings[sentence] = self.warnings.get(sentence, 0) + rows

    def sentences(self) -> list[str]:
        counted = [f"{text} ({count} rows)" if count > 1 else text for text, count in self.warnings.items()]
        hidden = len(counted) + self.untold - _MOST_WARNINGS
        return counted[:_MOST_WARNINGS] + ([f"and {hidden} more warnings"] if hidden > 0 else [])


Columns = Mapping[str, list[Any]]
"""Raw values by name, one of each row, None where a row lacks it; without the names that no row has."""


class RowReader:
    """Made once a version."""

    def __init__(self, schema: Schema) -> None:
        self._known = {column.name: itemgetter(column.name) for column in schema.columns}
        self._readers = [(column.name, _READERS[column.kind](column)) for column in schema.features]

    def __call__(self, rows: Sequence[Row], notes: Notes) -> tuple[Columns, Matrix]:
        """What the model knows of the rows, and one row of the matrix for each; without meaning where there are
        problems."""
        columns = self._columns(rows, notes)
        places: list[Sequence[float]] = []
        for name, read in self._readers:
            places.extend(read(columns.get(name) or [None] * len(rows), rows, notes))
        if notes.more:
            return columns, np.empty((0, 0), dtype=np.float32)
        return columns, np.ascontiguousarray(np.array(places, dtype=np.float32).T)

    def _columns(self, rows: Sequence[Row], notes: Notes) -> Columns:
        named = set().union(*rows)
        unknown = sorted(named.difference(self._known))
        for name in unknown[:_MOST_WARNINGS]:
            warning = f"field {quoted(name)} is not known to the model and was ignored"
            notes.warn(warning, sum(name in row for row in rows))
        notes.untold += len(unknown[_MOST_WARNINGS:])
        return {name: _values(name, get, rows) for name, get in self._known.items() if name in named}


def _values(name: str, get: Callable[[Row], Any], rows: Sequence[Row]) -> list[Any]:
    try:
        return list(map(get, rows))
    except KeyError:
        return [row.get(name) for row in rows]


Reader = Callable[[list[Any], Sequence[Row], Notes], Sequence[Sequence[float]]]
"""Takes a column's raw values, and the rows that they are of; the places that it has in the matrix."""


def _numbers(column: Column) -> Reader:
    low = -math.inf if column.low is None or column.high is None else column.low
    high = math.inf if column.low is None or column.high is None else column.high
    warning, odd = _outside(column), _one_by_one(column)

    def read(values: list[Any], rows: Sequence[Row], notes: Notes) -> Sequence[Sequence[float]]:
        kinds, numbers, encoded = set(map(type, values)), values, values
        if column.nullable and type(None) in kinds:
            kinds.discard(type(None))
            numbers = [value for value in values if value is not None]
            encoded = [_NAN if value is None else value for value in values]
        if not kinds <= _NUMBERS:
            return odd(values, rows, notes)
        if numbers:
            least, most = min(numbers), max(numbers)
            # Comparisons may pass over a NaN that stands between others, a sum does not.
            if not (least >= -LARGEST and most <= LARGEST) or math.isnan(sum(numbers)):
                return odd(values, rows, notes)
            if least < low or most > high:
                notes.warn(warning, sum(not low <= value <= high for value in numbers))
        return [encoded]

    return read


def _booleans(column: Column) -> Reader:
    odd = _one_by_one(column)

    def read(values: list[Any], rows: Sequence[Row], notes: Notes) -> Sequence[Sequence[float]]:
        return [values] if _BOOLEANS.issuperset(map(type, values)) else odd(values, rows, notes)

    return read


def _categories(column: Column) -> Reader:
    known: dict[str | None, float] = {
        word: float(code)
        for code, word in enumerate(column.vocabulary)
        if word == word.strip() and word.lower() not in NULL_WORDS
    }
    if column.nullable:
        known[None] = MISSING
    odd = _one_by_one(column)

    def read(values: list[Any], rows: Sequence[Row], notes: Notes) -> Sequence[Sequence[float]]:
        try:
            return [[known[value] for value in values]]
        except (KeyError, TypeError):
            return odd(values, rows, notes)

    return read


def _one_by_one(column: Column) -> Reader:
    """The whole of what a value may be, which the other readers are short cuts for."""
    encode = value_encoder(column)

    def read(values: list[Any], rows: Sequence[Row], notes: Notes) -> Sequence[Sequence[float]]:
        encoded = []
        last = len(notes.problems) + MOST_PROBLEMS
        for number, raw in enumerate(values):
            if len(notes.problems) == last:
                notes.more = True
                break
            try:
                value = read_value(column, raw)
            except ValueError as error:
                notes.problem(number, column.name, str(error), shown(raw))
                value = None
            else:
                if value is None and not column.nullable:
                    expected = f"a value ({column.kind}): no training row lacked it"
                    notes.problem(number, column.name, expected, "null" if column.name in rows[number] else "nothing")
                elif value is not None:
                    _flag(column, value, notes)
            encoded.append(encode(value))
        return list(zip(*encoded, strict=True))

    return read


_READERS: Mapping[str, Callable[[Column], Reader]] = {
    "numeric": _numbers,
    "boolean": _booleans,
    "categorical": _categories,
    "datetime": _one_by_one,
}


def _flag(column: Column, value: Value, notes: Notes) -> None:
    if column.kind == "categorical" and value not in column.vocabulary:
        notes.warn(f"field {column.name!r}: category {shown(value)} was not seen in training")
    elif (
        isinstance(value, float)
        and column.low is not None
        and column.high is not None
        and not column.low <= value <= column.high
    ):
        notes.warn(_outside(column))


def _outside(column: Column) -> str:
    span = f"{column.low:.6g} to {column.high:.6g}" if column.low is not None and column.high is not None else ""
    return f"field {column.name!r}: a value outside of training's {span}"


def shown(raw: object) -> str:
    """A value that was sent, as JSON."""
    return _cut(json.dumps(raw, default=str))


def quoted(sent: object) -> str:
    """A name that was sent, or what stands in a sentence for one."""
    return _cut(repr(sent))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
