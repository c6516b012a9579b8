"""How recent a data set's rows are: spans of its newest partitions, each at least four times as long as the one in it.

Where the world has changed, old rows mislead, and what is measured on them says little of today. Train asks of every
span whether its rows alone teach more (`history`); the gate judges on the newest rows that are enough to judge on.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

FEWEST, STEP = 1_000, 4
"""Training rows of the shortest span, and how many times as long the next one is at least."""
ENOUGH_HELD_OUT = 200
"""So many held-out rows judge a model themselves."""

Recency = npt.NDArray[np.uint8]
"""Of each row the number of spans that have it: 0 for the oldest rows, and everywhere where there are no spans."""
Mask = npt.NDArray[np.bool_]


def spans(training: Sequence[int]) -> tuple[int, ...]:
    """The first partition of each span, the shortest span first, so that rows with a recency of `level` begin with
    `spans[-level]`; none has all partitions. `training`: rows of each partition, the oldest first."""
    firsts: list[int] = []
    rows, least = 0, FEWEST
    for place in range(len(training) - 1, 0, -1):
        rows += training[place]
        if rows >= least:
            firsts.append(place)
            least = STEP * rows
    return tuple(firsts)


def recency(firsts: Sequence[int], rows: Sequence[int]) -> Recency:
    """(sum of rows,): see `Recency`. `rows` are all of each partition, `firsts` what `spans` found."""
    numbers = [sum(first <= place for first in firsts) for place in range(len(rows))]
    return np.repeat(np.array(numbers, dtype=np.uint8), rows)


def newest(of: Recency, among: Mask, enough: Callable[[Mask], bool]) -> Mask:
    """Of the rows `among` those of the shortest span that has `enough` of them; all where none has."""
    within = (among & (of >= level) for level in range(int(of.max(initial=0)), 0, -1))
    return next(filter(enough, within), among)
