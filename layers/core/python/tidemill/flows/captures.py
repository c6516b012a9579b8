"""What the endpoint captured: predictions as they were answered, labels as they came, joined by id."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from tidemill.aws.objects import Objects

Record = dict[str, Any]


@dataclass(frozen=True)
class Captures:
    """Objects are named `{kind}/{model}/{YYYY}/{MM}/{DD}/{time}-{request}.jsonl`, one JSON record a line."""

    objects: Objects

    def write(self, kind: str, model: str, moment: datetime, request: str, records: list[Record]) -> None:
        body = "\n".join(json.dumps(record, allow_nan=False) for record in records)
        self.objects.put(_key(kind, model, moment, request), body.encode(), "application/x-ndjson")

    def read(self, kind: str, model: str, start: datetime | None, end: datetime) -> Iterator[Record]:
        """Records whose time is in [start, end), in the order of arrival; from the beginning without a start."""
        prefix = f"{kind}/{model}/"
        # One second of slack: the name has whole seconds, the record has them exactly.
        after = _key(kind, model, start - timedelta(seconds=1), "") if start else ""
        last = _key(kind, model, end + timedelta(seconds=1), "")
        low, high = start.isoformat() if start else "", end.isoformat()
        keys = takewhile(lambda key: key < last, self.objects.keys(prefix, after))
        for data in self.objects.get_many(keys):
            for line in data.decode().splitlines():
                record = json.loads(line)
                if low <= record["time"] < high:
                    yield record

    def labels(self, model: str, start: datetime | None, end: datetime) -> dict[str, Any]:
        """The label of each id that came in [start, end), the newest where it came twice."""
        return {record["id"]: record["label"] for record in self.read("labels", model, start, end)}


def _key(kind: str, model: str, moment: datetime, request: str) -> str:
    return f"{kind}/{model}/{moment:%Y/%m/%d/%H%M%S}-{request}{'.jsonl' if request else ''}"
