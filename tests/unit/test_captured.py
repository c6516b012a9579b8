"""The lines by which the endpoint hands over what it answered, on their way back into records."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tidemill.stages.captured import (
    LONGEST_LINE,
    as_json,
    batch_of,
    lines_of,
    read_lines,
    records_of,
    refusal_of,
)
from tidemill.stages.serve import Answers
from tidemill.stages.wire import write

NOON = datetime(2026, 7, 4, 12, tzinfo=UTC)


def answers(rows: int = 2, text: str = "x", shares: bool = True) -> Answers:
    return Answers(
        [f"k{i}" for i in range(rows)],
        ["yes", "no"] * (rows // 2),
        ("no", "yes") if shares else (),
        [[0.1, 0.9], [0.8, 0.2]] * (rows // 2) if shares else None,
        {"size": [float(i) for i in range(rows)], "note": [text] * rows},
        (),
        np.zeros((rows, 0), dtype=np.float32),
    )


def lines(**differing: Any) -> list[str]:
    """Of one request; `differing` goes over what the endpoint would write."""
    return [json.dumps(batch_of(answers(), "trips", 3, "q1", NOON) | differing)]


def test_what_was_written_is_read_as_one_record_a_row() -> None:
    captured = read_lines(lines())
    assert captured.damaged == 0
    assert list(captured.records) == [("predictions", "trips")]
    assert captured.records["predictions", "trips"] == records_of(batch_of(answers(), "trips", 3, "q1", NOON))
    assert captured.records["predictions", "trips"][0] == {
        "id": "k0",
        "time": "2026-07-04T12:00:00+00:00",
        "version": 3,
        "row": {"size": 0.0, "note": "x"},
        "prediction": "yes",
        "probabilities": {"no": 0.1, "yes": 0.9},
    }


@pytest.mark.parametrize("text", ["x" * 1_000, "日本" * 200, "\u2028" * 200, "null" * 250])
def test_a_long_request_takes_several_lines_and_no_row_is_lost(text: str) -> None:
    batch = batch_of(answers(1_000, text), "trips", 3, "q1", NOON)
    written = list(lines_of(batch, write))
    assert len(written) > 1
    assert max(len(line.encode()) for _, line in written) <= LONGEST_LINE
    assert sum(rows for rows, _ in written) == 1_000
    assert read_lines(line for _, line in written).records["predictions", "trips"] == records_of(batch)


def test_a_row_that_is_too_long_for_any_line_is_not_among_those_that_are_kept() -> None:
    assert list(lines_of(batch_of(answers(2, "x" * LONGEST_LINE), "trips", 3, "q1", NOON), write)) == []


@pytest.mark.parametrize("text", [None, "é日😀", "\u2028", "\ud800", "null", "a\0b"])
def test_what_a_line_says_does_not_hang_on_who_wrote_it(text: str | None) -> None:
    batch = batch_of(answers(), "trips", 3, "q1", NOON) | {"columns": {"note": [text, None]}}
    ((rows, line),) = lines_of(batch, write)
    assert rows == 2
    assert len(line.splitlines()) == 1
    assert read_lines([line]) == read_lines([as_json(batch)])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_answer_that_is_no_number_is_not_kept_as_one_that_is_missing(number: float) -> None:
    """Whoever is asked for the rest of it is told: what has no number has no line."""
    for changed in ({"predictions": [number, 1.0], "shares": None}, {"columns": {"size": [None, number]}}):
        with pytest.raises(ValueError, match="Out of range float"):
            list(lines_of(batch_of(answers(), "trips", 3, "q1", NOON) | changed, write))


@pytest.mark.parametrize(
    "line",
    [
        lines()[0][:150],
        *lines(kind="secrets"),
        *lines(model="../labels/trips"),
        *lines(time="noon"),
        *lines(time="2026-07-04T12:00:00"),
        *lines(ids=["k0"], shares=None),
        *lines(columns={"size": None}),
        *lines(kind="refusals"),
        '{"tidemill": "capture"}',
    ],
)
def test_a_damaged_line_is_counted_and_the_others_are_read(line: str) -> None:
    captured = read_lines([line, *lines()])
    assert captured.damaged == 1
    assert len(captured.records["predictions", "trips"]) == 2


@pytest.mark.parametrize(
    "line", ["START RequestId: q1", json.dumps({"level": "WARNING", "message": "tidemill cannot capture"}), "", "[1]"]
)
def test_a_line_of_another_kind_is_nobodys_loss(line: str) -> None:
    assert read_lines([line]) == read_lines([])


def test_a_regression_has_no_probabilities() -> None:
    batch = batch_of(answers(shares=False), "trips", 3, "q1", NOON)
    assert [record["probabilities"] for record in records_of(batch)] == [None, None]


def test_a_refusal_is_one_record_whatever_rows_the_request_had() -> None:
    refusal = refusal_of(500, [("size", "absent"), ("town", "unusable")], "trips", 3, "q1", NOON)
    [(rows, line)] = lines_of(refusal, write)
    assert rows == 500
    assert read_lines([line]).records["refusals", "trips"] == [
        {
            "request": "q1",
            "time": "2026-07-04T12:00:00+00:00",
            "version": 3,
            "rows": 500,
            "problems": [["size", "absent"], ["town", "unusable"]],
            "more": 0,
        }
    ]


def test_a_refusal_fits_a_line_however_many_columns_have_long_names() -> None:
    refusal = refusal_of(1, [(f"{i}{'😀' * 1_000}", "absent") for i in range(2_000)], "trips", 3, "q1", NOON)
    [(_, line)] = lines_of(refusal, write)
    assert len(line) <= LONGEST_LINE
    [record] = read_lines([line]).records["refusals", "trips"]
    assert (len(record["problems"]), record["more"]) == (30, 1_970)
