"""Serve: JSON rows in, predictions out, by the model's own schema; no pandas, no pickle, no AWS."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix
from tidemill.errors import InvalidRequest, ModelIncompatible, TooLarge
from tidemill.limits import MOST_OF_IDS, answered_rows, written_size
from tidemill.schema import Column, Schema
from tidemill.stages.classes import answered, class_value
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.rows import MOST_PROBLEMS, Columns, Notes, Row, RowReader

GOLDEN_TOLERANCE = 1e-5
MOST_ROWS = 10_000
_SHORT_IDS = 200_000
_NO_VALUE = {"nothing": "absent", "null": "null"}
"""What a row has got in place of a value: any other is one that cannot be used."""


@dataclass(frozen=True)
class Answers:
    """Column by column, each as long as the request had rows; `shares` are of `classes`, None for regression.

    `columns` has what was sent, as far as the model knows it and it may be captured; `matrix` is what the graph took.
    """

    ids: Sequence[str]
    predictions: Sequence[str | float | bool]
    classes: Sequence[str]
    shares: Sequence[Sequence[float]] | None
    columns: Columns
    warnings: Sequence[str]
    matrix: Matrix

    def to_json(self) -> list[dict[str, Any]]:
        """Each row's reply, in the shape of the HTTP contract."""
        if self.shares is None:
            return [
                {"id": identity, "prediction": value}
                for identity, value in zip(self.ids, self.predictions, strict=True)
            ]
        return [
            {"id": identity, "prediction": value, "probabilities": shares}
            for identity, value, shares in zip(self.ids, self.predictions, self._named_shares(self.shares), strict=True)
        ]

    def _named_shares(self, shares: Sequence[Sequence[float]]) -> list[dict[str, float]]:
        if len(self.classes) == 2:
            # What most models answer, in half of the time.
            first, second = self.classes
            return [{first: one, second: other} for one, other in shares]
        return [dict(zip(self.classes, each, strict=True)) for each in shares]


class ServedModel:
    """One version, whole and proven: its graph has the manifest's digest and answers its golden rows."""

    def __init__(self, manifest: Mapping[str, Any], graph: bytes, golden: bytes) -> None:
        for name, data in (("model.onnx", graph), ("golden.json", golden)):
            if hashlib.sha256(data).hexdigest() != manifest["digests"][name]:
                raise ModelIncompatible(f"{name} of version {manifest['version']} is not what its manifest says")
        self.name: str = manifest["model"]
        self.version: int = manifest["version"]
        self.schema = Schema.from_json(manifest["schema"])
        self._read = RowReader(self.schema)
        self._graph = OnnxModel(graph)
        self.digests: Mapping[str, str] = manifest["digests"]
        self._classes = [class_value(name, self.schema.target) for name in self.schema.classes]
        self._most_rows = answered_rows(self.schema.classes)
        self._threshold: float | None = manifest.get("threshold")
        # A version of before there was a choice has all captured.
        self._not_captured = frozenset(manifest.get("not_captured", ()))
        self._replay(json.loads(golden))

    def predict(self, rows: Sequence[Row], new_id: str) -> Answers:
        """Ids come from the rows' own id column, else from `new_id`. Raises `InvalidRows` naming every field."""
        if len(rows) > self._most_rows:
            raise TooLarge(
                f"{len(rows):,} rows of {len(self._classes)} classes make a reply that is too large: "
                f"send at most {self._most_rows:,} rows a call"
            )
        notes = Notes()
        columns, matrix = self._read(rows, notes)
        if notes.problems:
            raise InvalidRows(notes)
        predictions, shares = self._decide(matrix)
        ids = self._ids(columns, len(rows), new_id)
        _check_size(ids)
        kept = {name: values for name, values in columns.items() if name not in self._not_captured}
        return Answers(ids, predictions, self.schema.classes, shares, kept, notes.sentences(), matrix)

    def answer(self, matrix: Matrix) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64] | None]:
        """Of encoded rows what `predict` answers: the values, of classes (n, classes), and the places of the answers
        among the classes."""
        values = self._graph.predict(matrix)
        if self.schema.task == "regression":
            return values, None
        return values, answered(values, self._threshold)

    def fields(self) -> list[dict[str, Any]]:
        """What a request must and may carry."""
        return [_describe(column) for column in self.schema.columns if column.role in ("feature", "id", "time")]

    def _decide(self, matrix: Matrix) -> tuple[Sequence[str | float | bool], Sequence[Sequence[float]] | None]:
        values, places = self.answer(matrix)
        if places is None:
            return values.tolist(), None
        # The graph's shares have seven digits; nine decimals lose nothing, and are half as long to write.
        return [self._classes[place] for place in places.tolist()], values.round(9).tolist()

    def _ids(self, columns: Columns, rows: int, new_id: str) -> list[str]:
        column = self.schema.of_role("id")
        own = columns.get(column.name) if column else None
        if own and {str}.issuperset(map(type, own)) and all(map(str.strip, own)):
            return own
        return [str(value) if _is_id(value) else f"{new_id}-{i}" for i, value in enumerate(own or [None] * rows)]

    def _replay(self, golden: Sequence[Mapping[str, Any]]) -> None:
        _, matrix = self._read([entry["row"] for entry in golden], Notes())
        expected = np.array([entry["expected"] for entry in golden])
        if self._graph.width != matrix.shape[1]:
            raise ModelIncompatible(
                f"version {self.version} wants {self._graph.width} numbers a row, its schema makes {matrix.shape[1]}"
            )
        answers = self._graph.predict(matrix).reshape(expected.shape)
        scale = np.maximum(1.0, np.abs(expected))
        if not np.all(np.abs(answers - expected) <= GOLDEN_TOLERANCE * scale):
            raise ModelIncompatible(f"version {self.version} does not answer its golden rows as it did in training")


