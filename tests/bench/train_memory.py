"""Peak memory and time of Train: `python -m tests.bench.train_memory [ROWS …]`, by default 1 and 3 million.

Each candidate is a process of its own that does what its function does, from reading the data set to storing the
graph: one setting, cross-validated and fitted on all rows where the spec's seconds suffice. The table is generated:
20 columns, two classes. Peak memory grows with the matrix, `peak = base + factor * matrix`; from that follows the
largest matrix that a function can train on.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tests.bench import quiet, stored
from tidemill.flows.prepare import LARGEST_MATRIX
from tidemill.spec import CANDIDATES

ROWS = (1_000_000, 3_000_000)
SECONDS = 840
FUNCTION = 10_240 * 2**20
"""Bytes of the largest function."""
SPEC = 'target = "bought"\n[train]\ntrials = 1\nseconds = {seconds}\n'
FEW_TREES = "[train.forest]\ntrees = {trees}\n[train.boosting]\nmax_iter = {trees}\n"
_PIECE = 250_000


def write_csv(path: Path, rows: int) -> None:
    """14 numbers, two of them with gaps, a flag, 4 columns of 6 categories and one of 400."""
    names = np.array([f"city {i:03d}" for i in range(400)])
    with path.open("wb") as file:
        for start in range(0, rows, _PIECE):
            n = min(_PIECE, rows - start)
            rng = np.random.default_rng(start)
            numbers, codes = rng.normal(0, 1, (n, 14)).astype(np.float32), rng.integers(0, 6, (n, 4))
            city = (rng.random(n) ** 2 * len(names)).astype(int)
            signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.sin(city) + (codes[:, 0] == 2)
            columns = {
                **{f"number {place}": pa.array(numbers[:, place], mask=_gaps(rng, n, place)) for place in range(14)},
                "flag": rng.random(n) < 0.4,
                **{f"kind {place}": names[codes[:, place]] for place in range(4)},
                "city": names[city],
                "bought": signal + rng.logistic(0, 1, n) > 1,
            }
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="needed")
            pyarrow.csv.write_csv(pa.table(columns), file, options)


def _gaps(rng: np.random.Generator, rows: int, place: int) -> Any:
    return rng.random(rows) < (0.1 if place < 2 else 0.0)


def run(candidate: str, folder: Path) -> dict[str, Any]:
    now = partial(quiet.seconds, len(os.sched_getaffinity(0)))
    begun = now()
    made = stored.trained(candidate, folder, now)
    document = json.loads((folder / made.prefix / "candidate.json").read_text())
    return {
        "seconds": now() - begun,
        "peak": quiet.peak(),
        "rows": document["rows"],
        "judged": max(trial["rows"] for trial in document["trials"]),
        "score": made.score,
    }


def main(sizes: list[int], candidates: list[str], spec: str) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    print(
        f"{'':<10}{'rows':>11}{'matrix MB':>11}{'judged on':>12}{'fitted on':>12}{'seconds':>9}{'peak MB':>9}{'AUC':>7}"
    )
    for rows in sizes:
        with TemporaryDirectory() as name:
            folder = Path(name)
            write_csv(folder / "visits.csv", rows)
            stored.prepare(folder / "visits.csv", spec, folder)
            (folder / "visits.csv").unlink()
            matrix = stored.matrix_bytes(folder)
            for candidate in candidates:
                command = [sys.executable, "-m", "tests.bench.train_memory", "--run", candidate, name]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                result = json.loads(done.stdout)
                found[candidate].append((matrix, result["peak"]))
                print(
                    f"{candidate:<10}{rows:>11,}{matrix / 1e6:>11,.0f}{result['judged']:>12,}{result['rows']:>12,}"
                    f"{result['seconds']:>9.0f}{result['peak'] / 1e6:>9,.0f}{result['score']:>7.3f}",
                    flush=True,
                )
    for candidate, points in found.items() if len(sizes) > 1 else ():
        factor, base = linear_regression(*zip(*points, strict=True))
        largest, needed = (FUNCTION - base) / factor, base + factor * LARGEST_MATRIX
        print(
            f"{candidate}: peak = {base / 1e6:,.0f} MB + {factor:.1f} × matrix. {FUNCTION / 1e6:,.0f} MB are enough "
            f"for a matrix of {largest / 1e6:,.0f} MB; the largest allowed, {LARGEST_MATRIX / 1e6:,.0f} MB, "
            f"takes {needed / 1e6:,.0f} MB."
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", type=int, default=list(ROWS))
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--candidates", nargs="*", default=list(CANDIDATES))
    parser.add_argument("--trees", type=int, help="for a quick run: memory hardly depends on them")
    parser.add_argument("--run", nargs=2, metavar=("CANDIDATE", "FOLDER"))
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.run[0], Path(arguments.run[1]))))
    else:
        few = FEW_TREES.format(trees=arguments.trees) if arguments.trees else ""
        main(arguments.rows, arguments.candidates, SPEC.format(seconds=arguments.seconds) + few)
