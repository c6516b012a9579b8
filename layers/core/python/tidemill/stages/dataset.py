"""A data set: what its partitions' rows are for, and how Train and Validate take them into memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import MISSING, Matrix
from tidemill.profile import Profile
from tidemill.schema import Schema
from tidemill.stages.recency import Partitions, Recency, recency, spans_in_time, spans_of_partitions

LEFT_OUT, TRAINING, HELD_OUT = 0, 1, 2
"""What a row of a partition is for; a row is left out when a newer one has its key."""

State = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """An accepted partition; `fetch` gives the local path of one of its files, "keys.npy" or "part-0.parquet"."""

    content: str
    names: tuple[str, ...]
    rows: int
    profile: Profile
    examples: Sequence[Mapping[str, Any]]
    fetch: Callable[[str], Path]


@dataclass(frozen=True)
class Dataset:
    """What Train and Validate work on. `state`: a byte a row of all parts, one after the other; `schema` has the
    features that training rows say something about and the classes that have rows; the model goes on with
    `model_schema`.

    `class_places`: code in a part's target → code in this data set; empty for regression. `late_classes` came only
    with rows that would be held out, and are learned from. `cutoff`: held out is what came after it (microseconds since
    1970 in UTC). `training_profile`, the reference for drift, describes the training rows; where keys drew the sides at
    random, both sides, which look the same. `examples`: (row position in the data set, the row as a JSON request would
    have it): what golden rows are made of.
    """

    schema: Schema
    model_schema: Schema
    names: tuple[str, ...]
    state: State
    class_places: tuple[int, ...]
    late_classes: tuple[str, ...]
    cutoff: int | None
    training_profile: Profile
    examples: tuple[tuple[int, Mapping[str, Any]], ...]

    @property
    def rows(self) -> int:
        return int((self.state != LEFT_OUT).sum())

    @property
    def held_out(self) -> int:
        return int((self.state == HELD_OUT).sum())


@dataclass(frozen=True)
class Rows:
    """Rows of all arrays correspond: matrix (n, k) float32 · target (n,) class codes or values · held_out (n,) bool ·
    keys (n,) uint64 · moments (n,) microseconds since 1970 in UTC, or None · partition (n,) its place among those of
    the data set · recency (n,), see `Recency`."""

    matrix: Matrix
    target: npt.NDArray[np.float64]
    held_out: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.uint64]
    moments: npt.NDArray[np.int64] | None
    partition: Partitions
    recency: Recency


@dataclass(frozen=True)
class StoredPart:
    """`names` are its matrix's columns; `read` gives one of its arrays, such as "matrix"."""

    names: Sequence[str]
    rows: int
    read: Callable[[str], npt.NDArray[Any]]


def gather(
    parts: Sequence[StoredPart], state: State, names: Sequence[str], class_places: Sequence[int], *, timed: bool
) -> Rows:
    """One part at a time, since all matrices twice would not fit: what a part's matrix lacks is missing there."""
    kept = int((state != LEFT_OUT).sum())
    matrix = np.empty((kept, len(names)), dtype=np.float32)
    collected: dict[str, list[npt.NDArray[Any]]] = {"target": [], "keys": [], "moments": []}
    start = filled = 0
    taken = []
    for part in parts:
        alive = state[start : start + part.rows] != LEFT_OUT
        start += part.rows
        taken.append(int(alive.sum()))
        stop = filled + taken[-1]
        _pick(part, alive, names, matrix[filled:stop])
        filled = stop
        for name in ("target", "keys", *(["moments"] if timed else [])):
            collected[name].append(part.read(name)[alive])
    target = np.concatenate(collected["target"])
    if class_places:
        target = np.asarray(class_places, dtype=np.float64)[target.astype(np.int64)]
    held_out = state[state != LEFT_OUT] == HELD_OUT
    partition = np.repeat(np.arange(len(parts), dtype=np.uint16), taken)
    moments = np.concatenate(collected["moments"]) if timed else None
    binary = len(class_places) - list(class_places).count(-1) == 2
    return Rows(
        matrix,
        target,
        held_out,
        np.concatenate(collected["keys"]),
        moments,
        partition,
        _recency(partition, moments, held_out, target, binary=binary),
    )


def _recency(
    partition: Partitions,
    moments: npt.NDArray[np.int64] | None,
    held_out: npt.NDArray[np.bool_],
    target: npt.NDArray[np.float64],
    *,
    binary: bool,
) -> Recency:
    """A first upload is one span, whatever times its rows have: it is the user's choice of what there is to learn."""
    if moments is None or not partition.any():
        return recency(partition, spans_of_partitions(partition, held_out, target, binary=binary))
    return recency(moments, spans_in_time(moments, held_out, target, binary=binary))


def _pick(part: StoredPart, alive: npt.NDArray[np.bool_], names: Sequence[str], out: Matrix) -> None:
    places = {name: place for place, name in enumerate(part.names)}
    whole = part.read("matrix")
    for place, name in enumerate(names):
        if name in places:
            out[:, place] = whole[alive, places[name]]
        else:
            out[:, place] = MISSING if name.startswith("categorical:") else np.nan
