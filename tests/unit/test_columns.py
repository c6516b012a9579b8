"""What kind a column is, and what is read from it: the same from typed blocks as from text."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.encoding import LARGEST, read_value
from tidemill.names import Kind
from tidemill.schema import Column, Levels
from tidemill.stages.columns import arrow_type, infer_kind, infer_target_kind, parse, read, suggestions


def column(*values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind or pa.string())])


def written(marks: Any) -> Column:
    return Column("x", "datetime" if "format" in marks else "numeric", "feature", **marks)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2.5", "1e3", ".5", "+7", None], "numeric"),
        (["0", "1", "1"], "numeric"),
        (["Yes", "no", "Y", "N", " t "], "boolean"),
        (["TRUE", "false", "n/a"], "boolean"),
        (["on", "Off"], "boolean"),
        (["2013-07-04", "2013-07-04T18:30:00Z", "2013-07-04 18:30", "2013-07-04T18"], "datetime"),
        (["red", "1", "2"], "categorical"),
        (["yes", "no", "maybe"], "categorical"),
        (["2013-07-04", "red"], "categorical"),
        (["12A", "3B", "14C"], "categorical"),
        (["r0001", "r0002"], "categorical"),
        (["10.0.0.1", "10.0.0.2"], "categorical"),
    ],
)
def test_the_kind_is_the_one_that_the_values_show(values: list[str | None], kind: str) -> None:
    assert infer_kind(column(*values), "x") == (kind, "", "")


@pytest.mark.parametrize(
    ("values", "format_"),
    [
        (["31.07.2024", "01.02.2024 10:15"], "%d.%m.%Y"),
        (["01.02.2024", "02.03.2024"], "%d.%m.%Y"),
        (["07.31.2024", "02.03.2024"], "%m.%d.%Y"),
        (["07/31/2024", "1/2/2024 9:05"], "%m/%d/%Y"),
        (["31/07/2024", "1/2/2024 9:05:00.5"], "%d/%m/%Y"),
        (["31-07-2024", "01-02-2024"], "%d-%m-%Y"),
        (["2024/07/31", "2024/1/2"], "%Y/%m/%d"),
    ],
)
def test_usual_dates_are_read_in_the_way_that_the_file_settles(values: list[str], format_: str) -> None:
    assert infer_kind(column(*values), "x") == ("datetime", f"dates are read as {format_}", format_)
    assert suggestions(column(*values)) == ()
    assert not read(column(*values), written({"format": format_})).bad.any()


def test_one_bad_date_does_not_settle_which_part_is_the_month() -> None:
    values = ["07/31/2024"] * 30 + ["99/99/2024"]
    assert infer_kind(column(*values), "x").format == "%m/%d/%Y"


@pytest.mark.parametrize(
    ("values", "ways"),
    [
        (["1,5", "2,25"], [{"decimal": ","}]),
        (["1.234,50 €", "3,00 €"], [{"decimal": ",", "thousands": ".", "unit": "€"}]),
        (["1,234", "5,678"], [{"decimal": ","}, {"thousands": ","}]),
        (["1,234", "1,234,567.8"], [{"thousands": ","}]),
        (["1 234,5", "12 345"], [{"decimal": ",", "thousands": " "}]),
        (["1'234.5", "12'345"], [{"thousands": "'"}]),
        (["12%", "7 %"], [{"unit": "%"}]),
        (["$5", "-$7.50"], [{"unit": "$"}]),
        (["EUR 5", "EUR 7,5"], [{"decimal": ",", "unit": "EUR"}]),
        (["1.234 €", "5.678 €"], [{"unit": "€"}, {"decimal": ",", "thousands": ".", "unit": "€"}]),
        (["12 kg", "7"], [{"unit": "kg"}]),
        (["07/08/2024", "01/02/2024"], [{"format": "%d/%m/%Y"}, {"format": "%m/%d/%Y"}]),
        (["31/08/2024", "01/31/2024", *["01/02/2024"] * 40], [{"format": "%d/%m/%Y"}, {"format": "%m/%d/%Y"}]),
        (["31.07.24", "01.02.24"], [{"format": "%d.%m.%y"}]),
    ],
)
def test_what_could_be_read_in_more_than_one_way_stays_text_and_says_how_to_read_it(
    values: list[str], ways: list[dict[str, str]]
) -> None:
    found = infer_kind(column(*values), "a b")
    assert (found.kind, found.format, list(suggestions(column(*values)))) == ("categorical", "", ways)
    said = " or ".join(", ".join(f'columns."a b".{key} = "{mark}"' for key, mark in way.items()) for way in ways)
    assert found.note.endswith(f"such as {values[0]!r} are not guessed: say {said}")
    for way in ways:
        assert read(column(*values), written(way)).bad.sum() <= 1


LEADING = "numbers with leading zeros are codes, not quantities"
LONG = "whole numbers of more than 15 digits are codes, not quantities: some would become equal as numbers"


@pytest.mark.parametrize(
    ("name", "values", "note"),
    [
        ("x", ["00501", "10001", "94105"], LEADING),
        ("x", ["1234567890123456", "1"], LONG),
        ("x", [2**60, 1], LONG),
        ("zip", ["10001", "94105"], "whole numbers under the name 'zip' are codes, not quantities"),
        ("store_id", [3, 3, 4], "whole numbers under the name 'store_id' are codes, not quantities"),
        ("userId", ["3", "4"], "whole numbers under the name 'userId' are codes, not quantities"),
        (
            "x",
            list(range(7, 400, 7)),
            "whole numbers that rise by 7 from each row to the next are row numbers, not quantities",
        ),
    ],
)
def test_a_code_is_no_number_and_the_note_says_why(name: str, values: list[Any], note: str) -> None:
    whole = pa.chunked_array([pa.array(values)])
    assert infer_kind(whole, name) == ("categorical", note, "")
    assert infer_kind(whole.cast(pa.string()), name) == ("categorical", note, "")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x", ["0", "0.5", "10"]),
        ("x", [str(i) for i in range(50)]),
        ("x", [*map(str, range(80)), "80.5"]),
        ("x", [*map(str, range(80)), None]),
        ("x", [str(i * i) for i in range(80)]),
        ("x", ["5"] * 80),
        ("x", [f"+{i}" for i in range(80)]),
        ("x", [str(-i) for i in range(80)]),
        ("x", ["1234567890123456.5", "0.1234567890123456"]),
        ("valid", ["1", "2"]),
        ("id", ["1.5", "2.5"]),
    ],
)
def test_a_quantity_that_looks_a_little_like_a_code_is_a_number(name: str, values: list[str | None]) -> None:
    assert infer_kind(column(*values), name) == ("numeric", "", "")


def test_a_target_is_a_number_whatever_it_is_called_unless_its_digits_are_a_code() -> None:
    assert infer_target_kind(column("1", "2"), "class_id").kind == "numeric"
    assert infer_target_kind(column(*map(str, range(80))), "x").kind == "numeric"
    assert infer_target_kind(column("01", "02"), "x") == ("categorical", LEADING, "")


def test_days_written_as_one_number_are_numbers_unless_the_spec_says_so() -> None:
    assert infer_kind(column("20240731", "20240101"), "when") == (
        "numeric",
        'to have numbers such as 20240731 as dates, say columns.when.format = "%Y%m%d"',
        "",
    )
    parsed = read(column("20240731", "20240732"), Column("when", "datetime", "feature", format="%Y%m%d"))
    assert str(parsed.values[0])[:10] == "2024-07-31"
    assert parsed.bad.tolist() == [False, True]


def test_a_few_bad_values_do_not_change_the_kind_and_are_marked() -> None:
    values = column(*[str(i) for i in range(39)], "abc")
    assert infer_kind(values)[0] == "numeric"
    parsed = parse(values, "numeric")
    assert np.flatnonzero(parsed.bad).tolist() == [39]
    assert (parsed.text(39), parsed.expected) == ("abc", "a number")


def test_a_column_without_a_value_has_no_kind() -> None:
    for empty in (column(None, "", "NA", " null "), column(None, kind=pa.null())):
        assert infer_kind(empty) == (None, "every value is missing", "")


def test_a_parquet_type_that_no_model_can_use_is_named() -> None:
    assert infer_kind(column([1], kind=pa.list_(pa.int64()))) == (
        None,
        "Parquet type list<item: int64> is not a number, text, boolean or date",
        "",
    )


def test_classes_keep_their_own_words() -> None:
    assert infer_kind(column("yes", "no"))[0] == "boolean"
    assert infer_target_kind(column("yes", "no"))[0] == "categorical"
    assert infer_target_kind(column("True", "false"))[0] == "boolean"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "numeric",
            {"1": 1.0, "+2.": 2.0, "-.5e1": -5.0, "1e-46": 1e-46},
            ["inf", "-nan", "nano", "3.4028236e38", "1e400", "0x1", "1_0", "١", "1,5", "1.2.3", "--1", "e5", "."],
        ),
        ("boolean", {"T": 1.0, "no": 0.0}, ["1", "maybe"]),
        ("categorical", {" a b ": "a b", "1": "1"}, []),
    ],
)
def test_text_becomes_a_value_or_is_marked_never_guessed(kind: Kind, good: dict[str, Any], bad: list[str]) -> None:
    parsed = parse(column(*good, *bad, "n/a"), kind)
    assert parsed.values[: len(good)].tolist() == list(good.values())
    assert parsed.bad.tolist() == [False] * len(good) + [True] * len(bad) + [False]
    assert all(value is None or value != value for value in parsed.values[len(good) :])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-LARGEST, LARGEST).map(repr) | st.integers(-(10**30), 10**30).map(str), min_size=1))
def test_a_number_is_the_same_number_whatever_stands_beside_it(texts: list[str]) -> None:
    alone, beside = parse(column(*texts), "numeric"), parse(column(*texts, "bad", "+1"), "numeric")
    assert alone.values.tolist() == [float(text) for text in texts]
    assert beside.values[: len(texts)].tolist() == alone.values.tolist()


def test_a_time_is_the_same_time_whatever_stands_beside_it() -> None:
    parsed = parse(column("1500-01-01", "2262-04-12T00:00:00.123456789", "0001-01-01", "9999-12-31"), "datetime")
    assert [str(moment)[:19] for moment in parsed.values] == [
        "1500-01-01T00:00:00",
        "2262-04-12T00:00:00",
        "0001-01-01T00:00:00",
        "9999-12-31T00:00:00",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2013-02-30",
        "2013-07-04T24:00",
        "2013-07-04T18:60",
        "2013-07-04T18:30:60Z",
        "2013-07-04T18:30+24:00",
        "2013-07-04T18:30+01:60",
        "9999-12-31T23:00-05:00",
        "0001-01-01T00:00+05:00",
        "0000-12-31",
    ],
)
def test_a_time_that_the_calendar_lacks_is_marked_in_a_file_and_refused_in_a_request(text: str) -> None:
    parsed = parse(column(text, "2013-07-04"), "datetime")
    assert parsed.bad.tolist() == [True, False]
    with pytest.raises(ValueError, match="a date that the calendar has"):
        read_value(Column("x", "datetime", "feature"), text)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, None], pa.int8()), "numeric", [1.0, None]),
        (pa.array([float("nan"), float("inf"), 2.5]), "numeric", [None, None, 2.5]),
        (pa.array([Decimal("1.50"), None]), "numeric", [1.5, None]),
        (pa.array([True, None]), "boolean", [1.0, None]),
        (pa.array(["a", None]).dictionary_encode(), "categorical", ["a", None]),
        (pa.array(["a", "NA"], pa.large_string()), "categorical", ["a", None]),
        (pa.array([3.0, 2.5, None, float("inf")]), "categorical", ["3", "2.5", None, "inf"]),
        (pa.array([3, None]), "categorical", ["3", None]),
        (pa.array([True, None]), "categorical", ["true", None]),
        (pa.array([Decimal("1.50"), None]), "categorical", ["1.50", None]),
        (pa.array([1, None], pa.duration("s")), "categorical", ["1", None]),
    ],
)
def test_parquet_values_are_taken_by_type(values: pa.Array, kind: Kind, expected: list[Any]) -> None:
    parsed = parse(pa.chunked_array([values]), kind)
    assert [None if value != value else value for value in parsed.values.tolist()] == expected


def test_a_parquet_time_is_taken_in_utc_whatever_its_unit_and_zone() -> None:
    moment = datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)
    for unit in ("s", "ms", "us", "ns"):
        zoned = column(moment, None, kind=pa.timestamp(unit, tz="America/New_York"))
        parsed = parse(zoned, "datetime")
        assert parsed.values[0] == np.datetime64("1969-07-20T20:17:40")
        assert np.isnat(parsed.values[1])
        assert not parsed.bad.any()


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_parquet_time_beyond_year_9999_is_marked_and_can_be_shown(unit: str) -> None:
    parsed = parse(column(10**18, 0, kind=pa.int64()).cast(pa.timestamp(unit)), "datetime")
    assert parsed.bad.tolist() == [True, False]
    assert np.isnat(parsed.values[0])
    assert parsed.text(0).startswith("1000000000000000000 as timestamp")


@pytest.mark.parametrize(
    "values", [column([1], None, kind=pa.list_(pa.int64())), column(b"\xff", None, kind=pa.binary())]
)
@pytest.mark.parametrize("kind", ["numeric", "boolean", "categorical", "datetime"])
def test_a_value_of_a_foreign_type_is_marked_and_never_a_crash(values: pa.ChunkedArray, kind: Kind) -> None:
    parsed = parse(values, kind)
    assert parsed.bad.tolist() == [True, False]
    assert all(value is None or value != value for value in parsed.values)


@pytest.mark.parametrize(
    ("marks", "good", "bad"),
    [
        ({"decimal": ","}, {"1,5": 1.5, "-,5e1": -5.0, "7": 7.0}, ["1.5", "1,2,3"]),
        (
            {"thousands": ","},
            {"1,234.5": 1234.5, "1234": 1234.0, "12,345,678": 12345678.0},
            ["1,23", "1234,567", ",123"],
        ),
        ({"decimal": ",", "thousands": "."}, {"1.234,5": 1234.5, "1.234": 1234.0}, ["1.5", "1.234.5"]),
        ({"thousands": " "}, {"1 234": 1234.0, "1\u00a0234\u202f567": 1234567.0}, ["1  234", "1 23"]),
        (
            {"unit": "€"},
            {"5 €": 5.0, "€ -5": -5.0, "-€5": -5.0, "5": 5.0, "+5\u00a0€": 5.0},
            ["5 $", "-€-5", "5 € €", "€"],
        ),
        ({"unit": "m2"}, {"5m2": 5.0, "m2 5": 5.0}, ["5m", "m25m3"]),
        ({"unit": "(x"}, {"5 (x": 5.0}, ["5 x"]),
        ({"unit": "%"}, {"12 %": 12.0}, ["12 percent"]),
    ],
)
def test_numbers_are_read_as_the_spec_says_that_they_are_written(
    marks: dict[str, str], good: dict[str, float], bad: list[str]
) -> None:
    parsed = read(column(*good, *bad, None), written(marks))
    assert parsed.values[: len(good)].tolist() == list(good.values())
    assert parsed.bad.tolist() == [False] * len(good) + [True] * len(bad) + [False]
    assert parsed.expected.startswith("a number such as 1")


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        (
            "%d/%m/%Y",
            {"4/7/2013": "2013-07-04T00:00:00"},
            ["7/31/2013", "4/7/13", "4.7.2013", "29/02/2023", "0/1/2013"],
        ),
        (
            "%d/%m/%Y",
            {"04/07/2013 9:05": "2013-07-04T09:05:00", "2013-07-04": "2013-07-04T00:00:00"},
            ["4/7/2013 25:00"],
        ),
        (
            "%m/%d/%Y %I:%M %p",
            {"07/04/2013 12:05 am": "2013-07-04T00:05:00", "7/4/2013 1:05 PM": "2013-07-04T13:05:00"},
            ["07/04/2013 13:05 PM", "07/04/2013 0:05 AM", "07/04/2013"],
        ),
        ("%d-%b-%y", {"4-Jul-13": "2013-07-04T00:00:00", "04-JUL-69": "1969-07-04T00:00:00"}, ["4-Jux-13", "4-7-13"]),
        ("%Y%m%d%H%M%S", {"20130704183000": "2013-07-04T18:30:00"}, ["2013070418300", "20130704186000"]),
        (
            "%Y-%m-%d %H:%M:%S.%f%z",
            {"2013-07-04 18:30:00.1234567+0130": "2013-07-04T17:00:00"},
            ["2013-07-04 18:30:00.1+2400"],
        ),
        ("100%% %d.%m.%Y", {"100% 04.07.2013": "2013-07-04T00:00:00"}, ["04.07.2013"]),
        (
            "",
            {"2013-7-4": "2013-07-04T00:00:00", "2013-07-04T18Z": "2013-07-04T18:00:00"},
            ["2013-07-04Z", "0000-01-01"],
        ),
    ],
)
def test_dates_are_read_as_the_spec_says_that_they_are_written(
    format_: str, good: dict[str, str], bad: list[str]
) -> None:
    parsed = read(column(*good, *bad, None), written({"format": format_}))
    assert [str(moment)[:19] for moment in parsed.values[: len(good)]] == list(good.values())
    assert parsed.bad.tolist() == [False] * len(good) + [True] * len(bad) + [False]


def test_days_that_come_again_and_again_are_the_same_days() -> None:
    days = [f"{day:02}.07.2013" for day in range(1, 29)] * 3 + ["32.07.2013", None]
    parsed = read(column(*days), written({"format": "%d.%m.%Y"}))
    assert [str(moment)[8:10] for moment in parsed.values[:84]] == [day[:2] for day in days[:84] if day]
    assert parsed.bad.tolist() == [False] * 84 + [True, False]


def test_levels_are_the_words_that_occur_and_no_others() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, None, 3, 4], pa.int8()), ["a", " a ", "never", "NA", "é"])
    levels = read(words, Column("x", "categorical", "feature")).values
    assert isinstance(levels, Levels)
    assert levels.codes.dtype == np.int32
    assert (levels.codes.tolist(), levels.names) == ([0, 0, 0, -1, -1, 1], ("a", "é"))


def test_an_id_is_its_text_whatever_the_type() -> None:
    identity = Column("x", "categorical", "id")
    assert read(pa.array([7, None]), identity).values.to_pylist() == ["7", None]
    assert read(pa.array([7.0, None]), identity).values.to_pylist() == ["7", None]
    assert read(column(" a ", "null"), identity).values.to_pylist() == ["a", None]
    assert read(pa.array([b"a", None]), identity).bad.tolist() == [True, False]


@pytest.mark.parametrize(
    ("of", "head", "expected"),
    [
        (Column("x", "numeric", "feature"), column("1"), pa.float64()),
        (Column("x", "numeric", "feature", unit="€"), column("1"), pa.string()),
        (Column("x", "boolean", "feature"), column("t"), pa.bool_()),
        (Column("x", "categorical", "feature"), column("t"), pa.dictionary(pa.int32(), pa.string())),
        (Column("x", "categorical", "id"), column("t"), pa.string()),
        (Column("x", "datetime", "feature"), column("2013-07-04T18:30"), pa.timestamp("us")),
        (Column("x", "datetime", "feature"), column("2013-07-04T18:30Z", None), pa.timestamp("us", "UTC")),
        (Column("x", "datetime", "feature"), column("2013-07-04 18:30:00-0100"), pa.timestamp("us", "UTC")),
        (Column("x", "datetime", "feature"), column("2013-07-04"), pa.timestamp("us")),
        (Column("x", "datetime", "feature", format="%d.%m.%Y"), column("04.07.2013"), pa.string()),
        (Column("x", "categorical", "feature"), column(1.0, kind=pa.float64()), pa.float64()),
    ],
)
def test_a_file_is_asked_for_what_takes_least_to_read(of: Column, head: pa.ChunkedArray, expected: pa.DataType) -> None:
    assert arrow_type(of, head) == expected
