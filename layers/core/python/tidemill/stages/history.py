"""How much history a candidate learns from: all rows, or those of one of the newest spans alone.

Each is judged on the same rows, the newest ones; on a short span all settings compete, since few rows want simpler
models than all of them. Old rows stay unless it is better to learn without them by more than one standard error, all
rows being the simplest choice (Breiman et al., Classification and Regression Trees, 1984, 3.4.3). A span that was taken
by luck alone costs a candidate and not a champion: the gate judges it, with a confidence of its own, on rows that
nobody has seen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidemill.errors import TrainingFailed
from tidemill.stages.bootstrap import paired_difference
from tidemill.stages.folds import FEWEST_ROWS, SEED, Places, TrainingSide, newest_folds
from tidemill.stages.metrics import Metric, or_none
from tidemill.stages.recipes import Recipe
from tidemill.stages.search import Clock, Judged, judge, mean_score

ERRORS = 1.0
"""Standard errors that a span must be better by."""
SHARE = 0.3
"""Of a candidate's time, kept for this where there are spans."""
_OF_ALL_ROWS = 0.5
"""Of that: what all rows may take. The spans add up to as many at most."""
_FEW = 0.1
"""Of all rows: a span of no more has other settings than the best on all of them, in the time that is left."""
_SLOWER = 2.0
"""Other settings take so much more time than the best ones, of which it is known, until one has taken even more."""
_RESAMPLES = 500

Splits = Sequence[tuple[Places, Places]]


@dataclass(frozen=True)
class Option:
    """To learn from the rows with a recency of `level` or more, 0 being all. `score` is the mean over the folds, in the
    metric's own unit, of the best of so many `settings`; `gain` the mean over the folds of what is gained over learning
    from all rows, with its standard `error`. All rows have neither."""

    level: int
    rows: int
    score: float
    settings: int = 1
    gain: float | None = None
    error: float | None = None

    @property
    def better_than_all(self) -> bool:
        return self.gain is not None and self.error is not None and self.gain > ERRORS * self.error

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "rows": self.rows,
            "score": or_none(self.score),
            "settings": self.settings,
            "gain": None if self.gain is None else or_none(self.gain),
            "error": None if self.error is None else or_none(self.error),
        }


@dataclass(frozen=True)
class History:
    """All rows are the first option. `judged` is the chosen one's cross-validation by the newest rows, with places
    among the rows that are learned from."""

    options: tuple[Option, ...]
    chosen: Option
    judged: Judged

    def to_json(self) -> dict[str, Any]:
        return {
            "chosen": self.chosen.level,
            "errors": ERRORS,
            "options": [option.to_json() for option in self.options],
        }


def compete(
    best: Judged, recipes: Sequence[Recipe], side: TrainingSide, measure: Metric, seconds_left: Clock
) -> History | None:
    """The best recipe, taught with more and more history while there is time, and then the other `recipes` on the
    spans; None where there are no spans, no time, or where the newest rows cannot judge.

    `seconds_left` is what may be used here. Of all rows as many are taken as there is time for.
    """
    if not side.spans or seconds_left() <= 0:
        return None
    recipe = best.recipe.at_most(best.trees)
    splits = [*newest_folds(side, 0)]
    rows = _rows_in_time(best, side, splits, _OF_ALL_ROWS * seconds_left())
    if rows < FEWEST_ROWS:
        return None
    whole = judge(recipe, side, measure, seconds_left, rows, splits)
    if math.isnan(mean_score(whole.scores)):
        return None
    options = [(Option(0, len(side), mean_score(whole.scores)), whole)]
    others = [one.at_most(best.trees) for one in recipes if one.params != best.recipe.params]
    for level, judged in _of_spans(recipe, others, best, side, measure, seconds_left).items():
        comparable = [one for one in judged if _of_the_same_rows(one, whole)]
        if comparable:
            leader = max(comparable, key=lambda one: one.gain(measure))
            told = side.rows_since(level), mean_score(leader.scores), len(comparable)
            options.append((Option(level, *told, *_gained(leader, whole, side, measure)), leader))
    better = [each for each in options if each[0].better_than_all]
    chosen, judged_best = max(better, key=lambda each: measure.gain(each[0].score), default=options[0])
    return History(tuple(option for option, _ in options), chosen, _within(judged_best, side, chosen.level))


def _of_spans(
    recipe: Recipe, others: Sequence[Recipe], best: Judged, side: TrainingSide, measure: Metric, seconds_left: Clock
) -> dict[int, list[Judged]]:
    """By level, what there was time for."""
    found: dict[int, list[Judged]] = {}
    slower = 1.0
    for level, other, seconds in _turns(others, best, side):
        if other:
            slower = max(slower, _SLOWER)
        if slower * seconds > seconds_left():
            continue
        try:
            judged = judge(other or recipe, side, measure, seconds_left, splits=[*newest_folds(side, level)])
        except TrainingFailed:
            # Of an own estimator, which all rows are enough for.
            continue
        found.setdefault(level, []).append(judged)
        if other:
            slower = max(slower, judged.seconds / seconds)
    return found


def _turns(others: Sequence[Recipe], best: Judged, side: TrainingSide) -> Iterator[tuple[int, Recipe | None, float]]:
    """(level, another recipe than the best or None, seconds that the best is expected to take), the shortest span
    first."""
    levels = range(side.spans, 0, -1)
    seconds = {level: sum(best.seconds_to_fit(len(fit)) for fit, _ in newest_folds(side, level)) for level in levels}
    few = [level for level in levels if side.rows_since(level) <= _FEW * len(side)]
    yield from ((level, None, seconds[level]) for level in levels)
    yield from ((level, other, seconds[level]) for level in few for other in others)


def _rows_in_time(best: Judged, side: TrainingSide, splits: Splits, seconds: float) -> int:
    """How many of all rows can be learned from."""
    share = seconds / max(sum(best.seconds_to_fit(len(fit)) for fit, _ in splits), 1e-9)
    return min(best.rows_to_fit(min(share, 1), len(side)), best.rows)


def _of_the_same_rows(one: Judged, other: Judged) -> bool:
    """Whether both could be judged by the same folds."""
    return [places.tolist() for places, _ in one.answers] == [places.tolist() for places, _ in other.answers]


def _gained(alone: Judged, whole: Judged, side: TrainingSide, measure: Metric) -> tuple[float, float]:
    """Fold by fold, since what models of different rows say is not of one scale; of the folds that can tell."""
    found = [
        paired_difference(measure, side.target[places], one, other, seed=SEED, confidence=0.5, resamples=_RESAMPLES)
        for (places, one), (_, other) in zip(alone.answers, whole.answers, strict=True)
    ]
    known = [each for each in found if math.isfinite(each.difference + each.standard_error)]
    if not known:
        return math.nan, math.nan
    error = float(np.linalg.norm([each.standard_error for each in known])) / len(known)
    return float(np.mean([each.difference for each in known])), error


def _within(judged: Judged, side: TrainingSide, level: int) -> Judged:
    """By places among the rows of that level."""
    if not level or side.recency is None:
        return judged
    among = np.cumsum(side.recency >= level) - 1
    rows = int(among[-1]) + 1
    answers = tuple((among[places], said) for places, said in judged.answers)
    return replace(judged, answers=answers, drawn=rows, rows=rows)
