"""How good an estimate without labels is: `python -m tests.bench.estimate [--trials N]`, by default 200 windows a row.

Held-out rows and window are drawn anew each time. The model is overconfident, so that how far to believe it has to be
learned. What is asked: how often the measured value is within the estimate's limits, which say 95 %, and how often a
drop is estimated. Shares come with exact (Clopper-Pearson) 95 % intervals.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from tests.bench.simulated import head, line, shown
from tidemill.stages.estimate import estimate, learn
from tidemill.stages.metrics import METRICS, as_judged, dummy_prediction

SEED = 11
CHUNK = 20
CLASSIFIED = ("roc_auc", "average_precision", "accuracy", "f1", "log_loss", "brier")
MEASURED = ("rmse", "mae", "r2")
SIZES = ((500, 300), (2_000, 1_000))
"""Held-out rows and the window's."""
CHANGES = {
    "none": "nothing",
    "rows": "the rows: by 0.7 sd to where the model knows less",
    "hidden": "a column that decides and that the model does not have, by 0.7 sd",
    "concept": "what the rows mean: half of the model's direction",
}
THRESHOLD = 0.5

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    metric: str
    held_out: int
    window: int
    change: str


@dataclass(frozen=True)
class Found:
    estimated: int = 0
    covered: int = 0
    drops: int = 0
    error: float = 0.0

    def __add__(self, other: "Found") -> "Found":
        return Found(
            self.estimated + other.estimated,
            self.covered + other.covered,
            self.drops + other.drops,
            self.error + other.error,
        )


def classes(rows: int, change: str, rng: np.random.Generator) -> tuple[Array, Array]:
    seen, hidden = rng.normal(size=rows), rng.normal(size=rows)
    seen *= 0.5 if change == "rows" else 1.0
    seen -= 0.7 if change == "rows" else 0.0
    hidden += 0.7 if change == "hidden" else 0.0
    slope = 0.7 if change == "concept" else 1.4
    truth = rng.random(rows) < 1 / (1 + np.exp(-(slope * seen + 0.8 * hidden)))
    said = 1 / (1 + np.exp(-(2.0 * seen + 0.3)))
    return truth.astype(np.float64), np.column_stack([1 - said, said])


def numbers(rows: int, change: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """The error grows with the prediction."""
    seen, hidden = rng.normal(size=rows), rng.normal(size=rows)
    seen += 0.7 if change == "rows" else 0.0
    hidden += 0.7 if change == "hidden" else 0.0
    slope = 1.0 if change == "concept" else 2.0
    said = 2.0 * seen
    spread = np.exp(0.25 * said)
    return slope * seen + 0.7 * hidden + spread * rng.normal(size=rows) * 0.7, said


def judge(cell: Cell, seed: Sequence[int]) -> Found:
    rng = np.random.default_rng(seed)
    metric = METRICS[cell.metric]
    task = "regression" if cell.metric in MEASURED else "binary"
    draw = numbers if task == "regression" else classes
    truth, answers = draw(cell.held_out, "none", rng)
    table = learn(metric, task, truth, answers, THRESHOLD)
    dummy = metric.bind(truth, dummy_prediction(task, truth, len(truth), 2))(None)
    truth, answers = draw(cell.window, cell.change, rng)
    found = estimate(table, metric, answers, threshold=THRESHOLD, dummy=dummy, needed=100)
    if found.value is None or found.low is None or found.high is None:
        return Found()
    measured = metric.bind(truth, as_judged(metric, answers, THRESHOLD))(None)
    covered = found.low <= measured <= found.high
    return Found(1, covered, found.status == "estimated_drop", abs(found.value - measured))


def judge_some(cell: Cell, first: int, trials: int) -> Found:
    place = [*map(ord, cell.metric + cell.change), cell.held_out]
    return sum((judge(cell, [SEED, *place, trial]) for trial in range(first, first + trials)), Found())


def main(trials: int, metrics: Sequence[str]) -> int:
    begun = time.monotonic()
    cells = [
        Cell(metric, held_out, window, change)
        for change, (held_out, window), metric in product(CHANGES, SIZES, metrics)
        if change == "none" or (held_out, window) == SIZES[1]
    ]
    context = get_context("spawn")
    totals: dict[str, Found] = {change: Found() for change in CHANGES}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=context) as pool:
        rows = {
            cell: [
                pool.submit(judge_some, cell, first, min(CHUNK, trials - first)) for first in range(0, trials, CHUNK)
            ]
            for cell in cells
        }
        for change, what in CHANGES.items():
            print(f"\nWhat changed: {what}\n")
            head("metric", "held out, window", "estimated", "within 95 %", "mean error", "drop")
            for cell in (cell for cell in cells if cell.change == change):
                found = sum((one.result() for one in rows[cell]), Found())
                totals[change] += found
                mean = f"{found.error / found.estimated:.3g}" if found.estimated else "-"
                within, drops = shown(found.covered, found.estimated), shown(found.drops, trials)
                sizes = f"{cell.held_out:,}, {cell.window:,}"
                line(cell.metric, sizes, f"{found.estimated:,} of {trials:,}", within, mean, drops)
    quiet = totals["none"]
    windows = trials * sum(cell.change == "none" for cell in cells)
    print(
        f"\nWithout a change: within 95 % {shown(quiet.covered, quiet.estimated)}, drop {shown(quiet.drops, windows)}"
    )
    print(f"{time.monotonic() - begun:.0f} s")
    return int(quiet.drops >= 0.01 * windows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--metrics", nargs="+", default=[*CLASSIFIED, *MEASURED], choices=[*CLASSIFIED, *MEASURED])
    chosen = parser.parse_args()
    sys.exit(main(chosen.trials, chosen.metrics))
