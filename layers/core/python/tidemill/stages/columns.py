"""From a raw column to typed values: which kind it is, and which of its values are not of that kind.

Arrow parses most blocks of a file straight into types; a block's column with a value that does not convert comes as
text. Both ways, and a request's single values (`tidemill.encoding.read_value`), make the same of the same text.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill import written
from tidemill.encoding import FALSE_WORDS, LARGEST, NULL_WORDS, TRUE_WORDS
from tidemill.names import Kind
from tidemill.schema import Column, Levels
from tidemill.spec import column_key, toml_text
from tidemill.stages.npy import spread

ENOUGH = 0.95
"""Share of a column's values that must be of a kind for the column to be; the others are then bad values."""

Bad = npt.NDArray[np.bool_]
Values = npt.NDArray[Any] | Levels | pa.StringArray

_SAMPLE = 1_000
_COUNTED = 50
"""Rows from which on a column that rises by the same step in every row is a row number."""
_IDENTIFIERS = frozenset({"id", "uuid", "guid", "code", "zip", "zipcode", "postcode", "plz", "sku", "ean", "isbn"})
_NUMBER = written.number_pattern().pattern
_WHOLE = "[+-]?[0-9]+"
_REPEATED = 10_000
_PLAIN_ISO = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6})?)?)?)?$"
_WORDS_OF_NAME = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MARKS = (("", ""), (",", ""), ("", ","), (",", "."), (",", " "), ("", " "), ("", "'"), ("", "\u2019"))
"""Decimal and thousands marks in use, the plainest first."""
_WITH_UNIT = re.compile(
    r"[+-]?(?P<before>[^\w\s.,'+-]|[A-Z]{3}(?= ))? ?[+-]?(?P<number>[0-9](?:[0-9.,' \u00a0\u202f\u2019]*[0-9])?)"
    r"\s?(?P<after>[^\w\s.,'+-]|\u00b0?[A-Za-z]{1,5})?"
)


@dataclass(frozen=True)
class Parsed:
    """`values` are missing where `bad`; `text` is the raw value of a row, for messages.

    numeric, boolean: float64 (0, 1), NaN missing · datetime: datetime64[us] in UTC, NaT missing · categorical:
    `Levels`, whose names all occur · the id, whatever its kind: pa.StringArray, null missing. Not to be written to.
    """

    values: Any
    bad: Bad
    expected: str
    text: Callable[[int], str]


class Inference(NamedTuple):
    """`kind` is None where none is usable; `note` says why where that may surprise; `format` as in `Column`."""

    kind: Kind | None
    note: str = ""
    format: str = ""


def infer_kind(column: pa.Array | pa.ChunkedArray, name: str = "") -> Inference:
    """The kind that the data shows. The name tells codes from quantities, and the note its own key of the spec."""
    return _infer(_whole(column), name, _why_a_code)


def infer_target_kind(column: pa.Array | pa.ChunkedArray, name: str = "") -> Inference:
    """As `infer_kind`, but what is to be predicted is no id, and classes keep the user's own words: yes and no are
    not answered as true and false."""
    column = _whole(column)
    found = _infer(column, name, _why_digits)
    if found.kind == "boolean" and _is_text(column.type):
        words = pc.unique(pc.utf8_lower(_clean_text(column).drop_null())).to_pylist()
        return found if set(words) <= {"true", "false"} else Inference("categorical")
    return found


def suggestions(column: pa.Array | pa.ChunkedArray) -> tuple[Mapping[str, str], ...]:
    """Keys of `ColumnSpec` that would make numbers or dates of text that is not read so by itself; where there is
    more than one way, the data do not tell which."""
    column = _whole(column)
    if not _is_text(column.type):
        return ()
    values = _Sample(_clean_text(column))
    if not values.count or values.share(_NUMBER) >= ENOUGH or _is_sure(formats := _formats(values)):
        return ()
    return _ways(values, formats)


