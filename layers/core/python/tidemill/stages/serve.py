"""Serve: JSON rows in, predictions out, by the model's own schema; no pandas, no pickle, no AWS."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import MOST_SHARES
from tidemill.encoding import Matrix, RowEncoder, Value, read_value
from tidemill.errors import InvalidRequest, ModelIncompatible, TooLarge
from tidemill.schema import Column, Schema
from tidemill.stages.classes import class_value
from tidemill.stages.onnx_model import OnnxModel

GOLDEN_TOLERANCE = 1e-5
MOST_ROWS = 10_000
_MOST_PROBLEMS = 100
_MOST_WARNINGS = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """One row's reply, in the shape of the HTTP contract, and the row as it is captured."""

    id: str
    prediction: str | float | bool
    probabilities: Mapping[str, float] | None
    captured: Row

    def to_json(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": self.id, "prediction": self.prediction}
        if self.probabilities is not None:
            answer["probabilities"] = self.probabilities
        return answer


@dataclass(frozen=True)
class Answers:
    answers: Sequence[Answer]
    warnings: Sequence[str]


@dataclass
class _Notes:
    """Problems refuse the request; warnings are told beside the answer."""

    problems: list[dict[str, Any]] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)

    def problem(self, row: int, name: str, expected: str, got: str) -> None:
        self.problems.append({"row": row, "field": name, "expected": expected, "got": got})

    def warn(self, sentence: str) -> None:
        self.warnings[sentence] = self.warnings.get(sentence, 0) + 1

    def sentences(self) -> list[str]:
        counted = [f"{text} ({count} rows)" if count > 1 else text for text, count in self.warnings.items()]
        hidden = len(counted) - _MOST_WARNINGS
        return counted[:_MOST_WARNINGS] + ([f"and {hidden} more warnings"] if hidden > 0 else [])


class ServedModel:
    """One version, whole and proven: its graph has the manifest's digest and answers its golden rows."""

    def __init__(self, manifest: Mapping[str, Any], graph: bytes, golden: bytes) -> None:
        for name, data in (("model.onnx", graph), ("golden.json", golden)):
            if hashlib.sha256(data).hexdigest() != manifest["digests"][name]:
                raise ModelIncompatible(f"{name} of version {manifest['version']} is not what its manifest says")
        self.name: str = manifest["model"]
        self.version: int = manifest["version"]
        self.schema = Schema.from_json(manifest["schema"])
        # A version of before there were thresholds answers the most probable class.
        self._threshold: float | None = manifest.get("threshold")
        self._encode = RowEncoder(self.schema)
        self._graph = OnnxModel(graph)
        self._features = self.schema.features
        self._known = {column.name for column in self.schema.columns}
        self._classes = [class_value(name, self.schema.target) for name in self.schema.classes]
        self._replay(json.loads(golden))

    def predict(self, rows: Sequence[Row], new_id: str) -> Answers:
        """Ids come from the rows' own id column, else from `new_id`. Raises `InvalidRows` naming every field."""
        most = MOST_SHARES // max(1, len(self._classes))
        if len(rows) > most:
            raise TooLarge(
                f"{len(rows):,} rows of {len(self._classes)} classes make a reply that is too large: "
                f"send at most {most:,} rows a call"
            )
        notes = _Notes()
        encoded = [self._encode(self._typed(number, row, notes)) for number, row in enumerate(rows)]
        if notes.problems:
            raise InvalidRows(notes.problems)
        values = self._graph.predict(np.array(encoded, dtype=np.float32))
        ids = self._ids(rows, new_id)
        answers = [self._answer(i, values, ids[i], row) for i, row in enumerate(rows)]
        return Answers(answers, notes.sentences())

    def fields(self) -> list[dict[str, Any]]:
        """What a request must and may carry."""
        return [_describe(column) for column in self.schema.columns if column.role in ("feature", "id", "time")]

    def _typed(self, number: int, row: Row, notes: _Notes) -> dict[str, Value]:
        typed: dict[str, Value] = {}
        for column in self._features:
            raw = row.get(column.name)
            try:
                value = read_value(column, raw)
            except ValueError as error:
                notes.problem(number, column.name, str(error), _shown(raw))
                continue
            if value is None and not column.nullable:
                expected = f"a value ({column.kind}): no training row lacked it"
                notes.problem(number, column.name, expected, "null" if column.name in row else "nothing")
            elif value is not None:
                _flag(column, value, notes)
            typed[column.name] = value
        for name in row:
            if name not in self._known:
                notes.warn(f"field {name!r} is not known to the model and was ignored")
        return typed

    def _ids(self, rows: Sequence[Row], new_id: str) -> list[str]:
        column = self.schema.of_role("id")
        own = [row.get(column.name) if column else None for row in rows]
        return [str(value) if _is_id(value) else f"{new_id}-{i}" for i, value in enumerate(own)]

    def _answer(self, place: int, values: npt.NDArray[np.float64], identity: str, row: Row) -> Answer:
        captured = {name: value for name, value in row.items() if name in self._known}
        if self.schema.task == "regression":
            return Answer(identity, float(values[place]), None, captured)
        shares = values[place].tolist()
        if self._threshold is None:
            best = max(range(len(shares)), key=shares.__getitem__)
        else:
            best = int(shares[1] >= self._threshold)
        probabilities = dict(zip(self.schema.classes, shares, strict=True))
        return Answer(identity, self._classes[best], probabilities, captured)

    def _replay(self, golden: Sequence[Mapping[str, Any]]) -> None:
        notes = _Notes()
        rows = [self._encode(self._typed(i, entry["row"], notes)) for i, entry in enumerate(golden)]
        matrix: Matrix = np.array(rows, dtype=np.float32)
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
    """`fields`: one entry a bad value, `{"row", "field", "expected", "got"}`; rows count from 0."""

    def __init__(self, fields: Sequence[Mapping[str, Any]]) -> None:
        self.fields = list(fields[:_MOST_PROBLEMS])
        names = list(dict.fromkeys(str(entry["field"]) for entry in fields))
        super().__init__(f"{len(fields)} values cannot be used, in {', '.join(map(repr, names[:20]))}")


def _is_id(value: object) -> bool:
    """Text that says something, or a whole number."""
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)


def _flag(column: Column, value: Value, notes: _Notes) -> None:
    if column.kind == "categorical" and value not in column.vocabulary:
        notes.warn(f"field {column.name!r}: category {_shown(value)} was not seen in training")
    elif isinstance(value, float) and column.low is not None and column.high is not None:
        span = f"{column.low:.6g} to {column.high:.6g}"
        if not column.low <= value <= column.high:
            notes.warn(f"field {column.name!r}: a value outside of training's {span}")


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


def _shown(raw: object) -> str:
    text = json.dumps(raw, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"
