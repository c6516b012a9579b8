"""The vectorised form and the row form of the encoding agree, on whatever a file or a request may hold."""

import io
import json
import struct
from calendar import isleap
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.encoding import (
    FALSE_WORDS,
    LARGEST,
    MISSING,
    NULL_WORDS,
    TRUE_WORDS,
    UNKNOWN,
    categorical_positions,
    encode,
    encoded_names,
    read_value,
    select,
    value_encoder,
    write_text,
    write_value,
)
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.columns import arrow_type, infer_kind, parse, read
from tidemill.stages.rows import Notes, RowReader

SIZE = Column("size", "numeric", "feature")
PRICE = Column("price", "numeric", "feature", decimal=",", thousands=".", unit="€")
FLAG = Column("flag", "boolean", "feature")
TOWN = Column(
    "town", "categorical", "feature", vocabulary=("Zürich", "日本", "b c", "ß", "e\u0301", "é", "a\u200bb", "0")
)
DAY = Column("day", "datetime", "feature")
FEATURES = (SIZE, PRICE, FLAG, TOWN, DAY)
SCHEMA = Schema((*FEATURES, Column("y", "numeric", "target")), "regression")

INFERRED = ("", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d")
FORMATS = (*INFERRED, "%Y%m%d", "%d %b %y", "%m/%d/%Y %I:%M:%S.%f %p", "%Y%m%d%H%M%S", "%H:%M %d.%m.%Y %z")
TIMES = [
    "T18",
    " 9:05",
    " 18:30:00.5",
    "T18:30Z",
    " 18:30+01",
    "T18:30-0130",
    "T18+01:00",
    " 18:30 +01",
    "Z",
    "T18:30:1",
]
MARKS = [(".", ""), (",", ""), (",", "."), (".", ","), (".", " "), (",", "'")]

zones: st.SearchStrategy[timezone] = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
moments = st.datetimes(
    # Hypothesis wants bounds without a zone.
    min_value=datetime(1, 1, 3),  # noqa: DTZ001
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.one_of(st.none(), zones),
)
leap_days = st.integers(1, 9999).filter(isleap).map(lambda year: f"{year:04}-02-29T23:59:59.999999999")
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
numbers = st.one_of(
    st.floats(-LARGEST, LARGEST),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-45, 1e-38, LARGEST, -LARGEST, 2.0**53 + 1]),
)
cells: dict[str, st.SearchStrategy[Any]] = {
    "size": numbers,
    "price": numbers | st.sampled_from(["1.234,5 €", "-7 €", "€ 0,1", "1e3", "12.345.678"]),
    "flag": st.sampled_from([True, False, "Yes", " f ", "ON"]),
    "town": st.sampled_from(TOWN.vocabulary) | text,
    "day": moments.map(lambda moment: moment.isoformat()) | leap_days,
}
nothing = st.none() | st.sampled_from(sorted(NULL_WORDS)) | st.just(" NaN ")
rows = st.lists(st.fixed_dictionaries({name: cell | nothing for name, cell in cells.items()}), min_size=1, max_size=8)

number_texts = st.one_of(
    numbers.map(repr),
    st.floats().map(repr),
    st.from_regex(r"[+-]?[0-9]{0,3}[.,' ]?[0-9]{0,3}[.,]?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?( ?€)?", fullmatch=True),
    st.sampled_from(
        ["inf", "-inf", "Infinity", "-nan", "nan(1)", "1e400", "1e39", "0x10", "1_000", "١٢", "½", "1e", "."]
    ),
    text,
)


def dates_as(format_: str) -> st.SearchStrategy[str]:
    """Dates of the format, of its shape but not of the calendar, and in ISO."""
    way = format_ or "%Y-%m-%dT%H:%M:%S.%f%z"
    shape = way.replace("%b", "%m").replace("%p", "AM").replace("%z", "+0100").replace(".", "[.]").replace("+", "[+]")
    for letters, part in (("Y", "[0-2][0-9]{3}"), ("mdHIMSy", "[0-9]{1,2}"), ("f", "[0-9]{1,9}")):
        for letter in letters:
            shape = shape.replace(f"%{letter}", part)
    time = "([T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
    true = moments.map(lambda m: m.strftime(way.replace("%Y", f"{m.year:04}").replace("%f", f"{m.microsecond}")))
    timed = st.builds(str.__add__, st.just("2013-07-04") | true, st.sampled_from(TIMES))
    shapes = (st.from_regex(pattern, fullmatch=True) for pattern in (shape, shape + time))
    return st.one_of(true, timed, moments.map(lambda m: m.isoformat()), leap_days, *shapes, text)


