"""The rows that a candidate may see, and how they are taken apart for cross-validation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)

from tidemill.encoding import Matrix
from tidemill.schema import Schema
from tidemill.stages.dataset import Rows
from tidemill.stages.recency import Recency

Places = npt.NDArray[np.int64]

SEED = 20_13
FEWEST_ROWS = 10
"""Of fewer there is nothing to learn."""
_FOLDS, _FOLDS_OF_LITTLE = 3, 5
_LITTLE, _PLENTY = 2_000, 20_000
_JUDGED = 0.2
"""Share of the rows that judge where there are plenty: one split tells enough, for half of the time of three."""


@dataclass(frozen=True)
class TrainingSide:
    """The rows a candidate may see. target: class codes or values; moments: order in time, or None; recency: the number
    of spans that have a row, or None where all rows are alike."""

    schema: Schema
    matrix: Matrix
    target: npt.NDArray[np.float64]
    moments: npt.NDArray[np.int64] | None
    recency: Recency | None = None

    @classmethod
    def of(cls, schema: Schema, rows: Rows) -> "TrainingSide":
        """The rows that are not held out."""
        kept = ~rows.held_out
        moments = None if rows.moments is None else rows.moments[kept]
        return cls(schema, rows.matrix[kept], rows.target[kept], moments, rows.recency[kept])

    def __len__(self) -> int:
        return len(self.target)

    @property
    def spans(self) -> int:
        return 0 if self.recency is None else int(self.recency.max(initial=0))

    def take(self, places: Places) -> "TrainingSide":
        moments = None if self.moments is None else self.moments[places]
        recency = None if self.recency is None else self.recency[places]
        return TrainingSide(self.schema, self.matrix[places], self.target[places], moments, recency)

    def rows_since(self, level: int) -> int:
        return len(self) if self.recency is None else int(np.count_nonzero(self.recency >= level))

    def since(self, level: int) -> "TrainingSide":
        """The rows of one span; of level 0, all rows."""
        if self.recency is None or not level:
            return self
        return self.take(np.flatnonzero(self.recency >= level))

    def sample(self, rows: int) -> "TrainingSide":
        """An even draw that keeps the rows' order; a larger draw has all the rows of a smaller one."""
        if rows >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(SEED).permutation(len(self))[:rows]))


def folds(side: TrainingSide) -> Iterator[tuple[Places, Places]]:
    """(fit, judge) row positions: forward in time where rows have a time, stratified by class otherwise, and where a
    class came too late for any fold to learn it.

    Of plenty of rows, and of classes that each cost as much as rows do, there is one split only.
    """
    if _has_plenty(side):
        yield _one_split(side)
        return
    yield from _several(side, _FOLDS if len(side) > _LITTLE else _FOLDS_OF_LITTLE)


def _several(side: TrainingSide, count: int) -> Iterator[tuple[Places, Places]]:
    order = _in_time(side, len(side) // (count + 1))
    if order is not None:
        for fit, judge in TimeSeriesSplit(n_splits=count).split(order):
            yield order[fit], order[judge]
        return
    smallest = _smallest_class(side)
    if smallest < 2:
        yield from KFold(count, shuffle=True, random_state=SEED).split(side.matrix)
        return
    splitter = StratifiedKFold(min(count, smallest), shuffle=True, random_state=SEED)
    yield from splitter.split(side.matrix, side.target)


def newest_folds(side: TrainingSide, level: int) -> Iterator[tuple[Places, Places]]:
    """(fit, judge) row positions: rows of the shortest span judge, whatever the `level`, by folds of their own; the
    others of it, and of what is older the rows of `level`, are learned from, as far as they came before. One split
    would judge by its last days alone, which may be like no others."""
    recency = np.zeros(len(side), dtype=np.uint8) if side.recency is None else side.recency
    own = np.flatnonzero(recency == side.spans)
    newest = side.take(own)
    for fit, judge in _several(newest, _FOLDS):
        older = (recency >= level) & (recency < side.spans)
        if side.moments is not None:
            older &= side.moments <= side.moments[own[judge]].min()
        yield np.concatenate([np.flatnonzero(older), own[fit]]), own[judge]


def _has_plenty(side: TrainingSide) -> bool:
    return len(side) * max(len(side.schema.classes) / 2, 1) > _PLENTY


def _one_split(side: TrainingSide) -> tuple[Places, Places]:
    judged = round(_JUDGED * len(side))
    order = _in_time(side, judged)
    if order is not None:
        return order[:-judged], order[-judged:]
    kind = ShuffleSplit if _smallest_class(side) < 2 else StratifiedShuffleSplit
    fit, judge = next(kind(1, test_size=_JUDGED, random_state=SEED).split(side.matrix, side.target))
    return fit, judge


def repeated_folds(side: TrainingSide, count: int, repeats: int) -> Iterator[tuple[Places, Places]]:
    """`count` folds of all rows, again and again with other draws; whoever has the same rows gets the same folds."""
    if _smallest_class(side) < count:
        yield from RepeatedKFold(n_splits=count, n_repeats=repeats, random_state=SEED).split(side.matrix)
        return
    splitter = RepeatedStratifiedKFold(n_splits=count, n_repeats=repeats, random_state=SEED)
    yield from splitter.split(side.matrix, side.target)


def _in_time(side: TrainingSide, judged: int) -> Places | None:
    """Row positions by time; None where rows have none, or where some class came only with the last `judged` rows."""
    if side.moments is None:
        return None
    order = np.argsort(side.moments, kind="stable")
    if side.schema.task == "regression":
        return order
    came = np.unique(side.target[order[: len(order) - judged]])
    return order if len(came) == len(np.unique(side.target)) else None


def _smallest_class(side: TrainingSide) -> int:
    """Rows of the class that has the fewest; 0 for regression."""
    if side.schema.task == "regression":
        return 0
    return int(np.unique(side.target, return_counts=True)[1].min())