def arrow_type(column: Column, head: pa.Array | pa.ChunkedArray) -> pa.DataType:
    """What to ask a file for, so that `read` has least to do; a typed file's own type where `head` has one."""
    if not _is_text(head.type):
        return head.type
    if column.role == "id" or any((column.decimal, column.thousands, column.unit, column.format)):
        return pa.string()
    if column.kind == "datetime":
        zoned = _share(_Sample(_clean_text(_whole(head))).few, ".*:.*(?:Z|[+-][0-9]{2}:?(?:[0-9]{2})?)") >= 0.5
        return pa.timestamp("us", "UTC" if zoned else None)
    if column.kind == "categorical":
        return pa.dictionary(pa.int32(), pa.string())
    return pa.float64() if column.kind == "numeric" else pa.bool_()


def read(array: pa.Array | pa.ChunkedArray, column: Column) -> Parsed:
    """Typed values; whatever is not of the column's kind is marked bad, never converted by guess."""
    array = _whole(array)

    def text(row: int) -> str:
        try:
            return str(array[row].as_py())[:200]
        except (ValueError, OverflowError):  # a date that Python cannot hold
            return f"{array[row].value} as {array.type}"

    reader = _texts_of_ids if column.role == "id" else _READERS[column.kind]
    values, bad = reader(array, column)
    return Parsed(values, bad, expected(column), text)


def parse(column: pa.Array | pa.ChunkedArray, of: Kind | Column) -> Parsed:
    """As `read`, for a few rows: categories are an object array of str | None."""
    parsed = read(column, of if isinstance(of, Column) else Column("", of, "feature"))
    values = parsed.values
    if isinstance(values, Levels):
        values = np.array([*values.names, None], dtype=object)[values.codes]
    elif isinstance(values, pa.StringArray):
        values = np.array(values.to_pylist(), dtype=object)
    return Parsed(values, parsed.bad, parsed.expected, parsed.text)


class _Sample:
    """The values that a column of text has, and what share of them has the form of a pattern."""

    def __init__(self, text: pa.StringArray) -> None:
        self.complete = text.null_count == 0
        self.text = text.drop_null()
        self.count = len(self.text)
        self.few = self.text.take(pa.array(spread(self.count, _SAMPLE)))
        self._shares: dict[str, float] = {}

    def share(self, pattern: str) -> float:
        """0 already where few of a thousand values have the form: most patterns do not fit most columns."""
        if pattern not in self._shares:
            few = _share(self.few, pattern)
            self._shares[pattern] = 0.0 if few < 0.5 * ENOUGH else _share(self.text, pattern)
        return self._shares[pattern]

    def has_code(self) -> bool:
        return _share(self.text.filter(pc.starts_with(self.text, "0")), "0[0-9]+") > 0

    def has_long(self) -> bool:
        return _share(self.text.filter(pc.greater(pc.binary_length(self.text), 15)), "[+-]?[0-9]{16,}") > 0

    def step(self) -> int:
        """What each whole number has more than the one before it, 0 where that is not the same throughout."""
        start = [int(value) for value in self.text.slice(0, 3).to_pylist()]
        if start[2] - start[1] != start[1] - start[0]:
            return 0
        steps = np.diff(np.asarray(pc.cast(self.text, pa.int64())))
        return int(steps[0]) if (steps == steps[0]).all() else 0


def _share(text: pa.StringArray, pattern: str) -> float:
    return (pc.sum(pc.match_substring_regex(text, f"^(?:{pattern})$")).as_py() or 0) / max(1, len(text))


def _infer(column: pa.Array, name: str, why_a_code: Callable[[_Sample, str], str]) -> Inference:
    if _is_text(column.type):
        return _infer_text(_Sample(_clean_text(column)), name, why_a_code)
    if pa.types.is_integer(column.type) and (note := why_a_code(_Sample(pc.cast(column, pa.string())), name)):
        return Inference("categorical", note)
    if pa.types.is_null(column.type):
        return Inference(None, "every value is missing")
    kind = next((kind for kind, is_of in _TYPES.items() if is_of(column.type)), None)
    return Inference(kind, "" if kind else f"Parquet type {column.type} is not a number, text, boolean or date")


def _infer_text(values: _Sample, name: str, why_a_code: Callable[[_Sample, str], str]) -> Inference:
    if not values.count:
        return Inference(None, "every value is missing")
    if values.share(f"(?i:{'|'.join(sorted(TRUE_WORDS | FALSE_WORDS))})") == 1:
        return Inference("boolean")
    if values.share(_NUMBER) >= ENOUGH:
        note = why_a_code(values, name)
        return Inference("categorical", note) if note else Inference("numeric", _why_no_date(values, name))
    formats = _formats(values)
    if _is_sure(formats):
        return Inference("datetime") if formats[0] == written.ISO else _dates_written(formats[0])
    ways = _ways(values, formats)
    return Inference("categorical", _not_guessed(values, ways, name) if ways else "")


