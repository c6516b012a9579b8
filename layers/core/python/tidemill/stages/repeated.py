"""Small tables: where too few rows are held out to judge a model by, recipes are compared, on repeated
cross-validation over all rows, with the same folds for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.encoding import select
from tidemill.stages.export import predict
from tidemill.stages.folds import FEWEST_ROWS, Places, TrainingSide, repeated_folds
from tidemill.stages.metrics import Metric, dummy_prediction, or_none
from tidemill.stages.recipes import Recipe, fit
from tidemill.stages.search import Clock

FOLDS, REPEATS = 5, 10

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Incumbent:
    """The champion's recipe, and which of all rows its version knew: it may learn from these only, so that more data
    counts as an improvement."""

    version: int
    recipe: Recipe
    known: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Repeated:
    """Scores in the metric's own unit, `FOLDS` a repeat, of the same folds in all three; NaN where one has no score."""

    repeats: int
    rows: int
    metric: str
    candidate: Sequence[float]
    dummy: Sequence[float]
    champion: Sequence[float]
    version: int | None

    def to_json(self) -> dict[str, Any]:
        champion = {"version": self.version, "scores": _numbers(self.champion)} if self.version else None
        return {
            "folds": FOLDS,
            "repeats": self.repeats,
            "rows": self.rows,
            "metric": self.metric,
            "candidate": _numbers(self.candidate),
            "dummy": _numbers(self.dummy),
            "champion": champion,
        }


def compare(
    recipe: Recipe,
    rows: TrainingSide,
    names: Sequence[str],
    measure: Metric,
    incumbent: Incumbent | None,
    seconds_left: Clock,
) -> Repeated | None:
    """As many whole repeats as there is time for, None for none. `rows`: of both sides; `names`: their columns."""
    sides = [(recipe, rows, np.ones(len(rows), dtype=np.bool_))]
    if incumbent:
        sides.append((incumbent.recipe, _as_known_to(incumbent.recipe, rows, names), incumbent.known))
    folds = _in_time(repeated_folds(rows, FOLDS, REPEATS), seconds_left)
    with threadpool_limits(1):
        scores = [_fold_scores(sides, *fold, measure) for fold in folds]
    repeats = len(scores) // FOLDS
    if not repeats:
        return None
    dummy, candidate, *champion = zip(*scores[: repeats * FOLDS], strict=True)
    return Repeated(
        repeats,
        len(rows),
        measure.name,
        candidate,
        dummy,
        champion[0] if champion else (),
        incumbent.version if incumbent else None,
    )


def _in_time(folds: Iterator[tuple[Places, Places]], seconds_left: Clock) -> Iterator[tuple[Places, Places]]:
    """Those that there is time for, if each takes as long as the slowest one before it."""
    slowest, left = 0.0, seconds_left()
    for fold in folds:
        if left <= slowest:
            return
        yield fold
        before, left = left, seconds_left()
        slowest = max(slowest, before - left)


def _fold_scores(
    sides: Sequence[tuple[Recipe, TrainingSide, npt.NDArray[np.bool_]]],
    fit_places: Places,
    judge_places: Places,
    measure: Metric,
) -> list[float]:
    """Of a model without features, and of each recipe fitted on those of the fold's rows that it may know."""
    truth = sides[0][1].target[judge_places]
    schema, learned = sides[0][1].schema, sides[0][1].target[fit_places]
    dummy = dummy_prediction(schema.task, learned, len(judge_places), len(schema.classes))
    answers = [dummy]
    for recipe, rows, known in sides:
        said = _answers(recipe, rows.take(fit_places[known[fit_places]]), rows.take(judge_places))
        answers.append(dummy if said is None else said)
    return [measure.bind(truth, said)(None) for said in answers]


def _answers(recipe: Recipe, learned: TrainingSide, asked: TrainingSide) -> Array | None:
    """None where there is nothing to learn from."""
    if len(learned) < FEWEST_ROWS or len(np.unique(learned.target)) < 2:
        return None
    model = fit(recipe, learned)
    said = predict(model, asked.matrix)
    if asked.schema.task == "regression":
        return said
    # A class that no row was learned from has no probability.
    whole = np.zeros((len(asked), len(asked.schema.classes)))
    whole[:, model.classes_] = said
    return whole


def _as_known_to(recipe: Recipe, rows: TrainingSide, names: Sequence[str]) -> TrainingSide:
    return TrainingSide(recipe.schema, select(rows.matrix, names, recipe.schema), rows.target, None)


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [or_none(value) for value in values]
