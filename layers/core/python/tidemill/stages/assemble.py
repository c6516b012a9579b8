"""Prepare, second half: a model's accepted partitions become one data set, split, profiled and encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tidemill.encoding import Matrix, encode, encoded_names, write_value
from tidemill.errors import InvalidUpload
from tidemill.profile import Profile, profile
from tidemill.schema import Column, Columns, Schema, split_by_key
from tidemill.spec import ModelSpec
from tidemill.stages.classes import class_texts

EXAMPLES = 16


@dataclass(frozen=True)
class Accepted:
    """One stored partition: its typed columns and a key a row."""

    columns: Columns
    keys: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Dataset:
    """What Train and Validate work on; rows of all arrays correspond.

    matrix (n, k) float32 · target (n,) class codes or values · held_out (n,) bool · keys (n,) uint64 ·
    moments (n,) microseconds since 1970 in UTC, or None · cutoff: held out is what came after it.
    `training_profile` describes the training side's features, the reference for drift.
    """

    schema: Schema
    matrix: Matrix
    names: tuple[str, ...]
    target: npt.NDArray[np.float64]
    held_out: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.uint64]
    moments: npt.NDArray[np.int64] | None
    cutoff: int | None
    training_profile: Profile
    examples: tuple[tuple[int, Mapping[str, Any]], ...]
    """(row position, the row as a JSON request would have it): what golden rows are made of."""


def assemble(partitions: Sequence[Accepted], schema: Schema, spec: ModelSpec) -> Dataset:
    """Merge (the newer row of a key wins), split, drop what cannot be learned from, encode."""
    columns, keys = _merge(partitions, schema)
    moments = _moments(columns, schema)
    held_out, cutoff = _split(keys, moments, spec.holdout)
    schema, target, held_out = _target(columns[schema.target.name], schema, held_out)
    _check_sides(target, held_out, schema)
    training = {name: values[~held_out] for name, values in columns.items()}
    schema = replace(schema, columns=tuple(_observe(column, training) for column in schema.columns))
    if not schema.features:
        raise InvalidUpload("no column is left to learn from: all are excluded, constant or missing")
    features = {c.name: training[c.name] for c in schema.features}
    return Dataset(
        schema=schema,
        matrix=encode(schema, columns, len(keys)),
        names=encoded_names(schema),
        target=target,
        held_out=held_out,
        keys=keys,
        moments=moments,
        cutoff=cutoff,
        training_profile=profile(features, {c.name: c.kind for c in schema.features}),
        examples=tuple(
            (row, {c.name: write_value(c, columns[c.name][row]) for c in schema.features})
            for row in np.linspace(0, len(keys) - 1, min(EXAMPLES, len(keys))).astype(int).tolist()
        ),
    )


def _merge(
    partitions: Sequence[Accepted], schema: Schema
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.uint64]]:
    keys = np.concatenate([part.keys for part in partitions])
    last = ~pd.Series(keys).duplicated(keep="last").to_numpy()
    columns = {
        column.name: np.concatenate([_column(part, column) for part in partitions])[last]
        for column in schema.columns
        if any(column.name in part.columns for part in partitions)
    }
    return columns, keys[last]


def _column(part: Accepted, column: Column) -> npt.NDArray[Any]:
    if column.name in part.columns:
        return part.columns[column.name]
    rows = len(part.keys)
    if column.kind == "categorical":
        return np.full(rows, None, dtype=object)
    if column.kind == "datetime":
        return np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(rows, np.nan)


def _target(
    values: npt.NDArray[Any], schema: Schema, held_out: npt.NDArray[np.bool_]
) -> tuple[Schema, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Class codes under the classes that have rows. A class that only the held-out side has cannot be judged:
    its rows go to the training side, so that every class of the data set is one that the model can answer."""
    if schema.task == "regression":
        return schema, values.astype(np.float64), held_out
    texts = class_texts(values, schema.target.kind)
    known = set(texts[~held_out])
    held_out = held_out & np.array([text in known for text in texts], dtype=bool)
    present = set(texts)
    schema = replace(schema, classes=tuple(name for name in schema.classes if name in present))
    codes = {name: float(code) for code, name in enumerate(schema.classes)}
    return schema, np.array([codes[text] for text in texts], dtype=np.float64), held_out


def _moments(columns: Columns, schema: Schema) -> npt.NDArray[np.int64] | None:
    time = schema.of_role("time")
    if time is None:
        return None
    return columns[time.name].astype("datetime64[us]").astype(np.int64)


def _split(
    keys: npt.NDArray[np.uint64], moments: npt.NDArray[np.int64] | None, share: float
) -> tuple[npt.NDArray[np.bool_], int | None]:
    if moments is None:
        return split_by_key(keys, share), None
    cutoff = int(np.quantile(moments, 1 - share, method="lower"))
    return moments > cutoff, cutoff


def _check_sides(target: npt.NDArray[np.float64], held_out: npt.NDArray[np.bool_], schema: Schema) -> None:
    sides = {"training": target[~held_out], "held-out": target[held_out]}
    for side, values in sides.items():
        if len(values) < 10:
            raise InvalidUpload(
                f"{len(target):,} usable rows leave {len(values)} on the {side} side, and at least 10 are needed: "
                "upload more rows"
            )
        if len(np.unique(values)) < 2:
            raise InvalidUpload(
                f"the {side} side has only one value of the target {schema.target.name!r}: upload more rows"
            )


def _observe(column: Column, training: Columns) -> Column:
    """What the training rows show of a feature: range, missing values, and whether it says anything at all."""
    if column.role != "feature":
        return column
    if column.name not in training:
        return replace(column, role="unused", note="no row has a value")
    values = training[column.name]
    missing = np.asarray(pd.isna(values), dtype=bool)
    present = values[~missing]
    if len(present) == 0:
        return replace(column, role="unused", note="every value is missing")
    if not missing.any() and (present == present[0]).all():
        return replace(column, role="unused", note=f"the same value in every row: {present[0]}")
    column = replace(column, nullable=bool(missing.any()))
    if column.kind == "numeric":
        return replace(column, low=float(present.min()), high=float(present.max()))
    return column
