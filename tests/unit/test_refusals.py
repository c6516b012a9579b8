"""What the check makes of rows that the endpoint refused."""

from typing import Any

import pytest

from tidemill.schema import Column, Schema
from tidemill.stages.refusals import Refusals, refusals, refused_feed

SCHEMA = Schema(
    (
        Column("wind", "numeric", "feature"),
        Column("carrier", "categorical", "feature"),
        Column("paperless", "boolean", "feature"),
        Column("joined", "datetime", "feature"),
        Column("late", "categorical", "target"),
    ),
    "binary",
    ("no", "yes"),
)


def record(rows: int, *problems: tuple[str, str], version: int = 3, more: int = 0) -> dict[str, Any]:
    return {"version": version, "rows": rows, "problems": problems, "more": more}


def found(*records: dict[str, Any]) -> Refusals:
    return refusals(records, 3, SCHEMA)


def test_requests_and_their_rows_are_counted_by_field_and_problem() -> None:
    of = found(
        record(10, ("wind", "absent")),
        record(5, ("wind", "absent"), ("carrier", "unusable")),
        record(1, ("", "unusable")),
    )
    assert (of.requests, of.rows) == (3, 16)
    assert [(one.field, one.problem, one.requests, one.rows) for one in of.problems] == [
        ("wind", "absent", 2, 15),
        ("carrier", "unusable", 1, 5),
        ("", "unusable", 1, 1),
    ]


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (("wind", "absent"), "wind is absent"),
        (("wind", "null"), "wind is null"),
        (("wind", "unusable"), "wind is no usable number"),
        (("carrier", "unusable"), "carrier is no text"),
        (("paperless", "unusable"), "paperless is neither true nor false"),
        (("joined", "unusable"), "joined is no usable date"),
        (("gone", "unusable"), "gone is no such value"),
        (("", "unusable"), "the body cannot be used"),
        (("", "too_large"), "the request is too large"),
    ],
)
def test_each_problem_is_said_in_words(problem: tuple[str, str], sentence: str) -> None:
    [one] = found(record(1, problem)).problems
    assert one.sentence == sentence


def test_what_another_version_refused_is_counted_apart() -> None:
    of = found(record(10, ("wind", "absent"), version=2), record(5, ("wind", "null")))
    assert (of.rows, of.others) == (5, {2: 10})


def test_the_sentence_names_fields_problems_counts_and_what_to_do() -> None:
    problem = refused_feed(found(record(300, ("wind", "absent"), ("carrier", "null"))), 100, 100)
    assert problem is not None
    assert (problem.column, problem.kind, problem.broken) == ("wind", "refused", True)
    assert problem.sentence == (
        "300 of 400 rows refused, in 1 request: wind is absent (300 rows), carrier is null (300 rows); let the "
        "producer send the fields as the model has them, or upload data of the new form, so that a version learns it"
    )


def test_of_many_problems_three_are_told_and_the_others_counted() -> None:
    of = found(record(9, *((f"f{i}", "absent") for i in range(5))))
    assert of.sentence(0).endswith("f2 is absent (9 rows), and 2 problems more")


@pytest.mark.parametrize(
    ("refused", "answered", "broken"),
    [(99, 0, False), (100, 0, True), (100, 900, False), (101, 900, True), (0, 0, False)],
)
def test_a_feed_is_broken_by_more_than_a_tenth_and_at_least_min_rows(refused: int, answered: int, broken: bool) -> None:
    of = found(record(refused, ("", "unusable"))) if refused else found()
    assert (refused_feed(of, answered, 100) is not None) == broken


def test_nothing_is_said_of_a_window_without_a_refusal() -> None:
    assert found().sentence(100) == ""
