"""Prepare, second half: a model's accepted partitions become one data set, by saying of each row what it is for.

Nothing is copied: a data set is its partitions' arrays and one byte a row. The newer row of a key wins.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from tidemill.encoding import encoded_names
from tidemill.errors import InvalidUpload
from tidemill.profile import ColumnProfile, LevelsProfile, NumericProfile, Profile, ProfileBuilder, merge, summarise
from tidemill.schema import COPY_BITS, Column, Schema, mixed, split_by_key
from tidemill.spec import ModelSpec
from tidemill.stages import npy
from tidemill.stages.clean import EXAMPLES
from tidemill.stages.columns import read
from tidemill.stages.dataset import HELD_OUT, LEFT_OUT, TRAINING, Dataset, Part, State
from tidemill.stages.recency import FEWEST_RARE, LATEST
from tidemill.stages.spill import RowIndex

_FEW = 5
"""A class with fewer rows is left to training."""
_FEWEST = 10
_LATEST_RARE = 3 * FEWEST_RARE
"""Rows of the rarer of two classes that are held out by time at least, see `LATEST`."""
_BINS = 1 << 16


def assemble(parts: Sequence[Part], schema: Schema, spec: ModelSpec, folder: Path, *, new: bool) -> Dataset:
    """Merge, split, and find what there is to learn from. `new`: the last part has never been in a data set before,
    so that its rows may still be put on the side where a rare class needs them."""
    timed = schema.of_role("time") is not None
    state = _alive(parts, folder)
    superseded = bool((state == LEFT_OUT).any())
    cutoff = _cutoff(parts, state, 1 - _latest(parts, state, schema, spec.holdout)) if timed else None
    if not timed and new and schema.task != "regression":
        schema = _with_sides(parts, state, schema, spec.holdout)
    _split(parts, state, schema, spec.holdout, cutoff)
    counts, late = np.zeros((2, 1), dtype=np.int64), []
    if schema.task != "regression":
        counts = _count_classes(parts, state, schema)
        late = _learn_all_classes(parts, state, counts)
    _check_sides(parts, state, schema, counts)
    profile = _profile(parts, state, schema) if timed or superseded else _merged(parts)
    observed = replace(schema, columns=tuple(_observe(column, profile) for column in schema.columns))
    present = np.flatnonzero(counts.sum(axis=0)).tolist()
    if schema.task != "regression":
        observed = replace(observed, classes=tuple(schema.classes[code] for code in present))
    if not observed.features:
        raise InvalidUpload("no column is left to learn from: all are excluded, constant or missing")
    features = {column.name: profile.columns[column.name] for column in observed.features}
    return Dataset(
        schema=observed,
        model_schema=schema,
        names=encoded_names(observed),
        state=state,
        class_places=tuple(present.index(code) if code in present else -1 for code in range(len(schema.classes))),
        late_classes=tuple(schema.classes[code] for code in late),
        cutoff=cutoff,
        training_profile=Profile(profile.rows, features),
        examples=_examples(parts, state, observed),
    )


def _alive(parts: Sequence[Part], folder: Path) -> State:
    """Within a part, all keys differ."""
    if len(parts) == 1:
        return np.full(parts[0].rows, TRAINING, dtype=np.uint8)
    index = RowIndex(folder)
    for part in parts:
        for keys in npy.windows(part.fetch("keys.npy")):
            index.add(keys)
    state = np.full(index.rows, TRAINING, dtype=np.uint8)
    for repeats in index.repeats():
        state[repeats.rows[~repeats.last]] = LEFT_OUT
    return state


def _windows(parts: Sequence[Part], state: State, *names: str) -> Iterator[tuple[State, Any]]:
    """Windows of the parts' arrays, each with the view of `state` that belongs to it."""
    start = 0
    for part in parts:
        for arrays in zip(*(npy.windows(part.fetch(name)) for name in names), strict=True):
            stop = start + len(arrays[0])
            yield state[start:stop], arrays
            start = stop