def bits(value: Any) -> Any:
    """What tells -0.0 from 0.0."""
    return struct.pack("d", value) if isinstance(value, float) else value


def of_columns(column: Column, array: pa.Array) -> list[Any]:
    """Each value as the row form has it, or the word bad."""
    parsed = read(array, column)
    values = parse(array, column).values
    read_back = [read_value(column, write_value(column, value)) for value in values]
    return ["bad" if bad else bits(value) for value, bad in zip(read_back, parsed.bad.tolist(), strict=True)]


def of_rows(column: Column, texts: Sequence[object]) -> list[Any]:
    found: list[Any] = []
    for entry in texts:
        try:
            found.append(bits(read_value(column, entry)))
        except ValueError:
            found.append("bad")
    return found


def of_arrow(column: Column, texts: list[str | None]) -> pa.Array | None:
    """What a CSV reader makes of the texts that it is asked for as types, None where one does not convert."""
    lines = "".join('1,"{}"\n'.format((entry or "").replace('"', '""')) for entry in texts)
    kind = arrow_type(replace(column, decimal=""), pa.array(texts, pa.string()))
    options = pyarrow.csv.ConvertOptions(
        column_types={"x": kind}, null_values=sorted(NULL_WORDS), strings_can_be_null=True,
        true_values=sorted(TRUE_WORDS), false_values=sorted(FALSE_WORDS),
    )  # fmt: skip
    try:
        return pyarrow.csv.read_csv(io.BytesIO(f"i,x\n{lines}".encode()), convert_options=options)["x"].combine_chunks()
    except pa.ArrowInvalid:
        return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(MARKS), st.sampled_from(["", "€"]))
def test_a_number_is_the_same_in_a_file_and_in_a_request(
    data: st.DataObject, marks: tuple[str, str], unit: str
) -> None:
    column = Column("x", "numeric", "feature", decimal=marks[0], thousands=marks[1], unit=unit)
    texts = data.draw(st.lists(number_texts | nothing, min_size=1, max_size=6))
    assert of_columns(column, pa.array(texts, pa.string())) == of_rows(column, texts)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(FORMATS))
def test_a_date_is_the_same_in_a_file_and_in_a_request(data: st.DataObject, format_: str) -> None:
    column = replace(DAY, format=format_)
    texts = data.draw(st.lists(dates_as(format_) | nothing, min_size=1, max_size=6))
    times = data.draw(st.sampled_from([1, 40]))
    assert of_columns(column, pa.array(texts * times, pa.string())) == of_rows(column, texts) * times


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from([Column("x", "numeric", "feature", decimal="."), FLAG, TOWN, DAY]))
def test_a_file_read_into_types_says_what_its_text_says(data: st.DataObject, column: Column) -> None:
    words = st.sampled_from(sorted(TRUE_WORDS | FALSE_WORDS)) | text
    # A reader gives no number that is not finite: it leaves the text.
    known = {
        "numeric": number_texts.filter(lambda entry: "n" not in entry.lower()),
        "boolean": words,
        "categorical": text,
        "datetime": dates_as(""),
    }
    entries = known[column.kind].filter(lambda entry: not set(entry) & set("\r\n"))
    texts = data.draw(st.lists(entries | nothing, min_size=1, max_size=3))
    typed = of_arrow(column, texts)
    if typed is not None:
        assert of_columns(column, typed) == of_columns(column, pa.array(texts, pa.string())) == of_rows(column, texts)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(INFERRED))
def test_dates_are_read_as_they_were_inferred_or_are_not_inferred(data: st.DataObject, format_: str) -> None:
    days = data.draw(st.lists(moments, min_size=1, max_size=6))
    texts = [m.strftime((format_ or "%Y-%m-%d").replace("%Y", f"{m.year:04}")) for m in days]
    found = infer_kind(pa.array(texts), "day")
    settled = format_ in ("", "%d.%m.%Y", "%Y/%m/%d") or any(m.day > 12 for m in days)
    assert found.kind == ("datetime" if settled else "categorical")
    if settled:
        values = read(pa.array(texts), replace(DAY, format=found.format)).values
        assert [str(value)[:10] for value in values] == [f"{m.year:04}-{m.month:02}-{m.day:02}" for m in days]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(numbers | st.booleans() | text | st.none(), max_size=8), st.sampled_from([SIZE, PRICE, FLAG, TOWN]))
