"""What a model's columns are: fixed by the data set a version was trained on, append-only over retrains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill.names import Kind, Task

COPY_BITS = 3
"""Low bits of a row's key that tell the first equal rows of one upload apart; the split does not look at them."""

Role = Literal["feature", "target", "id", "time", "excluded", "unused"]

Columns = Mapping[str, npt.NDArray[Any]]
"""Typed columns, all of one length. numeric: float64, NaN missing · boolean: float64 0, 1, NaN ·
datetime: datetime64[us] in UTC, NaT missing · categorical: object array of str | None."""


@dataclass(frozen=True)
class Levels:
    """A categorical column of many rows: `codes` (n,) int32 are places in `names`, -1 where missing."""

    codes: npt.NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One column. `vocabulary` is append-only: a category's place is its code, for ever."""

    name: str
    kind: Kind
    role: Role
    nullable: bool = False
    vocabulary: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    note: str = ""
    decimal: str = ""
    thousands: str = ""
    unit: str = ""
    format: str = ""
    """How the column's text is written, where the spec or the data say so: see `tidemill.spec.ColumnSpec`."""
    key: bool = False
    """Whether a row without an id is known again by this column: fixed by the first upload, since a row whose key
    changed would be taken for another one and could land on the other side of the split."""


@dataclass(frozen=True)
class Schema:
    """All columns in the order of the first upload, and what is predicted from them.

    `classes` are the target's values for classification, in code order; empty for regression.
    """

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[str, ...] = ()
    sides: tuple[tuple[int, bool], ...] = ()
    """Rows (keys without their `COPY_BITS`) that a rare class put on the training side (False) or held out (True)
    against what their key says; append-only, like the codes."""

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def target(self) -> Column:
        return next(column for column in self.columns if column.role == "target")

    def of_role(self, role: Role) -> Column | None:
        """The id or time column, if there is one."""
        return next((column for column in self.columns if column.role == role), None)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "classes": list(self.classes),
            "sides": [[str(row), held_out] for row, held_out in self.sides],
            "columns": [_column_to_json(column) for column in self.columns],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Schema":
        columns = tuple(
            Column(**{**entry, "vocabulary": tuple(entry.get("vocabulary", ()))}) for entry in document["columns"]
        )
        sides = tuple((int(row), bool(held_out)) for row, held_out in document["sides"])
        return cls(columns, document["task"], tuple(document["classes"]), sides)


def extend(column: Column, values: Sequence[str]) -> Column:
    """Append categories not seen before, in the order given; codes already given never change."""
    known = set(column.vocabulary)
    fresh = [value for value in dict.fromkeys(values) if value not in known]
    return replace(column, vocabulary=(*column.vocabulary, *fresh)) if fresh else column


def mixed(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each key as another, independent one (the first steps of splitmix64)."""
    with np.errstate(over="ignore"):
        product = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(product ^ (product >> np.uint64(29)))


def split_by_key(
    keys: npt.NDArray[np.uint64], share: float, sides: Sequence[tuple[int, bool]] = ()
) -> npt.NDArray[np.bool_]:
    """Held out or not by the key alone, so that a row never changes side between retrains, and copies share one.

    Keys are hashes already; mixing keeps the side independent of their use elsewhere. `sides`: see `Schema`.
    """
    rows = keys >> np.uint64(COPY_BITS)
    held_out = np.asarray((mixed(rows) >> np.uint64(11)).astype(np.float64) / 2.0**53 < share)
    for side in (False, True):
        forced = np.array([row for row, held in sides if held is side], dtype=np.uint64)
        if len(forced):
            held_out[np.isin(rows, forced)] = side
    return held_out


def _column_to_json(column: Column) -> dict[str, Any]:
    required = {"name": column.name, "kind": column.kind, "role": column.role, "nullable": column.nullable}
    optional = {
        "vocabulary": list(column.vocabulary), "low": column.low, "high": column.high, "note": column.note,
        "decimal": column.decimal, "thousands": column.thousands, "unit": column.unit, "format": column.format,
        "key": column.key or None,
    }  # fmt: skip
    return required | {key: value for key, value in optional.items() if value not in (None, "", [])}
