"""Evidently's default preset on the tables of `tests.bench.drift_power` and `tests.bench.drift_speed`, in an
environment of its own: `python tests/bench/drift_peer.py FOLDER`.

The folder has reference-0.npz, window-0.npz and so on: numbers as they are, categories as codes beside
`names:{column}`.
Prints one JSON line: columns found drifted of each pair, seconds, and peak memory in bytes.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently import Report
    from evidently.presets import DataDriftPreset


def table(path: Path) -> pd.DataFrame:
    with np.load(path) as arrays:
        columns = {}
        for name in arrays.files:
            if name.startswith("names:"):
                continue
            values = arrays[name]
            if f"names:{name}" in arrays:
                values = np.array([*arrays[f"names:{name}"], None], dtype=object)[values]
            columns[name] = values
        return pd.DataFrame(columns)


def _seconds() -> float:
    """As `tests.bench.quiet` counts them, on two cores."""
    return max(time.thread_time(), time.process_time() / 2)


def main(folder: Path, seconds: float) -> None:
    """As many pairs as take so long, three at least where there are so many."""
    found: list[int] = []
    spent = 0.0
    warnings.simplefilter("ignore")
    while (path := folder / f"window-{len(found)}.npz").exists() and (spent < seconds or len(found) < 3):
        window, reference = table(path), table(folder / f"reference-{len(found)}.npz")
        begun = _seconds()
        said = Report([DataDriftPreset()]).run(window, reference).dict()
        spent += _seconds() - begun
        first = said["metrics"][0]
        if not first["metric_name"].startswith("DriftedColumnsCount"):
            raise SystemExit(f"the preset's first metric is {first['metric_name']}, and was DriftedColumnsCount")
        found.append(int(first["value"]["count"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"drifted": found, "seconds": spent, "peak": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else float("inf"))