def _dates_written(format_: str) -> Inference:
    return Inference("datetime", f"dates are read as {format_}", format_)


def _why_digits(values: _Sample, _: str = "") -> str:
    if values.has_code():
        return "numbers with leading zeros are codes, not quantities"
    if values.share(_WHOLE) >= ENOUGH and values.has_long():
        return "whole numbers of more than 15 digits are codes, not quantities: some would become equal as numbers"
    return ""


def _why_a_code(values: _Sample, name: str) -> str:
    """Said of numbers: why they are none to calculate with; empty where they are."""
    if why := _why_digits(values):
        return why
    if values.share(_WHOLE) < ENOUGH:
        return ""
    words = [word.lower() for word in _WORDS_OF_NAME.findall(name)]
    if words and (words[-1] in _IDENTIFIERS or words[0] == "id"):
        return f"whole numbers under the name {name!r} are codes, not quantities"
    countable = values.complete and values.count > _COUNTED and values.share("-?[0-9]+") == 1
    if countable and (step := values.step()) > 0:
        return f"whole numbers that rise by {step} from each row to the next are row numbers, not quantities"
    return ""


def _why_no_date(values: _Sample, name: str) -> str:
    if values.share("(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])") < 1:
        return ""
    return f'to have numbers such as {values.few[0]} as dates, say {column_key(name)}.format = "%Y%m%d"'


def _not_guessed(values: _Sample, ways: Sequence[Mapping[str, str]], name: str) -> str:
    what = "dates" if "format" in ways[0] else "numbers"
    how = " or ".join(
        ", ".join(f"{column_key(name)}.{key} = {toml_text(mark)}" for key, mark in way.items()) for way in ways
    )
    return f"text, since {what} such as {values.few[0].as_py()[:40]!r} are not guessed: say {how}"


def _ways(values: _Sample, formats: Sequence[str]) -> tuple[Mapping[str, str], ...]:
    return tuple({"format": each} for each in formats) or tuple(_marks(values.few.to_pylist()))


def _formats(values: _Sample) -> tuple[str, ...]:
    """How dates are written; more than one where the data leave open which."""
    if values.share(written.date_patterns()[0].pattern) >= ENOUGH:
        return (written.ISO,)
    for mark in "/.-":
        year_first = f"%Y{mark}%m{mark}%d"
        if values.share(written.date_patterns(year_first)[0].pattern) >= ENOUGH:
            return (year_first,)
        for year in "Yy":
            if formats := _day_or_month_first(values, mark, year):
                return formats
    return ()


def _is_sure(formats: Sequence[str]) -> bool:
    """Two digits of a year may as well be a day."""
    return len(formats) == 1 and "%Y" in formats[0]


def _day_or_month_first(values: _Sample, mark: str, year: str) -> tuple[str, ...]:
    day_first, month_first = f"%d{mark}%m{mark}%{year}", f"%m{mark}%d{mark}%{year}"
    pattern = written.date_patterns(day_first)[0].pattern
    if values.share(pattern) < ENOUGH:
        return ()
    parts = pc.extract_regex(values.text, f"^(?:{pattern})$").drop_null()
    first, second = (pc.cast(pc.struct_field(parts, letter), pa.int32()).to_numpy() for letter in "dm")
    only_day_first, only_month_first = int(np.sum(first > 12)), int(np.sum(second > 12))
    fits = [
        written_so
        for written_so, against in ((day_first, only_month_first), (month_first, only_day_first))
        if against <= (1 - ENOUGH) * values.count
    ]
    if len(fits) < 2:
        return tuple(fits)
    # Dots are written with the day first everywhere; slashes and dashes are settled by a part that is no month.
    if not only_month_first and (only_day_first or mark == "."):
        return (day_first,)
    return (month_first,) if only_month_first and not only_day_first else (day_first, month_first)


