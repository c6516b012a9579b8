"""One block of a file: typed, checked, told apart, encoded, summarised. Pure, so that two may be worked on at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.encoding import Matrix, encode, encoded_names, write_value
from tidemill.profile import Summary, summarise
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.classes import class_codes
from tidemill.stages.columns import Parsed, Values, arrow_type, read
from tidemill.stages.model_schema import listed
from tidemill.stages.npy import spread
from tidemill.stages.rowhash import hash_rows
from tidemill.stages.tables import Block, Chunk, Rejected, Table

REJECTED = pa.schema(
    [
        ("row", pa.int64()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)
"""The quarantine, but for the file's name: one entry a reason, `row` counted from 1 without the header."""

EXAMPLES = 16

Fault = tuple[str, npt.NDArray[np.bool_]]
"""A reason, and the rows that it holds for."""

_PARQUET: Mapping[str, pa.DataType] = {
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "categorical": pa.dictionary(pa.int32(), pa.string()),
}


@dataclass(frozen=True)
class Plan:
    """What is done to every block: `schema` is the model's before the file's rows were read.

    `columns` are those that the file has and that can be used, `types` what the reader is asked for. `encoded` is the
    schema that makes the matrix: features, and what is excluded today, which a later spec may use.
    """

    schema: Schema
    columns: tuple[Column, ...]
    types: Mapping[str, pa.DataType]
    encoded: Schema
    keys: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, schema: Schema) -> "Plan":
        columns = tuple(c for c in schema.columns if c.role != "unused" and c.name in table.names)
        identity = schema.of_role("id")
        keys = [identity.name] if identity else sorted(c.name for c in columns if c.key)
        encoded = [replace(c, role="feature") for c in columns if c.role in ("feature", "excluded")]
        return cls(
            schema,
            columns,
            {c.name: arrow_type(c, table.head.columns[c.name]) for c in columns},
            Schema(tuple(encoded), schema.task),
            tuple(keys),
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return encoded_names(self.encoded)

    @property
    def parquet(self) -> pa.Schema:
        return pa.schema([(c.name, pa.string() if c.role == "id" else _PARQUET[c.kind]) for c in self.columns])


@dataclass(frozen=True)
class Cleaned:
    """What came of a block. Rows of all but `rejected` are the usable ones.

    `unknown` has the categorical columns with values that the plan's vocabulary lacks. `examples` are rows, by their
    place among the usable ones, as JSON requests would have them.
    """

    rows_read: int
    rejected: pa.Table
    table: pa.Table
    matrix: Matrix
    unknown: Mapping[str, Levels]
    target: Values
    moments: npt.NDArray[np.int64] | None
    hashes: npt.NDArray[np.uint64]
    summaries: Mapping[str, Summary]
    examples: Sequence[tuple[int, Mapping[str, object]]]

    @property
    def usable(self) -> int:
        return len(self.hashes)


def clean(table: Table, block: Block, plan: Plan) -> Cleaned:
    chunk = table.parse(block, plan.types)
    sifted = sift(chunk, plan.columns, lambda column, parsed: _faults(column, parsed, plan.schema))
    values, kept = sifted.values, sifted.kept
    time = plan.schema.of_role("time")
    return Cleaned(
        rows_read=chunk.rows_read,
        rejected=sifted.rejected,
        table=pa.table([_arrow(c, chunk, sifted.parsed[c.name], kept) for c in plan.columns], schema=plan.parquet),
        matrix=encode(plan.encoded, values, sifted.rows),
        unknown=_unknown(plan.encoded, values),
        target=values[plan.schema.target.name],
        moments=values[time.name].astype(np.int64) if time else None,
        hashes=hash_rows(values[name] for name in plan.keys),
        summaries=summarised(plan, values),
        examples=[
            (row, {c.name: write_value(c, _value(values[c.name], row)) for c in plan.encoded.columns})
            for row in spread(sifted.rows, EXAMPLES).tolist()
        ],
    )


@dataclass(frozen=True)
class Sifted:
    """A chunk's columns as they came, and the `values` of its `rows` usable rows: those that are `kept`, which is None
    where all of them are. `rejected` says what is wrong with the others."""

    parsed: Mapping[str, Parsed]
    values: Mapping[str, Values]
    kept: npt.NDArray[np.bool_] | None
    rows: int
    rejected: pa.Table


def sift(chunk: Chunk, columns: Sequence[Column], faults: Callable[[Column, Parsed], Iterable[Fault]]) -> Sifted:
    """`faults`: what is wrong with a column's values that a row cannot do without, and in which rows."""
    parsed = {column.name: read(chunk.columns[column.name], column) for column in columns}
    unusable = np.zeros(len(chunk.numbers), dtype=bool)
    rejected = [_misshapen(chunk.rejected)]
    for column in columns:
        for reason, mask in faults(column, parsed[column.name]):
            unusable |= mask
            rejected.append(_rejected(chunk, parsed[column.name], mask, column.name, reason))
    kept = None if not unusable.any() else ~unusable
    values = {name: kept_values(one.values, kept) for name, one in parsed.items()}
    return Sifted(parsed, values, kept, int((~unusable).sum()), pa.concat_tables(rejected))


def summarised(plan: Plan, values: Mapping[str, Values]) -> dict[str, Summary]:
    """Of all columns that a model could have to do with."""
    return {column.name: summarise(values[column.name], column.kind) for column in plan.columns if column.role != "id"}


def _faults(column: Column, parsed: Parsed, schema: Schema) -> list[Fault]:
    """What is wrong with a value that the row cannot do without; a bad one of an excluded column counts as missing."""
    if column.role == "excluded":
        return []
    faults = [(f"is not {parsed.expected}", parsed.bad)]
    if column.role in ("target", "id", "time"):
        faults.append((f"the {column.role} is missing", missing(parsed.values) & ~parsed.bad))
    if column.role == "target" and schema.task == "binary" and schema.classes:
        unknown = (class_codes(parsed.values, column.kind, schema.classes) < 0) & ~missing(parsed.values)
        faults.append((f"is not one of the model's classes {listed(schema.classes)}", unknown))
    return [(reason, mask) for reason, mask in faults if mask.any()]


def missing(values: Values) -> npt.NDArray[np.bool_]:
    if isinstance(values, Levels):
        return values.codes < 0
    if isinstance(values, np.ndarray):
        return np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


def _value(values: Values, row: int) -> Any:
    if isinstance(values, Levels):
        return values.names[values.codes[row]] if values.codes[row] >= 0 else None
    return values[row]


def kept_values(values: Values, kept: npt.NDArray[np.bool_] | None) -> Values:
    if kept is None:
        return values
    if isinstance(values, Levels):
        return Levels(values.codes[kept], values.names)
    return values[kept] if isinstance(values, np.ndarray) else values.filter(pa.array(kept))


def _arrow(column: Column, chunk: Chunk, parsed: Parsed, kept: npt.NDArray[np.bool_] | None) -> pa.Array:
    """The file's own array where it is typed already, which costs nothing."""
    array, values = chunk.columns[column.name], parsed.values
    if isinstance(values, Levels):
        codes = values.codes if kept is None else values.codes[kept]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(values.names, pa.string()))
    if not isinstance(values, np.ndarray):
        return kept_values(values, kept)
    kind = _PARQUET[column.kind]
    if parsed.bad.any() or array.type not in (kind, pa.timestamp("us")):
        array = pa.array(values, mask=missing(values))
    # Moments without a zone are in UTC already.
    array = array.view(kind) if column.kind == "datetime" else array.cast(kind)
    return array if kept is None else array.filter(pa.array(kept))


