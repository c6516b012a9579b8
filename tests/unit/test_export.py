"""What serves is what was trained: every candidate, every task, on rows of every kind."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer

from tests.unit.builders import FOREVER, Data, dataset, observations, trained, training_side
from tidemill.encoding import MISSING, UNKNOWN, Matrix, encode
from tidemill.errors import ModelIncompatible, TrainingFailed
from tidemill.spec import CANDIDATES
from tidemill.stages import export
from tidemill.stages.export import parity, predict, to_onnx
from tidemill.stages.finish import Calibrated, Sigmoid
from tidemill.stages.folds import TrainingSide
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.parity import TOLERANCE
from tidemill.stages.recipes import Recipe, fit
from tidemill.stages.spaces import defaults

TASKS = ("binary", "multiclass", "regression")


class PowerTransformerOfOurOwn(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, matrix: Matrix, _: Any = None) -> "PowerTransformerOfOurOwn":
        self.fitted_ = True
        return self

    def transform(self, matrix: Matrix) -> Matrix:
        return matrix**2


def strange(data: Data) -> Matrix:
    """Held-out rows whose categories are unknown or missing, whose numbers are missing or far off."""
    held = data.matrix[data.held_out]
    codes = [data.names.index("categorical:colour"), data.names.index("categorical:town")]
    unknown, absent, empty, far = held.copy(), held.copy(), held.copy(), held.copy()
    unknown[:, codes], absent[:, codes] = UNKNOWN, MISSING
    empty[:, [i for i in range(held.shape[1]) if i not in codes]] = np.nan
    far[:, data.names.index("numeric:size")] = np.where(np.arange(len(held)) % 2, 1e6, -1e6)
    far[:, codes] = len(data.schema.features[-1].vocabulary) + 5
    return np.concatenate([held, unknown, absent, empty, far])


def fitted(candidate: str, side: TrainingSide, **params: float) -> Any:
    return fit(Recipe(candidate, side.schema, {**defaults(candidate), "max_iter": 100, **params}), side)


@pytest.mark.parametrize("gaps", [True, False], ids=["gaps", "no-gaps"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_exported_graph_answers_as_the_pipeline_on_gaps_and_unseen_categories(
    candidate: str, task: str, gaps: bool
) -> None:
    """Where training had a gap, and where it had none."""
    frame = observations(500 if gaps else 1_000, task=task)
    data = dataset(frame if gaps else frame.dropna())
    assert any(column.nullable for column in data.schema.features) is gaps
    side = training_side(data)
    pipeline = fitted(candidate, side)
    graph = to_onnx(pipeline, side.matrix.shape[1], classifier=task != "regression")
    rows = strange(data)
    proof = parity(pipeline, graph, rows)
    assert proof.holds
    assert proof.rows == len(rows)
    assert proof.largest <= TOLERANCE
    answers = OnnxModel(graph).predict(rows)
    assert answers.shape == ((len(rows),) if task == "regression" else (len(rows), len(data.schema.classes)))
    assert np.isfinite(answers).all()
    if task != "regression":
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("candidate", ["linear", "forest"])
def test_that_a_number_is_missing_is_something_to_learn_from(candidate: str) -> None:
    rng = np.random.default_rng(0)
    absent = rng.random(600) < 0.4
    frame = pd.DataFrame({"x": np.where(absent, np.nan, rng.normal(size=600)), "y": np.where(absent, "yes", "no")})
    data = dataset(frame)
    answers = OnnxModel(trained(candidate, data).onnx).predict(data.matrix[data.held_out])
    assert ((answers[:, 1] > 0.5) == data.target[data.held_out]).all()


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_graph_on_a_log_scale_answers_in_the_targets_own_unit(candidate: str) -> None:
    frame = observations(500, task="regression")
    frame["y"] = np.sinh(frame["y"] / 10 - 10).round(4)
    data = dataset(frame)
    model = fitted(candidate, training_side(data), log_target=1)
    graph = to_onnx(model, data.matrix.shape[1], classifier=False)
    assert parity(model, graph, strange(data)).holds
    answers = OnnxModel(graph).predict(data.matrix)
    assert answers.min() < 0 < answers.max()
    assert np.corrcoef(np.arcsinh(answers), np.arcsinh(data.target))[0, 1] > 0.8


@pytest.mark.parametrize("slope", [0.3, 1.7])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_calibrated_graph_answers_as_the_calibrated_model(candidate: str, task: str, slope: float) -> None:
    data = dataset(observations(500, task=task))
    offsets = (0.0, 0.4, -1.0)[: len(data.schema.classes)]
    model = Calibrated(fitted(candidate, training_side(data)), Sigmoid(slope, offsets))
    graph = to_onnx(model, data.matrix.shape[1], classifier=True)
    assert parity(model, graph, strange(data)).holds
    raw = predict(model.pipeline, data.matrix)
    assert np.abs(OnnxModel(graph).predict(data.matrix) - raw).max() > 0.05


@pytest.mark.parametrize(
    ("step", "instead"),
    [
        (QuantileTransformer(n_quantiles=10), "QuantileTransformer does not export without loss: use StandardScaler"),
        (FunctionTransformer(np.log1p), "FunctionTransformer does not export without loss: use columns"),
        (PowerTransformerOfOurOwn(), "PowerTransformerOfOurOwn cannot be exported to ONNX"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_exported_is_refused_by_the_name_of_its_step(step: Any, instead: str) -> None:
    rows = np.random.default_rng(0).random((50, 2)).astype(np.float32)
    model = Pipeline([("prepare", ColumnTransformer([("one", step, [0, 1])])), ("model", Ridge())])
    model.fit(rows, rows[:, 0])
    with pytest.raises(TrainingFailed, match=instead) as caught:
        to_onnx(model, 2, classifier=False)
    assert "use " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_work_around_for_missing_values_in_boosting_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, skl2onnx writes plain booleans itself: leave that to it."""
    data = dataset(observations(200, task="binary"))
    monkeypatch.setattr(export, "_exact_boosting", nullcontext)
    with pytest.raises(TrainingFailed, match="step HistGradientBoostingClassifier cannot be exported") as caught:
        trained("boosting", data)
    assert "nodes_missing_value_tracks_true" in str(caught.value.__cause__)


