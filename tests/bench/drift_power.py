"""How often a check cries wolf, and what it misses: `python -m tests.bench.drift_power [--trials N] [--parts PART …]`.

Windows and references are drawn anew from columns of known laws (`tests.bench.worlds`), independent of each other,
which is where the correction over columns gives least away. Up to 1,000 rows they are drawn as rows, beyond as what a
check counts of rows, which `tests/unit/test_drift.py` shows to be the same to every test. Shares come with exact
(Clopper-Pearson) 95 % intervals.
"""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tests.bench.pinned import environment
from tests.bench.simulated import Simulation, added, interval, line, main, shown
from tests.bench.worlds import World, matrix
from tidemill.profile import Profile
from tidemill.schema import Levels
from tidemill.spec import Monitor, Retrain
from tidemill.stages import drift
from tidemill.stages.drift import Compared, DriftReport, detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.retrain import Findings, triage
from tidemill.stages.together import FEWEST_WINDOW, Together, learn
from tidemill.stages.window import Values, Window, count

SEED = 7
SIZES = (100, 300, 1_000, 10_000, 100_000)
WIDTHS = (5, 20, 100)
REFERENCES = (1_000, 5_000)
"""Rows of a reference, by turns."""
AS_ROWS = 1_000
"""Larger windows are drawn as counts."""
PROMISE, POWER = 0.01, 0.95
WINDOWS = 3
PEER_WINDOWS, PEER_SECONDS = 100, 30.0
PINNED = Path(__file__).with_name("drift.txt")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cell:
    rows: int
    columns: int


class Tally(NamedTuple):
    """Of independent references: their first windows with drift, with drift of how the columns go together, and with
    a finding of a broken feed; and how many of them started a retrain within three windows."""

    references: int = 0
    drifted: int = 0
    together: int = 0
    broken: int = 0
    retrained: int = 0


@dataclass(frozen=True)
class Drawn:
    """A reference, and windows against it."""

    world: World
    profile: Profile
    together: Together | None

    @classmethod
    def of(cls, world: World, rng: np.random.Generator, rows: int, *, together: bool) -> "Drawn":
        columns = world.draw(rng, rows)
        return cls(world, world.profile(columns), learn(matrix(columns), world.encoded) if together else None)

    def check(self, rng: np.random.Generator, rows: int, world: World | None = None) -> tuple[DriftReport, Window]:
        """A window of `world`, of the reference's own by default."""
        world = world or self.world
        if rows > AS_ROWS and not self.together:
            window = world.count(rng, rows, self.profile)
            return detect(Compared(self.profile, window)), window
        columns = world.draw(rng, rows)
        window = count(self.profile, columns)
        return detect([Compared(self.profile, window), *self._errors(columns)]), window

    def _errors(self, columns: Mapping[str, Values]) -> list[Compared]:
        if not self.together:
            return []
        (name,) = self.together.profile.columns
        errors = {name: self.together.errors(matrix(columns), self.world.encoded)}
        return [Compared(self.together.profile, count(self.together.profile, errors), "together", FEWEST_WINDOW)]

    def broken(self, window: Window) -> bool:
        return any(problem.broken for problem in feed_problems(self.profile, window))


def clean(cell: Cell, chunk: int, trials: int) -> Tally:
    rng = np.random.default_rng([SEED, chunk, cell.rows, cell.columns])
    found = []
    for trial in range(trials):
        world = World.of(cell.columns)
        drawn = Drawn.of(world, rng, REFERENCES[trial % len(REFERENCES)], together=cell.rows <= AS_ROWS)
        checks = [drawn.check(rng, cell.rows) for _ in range(WINDOWS)]
        report, window = checks[0]
        together = any(column.drifted for column in report.columns if column.of == "together")
        verdicts = [check.verdict for check, _ in checks]
        counts = verdicts[0] == "drift", together, drawn.broken(window), retrains(verdicts)
        found.append(Tally(1, *counts))
    return added(found)


def together(cell: Cell, chunk: int, trials: int) -> Tally:
    """Rows however many, for the test that counts alone cannot stand for."""
    rng = np.random.default_rng([SEED, 1, chunk, cell.rows, cell.columns])
    found = []
    for trial in range(trials):
        drawn = Drawn.of(World.of(cell.columns), rng, REFERENCES[trial % len(REFERENCES)], together=True)
        report, _ = drawn.check(rng, cell.rows)
        by_errors = any(column.drifted for column in report.columns if column.of == "together")
        found.append(Tally(1, report.verdict == "drift", by_errors))
    return added(found)


