"""Tables whose laws are known: drawn as rows, or at once as what a check counts of so many rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, pdtr

from tidemill.profile import LevelsProfile, NumericProfile, Profile, profile
from tidemill.schema import Levels
from tidemill.stages.window import Categories, Numbers, Seen, Values, Window

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Number:
    """Drawn from `law`, then `times` it and `shift` on top."""

    law: str
    shift: float = 0.0
    times: float = 1.0
    missing: float = 0.0
    kind: str = "numeric"

    def draw(self, rng: np.random.Generator, rows: int) -> Array:
        match self.law:
            case "normal":
                drawn = rng.normal(size=rows)
            case "log-normal":
                drawn = np.exp(rng.normal(size=rows))
            case "zeros":
                drawn = np.where(rng.random(rows) < 0.7, 0.0, rng.normal(size=rows))
            case "counts":
                drawn = rng.poisson(2, rows).astype(np.float64)
            case _:
                drawn = rng.normal(size=rows).round(1)
        drawn = drawn * self.times + self.shift
        return np.where(rng.random(rows) < self.missing, math.nan, drawn) if self.missing else drawn

    def share(self, at: Array, *, below: bool = False) -> Array:
        """P(value <= each point), or < it."""
        x = (at - self.shift) / self.times
        match self.law:
            case "normal":
                found = ndtr(x)
            case "log-normal":
                found = ndtr(np.log(np.maximum(x, 1e-300)))
            case "zeros":
                found = 0.3 * ndtr(x) + 0.7 * (x > 0 if below else x >= 0)
            case "counts":
                reached = np.ceil(x - 1e-9) - 1 if below else np.floor(x + 1e-9)
                found = np.where(reached < 0, 0.0, pdtr(np.maximum(reached, 0), 2))
            case _:
                tenth = np.ceil(10 * x - 1e-6) - 1 if below else np.floor(10 * x + 1e-6)
                found = ndtr((tenth + 0.5) / 10)
        return np.asarray(found, dtype=np.float64)

    def cells(self, reference: NumericProfile) -> Array:
        """P(value in each cell); see `of_cells`."""
        edges = reference.bins.edges
        reached = np.column_stack([self.share(edges, below=True), self.share(edges)]).ravel()
        return np.maximum(np.diff(reached, prepend=0.0, append=1.0), 0.0)


@dataclass(frozen=True)
class Category:
    """`levels` with shares as 1 / rank^skew; `moved` of all rows go from the second half to the first level."""

    levels: int
    skew: float
    moved: float = 0.0
    missing: float = 0.0
    kind: str = "categorical"

    @cached_property
    def shares(self) -> Array:
        shares = np.arange(1, self.levels + 1) ** -self.skew
        shares /= shares.sum()
        half = self.levels // 2
        shares[half:] *= 1 - self.moved / shares[half:].sum()
        shares[0] += self.moved
        return np.asarray(shares)

    @cached_property
    def reached(self) -> Array:
        return np.append(np.cumsum(self.shares)[:-1], 1.0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f"level {place}" for place in range(self.levels))

    def draw(self, rng: np.random.Generator, rows: int) -> Levels:
        codes = np.searchsorted(self.reached, rng.random(rows), "right").astype(np.int32)
        if self.missing:
            codes[rng.random(rows) < self.missing] = -1
        return Levels(codes, self.names)

    def count(self, rng: np.random.Generator, rows: int, reference: LevelsProfile) -> Categories:
        present = rng.binomial(rows, 1 - self.missing)
        drawn = dict(zip(self.names, rng.multinomial(present, self.shares).tolist(), strict=True))
        seen = LevelsProfile(rows, rows - present, {name: n for name, n in drawn.items() if n}, 0, self.kind)
        return Categories(seen, np.array([drawn[name] for name in reference.counts], dtype=np.int64))


Law = Number | Category
MIX: Sequence[Law] = (
    Number("normal"), Number("log-normal"), Number("zeros"), Category(10, 1.0), Number("normal", missing=0.1),
    Number("counts"), Category(2, 2.0), Number("rounded"), Category(100, 1.0), Number("log-normal", missing=0.3),
    Number("normal"), Category(5, 0.0), Category(100, 0.0), Number("rounded", missing=0.02), Category(20, 2.0),
    Number("zeros"), Category(30, 1.0, missing=0.05), Number("log-normal"), Category(2, 5.0), Number("normal"),
)  # fmt: skip
"""Normal, log-normal, heavy ties, categories of 2 to 100 levels, and values that are missing."""


@dataclass(frozen=True)
class World:
    """With `tie`, the correlation of c0 and c4 in rows; all else is independent."""

    laws: Mapping[str, Law]
    tie: float = 0.0

    @classmethod
    def of(cls, columns: int) -> "World":
        return cls({f"c{place}": law for place, law in enumerate(islice(cycle(MIX), columns))})

    @property
    def kinds(self) -> Mapping[str, str]:
        return {name: law.kind for name, law in self.laws.items()}

    @property
    def encoded(self) -> tuple[str, ...]:
        return tuple(f"{law.kind}:{name}" for name, law in self.laws.items())

    def changed(self, name: str, **how: Any) -> "World":
        return replace(self, laws={**self.laws, name: replace(self.laws[name], **how)})

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, Values]:
        columns: dict[str, Values] = {name: law.draw(rng, rows) for name, law in self.laws.items()}
        if self.tie:
            first, other = np.asarray(columns["c0"]), np.asarray(columns["c4"])
            columns["c4"] = self.tie * first + math.sqrt(1 - self.tie**2) * other
        return columns

    def profile(self, columns: Mapping[str, Values]) -> Profile:
        return profile(columns, self.kinds)

    def counted(self, reference: Profile) -> "Counted":
        numbers = {name: column for name, column in reference.columns.items() if isinstance(column, NumericProfile)}
        cells = {name: cast("Number", self.laws[name]).cells(column) for name, column in numbers.items()}
        return Counted(self, reference, cells)


@dataclass(frozen=True)
class Counted:
    """A world as a check against one reference counts it. `cells`: P(value in each), by column of numbers."""

    world: World
    reference: Profile
    cells: Mapping[str, Array]

    def draw(self, rng: np.random.Generator, rows: int) -> Window:
        """What a check counts of so many rows, without them."""
        columns: dict[str, Seen] = {}
        for name, law in self.world.laws.items():
            before: Any = self.reference.columns[name]
            if isinstance(law, Category):
                columns[name] = law.count(rng, rows, before)
            else:
                present = rng.binomial(rows, 1 - law.missing)
                columns[name] = of_cells(before, rows, rng.multinomial(present, self.cells[name]))
        return Window(rows, columns)


def matrix(columns: Mapping[str, Values]) -> npt.NDArray[np.float32]:
    codes = [values.codes if isinstance(values, Levels) else values for values in columns.values()]
    return np.column_stack(codes).astype(np.float32)


def of_cells(reference: NumericProfile, rows: int, cells: Counts) -> Numbers:
    """By turns the values between two edges of the reference and those that are on one, up to those beyond the last.

    The window's own profile, of which no test asks anything, has them at the edges.
    """
    reached = np.cumsum(cells)
    edges, present = reference.bins.edges, int(reached[-1])
    beyond = edges[-1] + max(edges[-1] - edges[0], 1.0) / 100
    counts = np.append(cells[:-1:2] + cells[1::2], cells[-1])
    seen = NumericProfile(
        rows, rows - present, 0, reference.mean, reference.variance, reference.min, beyond,
        (*reference.edges, beyond), tuple(counts.tolist()), (*reference.atoms, True),
    )  # fmt: skip
    return Numbers(seen, reached[1::2], reached[:-1:2][reference.bins.atoms], 0)