def _latest(parts: Sequence[Part], state: State, schema: Schema, share: float) -> float:
    """The share of all rows that is held out by time: no more than the share of the newest partition, or there would be
    months in which nothing is learned from what is new; but enough to judge by, of two classes of either one."""
    rows = int((state != LEFT_OUT).sum())
    newest = int((state[len(state) - parts[-1].rows :] != LEFT_OUT).sum())
    needed = max(LATEST, share * newest)
    if schema.task == "binary":
        rarest = _count_classes(parts, state, schema)[TRAINING - 1].min()
        needed = max(needed, _LATEST_RARE * rows / max(rarest, 1))
    return min(share, needed / max(rows, 1))


def _cutoff(parts: Sequence[Part], state: State, share: float) -> int:
    """The moment that the given share of the rows has reached: the k-th smallest, k = floor(share (n - 1)), found by
    counting into ever finer bins, so that no more than a window of moments is in memory. Where so many rows have that
    moment that less than half of the others are left after it, the moment before."""

    def moments() -> Iterator[npt.NDArray[np.int64]]:
        return (values[own != LEFT_OUT] for own, (values,) in _windows(parts, state, "moments.npy"))

    rows = int((state != LEFT_OUT).sum())
    rank = int(np.floor(share * (rows - 1)))
    low = min(int(values.min()) for values in moments() if len(values))
    high = max(int(values.max()) for values in moments() if len(values))
    while low < high:
        width = (high - low) // _BINS + 1
        counts = np.zeros(_BINS, dtype=np.int64)
        for values in moments():
            inside = values[(values >= low) & (values <= high)]
            counts += np.bincount((inside - low) // width, minlength=_BINS)
        reached = np.cumsum(counts)
        place = int(np.searchsorted(reached, rank, side="right"))
        rank -= int(reached[place] - counts[place])
        low, high = low + place * width, min(high, low + (place + 1) * width - 1)
    if 2 * sum(int((values > low).sum()) for values in moments()) >= (1 - share) * rows:
        return low
    before = [int(values[values < low].max()) for values in moments() if (values < low).any()]
    return max(before, default=low)


def _split(parts: Sequence[Part], state: State, schema: Schema, share: float, cutoff: int | None) -> None:
    name = "keys.npy" if cutoff is None else "moments.npy"
    for own, (values,) in _windows(parts, state, name):
        held_out = split_by_key(values, share, schema.sides) if cutoff is None else values > cutoff
        own[(own != LEFT_OUT) & held_out] = HELD_OUT


def _count_classes(parts: Sequence[Part], state: State, schema: Schema) -> npt.NDArray[np.int64]:
    """(2, classes): rows of the training and of the held-out side."""
    counts = np.zeros((2, len(schema.classes)), dtype=np.int64)
    for own, (target,) in _windows(parts, state, "target.npy"):
        for side, what in enumerate((TRAINING, HELD_OUT)):
            counts[side] += np.bincount(target[own == what].astype(np.int64), minlength=len(schema.classes))
    return counts


def _with_sides(parts: Sequence[Part], state: State, schema: Schema, share: float) -> Schema:
    """A class that one side would have no row of gets some there, of those that came with the last part: rows with the
    smallest mixed keys, so that the choice is as random as the split and the same whenever it is made again."""
    drawn = state.copy()
    _split(parts, drawn, schema, share, None)
    counts = _count_classes(parts, drawn, schema)
    sides = dict(schema.sides)
    for held_out, needed in ((True, share), (False, 1 - share)):
        for code in np.flatnonzero((counts[int(held_out)] == 0) & (counts.sum(axis=0) >= _FEW)).tolist():
            rows = _rows_of_class(parts[-1], drawn[len(drawn) - parts[-1].rows :], code)
            most = max(1, round(needed * len(rows)))
            sides |= {int(row): held_out for row in rows[: min(most, int(counts[:, code].sum()) - 1)]}
    return replace(schema, sides=tuple(sides.items()))


def _rows_of_class(part: Part, state: State, code: int) -> npt.NDArray[np.uint64]:
    found = [
        keys[(own != LEFT_OUT) & (target == code)] >> np.uint64(COPY_BITS)
        for own, (keys, target) in _windows([part], state, "keys.npy", "target.npy")
    ]
    rows = np.unique(np.concatenate(found))
    return rows[np.argsort(mixed(rows))]


def _learn_all_classes(parts: Sequence[Part], state: State, counts: npt.NDArray[np.int64]) -> list[int]:
    """A class that only the held-out side has cannot be judged: its rows are learned from, so that every class of the
    data set is one that the model can answer. The codes of these classes."""
    unlearned = np.flatnonzero((counts[0] == 0) & (counts[1] > 0))
    if not len(unlearned):
        return []
    for own, (target,) in _windows(parts, state, "target.npy"):
        own[(own == HELD_OUT) & np.isin(target, unlearned)] = TRAINING
    counts[0, unlearned] = counts[1, unlearned]
    counts[1, unlearned] = 0
    codes: list[int] = unlearned.tolist()
    return codes


def _check_sides(parts: Sequence[Part], state: State, schema: Schema, counts: npt.NDArray[np.int64]) -> None:
    usable = int((state != LEFT_OUT).sum())
    for side, (name, what) in enumerate((("training", TRAINING), ("held-out", HELD_OUT))):
        rows = int((state == what).sum())
        if rows < _FEWEST:
            raise InvalidUpload(
                f"{usable:,} usable rows leave {rows} on the {name} side, and at least {_FEWEST} are needed: "
                "upload more rows"
            )
        one_class = int((counts[side] > 0).sum()) < 2
        constant = _constant(parts, state, what) if schema.task == "regression" else one_class
        if constant:
            raise InvalidUpload(
                f"the {name} side has only one value of the target {schema.target.name!r}: upload more rows"
            )


def _constant(parts: Sequence[Part], state: State, what: int) -> bool:
    values = (target[own == what] for own, (target,) in _windows(parts, state, "target.npy"))
    ranges = [(float(some.min()), float(some.max())) for some in values if len(some)]
    return min(low for low, _ in ranges) == max(high for _, high in ranges)


def _merged(parts: Sequence[Part]) -> Profile:
    return reduce(merge, (part.profile for part in parts))


def _profile(parts: Sequence[Part], state: State, schema: Schema) -> Profile:
    """Of the training rows alone, read again: under a time column the two sides differ, and rows that are left out
    would count twice."""
    features = {column.name: column for column in schema.features}
    builder, start = ProfileBuilder(), 0
    for part in parts:
        if not (state[start : start + part.rows] == TRAINING).any():
            start += part.rows
            continue
        file = pyarrow.parquet.ParquetFile(part.fetch("part-0.parquet"))
        names = [name for name in file.schema_arrow.names if name in features]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            training = pa.array(state[start : start + table.num_rows] == TRAINING)
            start += table.num_rows
            kept = table.filter(training)
            builder.add(
                {n: summarise(read(kept[n].combine_chunks(), features[n]).values, features[n].kind) for n in names}
            )
        file.close()
    return builder.profile(int((state == TRAINING).sum()))


def _observe(column: Column, profile: Profile) -> Column:
    """What the rows show of a feature: range, missing values, and whether it says anything at all."""
    if column.role != "feature":
        return column
    seen = profile.columns.get(column.name)
    if seen is None:
        return replace(column, role="unused", note="no row has a value")
    if not seen.present:
        return replace(column, role="unused", note="every value is missing")
    missing = seen.missing + profile.rows - seen.rows
    if not missing and (only := _only_value(seen)) is not None:
        return replace(column, role="unused", note=f"the same value in every row: {only}")
    column = replace(column, nullable=missing > 0)
    if isinstance(seen, NumericProfile):
        return replace(column, low=seen.min, high=seen.max)
    return column


def _only_value(seen: ColumnProfile) -> object:
    if isinstance(seen, LevelsProfile):
        levels = [level for level, rows in seen.counts.items() if rows]
        return levels[0] if len(levels) == 1 and not seen.other else None
    return seen.min if seen.min == seen.max else None


def _examples(parts: Sequence[Part], state: State, schema: Schema) -> tuple[tuple[int, Mapping[str, Any]], ...]:
    """Evenly over the parts' own examples, of rows that are still there."""
    found, start = [], 0
    for part in parts:
        found += [(start + int(entry["at"]), entry["row"]) for entry in part.examples]
        start += part.rows
    found = [(int(np.count_nonzero(state[:at])), row) for at, row in found if state[at] != LEFT_OUT]
    chosen = npy.spread(len(found), EXAMPLES).tolist()
    return tuple((found[i][0], {c.name: found[i][1].get(c.name) for c in schema.features}) for i in chosen)