def _marks(texts: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The ways to write numbers that fit, the plainest first; each reads some text otherwise than those before it."""
    matches = [match for match in map(_WITH_UNIT.fullmatch, texts) if match]
    units = Counter(match["before"] or match["after"] for match in matches)
    without = units.pop(None, 0)
    unit, having = units.most_common(1)[0] if units else ("", 0)
    if without + having < ENOUGH * len(texts):
        return
    seen = set()
    for decimal, thousands in _MARKS:
        pattern = written.number_pattern(decimal, thousands)
        fitting = [match["number"] for match in matches if pattern.fullmatch(match["number"])]
        numbers = tuple(written.read_number(number, decimal, thousands) for number in fitting)
        if len(fitting) >= ENOUGH * len(texts) and numbers not in seen:
            seen.add(numbers)
            yield {key: mark for key, mark in (("decimal", decimal), ("thousands", thousands), ("unit", unit)) if mark}


def expected(column: Column) -> str:
    """What a value is not that is bad, as an error says it."""
    if column.role == "id" or column.kind == "categorical":
        return "text"
    if column.kind == "numeric":
        return written.expected_number(column.decimal, column.thousands, column.unit)
    return "true or false" if column.kind == "boolean" else written.expected_date(column.format)


def _numbers(array: pa.Array, column: Column) -> tuple[npt.NDArray[np.float64], Bad]:
    if _is_text(array.type):
        values, bad = _numbers_of_text(pc.cast(array, pa.string()), column)
    elif _is_number(array.type):
        # NaN in a float column is how many writers say "missing".
        values = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        bad = np.zeros(len(values), dtype=np.bool_)
    else:
        return _nothing(array, np.nan)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(values) > LARGEST
    if beyond.any():
        values, bad = np.where(beyond, np.nan, values), bad | beyond
    return values, bad


def _numbers_of_text(text: pa.StringArray, column: Column) -> tuple[npt.NDArray[np.float64], Bad]:
    if not (column.decimal or column.thousands or column.unit):
        with suppress(pa.ArrowInvalid):
            return _converted(text, column, _odd(text))
    return _converted(text, column, np.ones(len(text), dtype=np.bool_))


def _odd(text: pa.StringArray) -> Bad:
    """Values with other characters than digits, signs and points, or none at all: to look at all values closely takes
    as long as to parse them."""
    _, offsets, data = text.buffers()
    ends = np.frombuffer(offsets, np.int32, len(text) + 1, text.offset * 4)
    characters = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    odd: Bad = np.diff(ends) == 0
    strange = np.flatnonzero((characters < ord("+")) | (characters > ord("9")))
    odd[np.searchsorted(ends, strange + ends[0], side="right") - 1] = True
    return odd


def _converted(text: pa.StringArray, column: Column, odd: Bad) -> tuple[npt.NDArray[np.float64], Bad]:
    """`odd` values may be no numbers. Raises `pa.ArrowInvalid` where another one is none."""
    bad = odd.copy()
    if odd.any():
        marks = column.decimal, column.thousands
        pattern = f"^(?:{written.number_pattern(*marks, column.unit).pattern})$"
        trimmed = _clean_text(text.filter(pa.array(odd)))
        fits = pc.match_substring_regex(trimmed, pattern)
        bad[odd] = pc.invert(fits).fill_null(False).to_numpy(zero_copy_only=False)
        plain = pc.if_else(fits, trimmed, None)
        if column.unit:
            plain = pc.replace_substring_regex(plain, pattern, r"\1\2\3")
        for mark, by in written.plain_number(*marks):
            plain = pc.replace_substring(plain, mark, by)
        text = pc.replace_with_mask(text, pa.array(odd), plain)
    return pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False), bad


def _booleans(array: pa.Array, _: Column) -> tuple[npt.NDArray[np.float64], Bad]:
    if pa.types.is_boolean(array.type):
        return pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False), np.zeros(len(array), dtype=np.bool_)
    if not _is_text(array.type):
        return _nothing(array, np.nan)
    lower = pc.utf8_lower(_clean_text(array))
    yes, no = (pc.is_in(lower, _words(words)) for words in (TRUE_WORDS, FALSE_WORDS))
    bad = pc.and_(pc.is_valid(lower), pc.invert(pc.or_(yes, no)))
    known = pc.if_else(pc.or_(yes, no), yes, None)
    return pc.cast(known, pa.float64()).to_numpy(zero_copy_only=False), bad.to_numpy(zero_copy_only=False)


def _dates(array: pa.Array, column: Column) -> tuple[npt.NDArray[np.datetime64], Bad]:
    if _is_text(array.type):
        text = _clean_text(array)
        moments = _moments_of_text(text, column.format)
        present = pc.is_valid(text).to_numpy(zero_copy_only=False)
    elif _is_date(array.type):
        moments = array.to_numpy(zero_copy_only=False)
        present = ~np.isnat(moments)
    else:
        return _nothing(array, np.datetime64("NaT", "us"))
    return _within_calendar(moments, present)


def _within_calendar(moments: npt.NDArray[Any], present: Bad) -> tuple[npt.NDArray[np.datetime64], Bad]:
    """Years 1 to 9999: Python's dates have no others. A file's own unit may hold more than microseconds can."""
    if moments.dtype == np.dtype("datetime64[ns]"):
        moments = moments.astype("datetime64[us]")
    first, last = (np.datetime64(day).astype(moments.dtype) for day in ("0001-01-01", "9999-12-31T23:59:59.999999"))
    usable = (moments >= first) & (moments <= last)
    if not usable.all():
        moments = np.where(usable, moments, np.datetime64("NaT"))
    return moments.astype("datetime64[us]", copy=False), present & ~usable


def _moments_of_text(text: pa.StringArray, format_: str) -> npt.NDArray[np.datetime64]:
    """NaT for what is no date. Days without a time come again and again, and are read once each."""
    start = text.slice(0, _REPEATED)
    if 2 * pc.count_distinct(start).as_py() < len(start):
        encoded = pc.dictionary_encode(text)
        moments = np.append(_distinct_moments(encoded.dictionary, format_), np.datetime64("NaT"))
        return np.asarray(moments[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    return _distinct_moments(text, format_)


def _distinct_moments(text: pa.StringArray, format_: str) -> npt.NDArray[np.datetime64]:
    """What the column's own format does not fit is tried as ISO, most of which Arrow reads much faster than we."""
    moments = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[us]")
    for pattern in written.date_patterns(format_):
        if pattern == written.date_patterns()[0]:
            plain = pc.match_substring_regex(text, _PLAIN_ISO)
            try:
                moments = np.where(
                    plain.fill_null(False), pc.cast(pc.if_else(plain, text, None), pa.timestamp("us")), moments
                )
                text = pc.if_else(plain, None, text)
            except pa.ArrowInvalid:
                pass  # a day that the calendar lacks is found below
        parts = pc.extract_regex(text, f"^(?:{pattern.pattern})$")
        fits = pc.is_valid(parts)
        if pc.any(fits).as_py():
            moments[fits.to_numpy(zero_copy_only=False)] = _moments(parts.drop_null())
            text = pc.if_else(fits, None, text)
    return moments


def _moments(parts: pa.StructArray) -> npt.NDArray[np.datetime64]:
    """`tidemill.written.read_date` for whole columns: NaT where the calendar or the clock has no such time."""
    texts = {parts.type.field(place).name: pc.struct_field(parts, [place]) for place in range(parts.type.num_fields)}

    def whole(text: pa.StringArray) -> npt.NDArray[np.int64]:
        return np.asarray(pc.cast(pc.if_else(pc.equal(text, ""), "0", text), pa.int64()))

    zero = np.zeros(len(parts), dtype=np.int64)
    of = {letter: whole(text) for letter, text in texts.items() if letter not in "bpfz"}
    year, month, day = of.get("Y", zero), of.get("m", zero), of["d"]
    hour, minute, second = (of.get(letter, zero) for letter in "HMS")
    usable = np.ones(len(parts), dtype=np.bool_)
    if "y" in of:
        year = of["y"] + np.where(of["y"] < 69, 2000, 1900)
    if "b" in texts:
        month = pc.index_in(pc.utf8_lower(texts["b"]), pa.array(written.MONTHS)).fill_null(-1).to_numpy() + 1
    if "I" in of:
        afternoon = pc.equal(pc.utf8_lower(texts["p"]), "pm").to_numpy(zero_copy_only=False)
        usable &= (of["I"] >= 1) & (of["I"] <= 12)
        hour = of["I"] % 12 + 12 * afternoon
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")
    usable &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= days.astype(np.int64))
    usable &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = hour * 3600 + minute * 60 + second
    if "z" in texts:
        zone = pc.utf8_rpad(pc.replace_substring(pc.replace_substring(texts["z"], "Z", ""), ":", ""), 5, "0")
        hours, minutes = (whole(pc.utf8_slice_codeunits(zone, start, start + 2)) for start in (1, 3))
        usable &= (hours < 24) & (minutes < 60)
        east = np.where(pc.starts_with(zone, "-").to_numpy(zero_copy_only=False), -1, 1)
        seconds = seconds - east * (hours * 3600 + minutes * 60)
    moments = (months.astype("datetime64[D]") + (day - 1)).astype("datetime64[us]") + seconds * 1_000_000
    if "f" in texts:
        moments = moments + whole(pc.utf8_slice_codeunits(pc.utf8_rpad(texts["f"], 6, "0"), 0, 6))
    return np.where(usable, moments, np.datetime64("NaT"))


