"""A check of 1 million captured rows beside Evidently's default preset: `python -m tests.bench.drift_speed [--rows N]`.

30 columns: 20 numbers, of which 4 have gaps, and 10 categories of 20 levels. Ours begins with the captured JSON lines
as the bucket has them, one object a minute, and ends with the verdict; Evidently begins with both tables in memory.
Each run is a process of its own, with what it imports in its peak of memory. Seconds are those of a quiet machine
(`tests.bench.quiet`); ours are the median of three runs.
"""

import argparse
import json
import statistics
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from tests.bench.drift_check import MODEL, START
from tests.bench.drift_judge import evidently, installed, save
from tests.bench.folder import objects
from tests.bench.simulated import head, line
from tests.bench.worlds import Category, Number, World, matrix
from tidemill.flows.captures import Captures
from tidemill.schema import Column, Schema
from tidemill.stages.answers import answer_columns, profile_answers
from tidemill.stages.reference import Reference, learn_together

ROWS, FEW_ROWS, RUNS = 1_000_000, 10_000, 3
FASTER, SMALLER = 30, 5
SEED = 11
MINUTES = 1_440
_LAWS = ("normal", "log-normal", "rounded", "zeros")
WORLD = World(
    {f"number {i}": Number(_LAWS[i % 4], missing=0.1 if i < 4 else 0.0) for i in range(20)}
    | {f"level {i}": Category(20, 1.0) for i in range(10)}
)


def schema() -> Schema:
    features = [
        Column(name, cast("Any", law.kind), "feature", True, law.names if isinstance(law, Category) else ())
        for name, law in WORLD.laws.items()
    ]
    return Schema((*features, Column("bought", "boolean", "target")), "binary", ("false", "true"))


def capture(folder: Path, rows: int) -> int:
    """A day's predictions, as the function behind the endpoint's log keeps them; bytes."""
    rng = np.random.default_rng(SEED)
    captures = Captures(objects(folder))
    for minute in range(MINUTES):
        count = (minute + 1) * rows // MINUTES - minute * rows // MINUTES
        columns = {}
        for name, values in WORLD.draw(rng, count).items():
            law = WORLD.laws[name]
            if isinstance(law, Category):
                columns[name] = np.array(law.names, dtype=object)[cast("Any", values).codes].tolist()
            else:
                columns[name] = [None if value != value else value for value in cast("Any", values).round(6).tolist()]
        shares = rng.beta(2, 5, count).round(6).tolist()
        time = (START + timedelta(minutes=minute)).isoformat()
        records = [
            {
                "id": f"{minute}-{place}", "time": time, "version": 1, "row": dict(zip(columns, row, strict=True)),
                "prediction": share >= 0.5, "probabilities": {"false": 1 - share, "true": share},
            }
            for place, (share, *row) in enumerate(zip(shares, *columns.values(), strict=True))
        ]  # fmt: skip
        if records:
            captures.write("predictions", MODEL, "log", records)
    return sum(path.stat().st_size for path in folder.rglob("*.jsonl"))


def train(folder: Path, rows: int) -> None:
    """What a version keeps of so many training rows."""
    rng = np.random.default_rng([SEED, rows])
    columns = WORLD.draw(rng, rows)
    share = rng.beta(2, 5, 20_000).round(6)
    answers = answer_columns(schema(), np.column_stack([1 - share, share]), (share >= 0.5).astype(np.int64))
    together = learn_together(matrix(columns), np.ones(rows, dtype=np.bool_), schema(), (), ())
    reference = Reference(WORLD.profile(columns), profile_answers(answers), together)
    store = objects(folder)
    store.put_json(f"{rows}/profile.json", reference.features.to_json())
    store.put_json(f"{rows}/reference.json", reference.to_json())
    save(folder / f"{rows}.npz", columns)


def checked(folder: Path, of: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.drift_check", str(folder), of]
    found = [json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(RUNS)]
    return {**found[0], **{what: statistics.median(each[what] for each in found) for what in ("seconds", "peak")}}


def main(rows: int) -> int:
    python = installed()
    with TemporaryDirectory() as name:
        folder, peer = Path(name), Path(name, "peer")
        size = capture(folder, rows)
        objects(folder).put_json("schema.json", schema().to_json())
        peer.mkdir()
        save(peer / "window.npz", WORLD.draw(np.random.default_rng(SEED), rows))
        print(f"{rows:,} captured rows of {len(WORLD.laws)} columns, {size / 1e6:,.0f} MB of JSON lines\n")
        head("check", "training rows", "seconds", "peak MB", "verdict")
        ours: dict[str, Any] = {}
        for training in (FEW_ROWS, rows):
            train(folder, training)
            ours = checked(folder, str(training))
            if ours["rows"] != rows:
                raise SystemExit(f"{ours['rows']:,} of {rows:,} rows were read")
            line("Tidemill", f"{training:,}", f"{ours['seconds']:.1f}", f"{ours['peak'] / 1e6:,.0f}", ours["verdict"])
        (folder / f"{rows}.npz").rename(peer / "reference.npz")
        with evidently(python) as judge:
            other = judge(peer)
        drifted = f"{other.drifted} columns drifted"
        line("Evidently, default", f"{rows:,}", f"{other.seconds:.1f}", f"{other.peak / 1e6:,.0f}", drifted)
    faster, smaller = other.seconds / ours["seconds"], other.peak / ours["peak"]
    holds = faster >= FASTER and smaller >= SMALLER
    print(f"\n{'holds' if holds else 'FAILED'}: {faster:.0f} times as fast in 1/{smaller:.1f} of the memory", end="")
    print(f" (promised: {FASTER} times, 1/{SMALLER})")
    return 0 if holds else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    sys.exit(main(parser.parse_args().rows))
