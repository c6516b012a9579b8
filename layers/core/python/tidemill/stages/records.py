"""Where the records of a CSV file end, and what is in them where its quotes do not make sense.

A quote that begins a field opens it, one that follows by itself closes it, two are one; any other quote is a character.
That is how pyarrow reads it, so that either may read a block.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import numpy.typing as npt

LARGEST_RECORD = 1_000_000
"""Bytes of a record: a quote that is not closed within so many was never meant to open anything."""
UNCLOSED = "has a quote that is never closed"
MISPLACED = "has a quote that neither begins nor ends a value, close to one that is never closed"
_QUOTE, _END = 0x22, 0x0A


@dataclass(frozen=True)
class Record:
    """`fields`, or why there are none; `lines` that it takes."""

    fields: tuple[str, ...]
    lines: int
    text: str
    problem: str = ""


@dataclass(frozen=True)
class Scan:
    """What was found from a place on, and where it ends.

    Not `closed`: there is no end of a record. `torn`: text follows the closing quote of a value of several lines, so
    that it was an opening one. `misplaced`: a quote is a character.
    """

    fields: tuple[str, ...]
    end: int
    closed: bool = True
    torn: bool = False
    misplaced: bool = False


def well_quoted(data: bytes, delimiter: bytes) -> int | None:
    """Bytes of the whole records of `data`, 0 where there is no end of one yet; None if a quote is out of place."""
    if b'"' not in data:
        return data.rfind(b"\n") + 1
    array = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(array == _QUOTE)
    tail = max(0, len(data) - LARGEST_RECORD)
    ends = np.flatnonzero(array[tail:] == _END) + tail
    before = np.searchsorted(quotes, ends)
    outside = np.flatnonzero(before % 2 == 0)
    if not len(outside):
        return None if tail else 0
    end, count = int(ends[outside[-1]]), int(before[outside[-1]])
    opening, closing = quotes[:count:2], quotes[1:count:2]
    limits = np.zeros(256, dtype=bool)
    # A quote beside another one is its twin.
    limits[[delimiter[0], _END, _QUOTE]] = True
    begins = limits[array[np.maximum(opening - 1, 0)]] | (opening == 0)
    return end + 1 if begins.all() and limits[array[closing + 1]].all() else None


def line_ends(data: bytes) -> int:
    """Their number: four times as fast as `bytes.count` where there are many."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _END))


def record_starts(data: bytes, records: int) -> npt.NDArray[np.int64]:
    """Lines (from 0) that the so many records of well-quoted `data` begin on; blank lines are none."""
    if records == line_ends(data):
        return np.arange(records)
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == _END)
    outside = np.searchsorted(np.flatnonzero(array == _QUOTE), ends) % 2 == 0
    lines = np.append(0, np.flatnonzero(outside)[:-1] + 1)
    ends = ends[outside]
    starts = np.append(0, ends[:-1] + 1)
    return np.asarray(lines[starts != ends])


def split(text: str, delimiter: str, columns: int, *, last: bool) -> tuple[list[Record], int]:
    """The records of a text, one by one, and how much of it they are; blank lines are none, but count as lines.

    A record of several lines that makes no sense, or is not of the header's shape, has been swallowed by a quote: its
    first line alone is taken for it, and its other lines are read again, with less trust in their quotes. So no text is
    read more than a few times, whatever its quotes are. Without `last`, more text follows.
    """
    found: list[Record] = []
    start = doubtful = 0
    while start < len(text):
        line_end = text.find("\n", start) + 1 or len(text)
        # A quote of a doubtful line closes on it or was none; on the last one, the next value may begin.
        scan = scan_record(text, start, delimiter, line_end if line_end < doubtful else len(text))
        if not (scan.closed or scan.torn or last or line_end < doubtful) and len(text) - start <= LARGEST_RECORD:
            break
        record = _record(text[start : scan.end], scan, columns, doubtful=start < doubtful)
        if record is None:
            # The line that the scan came to, not the one behind it.
            doubtful = max(doubtful, text.rfind("\n", start, scan.end - 1) + 2)
            record, end = Record((), 1, text[start:line_end].rstrip("\n"), UNCLOSED), line_end
        else:
            end = scan.end
        found.append(record)
        start = end
    return found, start


def _record(text: str, scan: Scan, columns: int, *, doubtful: bool) -> Record | None:
    """None for lines that a quote has swallowed."""
    lines = text.count("\n")
    if scan.torn or not scan.closed or (lines > 1 and len(scan.fields) != columns):
        return None
    plain, lines = text.removesuffix("\n"), max(1, lines)
    if not plain:
        return Record((), 1, "")
    problem = ""
    if len(text) > LARGEST_RECORD:
        problem = f"has more than {LARGEST_RECORD:,} characters"
    elif "\0" in text:
        problem = "has a NUL byte"
    elif doubtful and scan.misplaced:
        problem = MISPLACED
    elif len(scan.fields) != columns:
        problem = f"has {len(scan.fields)} fields where the header has {columns}"
    return Record((), lines, plain, problem) if problem else Record(scan.fields, lines, text)


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    stop = re.escape(delimiter)
    return re.compile(f'"((?:[^"]++|"")*+)"([^{stop}\n]*+)|([^{stop}\n]*+)')


def scan_record(text: str, start: int, delimiter: str, stop: int) -> Scan:
    """The record that begins at `start`, of which nothing behind `stop` is looked at."""
    fields: list[str] = []
    misplaced, match = False, _field(delimiter).match
    while True:
        # Every alternative may be empty.
        found = cast("re.Match[str]", match(text, start, stop))
        quoted, behind, plain = found.groups()
        if quoted is None:
            if plain.startswith('"'):
                return Scan((), stop, closed=False)
            misplaced = misplaced or '"' in plain
            fields.append(plain)
        else:
            if behind and "\n" in quoted:
                return Scan((), found.end(), torn=True)
            misplaced = misplaced or bool(behind)
            fields.append(quoted.replace('""', '"') + behind)
        start = found.end()
        if start == stop:
            return Scan(tuple(fields), start, closed=False, misplaced=misplaced)
        if text[start] == "\n":
            return Scan(tuple(fields), start + 1, misplaced=misplaced)
        start += len(delimiter)
