"""The search spends its time on what is promising, and no more of it than there is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.unit.builders import FOREVER
from tidemill.schema import Column, Schema
from tidemill.stages import search as stage
from tidemill.stages.folds import TrainingSide, folds
from tidemill.stages.metrics import Metric, metric
from tidemill.stages.recipes import Recipe, course, fit
from tidemill.stages.search import Clock, Judged, judge, mean_score, rungs, search
from tidemill.stages.spaces import defaults, settings, space

pytestmark = pytest.mark.usefixtures("one_thread")
RMSE = metric("rmse", "regression")
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As Train has it on few rows: threads that wait for each other would take most of the time."""
    with threadpool_limits(1):
        yield


def side_of(rows: int, *, columns: int = 2, positives: int | None = None) -> TrainingSide:
    """A line with noise, or rows of two classes."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(rows, columns)).astype(np.float32)
    columns_of = (*(Column(f"x{i}", "numeric", "feature") for i in range(columns)), Column("y", "numeric", "target"))
    if positives is None:
        target = matrix[:, 0] + rng.normal(0, 0.1, rows)
        return TrainingSide(Schema(columns_of, "regression"), matrix, target, None)
    target = (np.arange(rows) < positives).astype(np.float64)
    return TrainingSide(Schema(columns_of, "binary", ("no", "yes")), matrix, target, None)


def recipes(*strengths: float) -> list[Recipe]:
    """The stronger fit a line the better."""
    return [Recipe("linear", side_of(10).schema, {"strength": strength}) for strength in strengths]


def spending(monkeypatch: pytest.MonkeyPatch, seconds: float, cost: Callable[[int], float]) -> Callable[[], float]:
    """A clock that goes on by what it costs to judge a recipe on so many rows."""
    left = [seconds]

    def judged(recipe: Recipe, side: TrainingSide, _: Metric, __: Clock, rows: int | None = None) -> Judged:
        spent = cost(rows or len(side))
        left[0] -= spent
        return replace(judge(recipe, side, RMSE, FOREVER, rows), seconds=spent)

    monkeypatch.setattr(stage, "judge", judged)
    return lambda: left[0]


def test_the_better_settings_are_judged_on_more_rows_and_the_best_on_all() -> None:
    found = search(recipes(*STRENGTHS), side_of(30_000), RMSE, FOREVER)
    assert found.rungs == (4_000, 16_000, 30_000)
    assert [trial.rows for trial in found.trials] == [4_000] * 8 + [16_000] * 2 + [30_000] * 2
    assert {trial.params["strength"] for trial in found.trials[8:]} <= {10.0, 100.0, 1.0}
    assert found.best.drawn == found.best.rows == 30_000
    assert found.stopped == ""


def test_the_first_of_equals_is_kept() -> None:
    first, second = recipes(1.0, 1.0)
    assert search([first, second], side_of(100), RMSE, FOREVER).best.recipe is first


def test_few_rows_are_judged_all_at_once() -> None:
    assert rungs(side_of(6_000), "linear") == (6_000,)
    assert rungs(side_of(6_001), "linear") == (4_000, 6_001)
    assert rungs(side_of(24_001), "boosting") == (16_000, 24_001)


def test_a_rare_class_has_rows_enough_to_be_seen_from_the_first() -> None:
    assert rungs(side_of(100_000, positives=50_000), "linear")[0] == 4_000
    assert rungs(side_of(100_000, positives=1_000), "linear")[0] == 6_000
    assert rungs(side_of(100_000, positives=10), "linear")[0] == 16_000


def test_many_columns_begin_with_fewer_rows() -> None:
    assert rungs(side_of(5_000, columns=1_000), "linear")[0] == 1_000


def test_the_last_step_and_the_fit_that_serves_have_their_time_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = spending(monkeypatch, 95, lambda rows: rows / 4_000)
    found = search(recipes(*STRENGTHS), side_of(200_000), RMSE, clock)
    assert [trial.rows for trial in found.trials] == [4_000] * 8 + [16_000] + [200_000]
    assert found.stopped == "time ran out after 1 of 2 settings on 16,000 rows"
    assert clock() > 200_000 / 4_000 / 2


def test_what_all_rows_would_take_too_long_for_is_learned_from_fewer_and_judged_by_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, side = spending(monkeypatch, 60, lambda rows: rows / 4_000), side_of(200_000)
    found = search(recipes(*STRENGTHS), side, RMSE, clock)
    first, last = found.trials
    assert first.rows == 4_000 < last.rows == found.best.rows < 200_000
    assert found.stopped == "time ran out after 1 of 8 settings on 4,000 rows"
    ((_, expected),), ((places, _),) = list(folds(side)), found.best.answers
    assert places.tolist() == expected.tolist()
    assert found.best.fitted == pytest.approx(0.8 * last.rows, abs=1)
    assert clock() > 0


def test_the_first_setting_is_judged_whatever_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = search(recipes(*STRENGTHS), side_of(100), RMSE, spending(monkeypatch, -1, lambda _: 1))
    assert [trial.params["strength"] for trial in found.trials] == [1e-5]
    assert found.stopped == "time ran out after 1 of 8 settings on 100 rows"


def pacing(monkeypatch: pytest.MonkeyPatch, seconds: float, tree: Callable[[int], float]) -> Callable[[], float]:
    """A clock that goes on by what a tree costs on so many rows."""
    left = [seconds]

    def charged(work: Callable[..., Any]) -> Callable[..., Any]:
        def done(recipe: Recipe, side: TrainingSide, *rest: TrainingSide) -> Any:
            made = work(recipe, side, *rest)
            left[0] -= (made.trees if rest else recipe.params["max_iter"]) * tree(len(side))
            return made

        return done

    monkeypatch.setattr(stage, "course", charged(course))
    monkeypatch.setattr(stage, "fit", charged(fit))
    return lambda: left[0]


def test_boosting_has_no_more_trees_than_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    side = side_of(400)
    recipe = Recipe("boosting", side.schema, {**defaults("boosting"), "learning_rate": 0.02}, (1, 500))
    free = search([recipe], side, RMSE, FOREVER).best
    assert free.trees > 200
    found = search([recipe], side, RMSE, pacing(monkeypatch, 50, lambda rows: rows / 4_000))
    # 45 s, less 7 trees for the pace, for five folds and the fit.
    assert found.best.trees == 88
    assert found.best.recipe is recipe
    assert found.stopped == "time was left for 88 trees"


def test_boostings_defaults_go_on_to_all_rows_whatever_few_rows_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "FIRST_ROWS", {"boosting": 500})
    side = side_of(1_000)
    poor, good = (
        Recipe("boosting", side.schema, {**defaults("boosting"), "learning_rate": rate}, (1, 20))
        for rate in (1e-3, 0.3)
    )
    found = search([poor, good, good, good], side, RMSE, FOREVER)
    assert [trial.params["learning_rate"] for trial in found.trials] == [1e-3, 0.3, 0.3, 0.3, 1e-3, 0.3, 0.3]
    assert found.best.recipe is good


def test_boosting_on_all_rows_has_fewer_trees_before_it_has_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "FIRST_ROWS", {"boosting": 400})
    side = side_of(1_000)
    recipe = Recipe("boosting", side.schema, {**defaults("boosting"), "learning_rate": 0.01}, (1, 500))
    cost = 4e-6
    plenty = search([recipe], side, RMSE, pacing(monkeypatch, 1_000, lambda rows: cost * rows)).best
    monkeypatch.undo()
    monkeypatch.setattr(stage, "FIRST_ROWS", {"boosting": 400})
    tight = search([recipe], side, RMSE, pacing(monkeypatch, 6, lambda rows: cost * rows)).best
    assert plenty.rows == tight.rows == 1_000
    assert 100 <= tight.trees < plenty.trees


def test_boosting_grows_as_many_trees_as_suit_all_folds() -> None:
    side = side_of(600)
    recipe = Recipe("boosting", side.schema, {**defaults("boosting"), "learning_rate": 0.3}, (1, 200))
    judged = judge(recipe, side, RMSE, FOREVER)
    trees = judged.grown.params["max_iter"]
    assert 5 < trees < 200
    assert judged.grown.trees is None
    fewer, more = (judge(recipe.grown(int(n)), side, RMSE, FOREVER) for n in (trees // 4, 4 * trees))
    assert judged.gain(RMSE) >= max(fewer.gain(RMSE), more.gain(RMSE))


@pytest.mark.parametrize("params", [{}, {"log_target": 1}])
def test_what_is_said_after_so_many_trees_is_what_a_model_of_so_many_says(params: dict[str, float]) -> None:
    side = side_of(400)
    recipe = Recipe("boosting", side.schema, {**defaults("boosting"), **params}, (1, 30))
    judged = judge(recipe, side, RMSE, FOREVER)
    again = judge(judged.grown, side, RMSE, FOREVER)
    for (places, said), (same_places, same) in zip(judged.answers, again.answers, strict=True):
        assert places.tolist() == same_places.tolist()
        np.testing.assert_allclose(said, same)
    assert judged.scores == pytest.approx(again.scores)


def test_the_least_and_the_most_trees_are_kept() -> None:
    side = side_of(300)
    for trees in ((7, 7), (40, 50)):
        judged = judge(Recipe("boosting", side.schema, defaults("boosting"), trees), side, RMSE, FOREVER)
        assert trees[0] <= judged.grown.params["max_iter"] <= trees[1]


def test_scores_are_of_rows_that_were_not_learned_from() -> None:
    side = side_of(300)
    noise = replace(side, target=np.random.default_rng(5).normal(size=300))
    judged = judge(Recipe("forest", side.schema, {**defaults("forest"), "min_samples_leaf": 1}), noise, RMSE, FOREVER)
    assert mean_score(judged.scores) > 0.95
    for (places, said), (_, expected), score in zip(judged.answers, folds(noise), judged.scores, strict=True):
        assert places.tolist() == expected.tolist()
        assert score == RMSE.bind(noise.target[places], said)(None)


# What is drawn


def test_many_rows_have_boosting_grow_larger_trees() -> None:
    leaves = [
        space("boosting", {}, rows=rows, rare=False, skewed=False)["max_leaf_nodes"] for rows in (1, 90_000, 10**7)
    ]
    assert [(one.default, one.low, one.high) for one in leaves] == [(31, 7, 63), (60, 7, 121), (127, 7, 255)]
    fixed = space("boosting", {"max_leaf_nodes": (15, 15)}, rows=10**7, rare=False, skewed=False)["max_leaf_nodes"]
    assert fixed.default == 15


def test_settings_start_with_the_default_and_never_repeat() -> None:
    searched = space("boosting", {}, rows=1_000, rare=False, skewed=False)
    drawn = list(settings(searched, 30, seed=1))
    assert drawn[0] == {name: value for name, value in defaults("boosting").items() if name in drawn[0]}
    assert len({tuple(entry.items()) for entry in drawn}) == 30
    assert drawn == list(settings(searched, 30, seed=1)) != list(settings(searched, 30, seed=2))
    for name, dimension in searched.items():
        assert name == "max_iter" or all(dimension.low <= entry[name] <= dimension.high for entry in drawn[1:])


def test_settings_fill_each_range_evenly_in_its_own_scale() -> None:
    drawn = list(
        settings(space("linear", {"strength": (0.001, 100.0)}, rows=1_000, rare=False, skewed=False), 101, seed=1)
    )
    orders = np.sort([np.log10(entry["strength"]) for entry in drawn[1:]])
    assert np.abs(orders - np.linspace(-3, 2, 100)).max() < 0.2


def test_more_trials_than_there_are_settings_are_not_made_up() -> None:
    fixed = space(
        "forest", {"min_samples_leaf": (5, 5), "max_features": (0.4, 0.4)}, rows=1_000, rare=False, skewed=False
    )
    assert list(settings(fixed, 20, seed=1)) == [{"trees": 100, "min_samples_leaf": 5, "max_features": 0.4}]


def test_the_specs_ranges_hold_for_the_default_as_well() -> None:
    searched = space("boosting", {"learning_rate": (0.2, 0.3)}, rows=1_000, rare=False, skewed=False)
    assert all(0.2 <= entry["learning_rate"] <= 0.3 for entry in settings(searched, 20, seed=1))


def test_class_weights_are_searched_where_a_class_is_rare_and_a_log_scale_where_a_target_is_skewed() -> None:
    names = {
        (rare, skewed): set(space("linear", {}, rows=1_000, rare=rare, skewed=skewed))
        for rare in (True, False)
        for skewed in (True, False)
    }
    assert names[False, False] == {"strength"}
    assert names[True, False] == {"strength", "balance"}
    assert names[False, True] == {"strength", "log_target"}
