"""Rows of a request: the short cuts for whole columns do what each value alone would."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.encoding import read_value, value_encoder
from tidemill.schema import Column, Schema
from tidemill.stages.rows import Notes, RowReader

COLUMNS = (
    Column("size", "numeric", "feature", low=0.0, high=10.0),
    Column("gap", "numeric", "feature", nullable=True),
    Column("price", "numeric", "feature", nullable=True, decimal=",", unit="€"),
    Column("flag", "boolean", "feature", nullable=True),
    Column("town", "categorical", "feature", nullable=True, vocabulary=("a", "b", " c", "na")),
    Column("plan", "categorical", "feature", vocabulary=("x", "y")),
    Column("day", "datetime", "feature", nullable=True),
)
SCHEMA = Schema((*COLUMNS, Column("y", "numeric", "target"), Column("key", "categorical", "id")), "regression")
GOOD = {"size": 1.5, "gap": None, "price": 2, "flag": True, "town": "a", "plan": "x", "day": "2024-02-29"}

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["a", " a", "b ", "c", " c", "na", "NaN", "", "x", "yes", "1,5 €", "2024-02-30", "1", 10**400, -0.0]
    ),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.just("k"), st.none(), max_size=1),
)
good = st.fixed_dictionaries({name: st.just(value) for name, value in GOOD.items()})
rows = st.lists(st.one_of(good, st.dictionaries(st.sampled_from([*GOOD, "key", "new"]), odd)), min_size=1, max_size=6)


def alone(column: Column, raw: Any) -> list[float] | None:
    """The value's places in the matrix; None where it is a problem."""
    try:
        value = read_value(column, raw)
    except ValueError:
        return None
    return None if value is None and not column.nullable else list(value_encoder(column)(value))


@settings(max_examples=500, deadline=None, derandomize=True)
@given(rows)
def test_each_value_is_read_as_if_it_stood_alone(batch: list[dict[str, Any]]) -> None:
    notes = Notes()
    columns, matrix = RowReader(SCHEMA)([{**GOOD, **row} for row in batch], notes)
    found = {(problem["row"], problem["field"]) for problem in notes.problems}
    for place, row in enumerate(batch):
        expected = []
        for column in COLUMNS:
            encoded = alone(column, {**GOOD, **row}[column.name])
            assert (encoded is None) == ((place, column.name) in found), (column.name, row)
            expected += encoded or []
        if not any(number == place for number, _ in found):
            np.testing.assert_array_equal(matrix[place], np.array(expected, dtype=np.float32))
    assert set(columns) == {*GOOD, *(["key"] if any("key" in row for row in batch) else [])}


@pytest.mark.parametrize("several", [1, 3])
@pytest.mark.parametrize(
    ("field", "raw", "said"),
    [
        ("size", 11, "field 'size': a value outside of training's 0 to 10"),
        ("town", "z", "field 'town': category \"z\" was not seen in training"),
        ("new", 1, "field 'new' is not known to the model and was ignored"),
    ],
)
def test_what_is_unusual_is_flagged_and_counted(field: str, raw: Any, said: str, several: int) -> None:
    notes = Notes()
    RowReader(SCHEMA)([GOOD, *([{**GOOD, field: raw}] * several)], notes)
    assert not notes.problems
    assert notes.sentences() == [said + (f" ({several} rows)" if several > 1 else "")]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e39, 10**400])
def test_what_no_float32_can_hold_is_refused_wherever_it_stands(number: float) -> None:
    for place in range(3):
        notes, batch = Notes(), [dict(GOOD) for _ in range(3)]
        batch[place]["size"] = number
        RowReader(SCHEMA)(batch, notes)
        assert [(problem["row"], problem["field"]) for problem in notes.problems] == [(place, "size")]


def test_a_field_that_no_row_has_is_missing_from_all() -> None:
    notes, needed = Notes(), replace(SCHEMA, columns=(COLUMNS[0], COLUMNS[5]))
    RowReader(needed)([{"plan": "x"}, {"plan": "y"}], notes)
    assert [(problem["row"], problem["got"]) for problem in notes.problems] == [(0, "nothing"), (1, "nothing")]


def test_of_many_unknown_fields_the_first_are_told_and_the_others_counted() -> None:
    rows = [{**GOOD, f"f{i:05}": 1, "often": 2} for i in range(5_000)]
    notes = Notes()
    RowReader(SCHEMA)(rows, notes)
    told = notes.sentences()
    assert told[0] == "field 'f00000' is not known to the model and was ignored"
    assert len(told) == 21
    assert told[-1] == "and 4981 more warnings"


def test_a_long_name_is_told_by_its_beginning() -> None:
    notes = Notes()
    RowReader(SCHEMA)([{**GOOD, "é" * 3_000_000: 1}], notes)
    assert notes.sentences() == [f"field '{'é' * 59}… is not known to the model and was ignored"]


def test_unknown_fields_cost_the_same_whichever_rows_have_them() -> None:
    """Rows are looked through for those that are told, and not for each that there is."""

    class Counting(dict[str, Any]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            Counting.asked += 1
            return super().__contains__(name)

    RowReader(SCHEMA)([Counting(GOOD, **{f"f{i}": 1}) for i in range(1_000)], Notes())
    assert Counting.asked <= 20 * 1_000


def test_of_a_column_no_more_problems_are_found_than_are_told() -> None:
    """10,000 rows of nothing, for a model of 400 columns, are a small body; four million problems are not."""
    notes = Notes()
    RowReader(SCHEMA)([GOOD, *[{}] * 10_000, {**GOOD, "size": "x"}], notes)
    assert [entry["row"] for entry in notes.problems if entry["field"] == "plan"] == [*range(1, 101)]
    assert len(notes.problems) == 200
    assert notes.more


def test_few_problems_are_all_found() -> None:
    notes = Notes()
    RowReader(SCHEMA)([GOOD, {}, GOOD], notes)
    assert [(entry["row"], entry["field"]) for entry in notes.problems] == [(1, "size"), (1, "plan")]
    assert not notes.more
