from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.builders import FOREVER, dataset, observations
from tidemill.encoding import encoded_names
from tidemill.stages import repeated
from tidemill.stages.folds import TrainingSide, repeated_folds
from tidemill.stages.metrics import metric
from tidemill.stages.recipes import Recipe
from tidemill.stages.repeated import FOLDS, REPEATS, Incumbent, compare
from tidemill.stages.spaces import defaults

AUC = metric("roc_auc", "binary")


def table(rows: int = 200, task: str = "binary") -> TrainingSide:
    data = dataset(observations(rows, task=task))
    return TrainingSide(data.schema, data.matrix, data.target, None)


def linear(side: TrainingSide, strength: float = 1.0) -> Recipe:
    return Recipe("linear", side.schema, {"strength": strength})


def compared(side: TrainingSide, recipe: Recipe, incumbent: Incumbent | None = None) -> dict[str, Any]:
    result = compare(recipe, side, encoded_names(side.schema), AUC, incumbent, FOREVER)
    assert result
    document = result.to_json()
    assert document["folds"] * document["repeats"] == len(document["candidate"]) == len(document["dummy"]) == 50
    assert document["rows"] == len(side)
    return {**document, "incumbent": document["champion"]["scores"] if document["champion"] else None}


def test_a_recipe_is_scored_on_each_fold_of_each_repeat_beside_a_model_without_features() -> None:
    side = table()
    told = compared(side, linear(side))
    assert told["champion"] is None
    assert set(told["dummy"]) == {0.5}
    assert len(set(told["candidate"])) > 20
    assert np.mean(told["candidate"]) > 0.8


def test_the_same_recipe_on_the_same_rows_is_a_tie() -> None:
    side = table()
    told = compared(side, linear(side), Incumbent(3, linear(side), np.ones(200, dtype=np.bool_)))
    assert told["candidate"] == told["incumbent"]
    assert told["champion"]["version"] == 3


def test_a_champion_learns_only_from_the_rows_that_it_knew() -> None:
    side = table()
    known = np.arange(200) < 40
    told = compared(side, linear(side), Incumbent(1, linear(side), known))
    assert np.mean(told["candidate"]) > np.mean(told["incumbent"]) + 0.02
    # Whatever stands in the rows that it did not know.
    flipped = replace(side, target=np.where(known, side.target, 1 - side.target))
    result = compare(linear(side), flipped, encoded_names(side.schema), AUC, Incumbent(1, linear(side), known), FOREVER)
    assert result
    assert np.nanmean(result.champion) < 0.5 < np.nanmean(told["incumbent"])


def test_a_champion_sees_its_own_columns_and_categories_only() -> None:
    side = table()
    schema = replace(side.schema, columns=tuple(c for c in side.schema.columns if c.name not in ("size", "town")))
    told = compared(side, linear(side), Incumbent(1, Recipe("linear", schema, {"strength": 1.0}), side.target >= 0))
    assert np.mean(told["incumbent"]) < np.mean(told["candidate"]) - 0.1


def test_a_champion_that_knew_nothing_to_learn_from_is_as_good_as_no_features() -> None:
    side = table()
    for known in (np.zeros(200, dtype=np.bool_), side.target == 1):
        told = compared(side, linear(side), Incumbent(1, linear(side), known))
        assert told["incumbent"] == told["dummy"]


@pytest.mark.parametrize("candidate", ["forest", "boosting"])
def test_trees_are_compared_with_the_number_that_the_recipe_says(
    candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated, "REPEATS", 1)
    side = table()
    recipe = Recipe(candidate, side.schema, {**defaults(candidate), "trees": 10, "max_iter": 10})
    result = compare(recipe, side, encoded_names(side.schema), AUC, None, FOREVER)
    assert result
    assert result.repeats == 1
    assert np.mean(result.candidate) > 0.7


def test_a_class_that_a_fold_did_not_learn_has_no_probability_there() -> None:
    side = table(600, task="multiclass")
    known = side.target != side.schema.classes.index("rare")
    loss = metric("log_loss", "multiclass")
    result = compare(linear(side), side, encoded_names(side.schema), loss, Incumbent(1, linear(side), known), FOREVER)
    assert result
    assert np.isfinite(result.champion).all()
    assert np.mean(result.champion) > np.mean(result.candidate)


def test_only_whole_repeats_are_told_when_time_runs_out() -> None:
    side = table()
    left = iter(np.arange(13.0, -100, -1))
    result = compare(linear(side), side, encoded_names(side.schema), AUC, None, lambda: float(next(left)))
    assert result
    assert result.repeats == 2
    assert len(result.candidate) == len(result.dummy) == 2 * FOLDS
    assert compare(linear(side), side, encoded_names(side.schema), AUC, None, lambda: -1.0) is None


def test_whoever_has_the_same_rows_gets_the_same_folds_and_all_rows_are_judged_in_each_repeat() -> None:
    side = table()
    first, again = (list(repeated_folds(side, FOLDS, REPEATS)) for _ in range(2))
    assert [judge.tolist() for _, judge in first] == [judge.tolist() for _, judge in again]
    for repeat in range(REPEATS):
        judged = [judge for _, judge in first[repeat * FOLDS : (repeat + 1) * FOLDS]]
        assert sorted(np.concatenate(judged).tolist()) == list(range(200))
    assert len({tuple(judge.tolist()) for _, judge in first}) == FOLDS * REPEATS
