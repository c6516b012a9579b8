from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tests.unit.builders import FOREVER
from tidemill.errors import TrainingFailed
from tidemill.schema import Column, Schema
from tidemill.spec import parse_spec
from tidemill.stages import history
from tidemill.stages.folds import TrainingSide, newest_folds
from tidemill.stages.history import Option, compete
from tidemill.stages.metrics import metric
from tidemill.stages.recency import recency, spans_in_time
from tidemill.stages.recipes import Recipe
from tidemill.stages.search import Judged, judge, search
from tidemill.stages.train import Trained, _recipes, train

AUC = metric("roc_auc", "binary")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def side(old: int, new: int, *, turned: bool, timed: bool = False, seed: int = 8) -> TrainingSide:
    """Where the world `turned`, what made a yes of the first column's numbers makes a no in the new rows."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(old + new, 3)).astype(np.float32)
    recent = np.arange(old + new) >= old
    slope = np.where(recent & turned, -2.0, 2.0)
    target = (slope * matrix[:, 0] + rng.logistic(size=old + new) > 0).astype(np.float64)
    columns = (*(Column(f"c{i}", "numeric", "feature") for i in range(3)), Column("y", "categorical", "target"))
    moments = np.arange(old + new) if timed else None
    return TrainingSide(Schema(columns, "binary", ("no", "yes")), matrix, target, moments, recent.astype(np.uint8))


def trained(rows: TrainingSide, candidate: str = "linear") -> Trained:
    spec = parse_spec('target = "y"\n[train]\ntrials = 1\n')
    return train(candidate, rows, spec, rows.matrix[:300], FOREVER)


@pytest.mark.parametrize("timed", [False, True], ids=["by key", "by time"])
@pytest.mark.parametrize("candidate", ["linear", "boosting"])
def test_where_the_world_turned_old_rows_are_left_out(candidate: str, timed: bool) -> None:
    found = trained(side(6_000, 1_200, turned=True, timed=timed), candidate)
    assert found.history is not None
    assert found.history.chosen.level == 1
    assert found.rows == 1_200
    assert found.score > 0.8
    whole, alone = found.history.options
    assert whole.score < 0.5 < alone.score
    assert alone.gain is not None
    assert alone.error is not None
    assert alone.gain > 0.2 > 5 * alone.error


@pytest.mark.parametrize("timed", [False, True], ids=["by key", "by time"])
def test_where_it_did_not_all_rows_are_learned_from(timed: bool) -> None:
    found = trained(side(6_000, 1_200, turned=False, timed=timed))
    assert found.history is not None
    assert found.history.chosen.level == 0
    assert found.rows == 7_200
    assert len(found.history.options) == 2


def test_rows_of_one_age_are_not_asked() -> None:
    rows = side(3_000, 0, turned=False)
    assert trained(rows).history is None


def found_by_search(rows: TrainingSide, candidate: str) -> Judged:
    recipes = _recipes(candidate, rows, parse_spec('target = "y"\n[train]\ntrials = 1\n'))
    return search(recipes, rows, AUC, FOREVER).best


def test_without_time_nothing_is_asked() -> None:
    rows = side(6_000, 1_200, turned=True)
    assert compete(found_by_search(rows, "linear"), [], rows, AUC, lambda: 0.0) is None


@pytest.mark.parametrize("candidate", ["forest", "boosting"])
def test_with_little_time_less_of_the_past_is_learned_from(candidate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = side(6_000, 1_200, turned=True)
    best = replace(found_by_search(rows, candidate), seconds=300.0, overhead=0.0)  # by a slow machine
    asked: list[tuple[int | None, int]] = []

    def judged(recipe: Recipe, *given: Any, **named: Any) -> Judged:
        asked.append((given[3] if len(given) > 3 else None, recipe.trees[1] if recipe.trees else 0))
        return judge(recipe, *given, **named)

    monkeypatch.setattr(history, "judge", judged)
    assert compete(best, [], rows, AUC, lambda: 100.0) is not None
    (learned, _), *others = asked
    assert learned is not None
    assert 10 <= learned < 3_600
    assert all(of_span is None for of_span, _ in others)
    assert all(trees <= best.trees for _, trees in asked)


@pytest.mark.parametrize(("candidate", "seconds"), [("boosting", 100.0), ("linear", 0.1)])
def test_with_time_for_hardly_a_row_nothing_is_asked(
    candidate: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = side(6_000, 1_200, turned=True)
    best = replace(found_by_search(rows, candidate), seconds=300.0)  # of boosting, most of it before the first row
    monkeypatch.setattr(history, "judge", None)
    assert compete(best, [], rows, AUC, lambda: seconds) is None


def test_what_is_learned_and_told_of_a_span_is_of_its_rows() -> None:
    rows = side(6_000, 1_200, turned=True)
    found = compete(found_by_search(rows, "linear"), [], rows, AUC, FOREVER)
    assert found is not None
    assert found.judged.rows == found.judged.drawn == 1_200
    assert max(places.max() for places, _ in found.judged.answers) < 1_200
    truth = rows.since(1).target
    for places, said in found.judged.answers:
        assert AUC.bind(truth[places], said)(None) > 0.8


def test_on_a_short_span_what_suits_few_rows_competes_with_what_was_best_on_all() -> None:
    rows = side(20_000, 1_200, turned=True)
    best = found_by_search(rows, "linear")
    stiff = Recipe("linear", rows.schema, {**best.recipe.params, "strength": 1e-6})
    found = compete(replace(best, recipe=stiff), [best.recipe, stiff], rows, AUC, FOREVER)
    assert found is not None
    assert found.chosen.settings == 2
    assert found.judged.recipe is best.recipe
    long = side(6_000, 1_200, turned=True)
    found = compete(replace(best, recipe=stiff), [best.recipe, stiff], long, AUC, FOREVER)
    assert found is not None
    assert {option.settings for option in found.options} == {1}


def test_where_nothing_turned_a_span_rarely_wins_by_luck() -> None:
    lucky = 0
    for seed in range(20):
        rows = side(5_000, 2_000, turned=False, timed=True, seed=seed)
        assert rows.moments is not None
        nobody = np.zeros(len(rows), dtype=np.bool_)
        spans = spans_in_time(rows.moments, nobody, rows.target, binary=True)
        assert len(spans) == 2
        rows = replace(rows, recency=recency(rows.moments, spans))
        found = compete(found_by_search(rows, "linear"), [], rows, AUC, FOREVER)
        assert found is not None
        lucky += found.chosen.level > 0
    assert lucky <= 4


def test_by_one_standard_error_a_span_is_better() -> None:
    assert Option(1, 1_000, 0.7, gain=0.02, error=0.019).better_than_all
    assert not Option(1, 1_000, 0.7, gain=0.02, error=0.021).better_than_all
    assert not Option(1, 1_000, 0.7, gain=float("nan"), error=float("nan")).better_than_all
    assert not Option(0, 9_000, 0.7).better_than_all


def test_an_own_estimator_that_does_not_fit_a_span_learns_from_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = side(6_000, 1_200, turned=True)
    best = found_by_search(rows, "linear")

    def judged(*given: Any, **named: Any) -> Judged:
        if "splits" in named:
            raise TrainingFailed("too few rows")
        return judge(*given)

    monkeypatch.setattr(history, "judge", judged)
    found = compete(best, [], rows, AUC, FOREVER)
    assert found is not None
    assert found.chosen.level == 0


def test_the_newest_rows_judge_whatever_is_learned_from() -> None:
    rows = side(6_000, 1_200, turned=False)
    every, alone = [*newest_folds(rows, 0)], [*newest_folds(rows, 1)]
    for (fit, judged), (fit_alone, judged_alone) in zip(every, alone, strict=True):
        assert judged.tolist() == judged_alone.tolist()
        assert judged.min() >= 6_000
        assert fit_alone.min() >= 6_000
        assert len(fit) == 6_000 + len(fit_alone)
        assert not set(fit) & set(judged)


def test_in_time_nothing_later_is_learned_from() -> None:
    rows = side(6_000, 1_200, turned=False, timed=True)
    assert rows.moments is not None
    rows.moments[:100] += 10_000  # rows of an old upload from after all others
    for fit, judged in newest_folds(rows, 0):
        assert rows.moments[fit].max() <= rows.moments[judged].min()
