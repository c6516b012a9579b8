"""Captured lines by the block: what Arrow reads at once is what is read value by value."""

import json
from typing import Any

import numpy as np
import pytest

from tidemill.schema import Column, Levels, Schema
from tidemill.stages.blocks import BlockReader

FEATURES = (
    Column("size", "numeric", "feature"),
    Column("fast", "boolean", "feature"),
    Column("kind", "categorical", "feature"),
    Column("at", "datetime", "feature"),
)
SCHEMA = Schema((*FEATURES, Column("late", "boolean", "target")), "binary", ("false", "true"))
READER = BlockReader(SCHEMA, FEATURES, 2, "2026-07-04T12:00:00+00:00", "2026-07-04T13:00:00+00:00")


def record(place: int, version: int = 2, hour: int = 12, **row: Any) -> dict[str, Any]:
    values = {"size": 1.5 * place, "fast": True, "kind": " a", "at": "2026-01-02T03:04:05Z", **row}
    return {
        "id": f"k{place}", "time": f"2026-07-04T{hour}:00:00+00:00", "version": version, "row": values,
        "prediction": place % 2 == 0, "probabilities": {"false": 0.25, "true": 0.75},
    }  # fmt: skip


def lines(*records: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, records)).encode()


def shown(values: Any) -> list[Any]:
    if isinstance(values, Levels):
        return [values.names[code] if code >= 0 else None for code in values.codes]
    return [None if value != value else value for value in values.tolist()]


@pytest.mark.parametrize("odd", [{}, {"size": "4.5"}, {"fast": "yes"}, {"kind": 7}])
def test_rows_are_read_alike_at_once_and_value_by_value(odd: dict[str, Any]) -> None:
    made = [record(1), record(2, size=None, kind="na", at=None), record(3, kind="b", fast=False), record(4, **odd)]
    block, slow = READER(lines(*made)), READER._by_value(lines(*made))
    assert block.ids.to_pylist() == slow.ids.to_pylist() == ["k1", "k2", "k3", "k4"]
    assert block.times.to_pylist() == slow.times.to_pylist()
    for name in ("size", "fast", "kind", "at"):
        assert shown(block.columns[name]) == shown(slow.columns[name])
    assert np.array_equal(block.values, slow.values)
    assert block.places is not None
    assert slow.places is not None
    assert block.places.tolist() == slow.places.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("odd", [{}, {"size": "4.5"}])
def test_only_the_version_and_the_window_are_read_and_other_versions_are_counted(odd: dict[str, Any]) -> None:
    made = [record(1, **odd), record(2, version=1), record(3, hour=13), record(4, hour=11), record(5, 1, hour=13)]
    block = READER(lines(*made))
    assert block.ids.to_pylist() == ["k1"]
    assert block.times.to_pylist() == ["2026-07-04T12:00:00+00:00"]
    assert block.others == {1: 1}


def test_of_other_versions_alone_no_row_is_read() -> None:
    block = READER(lines(record(1, version=1), record(2, version=3)))
    assert (block.rows, block.values.shape, block.others) == (0, (0, 2), {1: 1, 3: 1})


@pytest.mark.parametrize("identity", ["7", 7])
def test_a_class_that_an_answer_lacks_has_no_probability(identity: object) -> None:
    block = READER(lines(record(1) | {"id": identity, "probabilities": {"false": 1.0}}))
    assert block.ids.to_pylist() == ["7"]
    assert np.array_equal(block.values, [[1.0, np.nan]], equal_nan=True)


@pytest.mark.parametrize("odd", [{}, {"size": "4.5"}])
def test_answers_can_be_read_without_any_field(odd: dict[str, Any]) -> None:
    block = BlockReader(SCHEMA, (), 2, READER.low, READER.high)(lines(record(1), record(2, **odd)))
    assert (block.ids.to_pylist(), dict(block.columns)) == (["k1", "k2"], {})
    assert block.values.tolist() == [[0.25, 0.75]] * 2


def test_what_cannot_be_read_counts_as_missing() -> None:
    block = READER(lines(record(1, size="a lot"), record(2, size=1e39), record(3)))
    assert shown(block.columns["size"]) == [None, None, 4.5]


def test_a_field_that_no_row_has_is_missing_throughout() -> None:
    one = record(1)
    del one["row"]["kind"]
    assert shown(READER(lines(one)).columns["kind"]) == [None]


def test_a_regression_answers_numbers() -> None:
    schema = Schema((*FEATURES, Column("delay", "numeric", "target")), "regression")
    reader = BlockReader(schema, FEATURES, 2, READER.low, READER.high)
    one = record(1) | {"prediction": 3.25, "probabilities": None}
    block = reader(lines(one, one | {"prediction": 4}))
    assert (block.values.tolist(), block.places) == ([3.25, 4.0], None)