def _levels(array: pa.Array, _: Column) -> tuple[Levels, Bad]:
    if not (pa.types.is_dictionary(array.type) and _is_text(array.type)):
        text = _texts(array)
        if text is None:
            return Levels(np.full(len(array), -1, dtype=np.int32), ()), _present(array)
        array = pc.dictionary_encode(text)
    words = _clean_text(array.dictionary)
    names = pc.unique(words.drop_null())
    # One more place, the last, for a row that has no word: it is the one that -1 picks.
    places = np.append(pc.index_in(words, names).fill_null(-1).to_numpy(zero_copy_only=False), -1).astype(np.int32)
    codes = places[pc.cast(array.indices, pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)]
    used = np.bincount(codes + 1, minlength=len(names) + 1)[1:] > 0
    if not used.all():
        codes = np.append(np.cumsum(used, dtype=np.int32) - 1, np.int32(-1))[codes]
        names = names.filter(pa.array(used))
    return Levels(codes, tuple(names.to_pylist())), np.zeros(len(codes), dtype=np.bool_)


def _texts_of_ids(array: pa.Array, _: Column) -> tuple[pa.StringArray, Bad]:
    text = _texts(array)
    if text is None:
        return pa.nulls(len(array), pa.string()), _present(array)
    return _clean_text(text), np.zeros(len(array), dtype=np.bool_)


