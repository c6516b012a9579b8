"""Successive halving: all settings on few rows, the better ones on four times as many, the best on all of them.

No step is begun that time would not suffice for: what it takes on more rows is known from fewer.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.stages.folds import Places, TrainingSide, folds
from tidemill.stages.metrics import Metric
from tidemill.stages.recipes import Course, Recipe, course
from tidemill.stages.spaces import Params

Clock = Callable[[], float]
Array = npt.NDArray[np.float64]

FIRST_ROWS = 4_000
STEP = 4
_FEWEST_OF_A_CLASS = 60
"""On the first rung, where there are so many: fewer tell no setting from another."""
_MOST_CELLS, _FEWEST_ROWS = 1_000_000, 500
_FEWEST_KEPT = 2
_SLOWER = 1.5
"""More rows take more than their share of time: boosting grows more trees on them."""
_GROWTH = {"boosting": 0.7, "forest": 0.9}
"""Power of the rows that the seconds of a fit grow by. Of few rows, trees cost by their leaves: 36 times the rows took
boosting 4.5 times as long and a forest 17 times (1,600 to 58,678 rows, five classes, thousands of categories)."""
_UNJUDGED = 100
"""Boosting's trees where no fold could be judged: scikit-learn's own number."""
_EXPORT, _EXPORT_SHARE = 3.0, 0.1
"""Seconds for what comes after the last fit, and the share of all of them: a large forest takes a while to export."""


@dataclass(frozen=True)
class Trial:
    """One point of the search: fold scores in the metric's own unit, on so many rows."""

    params: Params
    scores: tuple[float, ...]
    rows: int


@dataclass(frozen=True)
class Judged:
    """A recipe's cross-validation on so many rows. `grown` is the recipe with the trees that its folds found; `answers`
    has what was said of which rows, for each fold that could be judged; `seconds` were taken by fits on `fitted` rows
    in all."""

    recipe: Recipe
    grown: Recipe
    rows: int
    scores: tuple[float, ...]
    answers: tuple[tuple[Places, Array], ...]
    seconds: float
    fitted: int

    def gain(self, measure: Metric) -> float:
        gain = measure.gain(mean_score(self.scores))
        return gain if gain == gain else float("-inf")

    def seconds_to_fit(self, rows: int) -> float:
        """What one fit is expected to take, by the pace that the recipe had on fewer rows."""
        return _SLOWER * self._seconds_of_one * math.pow(rows / self._rows_of_one, self._growth)

    def seconds_to_judge(self, rows: int) -> float:
        return self._fits * self.seconds_to_fit(rows * self.fitted // self.rows // self._fits)

    def rows_to_fit(self, seconds: float) -> int:
        """How many rows one fit may have in so much time."""
        if seconds <= 0 or self._seconds_of_one <= 0:
            return 0 if seconds <= 0 else sys.maxsize
        rows = self._rows_of_one * math.pow(seconds / _SLOWER / self._seconds_of_one, 1 / self._growth)
        return int(min(rows, sys.maxsize))

    @property
    def _fits(self) -> int:
        return max(len(self.answers), 1)

    @property
    def _seconds_of_one(self) -> float:
        return self.seconds / self._fits

    @property
    def _rows_of_one(self) -> float:
        return max(self.fitted / self._fits, 1.0)

    @property
    def _growth(self) -> float:
        return _GROWTH.get(self.recipe.candidate, 1.0)


@dataclass(frozen=True)
class Found:
    """`stopped`: what was left out and why, empty where nothing was."""

    best: Judged
    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]
    stopped: str


def search(recipes: Sequence[Recipe], side: TrainingSide, measure: Metric, seconds_left: Clock) -> Found:
    """The best of the recipes, the first one of equals; judged on all rows if time suffices for it."""
    steps, started = rungs(side), seconds_left()
    waiting: list[tuple[Recipe, Judged | None]] = [(recipe, None) for recipe in recipes]
    best: list[Judged] = []
    trials: list[Trial] = []
    stopped = ""
    for rows in steps:
        last = rows == len(side)
        waiting = waiting[:1] if last and len(steps) > 2 else waiting
        sample, level = side.sample(rows), list[Judged]()
        for recipe, before in waiting:
            known = before or max(level, key=lambda one: one.seconds, default=None)
            left = seconds_left()
            # The steps up to the last have half the time; the last one leaves enough for the fit that serves.
            spare = left - (known.seconds_to_fit(rows) + kept_for_export(started) if known and last else started / 2)
            if known and known.seconds_to_judge(rows) > spare:
                stopped = stopped or f"time ran out after {len(level)} of {len(waiting)} settings on {rows:,} rows"
                break
            level.append(judge(recipe, sample, measure, seconds_left))
        trials += [Trial(one.grown.params, one.scores, rows) for one in level]
        best = sorted(level, key=lambda one: one.gain(measure), reverse=True) or best
        waiting = [(one.recipe, one) for one in best[: max(len(level) // STEP, _FEWEST_KEPT)]]
    return Found(best[0], tuple(trials), steps, stopped)


def kept_for_export(seconds: float) -> float:
    return max(_EXPORT, _EXPORT_SHARE * seconds)


def rungs(side: TrainingSide) -> tuple[int, ...]:
    """How many rows each step has, the last one all. A rare class makes the first longer; many columns make it shorter,
    and so do many classes, since boosting grows a tree for each."""
    trees = len(side.schema.classes) if side.schema.task == "multiclass" else 2
    first = max(2 * min(FIRST_ROWS, _MOST_CELLS // side.matrix.shape[1]) // trees, _FEWEST_ROWS)
    if side.schema.task != "regression":
        rarest = np.unique(side.target, return_counts=True)[1].min()
        first = max(first, min(math.ceil(_FEWEST_OF_A_CLASS * len(side) / rarest), STEP * first))
    steps = []
    while first * 1.5 < len(side):
        steps.append(first)
        first *= STEP
    return (*steps, len(side))


def judge(recipe: Recipe, side: TrainingSide, measure: Metric, seconds_left: Clock) -> Judged:
    """A fold without rows of some class to learn from has no score."""
    started = seconds_left()
    courses: list[tuple[Places, Course] | None] = []
    fitted = 0
    for fit_places, judge_places in folds(side):
        part = side.take(fit_places)
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
    return Judged(recipe, grown, len(side), scores, tuple(answers), started - seconds_left(), fitted)


def _best_stage(courses: Sequence[tuple[Places, Course]], side: TrainingSide, measure: Metric) -> int:
    """The number of trees that suits all folds together best; a fold that stopped before keeps what it said last."""
    gains = [
        {trees: measure.gain(measure.bind(side.target[places], said)(None)) for trees, said in stages()}
        for places, stages in courses
    ]
    best, best_gain = 0, float("-inf")
    for trees in sorted({trees for fold in gains for trees in fold}):
        gain = mean_score([fold[max((n for n in fold if n <= trees), default=min(fold))] for fold in gains])
        if gain > best_gain:
            best, best_gain = trees, gain
    return best


def _after(stages: Course, trees: int) -> Array:
    """What was said after so many trees, or at the end of a course that is shorter."""
    numbered = stages()
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