def _unknown(encoded: Schema, values: Mapping[str, Values]) -> dict[str, Levels]:
    found = {}
    for column in encoded.columns:
        own = values[column.name]
        if isinstance(own, Levels) and not set(own.names) <= set(column.vocabulary):
            found[column.name] = own
    return found


def _misshapen(rejected: Sequence[Rejected]) -> pa.Table:
    rows = [(e.row, e.line, e.column, e.value, e.reason) for e in rejected]
    return pa.table([list(part) for part in zip(*rows, strict=True)] if rows else [[]] * 5, schema=REJECTED)


def _rejected(chunk: Chunk, parsed: Parsed, mask: npt.NDArray[np.bool_], column: str, reason: str) -> pa.Table:
    places = np.flatnonzero(mask)
    absent = missing(parsed.values) & ~parsed.bad
    lines: Any = chunk.lines(places)
    return pa.table(
        [
            pa.array(chunk.numbers[places]),
            pa.nulls(len(places), pa.int64()) if lines is None else pa.array(lines, pa.int64()),
            pa.array([column] * len(places), pa.string()),
            pa.array(["" if absent[place] else parsed.text(place) for place in places.tolist()], pa.string()),
            pa.array([reason] * len(places), pa.string()),
        ],
        schema=REJECTED,
    )
