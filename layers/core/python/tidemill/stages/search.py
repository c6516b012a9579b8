"""Successive halving: all settings on few rows, the better ones on four times as many, the best on all of them.

What the last step and the fit that serves will take is known from fewer rows, and kept for them from the first. Where
there is not time enough, they get fewer trees, then fewer rows; the rows that judge stay the same, so that candidates
can be compared whatever each had time for.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tidemill.stages.folds import Places, TrainingSide, folds
from tidemill.stages.metrics import Metric
from tidemill.stages.recipes import Course, Recipe, course, fit
from tidemill.stages.spaces import Params

Clock = Callable[[], float]
Array = npt.NDArray[np.float64]

FIRST_ROWS = {"boosting": 16_000}
FIRST_ROWS_OF_OTHERS = 4_000
STEP = 4
_FEWEST_OF_A_CLASS = 60
"""On the first rung, where there are so many: fewer tell no setting from another."""
_MOST_CELLS, _FEWEST_ROWS = 1_000_000, 500
_FEWEST_KEPT = 2
_SLOWER = 1.5
"""More rows take more than their share of time: boosting grows more trees on them."""
_OVERHEAD = 15_000.0
"""What a tree of histogram boosting costs besides its rows, in rows, until it is measured: on 58,678 rows it took 4.5
times as long as on 1,600."""
_FOREST_GROWTH = 0.9
"""Power of the rows that a forest's seconds grow by: 1,600 to 58,678 rows took 17 times as long."""
_UNJUDGED = 100
"""Boosting's trees where no fold could be judged: scikit-learn's own number."""
_ENOUGH_TREES = 100
"""Boosting learns from fewer rows before it has fewer trees than these."""
_PROBE = 5
"""Trees by which boosting's pace is measured."""
_LEAST_SECONDS = 1e-6
_FIRST_SHARE = 0.25
"""Of the time: what judging the first setting on the first of several rungs may take."""
_EXPORT, _EXPORT_SHARE, _MOST_OF_EXPORT = 4.0, 0.1, 0.4
"""Seconds for what comes after the last fit, and the share of all of them: 2,700 trees take 4 s to export."""


@dataclass(frozen=True)
class Trial:
    """One point of the search: fold scores in the metric's own unit, learned from folds of so many rows."""

    params: Params
    scores: tuple[float, ...]
    rows: int


@dataclass(frozen=True)
class Judged:
    """A recipe's cross-validation on a draw of `drawn` rows, of which it learned from `rows` and was judged by all.

    `grown` is the recipe with the trees that its folds found; `answers` has what was said of which rows, for each fold
    that could be judged; `seconds` were taken by fits on `fitted` rows in all, which grew `trees` at most. A tree costs
    as much as `overhead` rows besides its rows.
    """

    recipe: Recipe
    grown: Recipe
    drawn: int
    rows: int
    scores: tuple[float, ...]
    answers: tuple[tuple[Places, Array], ...]
    seconds: float
    fitted: int
    trees: int
    overhead: float = _OVERHEAD

    def gain(self, measure: Metric) -> float:
        gain = measure.gain(mean_score(self.scores))
        return gain if gain == gain else float("-inf")

    def seconds_to_fit(self, rows: int) -> float:
        """What one fit is expected to take, by the pace that the recipe had on other rows."""
        more = _SLOWER if rows > self.rows else 1.0
        return more * self.seconds_of_one * self._work(rows) / self._work(self.rows_of_one)

    def seconds_to_judge(self, side: TrainingSide) -> float:
        return sum(self.seconds_to_fit(len(fit_places)) for fit_places, _ in folds(side))

    def rows_to_fit(self, share: float, rows: int) -> int:
        """So many of the rows take that share of the time that all of them would."""
        work = share * self._work(rows)
        if self.recipe.candidate == "boosting":
            return max(int(work - self.overhead), 0)
        return int(math.pow(work, 1 / self._growth))

    def trees_in(self, share: float) -> int:
        """How many trees there are in that share of the time in which as many grow as are expected of more rows."""
        return int(_SLOWER * share * self.trees)

    @property
    def seconds_of_one(self) -> float:
        return max(self.seconds / max(len(self.answers), 1), _LEAST_SECONDS)

    @property
    def rows_of_one(self) -> float:
        return max(self.fitted / max(len(self.answers), 1), 1.0)

    def _work(self, rows: float) -> float:
        return self.overhead + rows if self.recipe.candidate == "boosting" else math.pow(rows, self._growth)

    @property
    def _growth(self) -> float:
        return _FOREST_GROWTH if self.recipe.candidate == "forest" else 1.0


@dataclass(frozen=True)
class Found:
    """`stopped`: what was left out and why, empty where nothing was."""

    best: Judged
    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]
    stopped: str


