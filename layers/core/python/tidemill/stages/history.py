"""How much history a candidate learns from: all rows, or those of one of the newest spans alone.

Each is judged on the same rows, the newest ones. Old rows stay unless it is surely better to learn without them: by
luck alone a few new rows should not take the place of many old ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.errors import TrainingFailed
from tidemill.stages.bootstrap import paired_difference
from tidemill.stages.folds import FEWEST_ROWS, SEED, Places, TrainingSide, newest_folds
from tidemill.stages.metrics import Metric, or_none
from tidemill.stages.search import Clock, Judged, judge, mean_score

CONFIDENCE = 0.975
"""One-sided, that a span alone is better than all rows: over all spans, which share the error evenly (Bonferroni)."""
SHARE = 0.3
"""Of a candidate's time, kept for this where there are spans."""
_OF_ALL_ROWS = 0.5
"""Of that: what all rows may take. The spans add up to as many at most."""

Array = npt.NDArray[np.float64]
Splits = Sequence[tuple[Places, Places]]


@dataclass(frozen=True)
class Option:
    """To learn from the rows with a recency of `level` or more, 0 being all. `score` is the mean over the folds, in the
    metric's own unit; `lower` bounds the gain over learning from all rows, which has none itself."""

    level: int
    rows: int
    score: float
    lower: float | None

    def to_json(self) -> dict[str, Any]:
        lower = None if self.lower is None else or_none(self.lower)
        return {"level": self.level, "rows": self.rows, "score": or_none(self.score), "lower": lower}


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
            "confidence": CONFIDENCE,
            "options": [option.to_json() for option in self.options],
        }


def compete(best: Judged, side: TrainingSide, measure: Metric, seconds_left: Clock) -> History | None:
    """The best recipe, taught with more and more history while there is time; None where there are no spans, no time,
    or where the newest rows cannot judge.

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
    found = [(Option(0, len(side), mean_score(whole.scores), None), whole)]
    if math.isnan(found[0][0].score):
        return None
    for level in range(side.spans, 0, -1):
        splits = [*newest_folds(side, level)]
        if sum(best.seconds_to_fit(len(fit)) for fit, _ in splits) > seconds_left():
            break
        try:
            alone = judge(recipe, side, measure, seconds_left, splits=splits)
        except TrainingFailed:
            # Of an own estimator, which all rows are enough for.
            continue
        if not _of_the_same_rows(alone, whole):
            continue
        lower = _lower(alone, whole, side, measure)
        found.append((Option(level, len(side.since(level)), mean_score(alone.scores), lower), alone))
    surely = [each for each in found[1:] if each[0].lower is not None and each[0].lower > 0]
    chosen, judged = max(surely, key=lambda each: measure.gain(each[0].score), default=found[0])
    return History(tuple(option for option, _ in found), chosen, _within(judged, side, chosen.level))


def _rows_in_time(best: Judged, side: TrainingSide, splits: Splits, seconds: float) -> int:
    """How many of all rows can be learned from."""
    share = seconds / max(sum(best.seconds_to_fit(len(fit)) for fit, _ in splits), 1e-9)
    return min(best.rows_to_fit(min(share, 1), len(side)), best.rows)


def _of_the_same_rows(one: Judged, other: Judged) -> bool:
    """Whether both could be judged by the same folds."""
    return [places.tolist() for places, _ in one.answers] == [places.tolist() for places, _ in other.answers]


def _lower(alone: Judged, whole: Judged, side: TrainingSide, measure: Metric) -> float:
    truth = np.concatenate([side.target[places] for places, _ in whole.answers])
    one, other = _said(alone), _said(whole)
    confidence = 1 - (1 - CONFIDENCE) / side.spans
    return paired_difference(measure, truth, one, other, seed=SEED, confidence=confidence).lower


def _said(judged: Judged) -> Array:
    return np.concatenate([said for _, said in judged.answers])


def _within(judged: Judged, side: TrainingSide, level: int) -> Judged:
    """By places among the rows of that level."""
    if not level or side.recency is None:
        return judged
    among = np.cumsum(side.recency >= level) - 1
    rows = int(among[-1]) + 1
    answers = tuple((among[places], said) for places, said in judged.answers)
    return replace(judged, answers=answers, drawn=rows, rows=rows)
