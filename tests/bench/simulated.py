"""What benches of simulated trials share: trials spread over the cores, claims that are counted, shares with exact
intervals, and tables in Markdown."""

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from scipy.stats import beta

# glibc gives freed memory back at once, and each array of 10,000 rows then faults its pages in anew: twice the time.
WORKERS = {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_TOP_PAD_": "67108864", "OPENBLAS_NUM_THREADS": "1"}

Counts = TypeVar("Counts", bound=tuple[Any, ...])
"""Of integers, or of such tuples."""
Row = TypeVar("Row")
Made = TypeVar("Made", bound="Simulation")


class Claims:
    """Told as they are judged; those that failed are counted."""

    failed = 0

    def claim(self, sentence: str, *broken: str) -> None:
        self.failed += bool(broken)
        print(
            f"{'FAILED' if broken else 'holds'}: {sentence}{'; but ' + ', '.join(broken) if broken else ''}", flush=True
        )

    def end(self, begun: float) -> int:
        """The verdict, and the exit code; `begun` by the performance counter."""
        minutes, cores = (time.perf_counter() - begun) / 60, len(os.sched_getaffinity(0))
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        quiet = sum(each.ru_utime + each.ru_stime for each in used) / 60 / cores
        took = f"{minutes:.1f} minutes; the processor time is that of {quiet:.1f} on {cores} cores of its own"
        print(f"\n{f'{self.failed} claims FAILED' if self.failed else 'Every claim holds'} ({took}).")
        return 1 if self.failed else 0


class Simulation(Claims):
    """Spreads trials over the cores, `chunk` of them at a time."""

    chunk = 50

    def __init__(self, pool: ProcessPoolExecutor, trials: int) -> None:
        self.pool, self.trials = pool, trials

    def start(
        self, work: Callable[[Row, int, int], Counts], row: Row, trials: int | None = None
    ) -> Callable[[], Counts]:
        """`work` takes the row, the chunk's number, which seeds it, and how many trials it has."""
        trials = self.trials if trials is None else trials
        sizes = [min(self.chunk, trials - start) for start in range(0, trials, self.chunk)]
        chunks = [self.pool.submit(work, row, chunk, size) for chunk, size in enumerate(sizes)]
        return lambda: added([chunk.result() for chunk in chunks])


def added(parts: Sequence[Counts]) -> Counts:
    """Place by place."""
    kind: Any = type(parts[0])
    places = zip(*parts, strict=True)
    total: Counts = getattr(kind, "_make", kind)(added(p) if isinstance(p[0], tuple) else sum(p) for p in places)
    return total


def line(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def head(*cells: str) -> None:
    """Of a table."""
    line(*cells)
    line(*["---"] * len(cells))


def interval(hits: int, trials: int) -> tuple[float, float]:
    """Clopper & Pearson 1934, at 95 %."""
    low = float(beta.ppf(0.025, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def shown(hits: int, trials: int) -> str:
    """In %."""
    if not trials:
        return "-"
    low, high = interval(hits, trials)
    return f"{100 * hits / trials:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def main(
    kind: type[Made], parts: Mapping[str, Callable[[Made], None]], begin: Callable[[], None], about: str, trials: str
) -> None:
    """Ends with a verdict and its exit code. `begin` is called in each process, `trials` says what one is."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1_000, help=f"{trials}; 100 for a quick look")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    options = parser.parse_args()
    begun = time.perf_counter()
    os.environ.update(WORKERS)
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=begin) as pool:
        bench = kind(pool, options.trials)
        for part in options.parts:
            parts[part](bench)
    sys.exit(bench.end(begun))
