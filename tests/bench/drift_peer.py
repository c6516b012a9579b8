"""Evidently's default preset on tables of `tests.bench.drift_judge`, in an environment of its own:
`python -m tests.bench.drift_peer [verdict]`.

Each line of its input is a folder with reference.npz and window.npz: numbers as they are, categories as codes beside
`names:{column}`. For each it prints one line of JSON: columns found drifted, seconds, and its peak of memory in bytes.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.bench import quiet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently import Report
    from evidently.legacy.renderers.base_renderer import DEFAULT_RENDERERS
    from evidently.presets import DataDriftPreset

CORES = 2


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


class Verdict(DataDriftPreset):  # type: ignore[misc]
    """What the preset says of the table, by its first metric: the others find the same again, column by column."""

    def generate_metrics(self, context: Any) -> list[Any]:
        return list(super().generate_metrics(context)[:1])

    def render(self, *_: Any) -> list[Any]:
        return []


def draw_nothing() -> None:
    """Its pictures judge nothing, and take most of the time."""
    for renderer in DEFAULT_RENDERERS.typed_renderers.values():
        renderer.render_html = lambda _: []


def judged(folder: Path, preset: type[DataDriftPreset]) -> dict[str, float]:
    window, reference = table(folder / "window.npz"), table(folder / "reference.npz")
    begun = quiet.seconds(CORES)
    said = Report([preset()]).run(window, reference).dict()
    seconds = quiet.seconds(CORES) - begun
    first = said["metrics"][0]
    if not first["metric_name"].startswith("DriftedColumnsCount"):
        raise SystemExit(f"the preset's first metric is {first['metric_name']}, and was DriftedColumnsCount")
    return {"drifted": int(first["value"]["count"]), "seconds": seconds, "peak": quiet.peak()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = DataDriftPreset
    if sys.argv[1:] == ["verdict"]:
        draw_nothing()
        chosen = Verdict
    for line in sys.stdin:
        print(json.dumps(judged(Path(line.rstrip("\n")), chosen)), flush=True)
