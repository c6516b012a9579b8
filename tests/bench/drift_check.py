"""A check of one day in a folder, as the flow makes it: `python -m tests.bench.drift_check FOLDER REFERENCE`.

It imports what the function imports, and no more.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from tests.bench import quiet
from tidemill.aws.objects import Objects
from tidemill.flows.captures import Captures
from tidemill.flows.window import WindowReader
from tidemill.schema import Schema
from tidemill.stages.drift import detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.reference import Reference

START, DAY = datetime(2026, 7, 1, tzinfo=UTC), timedelta(days=1)
MODEL = "bench"


class Bucket(Objects):
    """A folder for a bucket."""

    def get(self, key: str, version_id: str = "") -> bytes:
        return Path(self.bucket, key).read_bytes()

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        path = Path(self.bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def keys(self, prefix: str, start_after: str = "") -> Iterator[str]:
        names = sorted(str(path.relative_to(self.bucket)) for path in Path(self.bucket, prefix).rglob("*.jsonl"))
        yield from (name for name in names if name > start_after)


def bucket(folder: Path) -> Bucket:
    return Bucket(cast("Any", None), str(folder))


def check(folder: Path, of: str) -> dict[str, Any]:
    now = partial(quiet.seconds, len(os.sched_getaffinity(0)))
    begun, store = now(), bucket(folder)
    reference = Reference.from_json(store.get_json(f"{of}/profile.json"), store.get_json(f"{of}/reference.json"))
    reader = WindowReader(Captures(store), MODEL, 1, Schema.from_json(store.get_json("schema.json")))
    window = reader.read(START, START + DAY, reference, ())
    report = detect(window.compared)
    problems = feed_problems(reference.features, window.features)
    return {
        "seconds": now() - begun,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rows": window.rows,
        "verdict": report.verdict,
        "problems": len(problems),
    }


class _NoPandas:
    """Arrow imports it where there is one, and the function has none."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


if __name__ == "__main__":
    sys.meta_path.insert(0, cast("Any", _NoPandas()))
    print(json.dumps(check(Path(sys.argv[1]), sys.argv[2])))