def test_a_value_of_a_request_comes_back_from_a_file(values: list[Any], column: Column) -> None:
    texts: list[str | None] = [write_text(column, value) for value in values]
    right = [column.kind != "numeric" or not isinstance(value, bool | str) for value in values]
    for ours, theirs, same in zip(
        of_columns(column, pa.array(texts, pa.string())), of_rows(column, values), right, strict=True
    ):
        assert not same or theirs in ("bad", ours)


def read_rows(schema: Schema, sent: list[dict[str, Any]]) -> Any:
    """As a request is encoded, to a model whose training rows lacked values in every column."""
    notes, columns = Notes(), tuple(replace(column, nullable=True) for column in schema.columns)
    _, matrix = RowReader(replace(schema, columns=columns))(sent, notes)
    assert not notes.problems
    return matrix


def as_file(column: Column, values: list[Any]) -> Any:
    """The values as a CSV has them, typed as Prepare types them."""
    parsed = read(pa.array([write_text(column, value) for value in values], pa.string()), column)
    assert not parsed.bad.any()
    return parsed.values


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rows, st.sampled_from([1, 40]))
def test_a_row_of_a_request_is_encoded_as_the_same_row_of_a_file(batch: list[dict[str, Any]], times: int) -> None:
    columns = {column.name: as_file(column, [row[column.name] for row in batch] * times) for column in FEATURES}
    whole = encode(SCHEMA, columns, len(batch) * times)
    expected = np.tile(read_rows(SCHEMA, batch), (times, 1))
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(np.signbit(whole), np.signbit(expected))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows)
def test_a_typed_value_survives_json(batch: list[dict[str, Any]]) -> None:
    for column in FEATURES:
        texts = pa.array([write_text(column, row[column.name]) for row in batch], pa.string())
        values = parse(texts, column).values
        written = [json.loads(json.dumps(write_value(column, value))) for value in values]
        again = parse(pa.array([write_text(column, value) for value in written], pa.string()), column).values
        np.testing.assert_array_equal(again, values)
        for value, raw in zip(values, written, strict=True):
            back = read_value(column, raw)
            if back is None:
                assert value is None or value != value
            elif isinstance(back, datetime):
                assert back == value.astype(datetime).replace(tzinfo=UTC)
            else:
                assert back == value


def test_the_white_space_and_the_words_of_a_file_are_those_of_a_request() -> None:
    spaces = [chr(code) for code in range(1, 0x3100) if chr(code).isspace()]
    texts = [f"{space}{word}{space}" for space, word in product(spaces, ["a", "NULL", "Yes"])]
    assert of_columns(TOWN, pa.array(texts)) == of_rows(TOWN, texts)
    letters = [chr(code) for code in range(0x80, 0x3000)]
    words = [f"n{letter}" for letter in letters] + [f"o{letter}" for letter in letters] + letters
    assert of_columns(FLAG, pa.array(words)) == of_rows(FLAG, words)


def test_words_that_only_look_alike_are_different_categories() -> None:
    levels = as_file(TOWN, ["é", "e\u0301", "ab", "a\u200bb", "Zürich", "zürich"])
    assert isinstance(levels, Levels)
    matrix = encode(Schema((TOWN,), "regression"), {"town": levels}, 6)
    assert matrix[:, 0].tolist() == [5, 4, UNKNOWN, 6, 0, UNKNOWN]


@pytest.mark.parametrize(
    ("moment", "parts"),
    [
        ("2000-01-01", [2000, 1, 1, 5, 0, 0]),
        ("2013-07-04T18:30:00+02:00", [2013, 7, 4, 3, 16.5, 4933]),
        ("1969-12-31T23:59:59.999999Z", [1969, 12, 31, 2, 24 - 1e-6 / 3600, -10_958]),
        ("1899-02-28T00:45:00Z", [1899, 2, 28, 1, 0.75, -36_831]),
        ("2024-02-29 23:00", [2024, 2, 29, 3, 23, 8825]),
    ],
)
def test_a_date_becomes_its_parts_in_utc(moment: str, parts: list[float]) -> None:
    schema = Schema((DAY,), "regression")
    assert value_encoder(DAY)(read_value(DAY, moment)) == pytest.approx(parts, abs=1e-12)
    matrix = encode(schema, {"day": as_file(DAY, [moment])}, 1)
    assert matrix[0].tolist() == np.array(parts, dtype=np.float32).tolist()