def test_a_graph_of_other_rows_has_no_parity() -> None:
    data, other = dataset(observations(200, task="binary")), dataset(observations(200, task="binary", seed=5))
    side = training_side(data)
    proof = parity(fitted("linear", side), trained("linear", other).onnx, data.matrix[data.held_out])
    assert not proof.holds
    assert 0 < proof.beyond <= proof.rows == int(data.held_out.sum())


def test_regression_parity_is_measured_in_the_spread_of_the_values() -> None:
    frame = observations(300, task="regression")
    for scale in (1e-6, 1.0, 1e6):
        data = dataset(frame.assign(y=(frame["y"] - 100) * scale))
        assert trained("linear", data, FOREVER).parity.holds


def test_a_graph_that_does_not_load_is_our_fault_and_says_so() -> None:
    with pytest.raises(ModelIncompatible, match="the ONNX artifact does not load"):
        OnnxModel(b"not a graph")


def test_the_graph_knows_how_many_numbers_a_row_has() -> None:
    data = dataset(observations(200, task="binary"))
    model = OnnxModel(trained("linear", data).onnx)
    assert model.width == len(data.names)
    one = encode(data.schema, {"size": np.array([50.0])}, 1)
    assert model.predict(one).shape == (1, 2)


def test_predictions_of_the_pipeline_have_the_shape_of_the_graphs() -> None:
    data = dataset(observations(200, task="regression"))
    side = training_side(data)
    assert predict(fitted("linear", side), side.matrix).shape == side.target.shape


def test_a_threshold_between_neighbouring_numbers_sends_both_to_their_own_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of all midpoints are rounded to the upper neighbour, which then goes with the lower one."""
    low = np.linspace(1, 2, 40).astype(np.float32)
    matrix = np.repeat(np.concatenate([low, np.nextafter(low, np.float32(3))]), 30)[:, None]
    target = np.repeat(np.arange(80) % 2 * 10.0 + np.arange(80), 30)
    model = HistGradientBoostingRegressor(max_leaf_nodes=255, min_samples_leaf=1, max_bins=255).fit(matrix, target)
    pipeline = Pipeline([("model", model)])
    spread = float(target.std())
    assert parity(pipeline, to_onnx(pipeline, 1, classifier=False), matrix, spread).beyond == 0
    monkeypatch.setattr(export, "_rounded_down", lambda values: values)
    assert parity(pipeline, to_onnx(pipeline, 1, classifier=False), matrix, spread).beyond > 0
