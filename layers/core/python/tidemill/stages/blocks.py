"""Captured records by the block: JSON lines become typed columns at once, in Arrow; a block that holds what is not
written as the model's schema has it, value by value."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from tidemill.encoding import read_value
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.captured import Record
from tidemill.stages.classes import class_name
from tidemill.stages.columns import read

Values = npt.NDArray[Any] | Levels
_TYPES = {"numeric": pa.float64(), "boolean": pa.bool_()}
_PIECE = 1 << 20
"""Bytes that a thread parses at a time; a line has fewer."""


@dataclass(frozen=True)
class Block:
    """Rows correspond. `values` (n,) of a regression, (n, classes) else, with the `places` of the answers among the
    classes, -1 for an answer that is none. `others` counts the rows that other versions answered, by version."""

    ids: pa.StringArray
    times: pa.StringArray
    columns: Mapping[str, Values]
    values: npt.NDArray[np.float64]
    places: npt.NDArray[np.int32] | None
    others: Mapping[int, int]

    @property
    def rows(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class BlockReader:
    """Of the predictions of one version, within [low, high) in the records' own writing of time."""

    schema: Schema
    columns: Sequence[Column]
    version: int
    low: str
    high: str

    def __call__(self, lines: bytes) -> Block:
        """What cannot be read counts as missing."""
        try:
            return self._at_once(lines)
        except pa.ArrowInvalid:
            return self._by_value(lines)

    def _at_once(self, lines: bytes) -> Block:
        table = pyarrow.json.read_json(
            pa.BufferReader(lines),
            read_options=pyarrow.json.ReadOptions(block_size=_PIECE),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=self._fields(), unexpected_field_behavior="ignore", newlines_in_values=False
            ),
            # Arrow's own pool keeps what many blocks have freed: hundreds of megabytes after a million rows.
            memory_pool=pa.system_memory_pool(),
        )
        within = pc.and_(pc.less(table["time"], self.high), pc.greater_equal(table["time"], self.low))
        if not pc.all(within).as_py():
            table = table.filter(within)
        counts = {each["values"]: each["counts"] for each in pc.value_counts(table["version"]).to_pylist()}
        counts.pop(self.version, None)
        if counts:
            table = table.filter(pc.equal(table["version"], self.version))
        ids, times = table["id"].combine_chunks(), table["time"].combine_chunks()
        rows = table["row"].combine_chunks()
        columns = {column.name: read(rows.field(place), column).values for place, column in enumerate(self.columns)}
        answers = table["prediction"].combine_chunks()
        if self.schema.task == "regression":
            return Block(ids, times, columns, answers.to_numpy(zero_copy_only=False), None, counts)
        shares = table["probabilities"].combine_chunks()
        values = [shares.field(place).to_numpy(zero_copy_only=False) for place in range(len(self.schema.classes))]
        return Block(ids, times, columns, np.column_stack(values), self._places(answers), counts)

    def _fields(self) -> pa.Schema:
        target, classes = self.schema.target, self.schema.classes
        answer = pa.float64() if self.schema.task == "regression" else _TYPES.get(target.kind, pa.string())
        row = pa.struct([(column.name, _TYPES.get(column.kind, pa.string())) for column in self.columns])
        fields = [("id", pa.string()), ("time", pa.string()), ("version", pa.int64()), ("row", row)]
        fields.append(("prediction", answer))
        if classes:
            fields.append(("probabilities", pa.struct([(name, pa.float64()) for name in classes])))
        return pa.schema(fields)

    def _places(self, answers: pa.Array) -> npt.NDArray[np.int32]:
        found = pc.dictionary_encode(answers)
        places = self._known([class_name(each, self.schema.target) for each in found.dictionary.to_pylist()])
        rows = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(places, np.int32(-1))[rows])

    def _known(self, names: Sequence[str | None]) -> npt.NDArray[np.int32]:
        codes: dict[str | None, int] = {name: code for code, name in enumerate(self.schema.classes)}
        return np.array([codes.get(name, -1) for name in names], dtype=np.int32)

    def _by_value(self, lines: bytes) -> Block:
        found: list[Record] = [json.loads(line) for line in lines.splitlines()]
        found = [record for record in found if self.low <= record["time"] < self.high]
        others = Counter(record["version"] for record in found if record["version"] != self.version)
        records = [record for record in found if record["version"] == self.version]
        columns = {c.name: _typed(c, [record["row"].get(c.name) for record in records]) for c in self.columns}
        ids = pa.array([str(record["id"]) for record in records], pa.string())
        times = pa.array([record["time"] for record in records], pa.string())
        answers = [record["prediction"] for record in records]
        if self.schema.task == "regression":
            return Block(ids, times, columns, np.array(answers, dtype=np.float64), None, others)
        classes = self.schema.classes
        values = [[record["probabilities"].get(name, np.nan) for name in classes] for record in records]
        places = self._known([class_name(answer, self.schema.target) for answer in answers])
        shares = np.array(values, dtype=np.float64).reshape(-1, len(classes))
        return Block(ids, times, columns, shares, places, others)


def _typed(column: Column, raw: Sequence[object]) -> Values:
    values = [_read(column, entry) for entry in raw]
    if column.kind == "categorical":
        places = {name: place for place, name in enumerate(dict.fromkeys(v for v in values if v is not None))}
        return Levels(np.array([places.get(value, -1) for value in values], dtype=np.int32), tuple(places))
    if column.kind == "datetime":
        plain = [None if value is None else value.replace(tzinfo=None) for value in values]
        return np.array(plain, dtype="datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _read(column: Column, raw: object) -> Any:
    try:
        return read_value(column, raw)
    except ValueError:
        return None
