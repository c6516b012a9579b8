"""Outcomes: what became of a window's labelled predictions, kept so that later ones can be judged together with it."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.stages.labels import Joined
from tidemill.stages.npy import parsed, spread

MOST = 5_000
"""Rows of one window: a few windows of so many show any loss that matters."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """`truth` (n,) and `answers`, (n,) of a regression or (n, classes), of at most `MOST` rows drawn evenly."""

    truth: Array
    answers: Array

    @classmethod
    def of(cls, joined: Joined) -> "Outcomes":
        places = spread(len(joined.truth), MOST)
        return cls(joined.truth[places], joined.answers[places])

    def packed(self) -> bytes:
        """A file of NumPy's own format, a row each: the truth, and the answers."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(np.column_stack([self.truth, self.answers])), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> "Outcomes":
        rows = parsed(data)
        return cls(rows[:, 0], rows[:, 1] if rows.shape[1] == 2 else rows[:, 1:])
