"""Labels, and the predictions that they belong to: the same pairs in whatever order either came."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.schema import Schema
from tidemill.stages.captured import Record
from tidemill.stages.classes import class_name, label_problem

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """`by_id` has the newest label of each prediction; of those of one time the last in the order of their JSON.

    `repeated` ids had the same label more than once, `conflicting` ones more than one label. `unusable` records have no
    id, label or time; those of the `future` count from their time on, and not before. `arrived` is when the newest
    came, which is not its time where a file says that itself.
    """

    by_id: Mapping[str, Any]
    repeated: int = 0
    conflicting: int = 0
    unusable: int = 0
    future: int = 0
    arrived: str = ""


def newest(records: Iterable[Record], now: str) -> Labels:
    """Of {"id", "label", "time"} and, where it is not its time, "arrived". Times are ISO 8601 in UTC, so that their
    text is in their order."""
    labels: dict[str, Any] = {}
    times: dict[str, str] = {}
    again, conflicting = set[str](), set[str]()
    # Millions of labels are of a few classes and often of one time: each text is kept once.
    texts: dict[str, str] = {}
    unusable = future = 0
    arrived = last = ""
    for record in records:
        identity, label, time = record.get("id"), record.get("label"), record.get("time")
        if identity is None or not isinstance(time, str) or not _is_label(label):
            unusable += 1
            continue
        if time > now:
            future += 1
            continue
        arrived = max(arrived, record.get("arrived", time))
        last = last if time == last else time
        identity = str(identity)
        if identity in labels:
            again.add(identity)
            text, known = _text(label), _text(labels[identity])
            if text != known:
                conflicting.add(identity)
            if (time, text) <= (times[identity], known):
                continue
        labels[identity] = texts.setdefault(label, label) if isinstance(label, str) else label
        times[identity] = last
    return Labels(labels, len(again - conflicting), len(conflicting), unusable, future, arrived)


def _is_label(label: object) -> bool:
    if isinstance(label, float):
        return math.isfinite(label)
    return isinstance(label, str | int)


def _text(label: Any) -> str:
    # 1 and 1.0 are one label.
    return json.dumps(float(label) if isinstance(label, int) and not isinstance(label, bool) else label)


@dataclass(frozen=True)
class Given:
    """What one version answered, row by row in any order: `values` (n,) of a regression, else (n, classes), not finite
    for a class that was not answered."""

    ids: Sequence[str]
    times: Sequence[str]
    values: Array

    def chosen(self, rows: Sequence[bool]) -> "Given":
        return Given(
            list(compress(self.ids, rows)),
            list(compress(self.times, rows)),
            self.values[np.array(rows, dtype=np.bool_)],
        )


@dataclass(frozen=True)
class Joined:
    """Truth and answers of the labelled rows, as metrics take them, in the order of their ids.

    `predictions` counts different ids, `again` the rows beyond: of an id that was asked for more than once, the newest
    answer counts. `unknown` labels are no class of the model, or no number.
    """

    truth: Array
    answers: Array
    predictions: int
    again: int = 0
    unknown: int = 0
    matched: frozenset[str] = field(default_factory=frozenset, repr=False)


def join(given: Given, labels: Mapping[str, Any], schema: Schema) -> Joined:
    rank = [(time, *np.atleast_1d(value).tolist()) for time, value in zip(given.times, given.values, strict=True)]
    place: dict[str, int] = {}
    for row, identity in enumerate(given.ids):
        if identity not in place or rank[row] > rank[place[identity]]:
            place[identity] = row
    matched = sorted(identity for identity in place if identity in labels)
    usable = [identity for identity in matched if label_problem(labels[identity], schema) is None]
    return Joined(
        truth=_truth([labels[identity] for identity in usable], schema),
        answers=given.values[[place[identity] for identity in usable]],
        predictions=len(place),
        again=len(given.ids) - len(place),
        unknown=len(matched) - len(usable),
        matched=frozenset(matched),
    )


def _truth(labels: Sequence[Any], schema: Schema) -> Array:
    if schema.task == "regression":
        return np.array(labels, dtype=np.float64)
    codes: dict[str | None, int] = {name: code for code, name in enumerate(schema.classes)}
    return np.array([codes[class_name(label, schema.target)] for label in labels], dtype=np.float64)
