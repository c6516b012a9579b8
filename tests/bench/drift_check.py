"""A check of one day in a folder, as the flow makes it: `python -m tests.bench.drift_check FOLDER REFERENCE`.

It imports what the function imports, and no more.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from tests.bench import quiet
from tests.bench.folder import objects
from tidemill.flows.captures import Captures
from tidemill.flows.window import WindowReader
from tidemill.schema import Schema
from tidemill.stages.drift import detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.reference import Reference

START, DAY = datetime(2026, 7, 1, tzinfo=UTC), timedelta(days=1)
MODEL = "bench"


def check(folder: Path, of: str) -> dict[str, Any]:
    now = partial(quiet.seconds, len(os.sched_getaffinity(0)))
    begun, store = now(), objects(folder)
    reference = Reference.from_json(store.get_json(f"{of}/profile.json"), store.get_json(f"{of}/reference.json"))
    reader = WindowReader(Captures(store), MODEL, 1, Schema.from_json(store.get_json("schema.json")))
    window = reader.read(START, START + DAY, reference, ())
    report = detect(window.compared)
    problems = feed_problems(reference.features, window.features)
    return {
        "seconds": now() - begun,
        "peak": quiet.peak(),
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
