"""What the endpoint captured: predictions as they were answered, labels as they came, joined by id."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, takewhile, tee

from tidemill.aws.objects import Objects
from tidemill.stages.captured import Record, as_json

BLOCK = 1 << 22
"""Bytes of captured lines that are in memory at a time."""
SPAN = timedelta(minutes=1)
"""The records of one object are all of one minute, by the clock: so a window is read whole, and in the order of time,
from objects that each hold many requests and came in any order."""
FARTHEST = timedelta(days=90)
"""How far back a retrain looks for labelled predictions, and a window by count for enough of them: each minute may be
an object, and half a million of a year are more than a function reads in its time."""
_OURS = re.compile(r"/[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{6}-[^/]*\.jsonl$")


@dataclass(frozen=True)
class Captures:
    """Objects are named `{kind}/{model}/{YYYY}/{MM}/{DD}/{time}-{name}.jsonl` by the first time in them, one JSON
    record a line. A record that was delivered twice counts once."""

    objects: Objects

    def write(self, kind: str, model: str, name: str, records: Sequence[Record]) -> None:
        """Records of one minute; the same `name` and time write the same object again."""
        first = min(_time(record) for record in records)
        body = "\n".join(map(as_json, records))
        self.objects.put(_key(kind, model, first, f"-{name}.jsonl"), body.encode(), "application/x-ndjson")

    def read(self, kind: str, model: str, start: datetime, end: datetime) -> Iterator[Record]:
        """Records whose time is in [start, end), in the order of their time."""
        low, high = start.isoformat(), end.isoformat()
        for minute in self._minutes(kind, model, start, end):
            records = (json.loads(line) for lines in _once(minute) for line in lines.splitlines())
            yield from sorted((one for one in records if low <= one["time"] < high), key=lambda one: str(one["time"]))

    def blocks(self, kind: str, model: str, start: datetime, end: datetime) -> Iterator[bytes]:
        """Lines of all records whose time is in [start, end), and of some around, in blocks of about `BLOCK` bytes."""
        pieces: list[bytes] = []
        for minute in self._minutes(kind, model, start, end):
            for lines in _once(minute):
                pieces.append(lines)
                if sum(map(len, pieces)) >= BLOCK:
                    yield b"\n".join(pieces)
                    pieces = []
        if pieces:
            yield b"\n".join(pieces)

    def _minutes(self, kind: str, model: str, start: datetime, end: datetime) -> Iterator[Iterator[bytes]]:
        """The objects of each minute."""
        after = _key(kind, model, start - SPAN)
        # The name has whole seconds, the record has them exactly.
        last = _key(kind, model, end + timedelta(seconds=1))
        listed = takewhile(lambda key: key < last, self.objects.keys(f"{kind}/{model}/", after))
        keys, again = tee(filter(is_ours, listed))
        named = zip(keys, self.objects.get_many(again), strict=True)
        for _, minute in groupby(named, lambda each: _minute(each[0])):
            yield (data for _, data in minute)


def is_ours(key: str) -> bool:
    """Whoever drops a file of labels may do it in one of our folders."""
    return bool(_OURS.search(key))


def by_minute(records: Iterable[Record]) -> Iterable[Sequence[Record]]:
    """As objects have them."""
    found: dict[datetime, list[Record]] = {}
    for record in records:
        found.setdefault(_time(record).replace(second=0, microsecond=0), []).append(record)
    return found.values()


def _once(objects: Iterable[bytes]) -> Iterator[bytes]:
    """Each object's lines, of those that are the same only the first. Of bytes, lines end where JSON Lines say, and not
    at every character that Unicode has for it."""
    known: set[int] = set()
    for data in objects:
        lines = data.splitlines()
        hashes = list(map(hash, lines))
        fresh = set(hashes)
        if len(fresh) < len(lines) or not fresh.isdisjoint(known):
            data = b"\n".join(line for line in dict.fromkeys(lines) if hash(line) not in known)  # noqa: PLW2901
        known |= fresh
        if data:
            yield data


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(record["time"]).astimezone(UTC)


def _key(kind: str, model: str, moment: datetime, rest: str = "") -> str:
    return f"{kind}/{model}/{moment:%Y/%m/%d/%H%M%S}{rest}"


def _minute(key: str) -> str:
    """`…/HHMM` of `…/HHMMSS-name.jsonl`."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name[:4]}"
