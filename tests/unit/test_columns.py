from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.encoding import LARGEST
from tidemill.spec import Kind
from tidemill.stages.columns import infer_kind, infer_target_kind, parse


def column(*values: Any, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind or pa.string())])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2.5", "1e3", ".5", "+7", None], "numeric"),
        (["0", "1", "1"], "numeric"),
        (["Yes", "no", "Y", "N", " t "], "boolean"),
        (["TRUE", "false", "n/a"], "boolean"),
        (["2013-07-04", "2013-07-04T18:30:00Z", "2013-07-04 18:30"], "datetime"),
        (["red", "1", "2"], "categorical"),
        (["2013-07-04", "red"], "categorical"),
    ],
)
def test_the_kind_is_the_one_that_the_values_show(values: list[str | None], kind: str) -> None:
    assert infer_kind(column(*values)) == (kind, "")


def test_numbers_with_leading_zeros_are_codes() -> None:
    assert infer_kind(column("00501", "10001", "94105")) == (
        "categorical",
        "numbers with leading zeros are codes, not quantities",
    )
    assert infer_kind(column("0", "0.5", "10"))[0] == "numeric"


def test_a_few_bad_values_do_not_change_the_kind_and_are_marked() -> None:
    values = column(*[str(i) for i in range(39)], "abc")
    assert infer_kind(values)[0] == "numeric"
    parsed = parse(values, "numeric")
    assert np.flatnonzero(parsed.bad).tolist() == [39]
    assert (parsed.text(39), parsed.expected) == ("abc", "a number")


def test_a_column_without_a_value_has_no_kind() -> None:
    for empty in (column(None, "", "NA", " null "), column(None, kind=pa.null())):
        assert infer_kind(empty) == (None, "every value is missing")


def test_a_parquet_type_that_no_model_can_use_is_named() -> None:
    assert infer_kind(column([1], kind=pa.list_(pa.int64()))) == (
        None,
        "Parquet type list<item: int64> is not a number, text, boolean or date",
    )


def test_classes_keep_their_own_words() -> None:
    assert infer_kind(column("yes", "no"))[0] == "boolean"
    assert infer_target_kind(column("yes", "no"))[0] == "categorical"
    assert infer_target_kind(column("True", "false"))[0] == "boolean"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("numeric", {"1": 1.0, "+2.": 2.0, "-.5e1": -5.0, "1e-46": 1e-46}, ["inf", "nano", "1e39", "0x1", "1_0", "١"]),
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
    ["2013-02-30", "2013-07-04T24:00", "2013-07-04T18:30:60Z", "9999-12-31T23:00-05:00", "0001-01-01T00:00+05:00"],
)
def test_a_time_that_the_calendar_lacks_is_marked(text: str) -> None:
    parsed = parse(column(text, "2013-07-04"), "datetime")
    assert parsed.bad.tolist() == [True, False]


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
