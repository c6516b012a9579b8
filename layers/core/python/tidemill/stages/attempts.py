"""How much of the gate's error is spent: rows that judged before are no fresh evidence.

A model that is retrained for ever and judged on the same rows finds a winner by chance sooner or later. So every
judgement leaves a sketch of its rows, and the next one counts as attempt

    n = 1 + the sum, over all earlier judgements, of the share of today's rows that each had

and is judged at the spec's error * 6 / (pi n)². On the same rows the attempts are 1, 2, 3 …, whose errors add up to the
spec's error, however many they are; on rows that nobody was judged on, n is 1.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.schema import mixed

SIZE = 1_024
"""Hashes that a sketch keeps: the standard error of a share is at most 1.6 points."""

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a set of rows, ascending, and how many rows it has (bottom-k: Cohen & Kaplan 2007).

    They are an even sample of the rows, the same wherever those come again.
    """

    rows: int
    hashes: Keys

    @classmethod
    def of(cls, keys: Keys) -> "Sketch":
        # The copies of a row have keys beside each other, and would be drawn all or none.
        hashes = mixed(keys)
        return cls(len(keys), np.sort(np.partition(hashes, SIZE - 1)[:SIZE] if len(keys) > SIZE else hashes))

    @classmethod
    def unpacked(cls, rows: int, data: bytes) -> "Sketch":
        return cls(rows, np.frombuffer(data, "<u8"))

    def packed(self) -> bytes:
        return self.hashes.astype("<u8").tobytes()

    @property
    def whole(self) -> bool:
        return self.rows == len(self.hashes)


def overlap(today: Sketch, before: Sketch) -> float:
    """The share of today's rows that the earlier judgement had; exact where both sketches are whole.

    Of a hash beyond the earlier sketch's last one nothing is known. Where nothing is known of any, all of them count.
    """
    known = today.hashes if before.whole else today.hashes[today.hashes <= before.hashes[-1]]
    return float(np.isin(known, before.hashes).mean()) if len(known) else 1.0


def attempt(today: Sketch, earlier: Iterable[Sketch]) -> float:
    return 1.0 + math.fsum(overlap(today, before) for before in earlier)


def error_of(attempt: float, error: float) -> float:
    """What is left of the error for this attempt."""
    return error * 6 / (math.pi * attempt) ** 2