def search(recipes: Sequence[Recipe], side: TrainingSide, measure: Metric, seconds_left: Clock) -> Found:
    """The best of the recipes, the first one of equals; judged by all rows if any time is left for it."""
    return _Search(side, measure, seconds_left, seconds_left()).run(recipes)


@dataclass
class _Search:
    side: TrainingSide
    measure: Metric
    seconds_left: Clock
    started: float
    overhead: float = _OVERHEAD
    stopped: list[str] = field(default_factory=list)

    def run(self, recipes: Sequence[Recipe]) -> Found:
        steps = rungs(self.side, recipes[0].candidate)
        waiting: list[tuple[Recipe, Judged | None]] = [(recipe, None) for recipe in recipes]
        best: list[Judged] = []
        trials: list[Trial] = []
        for rows in steps:
            level = self._level(waiting, self.side.sample(rows), best)
            if len(level) < len(waiting) and not self.stopped:
                self.stopped.append(f"time ran out after {len(level)} of {len(waiting)} settings on {rows:,} rows")
            trials += [Trial(one.grown.params, one.scores, one.rows) for one in level]
            best = self._ranked(level) or best
            waiting = self._onward(level or best, default=recipes[0])
        return Found(best[0], tuple(trials), steps, "; ".join(self.stopped))

    def _onward(self, level: Sequence[Judged], default: Recipe) -> list[tuple[Recipe, Judged | None]]:
        """The better ones. How large boosting's trees may be depends on the rows, of which there were few: its defaults
        go on in any case, and come first."""
        kept = self._ranked(level)[: max(len(level) // STEP, _FEWEST_KEPT)]
        if default.trees:
            kept = [one for one in level if one.recipe is default] + [one for one in kept if one.recipe is not default]
        return [(one.recipe, one) for one in kept]

    def _level(
        self, waiting: Sequence[tuple[Recipe, Judged | None]], sample: TrainingSide, best: Sequence[Judged]
    ) -> list[Judged]:
        """Those of the settings that there is time for, beside what the best of them needs in the end."""
        last = len(sample) == len(self.side)
        level: list[Judged] = []
        for recipe, before in waiting:
            known = before or max(level, key=lambda one: one.seconds, default=None)
            if known is None:
                level.append(self._first(recipe, sample))
                continue
            if last and not level:
                level.append(self._last(known))
                continue
            leader = self._ranked(level or best)[0]
            kept = leader.seconds_to_fit(len(self.side)) + (0 if last else leader.seconds_to_judge(self.side))
            if known.seconds_to_judge(sample) > self._left() - kept:
                break
            level.append(self._judge(recipe, sample))
        return level

    def _first(self, recipe: Recipe, sample: TrainingSide) -> Judged:
        """Of boosting no more trees than there is time for, and its pace on all rows."""
        if recipe.trees is None:
            return self._judge(recipe, sample)
        pace, several = self._pace(recipe, sample), len(sample) < len(self.side)
        parts = [len(fit_places) for fit_places, _ in folds(sample)] + ([] if several else [len(sample)])
        seconds = self._left() * (_FIRST_SHARE if several else 1) - len(parts) * pace.setup
        judged = self._bounded(recipe, int(seconds / (pace.tree * sum(parts) / len(sample))), sample)
        if several and judged.answers:
            whole = self._pace(recipe, self.side)
            longer = max((whole.setup + judged.trees * whole.tree) / judged.seconds_of_one, 1.01)
            self.overhead = max((len(self.side) - longer * judged.rows_of_one) / (longer - 1), 0.0)
        return replace(judged, overhead=self.overhead)

    def _last(self, before: Judged) -> Judged:
        """On all rows, with fewer trees or fewer rows where this and the fit that serves would take more than is
        left."""
        needed = before.seconds_to_judge(self.side) + before.seconds_to_fit(len(self.side))
        share = max(self._left(), 0) / needed
        if not before.recipe.trees:
            return self._judge(before.recipe, self.side, self._rows(before, share))
        trees = max(before.trees_in(share), min(_ENOUGH_TREES, before.trees))
        share *= _SLOWER * before.trees / trees
        return self._bounded(before.recipe, trees, self.side, self._rows(before, share))

    def _rows(self, before: Judged, share: float) -> int | None:
        """That there is time for; None for all."""
        rows = max(before.rows_to_fit(share, len(self.side)), before.rows)
        return rows if share < 1 and rows < len(self.side) else None

    def _bounded(self, recipe: Recipe, trees: int, side: TrainingSide, rows: int | None = None) -> Judged:
        """Boosting with so many trees at most."""
        bounded = recipe.at_most(trees)
        judged = self._judge(bounded, side, rows)
        if bounded != recipe and len(side) == len(self.side) and judged.trees == trees:
            self.stopped.append(f"time was left for {trees:,} trees")
        return replace(judged, recipe=recipe)

    def _judge(self, recipe: Recipe, side: TrainingSide, rows: int | None = None) -> Judged:
        judged = judge(recipe, side, self.measure, self.seconds_left, rows)
        return replace(judged, overhead=self.overhead)

    def _pace(self, recipe: Recipe, side: TrainingSide) -> "_Pace":
        """Of boosting on so many rows."""
        taken = []
        for trees in (1, 1 + _PROBE):
            started = self.seconds_left()
            fit(recipe.grown(trees), side)
            taken.append(started - self.seconds_left())
        tree = max((taken[1] - taken[0]) / _PROBE, _LEAST_SECONDS)
        return _Pace(max(taken[0] - tree, 0.0), tree)

    def _left(self) -> float:
        return self.seconds_left() - kept_for_export(self.started)

    def _ranked(self, judged: Sequence[Judged]) -> list[Judged]:
        return sorted(judged, key=lambda one: one.gain(self.measure), reverse=True)


@dataclass(frozen=True)
class _Pace:
    """Seconds before the first of boosting's trees, and for each of them."""

    setup: float
    tree: float


def kept_for_export(seconds: float) -> float:
    return max(min(_EXPORT, _MOST_OF_EXPORT * seconds), _EXPORT_SHARE * seconds)


def rungs(side: TrainingSide, candidate: str) -> tuple[int, ...]:
    """How many rows each step has, the last one all. A rare class makes the first longer, many columns make it shorter;
    boosting's is longer, since fewer rows would take it hardly less time."""
    first = FIRST_ROWS.get(candidate, FIRST_ROWS_OF_OTHERS)
    first = max(min(first, _MOST_CELLS // side.matrix.shape[1]), _FEWEST_ROWS)
    if side.schema.task != "regression":
        rarest = np.unique(side.target, return_counts=True)[1].min()
        first = max(first, min(math.ceil(_FEWEST_OF_A_CLASS * len(side) / rarest), STEP * first))
    steps = []
    while first * 1.5 < len(side):
        steps.append(first)
        first *= STEP
    return (*steps, len(side))


def judge(
    recipe: Recipe,
    side: TrainingSide,
    measure: Metric,
    seconds_left: Clock,
    rows: int | None = None,
    splits: Iterable[tuple[Places, Places]] | None = None,
) -> Judged:
    """Learning from `rows` of the side, where that is said; by its `folds`, or by other `splits`. A fold without rows
    of some class to learn from has no score."""
    started = seconds_left()
    courses: list[tuple[Places, Course] | None] = []
    fitted = 0
    for fit_places, judge_places in splits or folds(side):
        part = side.take(fit_places)
        if rows:
            part = part.sample(len(part) * rows // len(side))
        if side.schema.task != "regression" and len(np.unique(part.target)) < len(side.schema.classes):
            courses.append(None)
            continue
        courses.append((judge_places, course(recipe, part, side.take(judge_places))))
        fitted += len(part)
    trees = _best_stage([fold for fold in courses if fold], side, measure)
    answers = [(places, _after(said, trees)) for places, said in filter(None, courses)]
    judged = iter([measure.bind(side.target[places], said)(None) for places, said in answers])
    scores = tuple(next(judged) if fold else float("nan") for fold in courses)
    grown = recipe.grown(trees or min(max(_UNJUDGED, recipe.trees[0]), recipe.trees[1])) if recipe.trees else recipe
    return Judged(
        recipe=recipe,
        grown=grown,
        drawn=len(side),
        rows=rows or len(side),
        scores=scores,
        answers=tuple(answers),
        seconds=started - seconds_left(),
        fitted=fitted,
        trees=max((said.trees for _, said in filter(None, courses)), default=0),
    )


def _best_stage(courses: Sequence[tuple[Places, Course]], side: TrainingSide, measure: Metric) -> int:
    """The number of trees that suits all folds together best; a fold that stopped before keeps what it said last."""
    gains = [
        {trees: measure.gain(measure.bind(side.target[places], said)(None)) for trees, said in fold.stages()}
        for places, fold in courses
    ]
    best, best_gain = 0, float("-inf")
    for trees in sorted({trees for fold in gains for trees in fold}):
        gain = mean_score([fold[max((n for n in fold if n <= trees), default=min(fold))] for fold in gains])
        if gain > best_gain:
            best, best_gain = trees, gain
    return best


def _after(course: Course, trees: int) -> Array:
    """What was said after so many trees, or at the end of a course that is shorter."""
    numbered = course.stages()
    _, said = next(numbered)
    for number, answers in numbered:
        if number > trees:
            break
        said = answers
    return said


def mean_score(scores: Sequence[float]) -> float:
    """Mean over the folds that could be judged, in the metric's own unit; NaN when none could."""
    judged = [score for score in scores if score == score]
    return float(np.mean(judged)) if judged else float("nan")
