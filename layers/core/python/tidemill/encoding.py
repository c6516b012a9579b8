"""How a row becomes numbers: one float32 matrix, in a vectorised form and in a row form that agree.

numeric → itself, missing NaN · boolean → 0, 1, missing NaN · categorical → its place in the vocabulary,
unknown -1, missing -2 · datetime → year, month, day, weekday (Monday 0), hour with its fraction, and days
since 2000-01-01, missing NaN; never an epoch, since float32 steps by 128 s there. All times are UTC.

Codes are append-only per model, so an older version can be scored on a newer matrix: `select` picks its
columns by name and turns categories that it never knew into unknown ones.

A category is its text, code point by code point, without surrounding white space: words that differ in case, in a
zero-width character or in the way an accent is composed are different categories, since they are different to
whoever joins the answers with the data.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill import written
from tidemill.schema import Column, Levels, Schema

Matrix = npt.NDArray[np.float32]
Value = float | str | datetime | None

UNKNOWN, MISSING = -1.0, -2.0
NULL_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a"})
"""Text that means "missing" in any column, compared in lower case without surrounding white space."""
TRUE_WORDS, FALSE_WORDS = frozenset({"true", "t", "yes", "y", "on"}), frozenset({"false", "f", "no", "n", "off"})
"""0 and 1 are numbers: they may as well be counts."""
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this have no float32; they are refused at every door, never turned into infinity."""

_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECONDS = 86_400_000_000  # of a day
_PARTS = ("year", "month", "day", "weekday", "hour", "days")
_NAN = float("nan")


def encoded_names(schema: Schema) -> tuple[str, ...]:
    """Names of the matrix's columns, in order: `numeric:size`, `datetime.hour:sent`. The kind comes first, since a
    column may be called anything, `sent.hour` too; and a name never stands for two kinds."""
    return tuple(name for column in schema.features for name in _names(column))


def encoded_widths(schema: Schema) -> tuple[int, ...]:
    """How many of the matrix's columns each feature has."""
    return tuple(len(_names(column)) for column in schema.features)


def categorical_positions(schema: Schema) -> tuple[int, ...]:
    """Places of the columns that hold codes."""
    kinds = [column.kind for column in schema.features for _ in _names(column)]
    return tuple(place for place, kind in enumerate(kinds) if kind == "categorical")


def encode(schema: Schema, columns: Mapping[str, npt.NDArray[Any] | Levels], rows: int) -> Matrix:
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


def value_encoder(column: Column) -> Callable[[Any], Sequence[float]]:
    """The row form: a typed value (see `read_value`), None where it is missing, as the places that the column has."""
    if column.kind == "categorical":
        codes: dict[str | None, tuple[float]] = {value: (float(code),) for code, value in enumerate(column.vocabulary)}
        codes[None] = (MISSING,)
        return lambda value: codes.get(value, (UNKNOWN,))
    if column.kind == "datetime":
        return _date_parts
    return lambda value: (_NAN if value is None else value,)


def read_value(column: Column, raw: object) -> Value:
    """A JSON value as the column's typed value; raises ValueError with what was expected."""
    if raw is None or (isinstance(raw, str) and raw.strip().lower() in NULL_WORDS):
        return None
    return _VALUE_READERS[column.kind](column, raw)


def write_value(column: Column, value: Any) -> object:
    """A typed value of `Columns` as JSON has it; `read_value` reads it back."""
    if value is None or value != value:  # NaN and NaT are not equal to themselves
        return None
    if column.kind == "boolean":
        return bool(value)
    if column.kind == "datetime":
        return f"{np.datetime64(value, 'us')}Z"
    return float(value) if column.kind == "numeric" else str(value)


def write_text(column: Column, raw: object) -> str:
    """A JSON value as a file has it in the column, so that a row of a request becomes the same row of a file."""
    if raw is None or isinstance(raw, str):
        return raw or ""
    text = json.dumps(raw)
    return text.replace(".", column.decimal) if column.kind == "numeric" and column.decimal else text


