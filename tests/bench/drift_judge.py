"""Evidently's default preset as a judge of tables, in an environment and a process of its own."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.bench.pinned import environment
from tidemill.schema import Levels
from tidemill.stages.window import Values

_PINNED = Path(__file__).with_name("drift.txt")


class Judged(NamedTuple):
    """How many columns drifted, in how many seconds, and the bytes of memory that the process had at most so far."""

    drifted: int
    seconds: float
    peak: int


Judge = Callable[[Path], Judged]


def installed() -> Path:
    return environment(_PINNED, "Evidently (a minute or two)")


@contextmanager
def evidently(python: Path, *only: str) -> Iterator[Judge]:
    """Judges a folder with what `save` has put there as "reference" and "window", one after another; by the `only`
    thing it is asked for, "verdict", in a fraction of the time."""
    command = [str(python), "-m", "tests.bench.drift_peer", *only]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked, answers = process.stdin, process.stdout
        assert asked
        assert answers

        def judge(folder: Path) -> Judged:
            print(folder, file=asked, flush=True)
            answer = answers.readline()
            if not answer:
                raise SystemExit(f"{' '.join(command)} ended before it had judged {folder}; it says above why")
            return Judged(**json.loads(answer))

        yield judge


def save(path: Path, columns: Mapping[str, Values]) -> None:
    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, Levels):
            arrays |= {name: values.codes, f"names:{name}": np.array(values.names)}
        else:
            arrays[name] = values
    np.savez(path, **arrays)
