"""How a row becomes numbers: one float32 matrix, in a vectorised form and in a row form that agree.

numeric → itself, missing NaN · boolean → 0, 1, missing NaN · categorical → its place in the vocabulary,
unknown -1, missing -2 · datetime → year, month, day, weekday (Monday 0), hour with its fraction, and days
since 2000-01-01, missing NaN; never an epoch, since float32 steps by 128 s there. All times are UTC.

Codes are append-only per model, so an older version can be scored on a newer matrix: `select` picks its
columns by name and turns categories that it never knew into unknown ones.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.schema import Column, Columns, Schema

Matrix = npt.NDArray[np.float32]
Value = float | str | datetime | None

UNKNOWN, MISSING = -1.0, -2.0
NULL_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a"})
"""Text that means "missing" in any column, compared in lower case without surrounding white space."""
TRUE_WORDS, FALSE_WORDS = frozenset({"true", "t", "yes", "y"}), frozenset({"false", "f", "no", "n"})
DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this have no float32; they are refused at every door, never turned into infinity."""

_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
_PARTS = ("year", "month", "day", "weekday", "hour", "days")
_NAN = float("nan")


def encoded_names(schema: Schema) -> tuple[str, ...]:
    """Names of the matrix's columns, in order: `numeric:size`, `datetime.hour:sent`. The kind comes first, since a
    column may be called anything, `sent.hour` too; and a name never stands for two kinds."""
    return tuple(name for column in schema.features for name in _names(column))


def categorical_positions(schema: Schema) -> tuple[int, ...]:
    """Places of the columns that hold codes."""
    kinds = [column.kind for column in schema.features for _ in _names(column)]
    return tuple(place for place, kind in enumerate(kinds) if kind == "categorical")


def encode(schema: Schema, columns: Columns, rows: int) -> Matrix:
    """The vectorised form: (rows, len(encoded_names)); a feature that `columns` lacks is missing throughout."""
    matrix = np.empty((rows, len(encoded_names(schema))), dtype=np.float32)
    place = 0
    for column in schema.features:
        width = len(_names(column))
        part = matrix[:, place : place + width]
        if column.name in columns:
            _ENCODERS[column.kind](column, columns[column.name], part)
        else:
            part[:] = MISSING if column.kind == "categorical" else np.nan
        place += width
    return matrix


def select(matrix: Matrix, names: Sequence[str], schema: Schema) -> Matrix:
    """The matrix as a version with `schema` would have encoded it, from a newer one of the same model."""
    places = {name: place for place, name in enumerate(names)}
    picked = np.empty((len(matrix), len(encoded_names(schema))), dtype=np.float32)
    at = 0
    for column in schema.features:
        for name in _names(column):
            if name in places:
                picked[:, at] = matrix[:, places[name]]
            else:
                picked[:, at] = MISSING if column.kind == "categorical" else np.nan
            if column.kind == "categorical":
                picked[picked[:, at] >= len(column.vocabulary), at] = UNKNOWN
            at += 1
    return picked


class RowEncoder:
    """The row form, made once a version: plain dictionaries and floats, no array until the batch is whole."""

    def __init__(self, schema: Schema) -> None:
        self._steps = [(column.name, _row_encoder(column)) for column in schema.features]

    def __call__(self, row: Mapping[str, Value]) -> list[float]:
        """Typed values in (see `read_value`), a missing key counts as missing; one matrix row out."""
        encoded: list[float] = []
        for name, step in self._steps:
            encoded.extend(step(row.get(name)))
        return encoded


def read_value(column: Column, raw: object) -> Value:
    """A JSON value as the column's typed value; raises ValueError with what was expected."""
    if raw is None or (isinstance(raw, str) and raw.strip().lower() in NULL_WORDS):
        return None
    return _VALUE_READERS[column.kind](raw)


def write_value(column: Column, value: Any) -> object:
    """A typed value of `Columns` as JSON has it; `read_value` reads it back."""
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return None
    if column.kind == "boolean":
        return bool(value)
    if column.kind == "datetime":
        return f"{np.datetime64(value, 'us')}Z"
    return float(value) if column.kind == "numeric" else str(value)


def read_datetime(text: str) -> datetime:
    """ISO 8601 as `DATETIME` has it, in UTC; a time without a zone is taken as UTC."""
    if not DATETIME.fullmatch(text):
        raise ValueError("a date such as 2013-07-04 or 2013-07-04T18:30:00Z")
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a date that the calendar has") from None


def _names(column: Column) -> tuple[str, ...]:
    if column.kind == "datetime":
        return tuple(f"datetime.{part}:{column.name}" for part in _PARTS)
    return (f"{column.kind}:{column.name}",)


def _encode_numbers(_: Column, values: npt.NDArray[Any], out: Matrix) -> None:
    out[:, 0] = values


def _encode_codes(column: Column, values: npt.NDArray[Any], out: Matrix) -> None:
    codes: dict[str | None, float] = {value: float(code) for code, value in enumerate(column.vocabulary)}
    codes[None] = MISSING
    out[:, 0] = [codes.get(value, UNKNOWN) for value in values]


def _encode_dates(_: Column, values: npt.NDArray[Any], out: Matrix) -> None:
    present = ~np.isnat(values)
    out[:] = np.nan
    moments = values[present].astype("datetime64[us]")
    days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
    since_1970 = days.astype(np.int64)
    parts = (
        moments.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        (since_1970 + 3) % 7,
        (moments - days).astype(np.int64) / 3.6e9,
        since_1970 - 10_957,
    )
    for place, part in enumerate(parts):
        out[present, place] = part


_ENCODERS: Mapping[str, Callable[[Column, npt.NDArray[Any], Matrix], None]] = {
    "numeric": _encode_numbers,
    "boolean": _encode_numbers,
    "categorical": _encode_codes,
    "datetime": _encode_dates,
}


def _row_encoder(column: Column) -> Callable[[Any], Sequence[float]]:
    if column.kind == "categorical":
        codes: dict[str | None, tuple[float]] = {value: (float(code),) for code, value in enumerate(column.vocabulary)}
        codes[None] = (MISSING,)
        return lambda value: codes.get(value, (UNKNOWN,))
    if column.kind == "datetime":
        return _date_parts
    return lambda value: (_NAN if value is None else value,)


def _date_parts(moment: datetime | None) -> Sequence[float]:
    if moment is None:
        return (_NAN,) * len(_PARTS)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    # Whole microseconds first, as the vectorised form does: total_seconds() would round differently.
    hour = ((moment - midnight).seconds * 1_000_000 + moment.microsecond) / 3.6e9
    return (moment.year, moment.month, moment.day, moment.weekday(), hour, (midnight - _ORIGIN).days)


def _read_number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError("a number")
    if not -LARGEST <= raw <= LARGEST:
        raise ValueError(f"a finite number of at most {LARGEST:.2g} in size")
    return float(raw)


def _read_boolean(raw: object) -> float:
    if isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, str) and raw.strip().lower() in TRUE_WORDS | FALSE_WORDS:
        return float(raw.strip().lower() in TRUE_WORDS)
    raise ValueError("true or false")


def _read_category(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("text")
    return raw.strip()


def _read_date(raw: object) -> datetime:
    if not isinstance(raw, str):
        raise ValueError("a date as text, such as 2013-07-04T18:30:00Z")
    return read_datetime(raw.strip())


_VALUE_READERS: Mapping[str, Callable[[object], Value]] = {
    "numeric": _read_number,
    "boolean": _read_boolean,
    "categorical": _read_category,
    "datetime": _read_date,
}
