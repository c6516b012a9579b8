"""Which rows are the same row, of any number of them in little memory: hashes are parted over files on disk.

A bucket's hashes are sorted by themselves. The answers are parted once more, by row, and come back in the order of
rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tidemill.schema import COPY_BITS, mixed
from tidemill.stages.ordered import in_order

_BUCKET_BITS = 6
_WINDOW_BITS = 20
WINDOW = 1 << _WINDOW_BITS
"""Answers are read back for so many rows at a time: those of one answer lie between two multiples of it."""

_FEW_BITS = np.uint64(0xFFFF)
_SEEN = np.dtype([("hash", np.uint64), ("row", np.int64)])
_ANSWER = np.dtype([("row", np.int64), ("place", np.int64)])


class Spill:
    """Records parted over files by a number, so that what belongs together is read together."""

    def __init__(self, folder: Path, kind: np.dtype[np.void]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._kind = folder, kind
        self._files: dict[int, BinaryIO] = {}

    def add(self, buckets: npt.NDArray[np.int64], records: npt.NDArray[np.void]) -> None:
        """In the order given within a bucket."""
        if not len(buckets):
            return
        # A stable sort of small integers is one by counting.
        order = np.argsort(buckets.astype(np.uint16), kind="stable")
        counts = np.bincount(buckets)
        ends = np.cumsum(counts)
        for bucket in np.flatnonzero(counts).tolist():
            own = records[order[ends[bucket] - counts[bucket] : ends[bucket]]]
            self._file(bucket).write(own.tobytes())

    def read(self) -> Iterator[tuple[int, npt.NDArray[np.void]]]:
        """Each bucket once, in the order of their numbers; the files are gone afterwards."""
        self.close()
        for bucket in sorted(self._files):
            path = self._path(bucket)
            yield bucket, np.fromfile(path, self._kind)
            path.unlink()
        self._files.clear()

    def close(self) -> None:
        """Nothing can be added any more."""
        for file in self._files.values():
            file.close()

    def _file(self, bucket: int) -> BinaryIO:
        if bucket not in self._files:
            self._files[bucket] = self._path(bucket).open("wb")
        return self._files[bucket]

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.bin"


@dataclass(frozen=True)
class Repeats:
    """Rows (from 0, ascending) whose hash came before or comes again.

    `places` count the equal rows before each one; `last` says that no equal row comes after.
    """

    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    last: npt.NDArray[np.bool_]


class RowIndex:
    """Takes hashes in the order of rows, then tells which of them repeat."""

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        self._seen = Spill(folder / "hashes", _SEEN)
        self._answers = Spill(folder / "answers", _ANSWER)

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        records = np.empty(len(hashes), _SEEN)
        records["hash"] = hashes
        records["row"] = np.arange(self.rows, self.rows + len(hashes))
        self._seen.add((hashes >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64), records)
        self.rows += len(hashes)

    def close(self) -> None:
        """All rows were added; what they repeat may still be asked for."""
        self._seen.close()

    def repeats(self) -> Iterator[Repeats]:
        """In the order of rows, those of one `WINDOW` at a time; windows without any are left out."""
        for answers in in_order(_answers, (seen for _, seen in self._seen.read())):
            self._answers.add(answers["row"] >> _WINDOW_BITS, answers)
        for _, unordered in self._answers.read():
            answers = unordered[np.argsort(unordered["row"], kind="stable")]
            yield Repeats(answers["row"], answers["place"] >> 1, (answers["place"] & 1).astype(bool))


def _answers(seen: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Of the rows of one bucket that repeat; most have none."""
    ordered = np.sort(seen["hash"])
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(again):
        return np.empty(0, _ANSWER)
    # Most rows are told from these by a few of their bits, much faster than they are looked up.
    maybe = np.zeros(_FEW_BITS + 1, dtype=bool)
    maybe[again & _FEW_BITS] = True
    seen = seen[maybe[seen["hash"] & _FEW_BITS]]
    group = np.searchsorted(again, seen["hash"])
    repeated = again[np.minimum(group, len(again) - 1)] == seen["hash"]
    rows, group = seen["row"][repeated], group[repeated]
    order = np.argsort(group, kind="stable")
    rows, group = rows[order], group[order]
    last = np.append(group[1:] != group[:-1], True)
    answers = np.empty(len(rows), _ANSWER)
    answers["row"] = rows
    # The lowest bit says whether it is the last one.
    answers["place"] = ((np.arange(len(rows)) - np.searchsorted(group, group)) << 1) | last
    return answers


def copy_keys(hashes: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Keys of equal rows of one upload that has no id: they may be separate events, so each has a key of its own.

    The first `2**COPY_BITS` may as well be copies of one event: they share a side of the split. Where there are more,
    the table has few distinct rows, and each further one is drawn on its own.
    """
    ordinals = places.astype(np.uint64)
    with np.errstate(over="ignore"):
        further = mixed(hashes + ordinals * np.uint64(0xBF58476D1CE4E5B9))
    return np.where(places < 2**COPY_BITS, hashes ^ ordinals, further)