def _names(column: Column) -> tuple[str, ...]:
    if column.kind == "datetime":
        return tuple(f"datetime.{part}:{column.name}" for part in _PARTS)
    return (f"{column.kind}:{column.name}",)


def _encode_numbers(_: Column, values: Any, out: Matrix) -> None:
    out[:, 0] = values


def _encode_codes(column: Column, values: Any, out: Matrix) -> None:
    codes: dict[str | None, float] = {value: float(code) for code, value in enumerate(column.vocabulary)}
    codes[None] = MISSING
    if isinstance(values, Levels):
        # A missing value's code is -1: the last place.
        table = np.array([codes.get(name, UNKNOWN) for name in (*values.names, None)], dtype=np.float32)
        out[:, 0] = table[values.codes]
    else:
        out[:, 0] = [codes.get(value, UNKNOWN) for value in values]


def _encode_dates(_: Column, values: Any, out: Matrix) -> None:
    """What depends on the day alone is worked out once a day where there are more rows than days between them."""
    present = ~np.isnat(values)
    rows: Any = slice(None) if present.all() else present
    out[~present] = np.nan
    moments = values[rows].astype("datetime64[us]").astype(np.int64)
    if not len(moments):
        return
    days = moments // _MICROSECONDS
    first, last = int(days.min()), int(days.max())
    once = last - first < len(days)
    of_days, place = _parts_of_days(np.arange(first, last + 1) if once else days), days - first
    for at, name in enumerate(_PARTS):
        if name == "hour":
            out[rows, at] = (moments - days * _MICROSECONDS) / 3.6e9
        else:
            out[rows, at] = of_days[name][place] if once else of_days[name]


def _parts_of_days(days: npt.NDArray[np.int64]) -> Mapping[str, Matrix]:
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    parts = {
        "year": months.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (dates - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (days + 3) % 7,
        "days": days - 10_957,
    }
    return {name: part.astype(np.float32) for name, part in parts.items()}


_ENCODERS: Mapping[str, Callable[[Column, Any, Matrix], None]] = {
    "numeric": _encode_numbers,
    "boolean": _encode_numbers,
    "categorical": _encode_codes,
    "datetime": _encode_dates,
}


def _date_parts(moment: datetime | None) -> Sequence[float]:
    if moment is None:
        return (_NAN,) * len(_PARTS)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    # Whole microseconds first, as the vectorised form does: total_seconds() would round differently.
    hour = ((moment - midnight).seconds * 1_000_000 + moment.microsecond) / 3.6e9
    return (moment.year, moment.month, moment.day, moment.weekday(), hour, (midnight - _ORIGIN).days)


def _read_number(column: Column, raw: object) -> float:
    """A JSON number; text only where the column says how its text is written, as for a file."""
    marks = column.decimal, column.thousands, column.unit
    if isinstance(raw, str) and any(marks):
        raw = written.read_number(raw.strip(), *marks)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ValueError(written.expected_number(*marks))
    if not -LARGEST <= raw <= LARGEST:
        raise ValueError(f"a finite number of at most {LARGEST:.2g} in size")
    return float(raw)


def _read_boolean(_: Column, raw: object) -> float:
    if isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, str) and raw.strip().lower() in TRUE_WORDS | FALSE_WORDS:
        return float(raw.strip().lower() in TRUE_WORDS)
    raise ValueError("true or false")


def _read_category(_: Column, raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("text")
    return raw.strip()


def _read_date(column: Column, raw: object) -> datetime:
    """ISO 8601, which captures and labels are written in, or the column's own format."""
    if not isinstance(raw, str):
        raise ValueError(f"{written.expected_date(column.format)}, as text")
    return written.read_date(raw.strip(), column.format)


_VALUE_READERS: Mapping[str, Callable[[Column, object], Value]] = {
    "numeric": _read_number,
    "boolean": _read_boolean,
    "categorical": _read_category,
    "datetime": _read_date,
}
