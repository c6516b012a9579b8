"""From a raw column to typed values: which kind it is, and which of its values are not of that kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.encoding import DATETIME, FALSE_WORDS, LARGEST, NULL_WORDS, TRUE_WORDS
from tidemill.spec import Kind

ENOUGH = 0.95
"""Share of a column's values that must be of a kind for the column to be; the others are then bad values."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_CODE = r"^0[0-9]+$"
_DATETIME = f"^{DATETIME.pattern}$"
_EXPECTED: Mapping[Kind, str] = {
    "numeric": "a number",
    "boolean": "true or false",
    "datetime": "a date such as 2013-07-04T18:30:00Z",
    "categorical": "text",
}


@dataclass(frozen=True)
class Parsed:
    """`values` as `Columns` has them, missing where `bad`; `text` is the raw value of a row, for messages."""

    values: npt.NDArray[Any]
    bad: npt.NDArray[np.bool_]
    expected: str
    text: Callable[[int], str]


def infer_kind(column: pa.ChunkedArray) -> tuple[Kind | None, str]:
    """The kind that the data shows, and why where that may surprise; None where no kind is usable."""
    if _is_text(column.type):
        return _infer_text(_clean_text(column).drop_null())
    if pa.types.is_boolean(column.type):
        return "boolean", ""
    if _is_number(column.type):
        return "numeric", ""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return "datetime", ""
    if pa.types.is_null(column.type):
        return None, "every value is missing"
    return None, f"Parquet type {column.type} is not a number, text, boolean or date"


def infer_target_kind(column: pa.ChunkedArray) -> tuple[Kind | None, str]:
    """As `infer_kind`, but classes keep the user's own words: yes and no are not answered as true and false."""
    kind, note = infer_kind(column)
    if kind == "boolean" and _is_text(column.type):
        words = pc.unique(pc.utf8_lower(_clean_text(column).drop_null())).to_pylist()
        return ("boolean" if set(words) <= {"true", "false"} else "categorical"), note
    return kind, note


def parse(column: pa.ChunkedArray, kind: Kind) -> Parsed:
    """Typed values; whatever is not of `kind` is marked bad, never converted by guess."""
    raw = column

    def text(row: int) -> str:
        try:
            return str(raw[row].as_py())[:200]
        except (ValueError, OverflowError):  # a date that Python cannot hold
            return f"{raw[row].value} as {column.type}"

    if _is_text(column.type) or (kind == "categorical" and _has_text(column.type)):
        values, bad = _FROM_TEXT[kind](_clean_text(column))
    else:
        values, bad = _from_typed(column, kind)
    return Parsed(values, bad, _EXPECTED[kind], text)


def _infer_text(text: pa.ChunkedArray) -> tuple[Kind | None, str]:
    count = len(text)
    if count == 0:
        return None, "every value is missing"

    def share(mask: pa.ChunkedArray) -> float:
        return (pc.sum(mask).as_py() or 0) / count

    if share(pc.is_in(pc.utf8_lower(text), _words(TRUE_WORDS | FALSE_WORDS))) == 1:
        return "boolean", ""
    if share(pc.match_substring_regex(text, _NUMBER)) >= ENOUGH:
        if share(pc.match_substring_regex(text, _CODE)) > 0:
            return "categorical", "numbers with leading zeros are codes, not quantities"
        return "numeric", ""
    if share(pc.match_substring_regex(text, _DATETIME)) >= ENOUGH:
        return "datetime", ""
    return "categorical", ""


def _numbers_of_text(text: pa.ChunkedArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    present = pc.is_valid(text).to_numpy()
    try:
        values = pc.cast(text, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        shaped = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        values = pd.to_numeric(pc.if_else(shaped, text, None).to_pandas(), errors="coerce").to_numpy(dtype=float)
    return _within_float32(values, present)


def _within_float32(
    values: npt.NDArray[Any], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    usable = np.abs(values) <= LARGEST
    return np.where(usable, values, np.nan).astype(np.float64), present & ~usable


def _booleans_of_text(text: pa.ChunkedArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    present = pc.is_valid(text).to_numpy()
    lower = pc.utf8_lower(text)
    yes = pc.fill_null(pc.is_in(lower, _words(TRUE_WORDS)), False).to_numpy()
    no = pc.fill_null(pc.is_in(lower, _words(FALSE_WORDS)), False).to_numpy()
    return np.where(yes, 1.0, np.where(no, 0.0, np.nan)), present & ~yes & ~no


def _dates_of_text(text: pa.ChunkedArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    present = pc.is_valid(text).to_numpy()
    shaped = pc.fill_null(pc.match_substring_regex(text, _DATETIME), False)
    # One value with nanoseconds would narrow what pandas takes for all others to the years 1677 to 2262.
    series = pc.replace_substring_regex(pc.if_else(shaped, text, None), r"(\.\d{6})\d+", r"\1").to_pandas()
    moments = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    return _within_calendar(moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]"), present)


def _within_calendar(
    moments: npt.NDArray[Any], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Years 1 to 9999: text has no others. A file's own unit may hold more than microseconds can."""
    if moments.dtype == np.dtype("datetime64[ns]"):
        moments = moments.astype("datetime64[us]")
    first, last = (np.datetime64(day).astype(moments.dtype) for day in ("0001-01-01", "9999-12-31T23:59:59.999999"))
    usable = (moments >= first) & (moments <= last)
    return np.where(usable, moments, np.datetime64("NaT")).astype("datetime64[us]"), present & ~usable


def _categories(text: pa.ChunkedArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    encoded = pc.dictionary_encode(text).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    words = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    codes = pc.fill_null(encoded.indices, len(words) - 1).to_numpy()
    return words[codes], np.zeros(len(codes), dtype=bool)


_FROM_TEXT: Mapping[Kind, Callable[[pa.ChunkedArray], tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]] = {
    "numeric": _numbers_of_text,
    "boolean": _booleans_of_text,
    "datetime": _dates_of_text,
    "categorical": _categories,
}


def _from_typed(column: pa.ChunkedArray, kind: Kind) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    present = pc.is_valid(column).to_numpy()
    if kind == "numeric" and _is_number(column.type):
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        # NaN in a float column is how many writers say "missing".
        return _within_float32(values, present & ~np.isnan(values))
    if kind == "boolean" and pa.types.is_boolean(column.type):
        return pc.cast(column, pa.float64()).to_numpy(), np.zeros(len(column), dtype=bool)
    if kind == "datetime" and (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return _within_calendar(column.to_numpy(), present)
    if kind == "categorical":
        return np.full(len(column), None, dtype=object), present
    nothing = np.full(len(column), np.nan)
    return (nothing.astype("datetime64[us]") if kind == "datetime" else nothing), present


def _clean_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text without surrounding white space, null where a word says that the value is missing."""
    if pa.types.is_floating(column.type):
        # 3.0 and 3 are one category: floats are what integers become when a value is missing.
        column = pa.chunked_array([pa.array([_plain(value) for value in column.to_pylist()], pa.string())])
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    return pc.if_else(pc.is_in(pc.utf8_lower(text), _words(NULL_WORDS)), pa.scalar(None, pa.string()), text)


def _plain(value: float | None) -> str | None:
    if value is None or value != value:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def _words(words: frozenset[str]) -> pa.Array:
    return pa.array(sorted(words))


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _has_text(kind: pa.DataType) -> bool:
    """Every value of the type has a text of its own; bytes and nested values have none."""
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
