"""All labels of a model: those that came by HTTP, and those of the files that were dropped under `labels/{model}/`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tidemill.aws.objects import Entry, Objects
from tidemill.flows.captures import Captures
from tidemill.schema import Schema
from tidemill.stages.label_file import LabelFile, read_label_file
from tidemill.stages.labels import Labels, newest

LARGEST = 200_000_000
"""Bytes of a file of labels: a check reads it whole, and every check for as long as it is new."""
_YEAR = re.compile("[0-9]{4}")


@dataclass(frozen=True)
class Found:
    labels: Labels
    files: list[LabelFile]


def read_labels(model: str, schema: Schema, start: datetime | None, now: datetime, objects: Objects) -> Found:
    """Those that came in [start, now), whatever their own time; from the beginning without a start."""
    with TemporaryDirectory() as folder:
        files = [
            _read(entry, model, schema, Path(folder) / "labels", objects)
            for entry in objects.entries(f"labels/{model}/", but=lambda name: bool(_YEAR.fullmatch(name)))
            if entry.size and (start is None or entry.modified >= start)
        ]
    by_http = Captures(objects).read("labels", model, start, now)
    records = chain(by_http, *(file.records for file in files))
    return Found(newest(records, now.astimezone(UTC).isoformat()), files)


def _read(entry: Entry, model: str, schema: Schema, path: Path, objects: Objects) -> LabelFile:
    name = entry.key.removeprefix(f"labels/{model}/")
    if entry.size > LARGEST:
        too_large = f"{entry.size:,} bytes are more than the {LARGEST:,} that a check reads: drop it in parts"
        return LabelFile(name, 0, [], [too_large])
    objects.download(entry.key, path)
    return read_label_file(path, name, schema, entry.modified)