def retrains(verdicts: Sequence[str]) -> bool:
    """Whether drift alone starts a retrain in one of these windows, each a day, when there is something to learn."""
    past: list[tuple[datetime, datetime, str]] = []
    for day, verdict in enumerate(verdicts):
        window = FIRST + day * DAY, FIRST + (day + 1) * DAY
        findings = Findings([], "insufficient_labels", "", verdict, "", 0, 1)
        if triage(findings, past, window, Monitor(), Retrain()).action == "retrain":
            return True
        past.insert(0, (*window, verdict))
    return False


class Found(NamedTuple):
    references: int = 0
    at_once: int = 0
    within_two: int = 0


@dataclass(frozen=True)
class Change:
    """What happens to column `name` of windows; `rows`: of windows where it is promised to be found."""

    what: str
    name: str
    how: tuple[tuple[str, float], ...]
    rows: tuple[int, ...]
    tie: float = 0.0
    """The correlation of c0 and c4 in the reference."""


CHANGES = (
    Change("shift of 0.5 sd", "c0", (("shift", 0.5),), (300, 1_000)),
    Change("shift of 0.25 sd", "c0", (("shift", 0.25),), (1_000, 10_000)),
    Change("spread × 1.5", "c0", (("times", 1.5),), (1_000, 10_000)),
    Change("10 points to one category", "c3", (("moved", 0.1),), (1_000, 10_000)),
    Change("missing 0 → 10 %", "c0", (("missing", 0.1),), (300, 1_000)),
    Change("unit × 10", "c1", (("times", 10.0),), (100, 300, 1_000)),
    Change("correlation 0.9 → 0", "c0", (), (1_000,), tie=0.9),
)


@dataclass(frozen=True)
class Planted:
    change: Change
    cell: Cell


def planted(plan: Planted, chunk: int, trials: int) -> Found:
    """Found: in the report by name (a broken correlation by the errors), or as a broken feed."""
    change, cell = plan.change, plan.cell
    rng = np.random.default_rng([SEED, 2, chunk, CHANGES.index(change), cell.rows, cell.columns])
    clean_world = World(World.of(cell.columns).laws, change.tie)
    moved = World.of(cell.columns).changed(change.name, **dict(change.how))
    found = []
    for _ in range(trials):
        drawn = Drawn.of(clean_world, rng, REFERENCES[-1], together=cell.rows <= AS_ROWS)
        seen = []
        for _ in range(2):
            report, window = drawn.check(rng, cell.rows, moved)
            names = [c.name for c in report.columns if c.drifted and (c.of == "together") == bool(change.tie)]
            seen.append(bool(names if change.tie else change.name in names) or _broken(drawn, window, change.name))
        found.append(Found(1, seen[0], any(seen)))
    return added(found)


def _broken(drawn: Drawn, window: Window, name: str) -> bool:
    return any(problem.broken and problem.column == name for problem in feed_problems(drawn.profile, window))


class Peer(NamedTuple):
    """Of `windows` clean ones: those with a column that Evidently's default finds drifted, those where it is half of
    the columns, which is its verdict on the table, and those where ours finds drift."""

    windows: int
    any_column: int
    half: int
    ours: int


