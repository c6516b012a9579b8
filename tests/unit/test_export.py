"""What serves is what was trained: every candidate, every task, on rows of every kind."""

from contextlib import nullcontext

import numpy as np
import pytest

from tests.unit.builders import FOREVER, Data, dataset, observations, trained, training_side
from tidemill.encoding import MISSING, UNKNOWN, Matrix, encode
from tidemill.errors import ModelIncompatible
from tidemill.spec import CANDIDATES
from tidemill.stages import export
from tidemill.stages.estimators import build, settings
from tidemill.stages.export import parity, predict, to_onnx
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.parity import TOLERANCE
from tidemill.stages.train import SEED, _columns

TASKS = ("binary", "multiclass", "regression")


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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_exported_graph_answers_as_the_pipeline_on_gaps_and_unseen_categories(candidate: str, task: str) -> None:
    data = dataset(observations(500, task=task))
    side = training_side(data)
    params = next(settings(candidate, 1, SEED))
    pipeline = build(candidate, side.schema.task, _columns(side.schema), params, SEED)
    pipeline.fit(side.matrix, side.target if task == "regression" else side.target.astype(int))
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


def test_the_work_around_for_missing_values_in_boosting_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, skl2onnx writes plain booleans itself: delete `_plain_bools` and this test."""
    data = dataset(observations(200, task="binary"))
    monkeypatch.setattr(export, "_plain_bools", nullcontext)
    with pytest.raises(ValueError, match="nodes_missing_value_tracks_true"):
        trained("boosting", data)


def test_a_graph_of_other_rows_has_no_parity() -> None:
    data, other = dataset(observations(200, task="binary")), dataset(observations(200, task="binary", seed=5))
    side = training_side(data)
    pipeline = build("linear", "binary", _columns(side.schema), {"strength": 1.0}, SEED)
    pipeline.fit(side.matrix, side.target.astype(int))
    proof = parity(pipeline, trained("linear", other).onnx, data.matrix[data.held_out])
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
    pipeline = build("linear", "regression", _columns(side.schema), {"strength": 1.0}, SEED)
    assert predict(pipeline.fit(side.matrix, side.target), side.matrix).shape == side.target.shape
