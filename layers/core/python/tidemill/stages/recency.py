"""How recent a data set's rows are: spans of the newest, each at least twice as long as the one in it; of whole
partitions, or where rows have a time, of the newest rows whatever partition brought them.

Where the world has changed, old rows mislead, and what is measured on them says little of today. Train asks of every
span whether its rows alone teach more (`history`); the gate judges on the newest rows that are enough to judge on.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FEWEST, STEP = 1_000, 2
"""Training rows of the shortest span, and how many times as long the next one is at least."""
ENOUGH_HELD_OUT = 200
"""So many held-out rows judge a model themselves."""
LATEST = 2_000
"""Rows that are held out by time at least, where the newest partition's share is smaller."""
FEWEST_RARE = 20
"""Held-out rows of the rarer of two classes that it takes to compare models: of 10, one in twenty equal models won."""

Partitions = npt.NDArray[np.uint16]
"""Of each row the place of its partition, the oldest first."""
Recency = npt.NDArray[np.uint8]
"""Of each row the number of spans that have it: 0 for the oldest rows, and everywhere where there are no spans."""
Mask = npt.NDArray[np.bool_]


def enough(rows: Sequence[int]) -> bool:
    """To judge a model by. `rows`: of each of two classes, or of all together."""
    return sum(rows) >= ENOUGH_HELD_OUT and (len(rows) == 1 or min(rows) >= FEWEST_RARE)


def alone(holdout: float, *, timed: bool) -> int:
    """New rows that judge by themselves, whatever was held out before: where rows are `timed`, as many as are held out;
    else as make a span, enough to learn from, and of their share that is held out to judge by."""
    return LATEST if timed else math.ceil(max(FEWEST / (1 - holdout), ENOUGH_HELD_OUT / holdout))


def counted(truth: npt.NDArray[np.float64], *, binary: bool) -> list[int]:
    """As `enough` takes them."""
    counts: list[int] = np.bincount(truth.astype(np.int64), minlength=2).tolist() if binary else [len(truth)]
    return counts


def spans_of_partitions(
    partition: Partitions, held_out: Mask, target: npt.NDArray[np.float64], *, binary: bool
) -> tuple[int, ...]:
    """The first partition of each span, the shortest span first, so that rows with a recency of `level` begin with
    the one at `-level`. Each has enough held-out rows to judge what is learned from it."""
    parts, classes = int(partition.max(initial=0)) + 1, 1 + binary
    training = np.bincount(partition[~held_out], minlength=parts)
    kind = target[held_out].astype(np.int64) if binary else 0
    cells = classes * partition[held_out].astype(np.int64) + kind
    judging = np.bincount(cells, minlength=classes * parts).reshape(parts, classes)
    firsts: list[int] = []
    rows, least, held = 0, FEWEST, np.zeros(classes, dtype=np.int64)
    for place in range(parts - 1, 0, -1):
        rows, held = rows + int(training[place]), held + judging[place]
        if 2 * rows > training.sum():
            break  # what is new outweighs the old already
        if rows >= least and enough(held.tolist()):
            firsts.append(place)
            least = STEP * rows
    return tuple(firsts)


def spans_in_time(
    moments: npt.NDArray[np.int64], held_out: Mask, target: npt.NDArray[np.float64], *, binary: bool
) -> tuple[int, ...]:
    """The first moment of each span, the shortest span first. What is held out came later than what is learned from, so
    that each span's own training rows are to be enough to judge by."""
    training = np.flatnonzero(~held_out)
    training = training[np.argsort(moments[training], kind="stable")]
    known, truth = moments[training], target[training]
    firsts: list[int] = []
    rows = FEWEST
    while 2 * rows <= len(known):
        # Rows of one moment are not taken apart.
        start = int(np.searchsorted(known, known[-rows]))
        taken = len(known) - start
        if 2 * taken > len(known):
            break
        if enough(counted(truth[start:], binary=binary)):
            firsts.append(int(known[start]))
        rows = STEP * taken
    return tuple(firsts)


def recency(places: npt.NDArray[np.integer[Any]], firsts: Sequence[int]) -> Recency:
    """See `Recency`; `firsts` are what `spans` found of these partitions, or `spans_in_time` of these moments."""
    found = np.zeros(len(places), dtype=np.uint8)
    for first in firsts:
        found += places >= first
    return found


def newest(of: Recency, among: Mask, judges: Callable[[Mask], bool]) -> Mask:
    """Of the rows `among` those of the shortest span that has enough of them; all where none has."""
    within = (among & (of >= level) for level in range(int(of.max(initial=0)), 0, -1))
    return next(filter(judges, within), among)
