"""How often a check cries wolf, and what it misses: `python -m tests.bench.drift_power [--trials N] [--parts PART …]`.

Windows and references are drawn anew from columns of known laws (`tests.bench.worlds`), independent of each other,
which is where the correction over columns gives least away. Up to 1,000 rows windows are drawn as rows, beyond as what
a check counts of rows, which `tests/unit/test_drift.py` shows to be the same to every test. Windows of all sizes share
their references, which are independent of each other: so are a cell's trials, and not those of two cells. Shares come
with exact (Clopper-Pearson) 95 % intervals.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tests.bench.drift_judge import evidently, installed, save
from tests.bench.simulated import Simulation, added, head, interval, line, main, shown
from tests.bench.worlds import Counted, World, matrix
from tidemill.profile import Profile
from tidemill.spec import Monitor, Retrain
from tidemill.stages import drift
from tidemill.stages.drift import Compared, DriftReport, detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.retrain import Findings, triage
from tidemill.stages.together import FEWEST_WINDOW, Together, learn
from tidemill.stages.window import Window, count

SEED = 7
SIZES = (100, 300, 1_000, 10_000, 100_000)
WIDTHS = (5, 20, 100)
REFERENCES = (1_000, 5_000)
"""Rows of a reference, by turns."""
AS_ROWS = 1_000
"""Larger windows are drawn as counts."""
PROMISE, POWER = 0.01, 0.95
WINDOWS = 3
PEER_PART, PEER_SECONDS = 10, 0.75
"""One in so many trials beside Evidently, and so many seconds of its time for each."""
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Cell(NamedTuple):
    rows: int
    columns: int


CELLS = [Cell(*each) for each in product(SIZES, WIDTHS)]
TOGETHER_PART = {
    Cell(10_000, 5): 1, Cell(10_000, 20): 4, Cell(10_000, 100): 10,
    Cell(100_000, 5): 10, Cell(100_000, 20): 20, Cell(100_000, 100): 40,
}  # fmt: skip
"""One in so many trials is made where windows of many rows are drawn as rows."""
PLANTED_PART = {5: 2, 20: 2, 100: 4}
"""And of planted changes, by columns."""


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
    """A reference, and the world that windows against it are drawn from."""

    profile: Profile
    together: Together
    world: World

    @classmethod
    def of(cls, world: World, rng: np.random.Generator, rows: int) -> "Drawn":
        columns = world.draw(rng, rows)
        together = learn(matrix(columns), world.encoded)
        assert together
        return cls(world.profile(columns), together, world)

    @cached_property
    def counted(self) -> Counted:
        return self.world.counted(self.profile)

    def check(
        self, rng: np.random.Generator, rows: int, *, most_as_rows: float = AS_ROWS
    ) -> tuple[DriftReport, Window]:
        """Of a window that is drawn as counts the errors, which need rows, are not tested."""
        if rows > most_as_rows:
            window = self.counted.draw(rng, rows)
            return detect(Compared(self.profile, window)), window
        columns, usual = self.world.draw(rng, rows), self.together.profile
        window = count(self.profile, columns)
        errors = dict.fromkeys(usual.columns, self.together.errors(matrix(columns), self.world.encoded))
        tied = Compared(usual, count(usual, errors), "together", FEWEST_WINDOW)
        return detect([Compared(self.profile, window), tied]), window

    def broken(self, window: Window) -> set[str]:
        return {problem.column for problem in feed_problems(self.profile, window) if problem.broken}


def clean(columns: int, chunk: int, trials: int) -> tuple[Tally, ...]:
    """One of each size."""
    rng, found = np.random.default_rng([SEED, chunk, columns]), []
    for trial in range(trials):
        drawn = Drawn.of(World.of(columns), rng, REFERENCES[trial % len(REFERENCES)])
        found.append(tuple(_tally(drawn, rng, rows) for rows in SIZES))
    return added(found)


def _tally(drawn: Drawn, rng: np.random.Generator, rows: int) -> Tally:
    checks = [drawn.check(rng, rows) for _ in range(WINDOWS)]
    report, window = checks[0]
    verdicts = [check.verdict for check, _ in checks]
    return Tally(1, report.verdict == "drift", by_errors(report), bool(drawn.broken(window)), retrains(verdicts))


def by_errors(report: DriftReport) -> bool:
    return any(column.drifted for column in report.columns if column.of == "together")


def together(cell: Cell, chunk: int, trials: int) -> Tally:
    """Rows however many, for the test that counts alone cannot stand for."""
    rng, found = np.random.default_rng([SEED, 1, chunk, cell.rows, cell.columns]), []
    for trial in range(trials):
        drawn = Drawn.of(World.of(cell.columns), rng, REFERENCES[trial % len(REFERENCES)])
        report, _ = drawn.check(rng, cell.rows, most_as_rows=math.inf)
        found.append(Tally(1, report.verdict == "drift", by_errors(report)))
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
class Setting:
    """What shares references: changes of tables with so many columns, of which two are tied."""

    columns: int
    tie: float

    @property
    def plans(self) -> list[tuple[Change, int]]:
        return [(change, rows) for change in CHANGES if change.tie == self.tie for rows in change.rows]


def planted(setting: Setting, chunk: int, trials: int) -> tuple[Found, ...]:
    """One of each plan."""
    rng, found = np.random.default_rng([SEED, 2, chunk, setting.columns, round(100 * setting.tie)]), []
    world = World.of(setting.columns)
    for _ in range(trials):
        drawn = Drawn.of(replace(world, tie=setting.tie), rng, REFERENCES[-1])
        found.append(
            tuple(
                _found(replace(drawn, world=world.changed(change.name, **dict(change.how))), rng, change, rows)
                for change, rows in setting.plans
            )
        )
    return added(found)


def _found(moved: Drawn, rng: np.random.Generator, change: Change, rows: int) -> Found:
    """In the report by name (a broken correlation by the errors), or as a broken feed."""
    seen = []
    for _ in range(2):
        report, window = moved.check(rng, rows)
        told = by_errors(report) if change.tie else change.name in report.drifted
        seen.append(told or change.name in moved.broken(window))
    return Found(1, seen[0], any(seen))


class Peer(NamedTuple):
    """Of `windows` clean ones: those with a column that Evidently's default finds drifted, those where it is half of
    the columns, which is its verdict on the table, and those where ours finds drift."""

    windows: int = 0
    any_column: int = 0
    half: int = 0
    ours: int = 0


def beside(cell: Cell, python: Path, windows: int) -> Peer:
    """The same rows for both, against references of 5,000 rows; no new window once Evidently has had its time."""
    rng = np.random.default_rng([SEED, 3, cell.rows, cell.columns])
    world, found, spent = World.of(cell.columns), [Peer()], 0.0
    with TemporaryDirectory() as name, evidently(python, "verdict") as judge:
        while len(found) <= windows and spent < windows * PEER_SECONDS:
            reference, window = world.draw(rng, REFERENCES[-1]), world.draw(rng, cell.rows)
            save(Path(name, "reference.npz"), reference)
            save(Path(name, "window.npz"), window)
            theirs = judge(Path(name))
            spent += theirs.seconds
            profile = world.profile(reference)
            ours = detect(Compared(profile, count(profile, window)))
            found.append(Peer(1, theirs.drifted > 0, 2 * theirs.drifted >= cell.columns, ours.verdict == "drift"))
    return added(found)


class Bench(Simulation):
    chunk = 25

    def clean(self) -> None:
        print("\nClean windows, in % of references (95 % interval); three windows of each size share one\n")
        head("rows", "columns", "references", "drift", "of how columns go together", "broken feed", "retrain")
        running = {columns: self.start(clean, columns) for columns in reversed(WIDTHS)}
        done = {columns: dict(zip(SIZES, wait(), strict=True)) for columns, wait in running.items()}
        found = {cell: done[cell.columns][cell.rows] for cell in CELLS}
        for cell, tally in found.items():
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
            print(f"  over all cells: {100 * total[place] / total[0]:.2f} %")

    def one_in(self, trials: int) -> int:
        return max(1, self.trials // trials)

    def together(self) -> None:
        print("\nClean windows of many rows, with the test of how the columns go together, in %\n")
        head("rows", "columns", "windows", "drift", "of how columns go together")
        parts = TOGETHER_PART
        running = {cell: self.start(together, cell, self.one_in(parts[cell])) for cell in dearest(parts)}
        broken = []
        for cell in parts:
            tally = running[cell]()
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
        head("change", "rows", "columns", "references", "in the first window", "within two")
        ties = sorted({change.tie for change in CHANGES})
        settings = [Setting(columns, tie) for columns in reversed(WIDTHS) for tie in ties]
        running = {one: self.start(planted, one, self.one_in(PLANTED_PART[one.columns])) for one in settings}
        done = {
            (one.columns, *plan): found
            for one, wait in running.items()
            for plan, found in zip(one.plans, wait(), strict=True)
        }
        broken = []
        for change, rows, columns in ((c, rows, columns) for c in CHANGES for rows in c.rows for columns in WIDTHS):
            found = done[columns, change, rows]
            line(
                change.what, f"{rows:,}", f"{columns}", f"{found.references:,}",
                shown(found.at_once, found.references), shown(found.within_two, found.references),
            )  # fmt: skip
            if found.within_two < POWER * found.references:
                broken.append(
                    f"{change.what}, {named(Cell(rows, columns))} {shown(found.within_two, found.references)}"
                )
        print()
        self.claim(f"every change is found within two windows in {POWER:.0%} or more", *broken)

    def peer(self) -> None:
        python = installed()
        print(
            f"\nBeside Evidently's default preset on the same clean windows, {REFERENCES[-1]:,} rows of reference, in %"
        )
        windows = self.one_in(PEER_PART)
        print(f"(up to {windows} windows a cell, and no new one after {windows * PEER_SECONDS:.0f} s of its time)\n")
        head("rows", "columns", "windows", "Evidently: a column drifted", "half of them", "ours: drift")
        running = {cell: self.pool.submit(beside, cell, python, windows) for cell in dearest(CELLS)}
        for cell in CELLS:
            peer = running[cell].result()
            shares = (shown(hits, peer.windows) for hits in peer[1:])
            line(f"{cell.rows:,}", f"{cell.columns}", f"{peer.windows}", *shares)


def dearest(cells: Iterable[Cell]) -> list[Cell]:
    """First, so that no core is left alone with them in the end."""
    return sorted(cells, key=lambda cell: (cell.columns, cell.rows), reverse=True)


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
