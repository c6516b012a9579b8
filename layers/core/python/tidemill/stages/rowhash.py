"""A 64-bit hash a row, the same wherever, whenever and beside whichever other rows it is computed.

Words of 8 bytes are mixed as in splitmix64 (Steele, Lea and Flood, 2014), in numpy, so that millions of rows take less
time than parsing them. It tells rows apart; it is no defence against somebody who looks for collisions.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.schema import Levels

Hashes = npt.NDArray[np.uint64]
Values: TypeAlias = npt.NDArray[Any] | Levels | Any

_LONG = 1_024
"""Bytes of a value that are mixed word by word, which for a million of them would take seconds."""
_ABSENT = np.uint64(0x7FF8_DEAD_BEEF_0001)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def hash_rows(columns: Iterable[Values]) -> Hashes:
    """One hash a row over the columns in the order given: numbers, moments, `Levels`, or Arrow text."""
    hashes: Hashes | None = None
    for values in columns:
        words = _words(values)
        hashes = _mixed(words) if hashes is None else _mixed(hashes ^ words)
    if hashes is None:
        raise ValueError("there is no column to tell rows apart by")
    return hashes


def _words(values: Values) -> Hashes:
    if isinstance(values, Levels):
        of_names = np.append(hash_text(pa.array(values.names, pa.string())), _ABSENT)
        return np.asarray(of_names[values.codes])
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "M":
            return values.astype("datetime64[us]").view(np.uint64)
        numbers = values + 0.0  # -0.0 and 0.0 are one value
        numbers[np.isnan(numbers)] = np.nan
        return np.asarray(numbers.view(np.uint64))
    return hash_text(values)


def hash_text(array: pa.Array) -> Hashes:
    """By the UTF-8 bytes of each value; a missing one has a hash of its own."""
    array = array.cast(pa.large_string())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    starts, lengths = ends[:-1], np.diff(ends)
    # Eight more bytes, so that the last word of the last value can be read whole.
    padded = np.concatenate([np.frombuffer(data or b"", np.uint8)[: ends[-1]], np.zeros(8, np.uint8)])
    every_word = np.ndarray((len(padded) - 7,), np.uint64, padded.data, 0, (1,))
    hashes = lengths.astype(np.uint64)
    for place in range(0, min(int(lengths.max(initial=0)), _LONG), 8):
        _mix_word(hashes, every_word, starts, lengths, place)
    for row in np.flatnonzero(lengths > _LONG).tolist():
        rest = blake2b(padded[starts[row] + _LONG : ends[row + 1]].tobytes(), digest_size=8).digest()
        hashes[row] = _mixed(hashes[row : row + 1] ^ np.frombuffer(rest, np.uint64))[0]
    if array.null_count:
        hashes[~array.is_valid().to_numpy(zero_copy_only=False)] = _ABSENT
    return hashes


def _mix_word(
    hashes: Hashes,
    every_word: Hashes,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    place: int,
) -> None:
    """The word at `place` of all values that are so long; a value is not touched by words that it does not have."""
    having: npt.NDArray[Any] | slice = slice(None) if place == 0 else np.flatnonzero(lengths > place)
    left = np.clip(lengths[having] - place, 0, 8).astype(np.uint64)
    word = every_word[np.minimum(starts[having] + place, len(every_word) - 1)]
    # Two shifts, since one by all 64 bits is not defined.
    kept = word & ~((_ALL << (left * np.uint64(4))) << (left * np.uint64(4)))
    hashes[having] = _mixed(hashes[having] ^ kept)


def _mixed(words: Hashes) -> Hashes:
    with np.errstate(over="ignore"):
        words = words ^ (words >> np.uint64(32))
        words *= np.uint64(0x9E3779B97F4A7C15)
        words ^= words >> np.uint64(29)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(32)
    return words