def beside(cell: Cell, python: Path) -> Peer:
    """The same rows for both, against references of 5,000 rows."""
    rng = np.random.default_rng([SEED, 3, cell.rows, cell.columns])
    world, ours = World.of(cell.columns), []
    with TemporaryDirectory() as name:
        most = min(PEER_WINDOWS, max(3, 20_000_000 // (cell.rows * cell.columns)))
        for place in range(most):
            reference, window = world.draw(rng, REFERENCES[-1]), world.draw(rng, cell.rows)
            for what, columns in (("reference", reference), ("window", window)):
                save(Path(name, f"{what}-{place}.npz"), columns)
            profile = world.profile(reference)
            ours.append(detect(Compared(profile, count(profile, window))).verdict == "drift")
        drifted = judge_by_peer(python, Path(name), PEER_SECONDS)["drifted"]
    half = sum(2 * columns >= cell.columns for columns in drifted)
    return Peer(len(drifted), sum(columns > 0 for columns in drifted), half, sum(ours[: len(drifted)]))


def save(path: Path, columns: Mapping[str, Values]) -> None:
    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, Levels):
            arrays |= {name: values.codes, f"names:{name}": np.array(values.names)}
        else:
            arrays[name] = values
    np.savez(path, **arrays)


def judge_by_peer(python: Path, folder: Path, seconds: float) -> dict[str, Any]:
    script = Path(__file__).with_name("drift_peer.py")
    command = [str(python), str(script), str(folder), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


class Bench(Simulation):
    chunk = 25

    def clean(self) -> None:
        print("\nClean windows, in % of references (95 % interval); three windows share one\n")
        line("rows", "columns", "references", "drift", "of how columns go together", "broken feed", "retrain")
        line(*["---"] * 7)
        cells = [Cell(*each) for each in product(SIZES, WIDTHS)]
        running = {cell: self.start(clean, cell, self.trials) for cell in cells}
        found = {}
        for cell, wait in running.items():
            found[cell] = tally = wait()
            errors = shown(tally.together, tally.references) if cell.rows <= AS_ROWS else "see below"
            line(
                f"{cell.rows:,}", f"{cell.columns}", f"{tally.references:,}", shown(tally.drifted, tally.references),
                errors, *(shown(hits, tally.references) for hits in (tally.broken, tally.retrained)),
            )  # fmt: skip
        print()
        for what, place in (("drift is found", 1), ("the feed is called broken", 3), ("drift starts a retrain", 4)):
            self.claim(
                f"{what} in at most {PROMISE:.0%} of clean cases, whatever the rows and columns",
                *(f"{named(cell)} {shown(t[place], t[0])}" for cell, t in found.items() if above(t[place], t[0])),
            )
            total = added(list(found.values()))
            print(f"  over all cells: {shown(total[place], total[0])} %")

    def together(self) -> None:
        print("\nClean windows of many rows, with the test of how the columns go together, in %\n")
        line("rows", "columns", "windows", "drift", "of how columns go together")
        line(*["---"] * 5)
        plans = [
            (Cell(10_000, 5), self.trials),
            (Cell(10_000, 20), self.trials // 4),
            (Cell(100_000, 5), self.trials // 10),
        ]
        running = [(cell, self.start(together, cell, trials)) for cell, trials in plans]
        broken = []
        for cell, wait in running:
            tally = wait()
            line(
                f"{cell.rows:,}", f"{cell.columns}", f"{tally.references:,}",
                *(shown(hits, tally.references) for hits in (tally.drifted, tally.together)),
            )  # fmt: skip
            if above(tally.drifted, tally.references):
                broken.append(f"{named(cell)} {shown(tally.drifted, tally.references)}")
        print()
        self.claim(f"and in at most {PROMISE:.0%} with the errors of many rows", *broken)

    def planted(self) -> None:
        print(f"\nPlanted changes against references of {REFERENCES[-1]:,} rows, found in % (95 % interval)\n")
        line("change", "rows", "columns", "references", "in the first window", "within two")
        line(*["---"] * 6)
        plans = [Planted(c, Cell(rows, columns)) for c in CHANGES for rows in c.rows for columns in WIDTHS]
        running = {
            plan: self.start(planted, plan, self.trials // (10 if plan.cell.columns == 100 else 2)) for plan in plans
        }
        broken = []
        for plan, wait in running.items():
            found = wait()
            line(
                plan.change.what, f"{plan.cell.rows:,}", f"{plan.cell.columns}", f"{found.references:,}",
                shown(found.at_once, found.references), shown(found.within_two, found.references),
            )  # fmt: skip
            if found.within_two < POWER * found.references:
                broken.append(f"{plan.change.what}, {named(plan.cell)} {shown(found.within_two, found.references)}")
        print()
        self.claim(f"every change is found within two windows in {POWER:.0%} or more", *broken)

    def peer(self) -> None:
        python = environment(PINNED, "Evidently (a minute or two)")
        print(
            f"\nBeside Evidently's default preset on the same clean windows, {REFERENCES[-1]:,} rows of reference, in %"
        )
        print(f"(up to {PEER_WINDOWS} windows a cell, and no new one after {PEER_SECONDS:.0f} s of its time)\n")
        line("rows", "columns", "windows", "Evidently: a column drifted", "half of them", "ours: drift")
        line(*["---"] * 6)
        cells = [Cell(*each) for each in product(SIZES, WIDTHS)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for cell, peer in zip(cells, threads.map(lambda cell: beside(cell, python), cells), strict=True):
                shares = (shown(hits, peer.windows) for hits in peer[1:])
                line(f"{cell.rows:,}", f"{cell.columns}", f"{peer.windows}", *shares)


def draw_nothing() -> None:
    """A report's pictures judge nothing, and take a third of the time."""
    vars(drift)["_number_bins"] = vars(drift)["_level_bins"] = lambda *_: None


def above(hits: int, trials: int) -> bool:
    """Surely more often than promised."""
    return interval(hits, trials)[0] > PROMISE


def named(cell: Cell) -> str:
    return f"{cell.rows:,} rows of {cell.columns} columns:"


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "clean": Bench.clean,
    "together": Bench.together,
    "planted": Bench.planted,
    "evidently": Bench.peer,
}


if __name__ == "__main__":
    main(Bench, PARTS, draw_nothing, __doc__ or "", "references a cell")
