"""What other ways to keep a model would have scored in the same year, each with the first champion's own recipe."""

import math
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from tests.bench.year_loop import LABELS_LATE
from tests.bench.year_world import Plan
from tidemill.encoding import Matrix
from tidemill.stages.export import predict
from tidemill.stages.folds import TrainingSide
from tidemill.stages.recipes import Recipe, fit

FEWEST_SCORED = 30
"""Rows of a day: fewer say nothing of a model."""
_FEWEST_LEARNED = 200
_WEEK = 7

Truth = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoded:
    """Rows as the first champion's graph takes them; the target's second class is being late."""

    matrix: Matrix
    late: Truth


@dataclass(frozen=True)
class Material:
    """`days` has those of the plan, in order."""

    plan: Plan
    recipe: Recipe
    history: Encoded
    days: Sequence[Encoded]

    def of(self, days: Sequence[date]) -> list[Encoded]:
        return [self.days[(day - self.plan.days.first).days] for day in days]

    def learned(self, parts: Sequence[Encoded]) -> object:
        matrix = np.concatenate([part.matrix for part in parts])
        return fit(self.recipe, TrainingSide(self.recipe.schema, matrix, np.concatenate([p.late for p in parts]), None))


def score(late: Sequence[float] | Truth, said: Sequence[float] | Truth) -> float:
    """ROC AUC of one day; NaN with too few rows, or all of one class."""
    truth = np.asarray(late, dtype=np.float64)
    if len(truth) < FEWEST_SCORED or len(np.unique(truth)) < 2:
        return math.nan
    return float(roc_auc_score(truth, said))


def months(plan: Plan) -> list[list[date]]:
    """Its days by calendar month."""
    found: dict[tuple[int, int], list[date]] = {}
    for day in plan:
        found.setdefault((day.year, day.month), []).append(day)
    return list(found.values())


def monthly(path: Path, month: int) -> list[float]:
    """The days' scores of what a retrain on the first of the month deploys, on all labels that have come."""
    material = _material(path)
    days = months(material.plan)[month]
    known = [day for day in material.plan if day < days[0] - LABELS_LATE]
    with threadpool_limits(1):
        model = material.learned([material.history, *material.of(known)])
        return [_scored(model, rows) for rows in material.of(days)]


def oracle(path: Path, first: int) -> list[float]:
    """Of seven days from `first` on, the better of two models' scores: one of all rows and one of the rows since the
    change, up to the day before, but for those of the broken feed. What a week adds to all rows is little: that one is
    fitted once a week, the other anew each day."""
    material = _material(path)
    days = list(material.plan)
    scores = []
    with threadpool_limits(1):
        sound = [day for day in days[:first] if day not in material.plan.broken]
        whole = material.learned([material.history, *material.of(sound)])
        for day in days[first : first + _WEEK]:
            (rows,) = material.of([day])
            since = material.of([one for one in days if material.plan.change <= one < day])
            models = [whole]
            if sum(len(part.late) for part in since) >= _FEWEST_LEARNED:
                models.append(material.learned(since))
            scores.append(max(_scored(model, rows) for model in models))
    return scores


@dataclass(frozen=True)
class Rivals:
    """Under way beside whoever waits for them: scores by day."""

    running: Mapping[str, Sequence[Future[list[float]]]]

    @classmethod
    def start(cls, pool: ProcessPoolExecutor, material: Material, path: Path) -> "Rivals":
        path.write_bytes(pickle.dumps(material))
        weeks = range(0, len(material.days), _WEEK)
        return cls(
            {
                "monthly": [pool.submit(monthly, path, month) for month in range(len(months(material.plan)))],
                "oracle": [pool.submit(oracle, path, first) for first in weeks],
            }
        )

    def scores(self) -> dict[str, list[float]]:
        return {name: [each for part in parts for each in part.result()] for name, parts in self.running.items()}


@cache
def _material(path: Path) -> Material:
    material: Material = pickle.loads(path.read_bytes())  # noqa: S301 our own, of a moment ago
    return material


def _scored(model: object, rows: Encoded) -> float:
    return score(rows.late, predict(model, rows.matrix)[:, 1]) if len(rows.late) else math.nan
