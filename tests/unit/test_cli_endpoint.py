"""Rows in chunks, within what one HTTP call may carry."""

import json
from typing import Any

import pytest

from tidemill.errors import InvalidRequest
from tidemill.stages import http, serve
from tidemill_cli import endpoint
from tidemill_cli.endpoint import chunks, rows_a_call


def test_the_limits_are_within_those_of_the_endpoint() -> None:
    assert endpoint.MOST_BYTES < http.LARGEST_BODY
    assert endpoint.MOST_ROWS <= serve.MOST_ROWS


def test_all_rows_are_sent_once_and_in_order() -> None:
    rows = [{"n": i} for i in range(5_001)]
    made = list(chunks("rows", rows))
    assert [(chunk.start, chunk.count) for chunk in made] == [(0, 2_000), (2_000, 2_000), (4_000, 1_001)]
    assert [row for chunk in made for row in json.loads(chunk.body)["rows"]] == rows


def test_long_rows_go_in_shorter_chunks() -> None:
    rows: list[dict[str, Any]] = [{"text": "x" * 900_000}] * 9
    made = list(chunks("rows", rows))
    assert sum(chunk.count for chunk in made) == 9
    assert all(len(chunk.body) <= endpoint.MOST_BYTES for chunk in made)
    assert len(made) == 3


def test_what_is_said_besides_is_in_each_chunk() -> None:
    bodies = [json.loads(chunk.body) for chunk in chunks("rows", [{"n": i} for i in range(5)], 2, explain=True)]
    assert [len(body.pop("rows")) for body in bodies] == [2, 2, 1]
    assert bodies == [{"explain": True}] * 3


def test_a_row_too_long_for_any_call_is_named() -> None:
    with pytest.raises(InvalidRequest, match="row 1 has"):
        list(chunks("rows", [{"n": 1}, {"text": "x" * 4_000_000}]))


def test_a_number_that_json_has_not_is_named() -> None:
    with pytest.raises(InvalidRequest, match="row 0 cannot be written as JSON"):
        list(chunks("rows", [{"n": float("inf")}]))


@pytest.mark.parametrize(("classes", "rows"), [(0, 2_000), (2, 2_000), (100, 600)])
def test_a_model_with_many_classes_gets_fewer_rows_a_call(classes: int, rows: int) -> None:
    assert rows_a_call({"target": {"classes": [str(i) for i in range(classes)]}}) == rows


@pytest.mark.parametrize(("columns", "rows"), [(3, 100), (12, 62), (50, 15), (2_000, 1)])
def test_a_model_with_many_columns_gets_fewer_rows_to_explain(columns: int, rows: int) -> None:
    fields = [{"role": "feature"}] * columns + [{"role": "id"}]
    assert rows_a_call({"target": {"classes": ["no", "yes"]}, "fields": fields}, explain=True) == rows
