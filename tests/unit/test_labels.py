"""Labels in any order, any number of times, of any quality: what they make of a window's metric."""

import json
import math
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.schema import Column, Schema
from tidemill.stages.labels import Given, join, newest
from tidemill.stages.metrics import METRICS

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOW = (NOON + timedelta(hours=1)).isoformat()
CHURN = Schema((Column("late", "categorical", "target"),), "binary", ("no", "yes"))
PRICE = Schema((Column("price", "numeric", "target"),), "regression", ())


def label(identity: object, value: object, minute: int = 0) -> dict[str, Any]:
    return {"id": identity, "label": value, "time": (NOON + timedelta(minutes=minute)).isoformat()}


def answered(ids: list[str], shares: list[float], minutes: list[int] | None = None) -> Given:
    times = [(NOON + timedelta(minutes=minute)).isoformat() for minute in minutes or [0] * len(ids)]
    return Given(ids, times, np.column_stack([1 - np.array(shares), shares]))


arriving = st.lists(
    st.builds(label, st.sampled_from("abcdefgh"), st.sampled_from(["yes", "no", "perhaps", None]), st.integers(0, 3)),
    max_size=25,
)
asked = st.lists(st.tuples(st.sampled_from("abcdefxyz"), st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=25)


@settings(max_examples=150)
@given(arriving, asked, st.randoms(use_true_random=False))
def test_the_metric_is_the_same_whatever_the_order_of_labels_and_predictions(
    labels: list[dict[str, Any]], rows: list[tuple[str, float, int]], random: Any
) -> None:
    def measured() -> tuple[object, ...]:
        known = newest(labels, NOW)
        ids, shares, minutes = (list(column) for column in zip(*rows, strict=True))
        joined = join(answered(ids, shares, minutes), known.by_id, CHURN)
        value = METRICS["brier"].bind(joined.truth, joined.answers)(None) if len(joined.truth) else math.nan
        counts = known.repeated, known.conflicting, known.unusable, joined.predictions, joined.again, joined.unknown
        return json.dumps(value), joined.truth.tolist(), joined.matched, *counts

    before = measured()
    random.shuffle(labels)
    random.shuffle(rows)
    assert measured() == before


@settings(max_examples=50)
@given(arriving)
def test_labels_that_are_delivered_twice_change_no_truth(labels: list[dict[str, Any]]) -> None:
    assert newest([*labels, *labels], NOW).by_id == newest(labels, NOW).by_id


def test_of_labels_that_conflict_the_newest_counts_and_they_are_counted() -> None:
    found = newest([label("k", "yes", 2), label("k", "no", 1), label("m", "no"), label("m", "no")], NOW)
    assert found.by_id == {"k": "yes", "m": "no"}
    assert (found.conflicting, found.repeated) == (1, 1)


def test_of_labels_of_one_moment_the_last_by_its_text_counts() -> None:
    for labels in ([label("k", "yes"), label("k", "no")], [label("k", "no"), label("k", "yes")]):
        assert newest(labels, NOW).by_id == {"k": "yes"}


def test_a_whole_number_is_the_same_label_with_and_without_a_point() -> None:
    assert newest([label("k", 1), label("k", 1.0)], NOW).conflicting == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, None, ["yes"], {"label": "yes"}])
def test_what_can_be_no_label_is_counted_and_left_out(value: object) -> None:
    found = newest([label("k", value), label("m", "yes")], NOW)
    assert (found.by_id, found.unusable) == ({"m": "yes"}, 1)


def test_a_record_without_id_or_time_is_counted_and_left_out() -> None:
    found = newest([label(None, "yes"), {"id": "k", "label": "yes"}], NOW)
    assert (found.by_id, found.unusable) == ({}, 2)


def test_a_label_from_the_future_counts_from_its_time_on() -> None:
    labels = [label("k", "no"), label("k", "yes", 90)]
    assert (newest(labels, NOW).by_id, newest(labels, NOW).future) == ({"k": "no"}, 1)
    assert newest(labels, (NOON + timedelta(hours=2)).isoformat()).by_id == {"k": "yes"}


def test_an_id_that_was_asked_for_twice_is_judged_by_its_newest_answer() -> None:
    joined = join(answered(["k", "k", "m"], [0.2, 0.9, 0.4], [2, 1, 0]), {"k": "yes"}, CHURN)
    assert joined.answers[:, 1].tolist() == [0.2]
    assert (joined.predictions, joined.again) == (2, 1)


def test_labels_of_a_class_that_the_model_has_not_are_counted_and_left_out() -> None:
    joined = join(answered(["k", "m"], [0.2, 0.9]), {"k": "perhaps", "m": "yes"}, CHURN)
    assert (joined.truth.tolist(), joined.unknown, joined.matched) == ([1.0], 1, frozenset({"k", "m"}))


def test_labels_of_no_prediction_match_nothing() -> None:
    joined = join(answered(["k"], [0.2]), {"x": "yes"}, CHURN)
    assert (len(joined.truth), joined.predictions, joined.matched) == (0, 1, frozenset())


def test_a_label_of_a_regression_must_be_a_number() -> None:
    joined = join(Given(["a", "b", "c"], [NOW] * 3, np.array([1.0, 2, 3])), {"a": 4, "b": "5", "c": True}, PRICE)
    assert (joined.truth.tolist(), joined.answers.tolist(), joined.unknown) == ([4.0], [1.0], 2)


def test_one_row_and_no_row_can_be_joined() -> None:
    assert join(answered(["k"], [0.2]), {"k": "no"}, CHURN).truth.tolist() == [0.0]
    none = join(Given([], [], np.empty((0, 2))), {"k": "no"}, CHURN)
    assert (none.predictions, none.answers.shape) == (0, (0, 2))


def test_a_label_is_kept_in_less_than_four_hundred_bytes() -> None:
    times = [(NOON - timedelta(seconds=row)).isoformat() for row in range(4)]
    rows = 20_000
    tracemalloc.start()
    found = newest(({**label(f"order-{row:012d}", "yes"), "time": "".join(times[row % 4])} for row in range(rows)), NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.by_id) == rows
    assert peak / rows < 400