def test_every_day_of_a_span_has_the_parts_that_a_single_one_has() -> None:
    hours = np.arange("1999-12-30T23:00", "2004-03-02T01:00", 11, dtype="datetime64[h]").astype("datetime64[us]")
    moments = np.append(hours, np.datetime64("NaT"))
    schema, encoder = Schema((DAY,), "regression"), value_encoder(DAY)
    rows = [encoder(read_value(DAY, write_value(DAY, moment))) for moment in moments]
    np.testing.assert_array_equal(encode(schema, {"day": moments}, len(moments)), np.array(rows, dtype=np.float32))


def test_the_matrix_names_its_columns() -> None:
    names = encoded_names(SCHEMA)
    assert names[:4] == ("numeric:size", "numeric:price", "boolean:flag", "categorical:town")
    assert [name.removesuffix(":day") for name in names[4:]] == [
        f"datetime.{part}" for part in ("year", "month", "day", "weekday", "hour", "days")
    ]
    assert categorical_positions(SCHEMA) == (3,)


@pytest.mark.parametrize("name", ["day.hour", "datetime.hour:day", "numeric:day", "day"])
def test_no_column_is_taken_for_a_part_of_a_date_whatever_it_is_called(name: str) -> None:
    other = Column(name, "numeric", "feature")
    date = replace(DAY, name="day" if name != "day" else "other")
    names = encoded_names(Schema((date, other), "regression"))
    assert len(set(names)) == len(names) == 7


def test_absent_and_unknown_categories_have_codes_of_their_own() -> None:
    rows: list[dict[str, Any]] = [{}, {"town": None}, {"town": "Atlantis"}, {"town": "日本"}]
    assert read_rows(Schema((TOWN,), "regression"), rows).ravel().tolist() == [MISSING, MISSING, UNKNOWN, 1.0]


def test_an_older_version_reads_a_newer_matrix_as_if_it_had_encoded_the_rows_itself() -> None:
    towns = np.array(["a", "b", "c", None, "z"], dtype=object)
    columns = {"size": np.arange(5.0), "town": towns, "new": np.ones(5)}
    old = Schema(
        (Column("town", "categorical", "feature", vocabulary=("a", "b")), Column("size", "numeric", "feature")),
        "regression",
    )
    new = Schema(
        (
            Column("new", "numeric", "feature"),
            Column("size", "numeric", "feature"),
            Column("town", "categorical", "feature", vocabulary=("a", "b", "c")),
        ),
        "regression",
    )
    picked = select(encode(new, columns, 5), encoded_names(new), old)
    np.testing.assert_array_equal(picked, encode(old, columns, 5))
    assert picked[:, 0].tolist() == [0, 1, UNKNOWN, MISSING, UNKNOWN]


def test_columns_that_a_newer_matrix_has_lost_are_missing_throughout() -> None:
    matrix = encode(Schema((SIZE,), "regression"), {"size": np.arange(3.0)}, 3)
    picked = select(matrix, ("numeric:size",), SCHEMA)
    np.testing.assert_array_equal(picked, encode(SCHEMA, {"size": np.arange(3.0)}, 3))
    assert picked[:, 3].tolist() == [MISSING] * 3
    assert np.isnan(picked[:, 4:]).all()


@pytest.mark.parametrize(
    ("column", "raw", "expected"),
    [
        (SIZE, "5", "a number"),
        (SIZE, True, "a number"),
        (SIZE, [1], "a number"),
        (SIZE, float("inf"), "a finite number of at most 3.4e+38 in size"),
        (SIZE, 10**400, "a finite number of at most 3.4e+38 in size"),
        (FLAG, 1, "true or false"),
        (FLAG, "maybe", "true or false"),
        (TOWN, 3, "text"),
        (TOWN, {"a": 1}, "text"),
        (PRICE, "1.5", "a number such as 1.234,5 €"),
        (PRICE, "1e40 €", "a finite number of at most 3.4e+38 in size"),
        (DAY, 1372961400, "a date such as 2013-07-04T18:30:00Z, as text"),
        (DAY, "July 4", "a date such as 2013-07-04T18:30:00Z"),
        (DAY, "٢٠١٣-٠٧-٠٤", "a date such as 2013-07-04T18:30:00Z"),
        (replace(DAY, format="%d.%m.%Y"), "7/4/2013", "a date such as 31.07.2013"),
        (DAY, "2013-02-30", "a date that the calendar has"),
        (DAY, "0001-01-01T00:00+01:00", "a date that the calendar has"),
    ],
)
def test_a_json_value_of_another_type_is_refused_with_what_was_expected(
    column: Column, raw: object, expected: str
) -> None:
    with pytest.raises(ValueError, match="^" + expected.replace("+", r"\+") + "$"):
        read_value(column, raw)
