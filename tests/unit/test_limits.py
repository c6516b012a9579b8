"""What one reply may hold, before it is written."""

from typing import Any

import numpy as np
import pytest

from tests.unit.builders import Alone, dataset, observations, served
from tidemill.limits import (
    MOST_OF_ANSWERS,
    MOST_OF_EXPLANATIONS,
    MOST_OF_IDS,
    MOST_SHARES,
    answered_rows,
    written_size,
)
from tidemill.stages.serve import MOST_ROWS, Answers

LARGEST_REPLY = 6_291_556
"""Bytes that Lambda takes from a function."""
ROW = {"size": 50.0, "flag": True, "day": "2024-03-01", "colour": "red", "town": "town 3"}


def reply(classes: list[str], rows: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1] * len(classes), rows).round(9).tolist()
    longest = max(classes, key=written_size)
    return Answers([""] * rows, [longest] * rows, classes, shares, {}, [], np.empty((0, 0), np.float32)).to_json()


@pytest.mark.parametrize("name", ["x", "x" * 500, "é" * 500, "😀" * 100, '"' * 200, "\\" * 200, "\0" * 50])
@pytest.mark.parametrize("count", [2, 7, 300])
def test_answers_stay_within_their_part_of_the_reply_however_long_the_names_of_the_classes(
    name: str, count: int
) -> None:
    classes = [f"{name}{i}" for i in range(count)]
    rows = min(MOST_ROWS, answered_rows(classes))
    assert written_size(reply(classes, rows)) <= MOST_OF_ANSWERS


def test_the_parts_are_less_than_the_whole() -> None:
    assert MOST_OF_IDS + MOST_OF_ANSWERS + MOST_OF_EXPLANATIONS < LARGEST_REPLY - 300_000


@pytest.mark.parametrize("classes", [["no", "yes"], [f"class number {i}" for i in range(100)], []])
def test_short_names_cost_no_rows(classes: list[str]) -> None:
    assert answered_rows(classes) >= min(MOST_ROWS, MOST_SHARES // max(1, len(classes)))


def test_more_rows_than_a_reply_has_room_for_are_413_everywhere() -> None:
    frame = observations(400, task="multiclass")
    frame["y"] = "é" * 500 + frame["y"]
    alone = Alone(served(dataset(frame)))
    most = alone.contract("demo").most_rows
    assert 100 < most < 200
    tensors = [{"name": "size", "datatype": "FP64", "shape": [most + 1], "data": [50.0] * (most + 1)}]
    for path, body in (("/models", {"rows": [ROW] * (most + 1)}), ("/v2/models", {"inputs": tensors})):
        action = "infer" if path.startswith("/v2") else "predict"
        response = alone.call("POST", f"{path}/demo/{action}", body)
        assert response.status == 413
        assert f"{most:,}" in response.body
    response = alone.call("POST", "/models/demo/predict", {"rows": [ROW] * most})
    assert response.status == 200
    assert written_size(response.document) < MOST_OF_ANSWERS + 100_000
