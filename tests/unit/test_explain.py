"""Sampled Shapley values against functions whose exact ones are known, and the explanations of a served version."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.builders import artifacts, background, dataset, observations, trained
from tidemill.encoding import Matrix
from tidemill.errors import InvalidRequest, ModelIncompatible, TooLarge
from tidemill.stages.explain import Explainer, draw, shapley
from tidemill.stages.rows import Row
from tidemill.stages.serve import ServedModel

Array = npt.NDArray[np.float64]

ROW = {"size": 70.0, "flag": True, "day": "2024-03-01", "colour": "red", "town": "town 19"}


def table(rows: int, columns: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def exact(answer: Callable[[Matrix], Array], row: Matrix, known: Matrix, widths: Sequence[int]) -> Array:
    """By all coalitions: the definition."""
    columns = range(len(widths))

    def worth(coalition: Sequence[int]) -> float:
        inside = np.repeat(np.isin(columns, coalition), widths)
        return float(answer(np.where(inside, row, known)).mean())

    found = np.zeros(len(widths))
    for column in columns:
        rest = [other for other in columns if other != column]
        for size in range(len(widths)):
            for coalition in combinations(rest, size):
                gain = worth([*coalition, column]) - worth(coalition)
                found[column] += gain / (len(widths) * comb(len(rest), size))
    return found


def product(matrix: Matrix) -> Array:
    """Columns that matter only together, one that matters alone, and one that does not matter."""
    values = matrix.astype(np.float64)
    return np.asarray(values[:, 0] * values[:, 1] * values[:, 2] + 2 * values[:, 3])


def test_of_a_linear_model_it_is_the_coefficient_times_the_distance_from_the_mean_reference() -> None:
    known, row, weights = table(50, 6), table(1, 6, seed=1)[0], np.array([3.0, -2.0, 1.0, 0.5, 0.0, 10.0])
    found = shapley(lambda matrix: matrix @ weights, row, known, [1] * 6)
    assert found.values == pytest.approx(weights * (row - known.mean(axis=0)), abs=1e-5)
    assert found.base == pytest.approx(known.mean(axis=0) @ weights, abs=1e-5)


def test_contributions_sum_to_the_answer_less_the_base() -> None:
    known, row = table(40, 5), table(1, 5, seed=1)[0]
    found = shapley(product, row, known, [1] * 5)
    assert found.base == pytest.approx(product(known).mean())
    assert found.base + found.values.sum() == pytest.approx(product(row[None])[0], abs=1e-12)


def test_a_column_that_the_model_ignores_has_nothing_and_surely_so() -> None:
    found = shapley(product, table(1, 5, seed=1)[0], table(40, 5), [1] * 5)
    assert found.values[4] == 0
    assert found.errors[4] == 0


def test_interactions_are_shared_as_shapley_says_within_the_error_that_is_told() -> None:
    known = table(4_000, 5)
    off: list[float] = []
    for seed in range(40):
        row, some = table(1, 5, seed=100 + seed)[0], known[100 * seed : 100 * (seed + 1)]
        found = shapley(product, row, some, [1] * 5)
        off += ((found.values - exact(product, row, known, [1] * 5)) / np.maximum(found.errors, 1e-12)).tolist()
    assert np.sqrt(np.mean(np.square(off))) == pytest.approx(0.9, abs=0.3)


def test_two_columns_need_no_chance() -> None:
    """Both orders of them are one pair."""

    def answer(matrix: Matrix) -> Array:
        return np.asarray(matrix.prod(axis=1), dtype=np.float64)

    known, row = table(30, 2), table(1, 2, seed=1)[0]
    assert shapley(answer, row, known, [1, 1]).values == pytest.approx(exact(answer, row, known, [1, 1]), abs=1e-6)


def test_one_column_has_all_of_it() -> None:
    known, row = table(30, 1), table(1, 1, seed=1)[0]
    found = shapley(lambda matrix: matrix[:, 0].astype(np.float64), row, known, [1])
    assert found.values.tolist() == pytest.approx([row[0] - found.base])


def test_the_parts_of_a_column_come_together() -> None:
    """What its parts mean only together is never asked for apart."""
    known, row = np.zeros((20, 4), dtype=np.float32), np.ones(4, dtype=np.float32)
    asked: list[Matrix] = []

    def answer(matrix: Matrix) -> Array:
        asked.append(matrix)
        return np.asarray(matrix.sum(axis=1), dtype=np.float64)

    found = shapley(answer, row, known, [1, 3])
    rows = np.vstack(asked)
    assert (rows[:, 1:] == rows[:, 1:2]).all()
    assert found.values.tolist() == [1, 3]


def test_the_same_row_has_the_same_explanation_and_another_row_other_orders() -> None:
    known, row = table(30, 5), table(1, 5, seed=1)[0]
    first, again = (shapley(product, row, known, [1] * 5) for _ in range(2))
    assert first.values.tolist() == again.values.tolist()
    nearly = np.nextafter(row, np.float32(9))
    assert shapley(product, nearly, known, [1] * 5).values == pytest.approx(first.values, abs=0.5)
    assert shapley(product, nearly, known, [1] * 5).values.tolist() != first.values.tolist()


def test_a_wide_row_goes_to_the_graph_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    known, row = table(40, 5), table(1, 5, seed=1)[0]
    whole = shapley(product, row, known, [1] * 5)
    sizes: list[int] = []

    def answer(matrix: Matrix) -> Array:
        sizes.append(len(matrix))
        return product(matrix)

    monkeypatch.setattr("tidemill.stages.explain._CELLS", 100)
    assert shapley(answer, row, known, [1] * 5).values.tolist() == whole.values.tolist()
    assert max(sizes[1:]) == 20


def test_reference_rows_are_an_even_draw_of_the_training_side_alone_and_always_the_same() -> None:
    matrix = np.arange(2_000, dtype=np.float32)[:, None]
    training = np.arange(2_000) % 4 != 0
    first = draw(matrix, training)
    assert first == draw(matrix, training)
    rows = np.frombuffer(first[128:], np.float32)
    assert len(set(rows)) == 100
    assert not [row for row in rows if row % 4 == 0]
    assert rows[:50].mean() == pytest.approx(1_000, abs=250)


def version(task: str) -> tuple[ServedModel, Explainer]:
    data = dataset(observations(600, task=task))
    manifest, graph, golden = artifacts(data, trained("boosting", data).onnx)
    drawn = background(data, manifest)
    model = ServedModel(manifest, graph, golden)
    return model, Explainer(model, drawn)


@pytest.fixture(scope="module", params=["regression", "binary", "multiclass"])
def explained(request: pytest.FixtureRequest) -> tuple[ServedModel, Explainer]:
    return version(request.param)


def explain(model: ServedModel, explainer: Explainer, *rows: Row) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    answers = model.predict(rows, "q")
    return answers.to_json(), explainer.explain(rows, answers.matrix)


def test_a_reply_adds_up_to_what_it_explains(explained: tuple[ServedModel, Explainer]) -> None:
    model, _ = explained
    other = {**ROW, "size": 20.0, "town": None, "colour": "blue"}
    replies, explanations = explain(*explained, ROW, other)
    for reply, told in zip(replies, explanations, strict=True):
        value = reply["prediction"]
        if model.schema.classes:
            assert told["class"] == ("yes" if len(model.schema.classes) == 2 else reply["prediction"])
            value = reply["probabilities"][told["class"]]
        else:
            assert "class" not in told
        total = told["base"] + sum(entry["contribution"] for entry in told["contributions"]) + told["others"]
        assert total == pytest.approx(value, abs=1e-5)


def test_the_strongest_come_first_with_the_values_that_were_sent(explained: tuple[ServedModel, Explainer]) -> None:
    _, (told,) = explain(*explained, ROW)
    assert {entry["field"]: entry["value"] for entry in told["contributions"]} == ROW
    sizes = [abs(entry["contribution"]) for entry in told["contributions"]]
    assert sizes == sorted(sizes, reverse=True)
    assert {entry["field"] for entry in told["contributions"][:3]} >= {"size", "town"}
    assert told["others"] == 0


def test_a_row_is_explained_alike_in_any_company(explained: tuple[ServedModel, Explainer]) -> None:
    _, (alone,) = explain(*explained, ROW)
    _, (_, among) = explain(*explained, {**ROW, "size": 33.0}, ROW)
    assert alone == among


def test_a_date_is_one_field_and_a_long_text_is_cut(explained: tuple[ServedModel, Explainer]) -> None:
    _, (told,) = explain(*explained, {**ROW, "town": "x" * 5_000})
    values = {entry["field"]: entry["value"] for entry in told["contributions"]}
    assert len(values) == 5
    assert values["day"] == "2024-03-01"
    assert values["town"] == "x" * 100 + "…"


def test_more_rows_than_there_is_time_for_are_too_many(explained: tuple[ServedModel, Explainer]) -> None:
    with pytest.raises(TooLarge, match="101 rows to explain, and 100 is the limit of one call for this model"):
        explain(*explained, *[ROW] * 101)


def test_the_more_the_graph_has_to_answer_the_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.limits.MOST_EVALUATIONS", 3_000)
    model, explainer = version("regression")
    with pytest.raises(TooLarge, match="4 rows to explain, and 3 is the limit of one call for this model of 5 columns"):
        explain(model, explainer, *[ROW] * 4)


def test_one_row_is_always_explained_by_fewer_reference_rows_where_there_are_many_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidemill.limits.MOST_EVALUATIONS", 50)
    _, (told,) = explain(*version("regression"), ROW)
    assert sum(entry["error"] > 0 for entry in told["contributions"]) >= 2


def test_an_answer_without_end_is_not_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    model, explainer = version("regression")
    answers = model.predict([ROW, ROW], "q")
    monkeypatch.setattr(model, "answer", lambda matrix: (np.full(len(matrix), np.inf), None))
    with pytest.raises(InvalidRequest, match="row 0 cannot be explained: with values so large"):
        explainer.explain([ROW, ROW], answers.matrix)


def test_reference_rows_that_are_not_the_manifests_are_refused(explained: tuple[ServedModel, Explainer]) -> None:
    with pytest.raises(ModelIncompatible, match=r"background\.npy of version 3 is not what its manifest says"):
        Explainer(explained[0], b"other")
