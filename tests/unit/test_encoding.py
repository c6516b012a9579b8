"""The vectorised form and the row form of the encoding agree, on whatever a file or a request may hold."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.encoding import (
    LARGEST,
    MISSING,
    NULL_WORDS,
    UNKNOWN,
    RowEncoder,
    categorical_positions,
    encode,
    encoded_names,
    read_value,
    select,
    write_value,
)
from tidemill.schema import Column, Schema
from tidemill.stages.columns import parse

SIZE = Column("size", "numeric", "feature")
FLAG = Column("flag", "boolean", "feature")
TOWN = Column("town", "categorical", "feature", vocabulary=("Zürich", "日本", "b c", "ß"))
DAY = Column("day", "datetime", "feature")
FEATURES = (SIZE, FLAG, TOWN, DAY)
SCHEMA = Schema((*FEATURES, Column("y", "numeric", "target")), "regression")

zones: st.SearchStrategy[timezone] = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
moments = st.datetimes(
    # Hypothesis wants bounds without a zone.
    min_value=datetime(1, 1, 3),  # noqa: DTZ001
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.one_of(st.none(), zones),
)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
numbers = st.floats(-LARGEST, LARGEST)
cells: dict[str, st.SearchStrategy[Any]] = {
    "size": numbers,
    "flag": st.sampled_from([True, False, "Yes", " f "]),
    "town": st.sampled_from(TOWN.vocabulary) | text,
    "day": moments.map(lambda moment: moment.isoformat()),
}
nothing = st.none() | st.sampled_from(sorted(NULL_WORDS)) | st.just(" NaN ")
rows = st.lists(st.fixed_dictionaries({name: cell | nothing for name, cell in cells.items()}), min_size=1, max_size=8)


def as_file(column: Column, values: list[Any]) -> Any:
    """The values as a CSV has them, typed as Prepare types them."""
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    parsed = parse(pa.chunked_array([pa.array(texts, pa.string())]), column.kind)
    assert not parsed.bad.any()
    return parsed.values


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows)
def test_a_row_of_a_request_is_encoded_as_the_same_row_of_a_file(batch: list[dict[str, Any]]) -> None:
    columns = {column.name: as_file(column, [row[column.name] for row in batch]) for column in FEATURES}
    one_by_one = RowEncoder(SCHEMA)
    typed = [{column.name: read_value(column, row[column.name]) for column in FEATURES} for row in batch]
    np.testing.assert_array_equal(
        encode(SCHEMA, columns, len(batch)), np.array([one_by_one(row) for row in typed], dtype=np.float32)
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows)
def test_a_typed_value_survives_json(batch: list[dict[str, Any]]) -> None:
    for column in FEATURES:
        values = as_file(column, [row[column.name] for row in batch])
        written = [json.loads(json.dumps(write_value(column, value))) for value in values]
        np.testing.assert_array_equal(as_file(column, written), values)
        for value, raw in zip(values, written, strict=True):
            back = read_value(column, raw)
            if back is None:
                assert value is None or value != value
            elif isinstance(back, datetime):
                assert back == value.astype(datetime).replace(tzinfo=UTC)
            else:
                assert back == value


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
    assert RowEncoder(schema)({"day": read_value(DAY, moment)}) == pytest.approx(parts, abs=1e-12)
    matrix = encode(schema, {"day": as_file(DAY, [moment])}, 1)
    assert matrix[0].tolist() == np.array(parts, dtype=np.float32).tolist()


def test_the_matrix_names_its_columns() -> None:
    names = encoded_names(SCHEMA)
    assert names[:3] == ("numeric:size", "boolean:flag", "categorical:town")
    assert [name.removesuffix(":day") for name in names[3:]] == [
        f"datetime.{part}" for part in ("year", "month", "day", "weekday", "hour", "days")
    ]
    assert categorical_positions(SCHEMA) == (2,)


@pytest.mark.parametrize("name", ["day.hour", "datetime.hour:day", "numeric:day", "day"])
def test_no_column_is_taken_for_a_part_of_a_date_whatever_it_is_called(name: str) -> None:
    other = Column(name, "numeric", "feature")
    date = replace(DAY, name="day" if name != "day" else "other")
    names = encoded_names(Schema((date, other), "regression"))
    assert len(set(names)) == len(names) == 7


def test_absent_and_unknown_categories_have_codes_of_their_own() -> None:
    encoder = RowEncoder(Schema((TOWN,), "regression"))
    assert encoder({}) == encoder({"town": None}) == [MISSING]
    assert encoder({"town": "Atlantis"}) == [UNKNOWN]
    assert encoder({"town": "日本"}) == [1.0]


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
    assert picked[:, 2].tolist() == [MISSING] * 3
    assert np.isnan(picked[:, 3:]).all()


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
        (DAY, 1372961400, "a date as text, such as 2013-07-04T18:30:00Z"),
        (DAY, "July 4", "a date such as 2013-07-04 or 2013-07-04T18:30:00Z"),
        (DAY, "٢٠١٣-٠٧-٠٤", "a date that the calendar has"),
        (DAY, "2013-02-30", "a date that the calendar has"),
        (DAY, "0001-01-01T00:00+01:00", "a date that the calendar has"),
    ],
)
def test_a_json_value_of_another_type_is_refused_with_what_was_expected(
    column: Column, raw: object, expected: str
) -> None:
    with pytest.raises(ValueError, match="^" + expected.replace("+", r"\+") + "$"):
        read_value(column, raw)
