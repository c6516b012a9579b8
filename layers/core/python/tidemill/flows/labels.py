"""All labels of a model: those that came by HTTP, and those of the files that were dropped under `labels/{model}/`."""

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tidemill.aws.objects import Entry, Objects
from tidemill.flows.captures import Captures, is_ours
from tidemill.schema import Schema
from tidemill.stages.captured import Record
from tidemill.stages.label_file import MOST_ROWS, LabelFile, beyond, read_label_file
from tidemill.stages.labels import Labels, newest

LARGEST = 200_000_000
"""Bytes of a file of labels: every check reads it, for as long as it is new."""
_YEAR, _DAY = re.compile("[0-9]{4}"), re.compile("[0-9]{4}/[0-9]{2}/[0-9]{2}")


@dataclass(frozen=True)
class Found:
    """`files`: the newest first."""

    labels: Labels
    files: list[LabelFile]


def read_labels(model: str, schema: Schema, start: datetime, now: datetime, objects: Objects) -> Found:
    """Those that came in [start, now), whatever their own time."""
    files: list[LabelFile] = []
    dropped = sorted(_dropped(f"labels/{model}/", start, now, objects), key=lambda one: one.modified, reverse=True)
    by_http = Captures(objects).read("labels", model, start, now)
    records = chain(by_http, _records(dropped, model, schema, objects, files))
    return Found(newest(records, now.astimezone(UTC).isoformat()), files)


def _records(
    entries: Iterable[Entry], model: str, schema: Schema, objects: Objects, files: list[LabelFile]
) -> Iterator[Record]:
    """One after the other; `files` gets what became of each."""
    left = MOST_ROWS
    with TemporaryDirectory() as folder:
        for entry in entries:
            file = yield from _read(entry, model, schema, Path(folder) / "labels", objects, left)
            files.append(file)
            left -= file.used


def _dropped(prefix: str, start: datetime, now: datetime, objects: Objects) -> Iterator[Entry]:
    """Files that people dropped since the start, into folders of ours too, where of the days only those from the start
    on are looked into: any day may have thousands of objects."""
    first, last = f"{start.astimezone(UTC):%Y/%m/%d}", f"{now.astimezone(UTC):%Y/%m/%d}"

    def passed(folder: str) -> bool:
        return bool(_DAY.fullmatch(folder)) and not first <= folder <= last

    for entry in objects.entries(prefix, but=passed):
        if (entry.size or not _marks(entry.key)) and entry.modified >= start and not is_ours(entry.key):
            yield entry


def _marks(key: str) -> bool:
    """A folder, or that one is whole, as tools that write many files do with an empty object: `_SUCCESS`."""
    name = key.rpartition("/")[2]
    return not name or name.startswith(("_", ".")) or name.endswith("_$folder$")


def _read(
    entry: Entry, model: str, schema: Schema, path: Path, objects: Objects, most: int
) -> Generator[Record, None, LabelFile]:
    name = entry.key.removeprefix(f"labels/{model}/")
    if _YEAR.fullmatch(name.partition("/")[0]):
        misplaced = (
            f"it is not read: folders named by a year are for labels that come by HTTP; put it under labels/{model}/"
        )
        return LabelFile(name, problems=[misplaced])
    if entry.size > LARGEST:
        too_large = f"{entry.size:,} bytes are more than the {LARGEST:,} that a check reads: drop it in parts"
        return LabelFile(name, problems=[too_large])
    if not most:
        return LabelFile(name, problems=[beyond("its rows")])
    objects.download(entry.key, path)
    return (yield from read_label_file(path, name, schema, entry.modified, most))