class InvalidRows(InvalidRequest):
    """`fields`: one entry a bad value, `{"row", "field", "expected", "got"}`; rows count from 0. `kinds`: of every bad
    field, whether it was absent, null or unusable."""

    def __init__(self, notes: Notes) -> None:
        ordered = sorted(notes.problems, key=itemgetter("row"))
        self.fields: Sequence[Mapping[str, Any]] = ordered[:MOST_PROBLEMS]
        kinds = ((str(entry["field"]), _NO_VALUE.get(entry["got"], "unusable")) for entry in ordered)
        self.kinds: Sequence[tuple[str, str]] = list(dict.fromkeys(kinds))
        names = list(dict.fromkeys(str(entry["field"]) for entry in ordered))
        count = f"{'at least ' if notes.more else ''}{len(ordered)}"
        super().__init__(f"{count} values cannot be used, in {', '.join(map(repr, names[:20]))}")


def _check_size(ids: Sequence[str]) -> None:
    if sum(map(len, ids)) <= _SHORT_IDS:
        return
    size = written_size(ids)
    if size > MOST_OF_IDS:
        raise TooLarge(
            f"the rows' ids alone are {size:,} bytes of the reply, and {MOST_OF_IDS:,} is the limit: send fewer rows a "
            "call, or shorter ids"
        )


def _is_id(value: object) -> bool:
    """Text that says something, or a whole number."""
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)


def _describe(column: Column) -> dict[str, Any]:
    required = column.role == "feature" and not column.nullable
    described: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "role": column.role,
        "required": required,
    }
    if column.role == "feature" and column.kind == "categorical":
        described["categories"] = list(column.vocabulary)
    if column.low is not None:
        described |= {"low": column.low, "high": column.high}
    return described | written_as(column)


def written_as(column: Column) -> dict[str, str]:
    """How text in the column is written, where that is not the usual way."""
    said = {key: getattr(column, key) for key in ("decimal", "thousands", "unit", "format")}
    return {key: mark for key, mark in said.items() if mark}