_READERS: Mapping[Kind, Callable[[pa.Array, Column], tuple[Any, Bad]]] = {
    "numeric": _numbers,
    "boolean": _booleans,
    "datetime": _dates,
    "categorical": _levels,
}


def _nothing(array: pa.Array, missing: Any) -> tuple[npt.NDArray[Any], Bad]:
    return np.full(len(array), missing), _present(array)


def _present(array: pa.Array) -> Bad:
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))


def _clean_text(text: pa.Array) -> pa.StringArray:
    """Text without surrounding white space, null where a word says that the value is missing."""
    text = pc.utf8_trim_whitespace(pc.cast(text, pa.string()))
    return pc.if_else(pc.is_in(pc.utf8_lower(text), _words(NULL_WORDS)), pa.scalar(None, pa.string()), text)


def _texts(array: pa.Array) -> pa.StringArray | None:
    """Values of any type as the text that a CSV would have; None where they have none, as bytes and lists."""
    if pa.types.is_floating(array.type):
        # 3.0 and 3 are one category: floats are what integers become when a value is missing.
        encoded = pc.dictionary_encode(array)
        plain = pa.array([_plain(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return plain.take(encoded.indices)
    if pa.types.is_nested(array.type) or pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return None
    try:
        return pc.cast(array, pa.string())
    except pa.ArrowNotImplementedError:
        return None


def _plain(value: float | None) -> str | None:
    if value is None or value != value:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _words(words: frozenset[str]) -> pa.Array:
    return pa.array(sorted(words))


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_date(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


_TYPES: Mapping[Kind, Callable[[pa.DataType], bool]] = {
    "boolean": pa.types.is_boolean,
    "numeric": _is_number,
    "datetime": _is_date,
}
