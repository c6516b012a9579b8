"""How much history a candidate learns from: all rows, or those of one of the newest spans alone.

Each is judged on the same rows, the newest ones. Old rows stay unless it is surely better to learn without them: by
luck alone a few new rows should not take the place of many old ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.stages.bootstrap import paired_difference
from tidemill.stages.folds import SEED, TrainingSide, newest_folds
from tidemill.stages.metrics import Metric, or_none
from tidemill.stages.search import Clock, Judged, judge, mean_score

CONFIDENCE = 0.975
"""One-sided, that a span alone is better than all rows."""
SHARE = 0.3
"""Of a candidate's time, kept for this where there are spans."""

Array = npt.NDArray[np.float64]


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
    """`judged` is the chosen option's cross-validation, by the newest rows; all rows are the first option."""

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
    """The best recipe, taught with more and more history while there is time; None where there are no spans, or where
    the newest rows cannot judge.

    `seconds_left` is what may be used here. All rows are judged in any case, as many of them as `best` had time for, so
    that candidates are compared by the same rows.
    """
    if not side.spans:
        return None
    rows = best.rows if best.rows < len(side) else None
    whole = judge(best.recipe, side, measure, seconds_left, rows, splits=[*newest_folds(side, 0)])
    found = [(Option(0, len(side), mean_score(whole.scores), None), whole)]
    if math.isnan(found[0][0].score):
        return None
    for level in range(side.spans, 0, -1):
        splits = [*newest_folds(side, level)]
        if sum(best.seconds_to_fit(len(fit)) for fit, _ in splits) > seconds_left():
            break
        alone = judge(best.recipe, side, measure, seconds_left, splits=splits)
        if len(alone.answers) < len(whole.answers):
            continue
        lower = _lower(alone, whole, side, measure)
        found.append((Option(level, len(side.since(level)), mean_score(alone.scores), lower), alone))
    surely = [each for each in found[1:] if each[0].lower is not None and each[0].lower > 0]
    chosen, judged = max(surely, key=lambda each: measure.gain(each[0].score), default=found[0])
    return History(tuple(option for option, _ in found), chosen, judged)


def _lower(alone: Judged, whole: Judged, side: TrainingSide, measure: Metric) -> float:
    truth = np.concatenate([side.target[places] for places, _ in whole.answers])
    one, other = _said(alone), _said(whole)
    return paired_difference(measure, truth, one, other, seed=SEED, confidence=CONFIDENCE).lower


def _said(judged: Judged) -> Array:
    answers: Sequence[Array] = [said for _, said in judged.answers]
    return np.concatenate(answers)
