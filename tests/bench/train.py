"""Train against scikit-learn and FLAML on public tables: `python -m tests.bench.train [--seconds S] [--tables NAME …]`.

Tidemill goes its whole way: a file, Prepare, the three candidates of the pipeline's Map, the best of them by
cross-validation, and its ONNX graph on the held-out rows. The peers get the same rows as typed columns:
HistGradientBoosting with its defaults, and FLAML for the same seconds on the same cores. Those are S a table: FLAML has
them at once, Tidemill's candidates a third each, one after the other, since FLAML too divides its time among learners.
All of them search by the area under the ROC curve, the log loss or the squared error.

A point is 0.01 of the area under the ROC curve (two classes), of the accuracy (more) or of R².
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.bench import environments, quiet, stored
from tests.bench.public import TABLES, Public
from tidemill.aws.datasets import StoredDataset
from tidemill.spec import CANDIDATES
from tidemill.stages.bootstrap import PairedDifference, paired_difference
from tidemill.stages.metrics import METRICS
from tidemill.stages.onnx_model import OnnxModel

SECONDS = 60
POINT = 0.01
PEERS = ("hist", "flaml")
PINNED = Path(__file__).with_name("train.txt")
# Threads that wait for each other would else spin, and take the time of those they wait for.
ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "passive"}
_JUDGED_BY = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}
_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Result:
    """`scores` and `seconds` by name, Tidemill's candidates among them; `gap` is to the better peer."""

    table: str
    rows: int
    held_out: int
    columns: int
    task: str
    scores: Mapping[str, float]
    seconds: Mapping[str, float]
    chosen: str
    better: str
    gap: PairedDifference

    @property
    def within(self) -> bool:
        return self.gap.difference >= -POINT

    @property
    def ahead(self) -> bool:
        return self.gap.difference > 0


def judge(table: Public, python: Path, folder: Path, seconds: int) -> Result:
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    upload = folder / "upload.csv"
    table.read(packages).dropna(subset=table.target).to_csv(upload, index=False)
    stored.prepare(upload, table.spec(seconds // len(CANDIDATES)), folder)
    data, cores = stored.dataset(folder), len(os.sched_getaffinity(0))
    measure = METRICS[_JUDGED_BY[data.schema.task]]
    truth = data.target[data.held_out]
    made = {
        name: _subprocess([sys.executable, "-m", "tests.bench.train", "--run", name, folder]) for name in CANDIDATES
    }
    answers = {
        name: OnnxModel(Path(one["graph"]).read_bytes()).predict(data.matrix[data.held_out])
        for name, one in made.items()
    }
    chosen = max(made, key=lambda name: made[name]["score"])
    _write_rows(data, folder)
    for name in PEERS:
        made[name] = _subprocess([python, "-m", "tests.bench.peers", name, folder, seconds, cores])
        answers[name] = np.load(folder / f"{name}.npy")
    scores = {name: measure.bind(truth, said)(None) for name, said in answers.items()}
    better = max(PEERS, key=lambda name: scores[name])
    gap = paired_difference(measure, truth, answers[chosen], answers[better], seed=1, confidence=0.975, resamples=1_000)
    return Result(
        table=table.name,
        rows=len(data.target),
        held_out=len(truth),
        columns=len(data.schema.features),
        task=data.schema.task,
        scores=scores,
        seconds={name: one["seconds"] for name, one in made.items()},
        chosen=chosen,
        better=better,
        gap=gap,
    )


def run(candidate: str, folder: Path) -> dict[str, Any]:
    now = partial(quiet.seconds, len(os.sched_getaffinity(0)))
    begun = now()
    made = stored.trained(candidate, folder, now)
    return {"seconds": now() - begun, "score": made.score, "graph": str(folder / made.prefix / "model.onnx")}


def _subprocess(command: Sequence[object]) -> dict[str, Any]:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _write_rows(data: StoredDataset, folder: Path) -> None:
    """For the peers: numbers with NaN for gaps, categories as codes and their names."""
    frame = stored.accepted(folder)
    arrays: dict[str, npt.NDArray[Any]] = {"target": data.target, "held_out": data.held_out}
    columns: list[tuple[str, list[str] | None]] = []
    for column in data.schema.columns:
        if column.role != "feature":
            continue
        values, names = frame[column.name], None
        if column.kind == "categorical":
            levels = values.astype("category").cat
            values, names = levels.codes, [str(name) for name in levels.categories]
        arrays[f"column{len(columns)}"] = values.to_numpy(np.int32 if names else np.float64, na_value=np.nan)
        columns.append((column.name, names))
    np.savez(folder / "rows.npz", allow_pickle=False, **arrays)
    (folder / "rows.json").write_text(json.dumps({"task": data.schema.task, "columns": columns}))


def report(results: Sequence[Result]) -> bool:
    """The tables, and whether the promise holds."""
    names = [*CANDIDATES, "tidemill", *PEERS]
    print(f"{'':<14}{'rows':>8}{'held out':>10}{'columns':>9}  {'score':<9}{''.join(f'{name:>10}' for name in names)}")
    for one in results:
        scores = {**one.scores, "tidemill": one.scores[one.chosen]}
        print(
            f"{one.table:<14}{one.rows:>8,}{one.held_out:>10,}{one.columns:>9}  {one.gap.metric:<9}"
            + "".join(f"{scores[name]:>10.4f}" for name in names)
        )
    print(f"\n{'seconds':>65}\n{'':<14}{'chosen':<10}{'against':<9}{'points':>7}  {'95 % interval':<17}", end="")
    print("".join(f"{name:>10}" for name in ("tidemill", *PEERS)))
    for one in results:
        low, high = (100 * (one.gap.difference + side * _95 * one.gap.standard_error) for side in (-1, 1))
        seconds = {**one.seconds, "tidemill": sum(one.seconds[name] for name in CANDIDATES)}
        print(
            f"{one.table:<14}{one.chosen:<10}{one.better:<9}{100 * one.gap.difference:>+7.2f}  "
            f"{f'{low:+.2f} to {high:+.2f}':<17}{''.join(f'{seconds[name]:>10.0f}' for name in ('tidemill', *PEERS))}"
            f"  {'more than a point below' if not one.within else 'ahead' if one.ahead else 'within a point'}"
        )
    below, ahead = [one.table for one in results if not one.within], sum(one.ahead for one in results)
    holds = not below and 2 * ahead > len(results)
    print(
        f"\nAhead of the better peer on {ahead} of {len(results)} tables, more than a point below it on "
        f"{', '.join(below) or 'none'}: the promise {'holds' if holds else 'does not hold'}."
    )
    return holds


def main(names: Sequence[str], seconds: int) -> int:
    python = environments.python(PINNED, "FLAML and the tables' packages").absolute()
    results = []
    for table in [table for table in TABLES if not names or table.name in names]:
        with TemporaryDirectory() as folder:
            results.append(judge(table, python, Path(folder), seconds))
        told = ", ".join(f"{name} {score:.4f}" for name, score in results[-1].scores.items())
        print(f"{table.name}: {told}; {results[-1].chosen} was chosen", file=sys.stderr, flush=True)
    return 0 if report(results) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--tables", nargs="+", default=[], choices=[table.name for table in TABLES], metavar="NAME")
    parser.add_argument("--run", nargs=2, metavar=("CANDIDATE", "FOLDER"))
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.run[0], Path(arguments.run[1]))))
    else:
        sys.exit(main(arguments.tables, arguments.seconds))
