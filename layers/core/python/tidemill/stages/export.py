"""From a fitted scikit-learn pipeline to the ONNX graph that serves, and the proof that both say the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx.helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import Pipeline

from tidemill.encoding import Matrix
from tidemill.stages.onnx_model import INPUT, OnnxModel
from tidemill.stages.parity import TOLERANCE, Parity

_OPSET = 21
_ML_OPSET = 3


def to_onnx(pipeline: Pipeline, width: int, *, classifier: bool) -> bytes:
    """One input `X` (n, width) float32; the last output has the probabilities or the values."""
    options = {id(pipeline): {"zipmap": False}} if classifier else None
    with _plain_bools():
        model = convert_sklearn(
            pipeline,
            name="tidemill",  # otherwise a random one, and the same training would not give the same bytes
            initial_types=[(INPUT, FloatTensorType([None, width]))],
            options=options,
            target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
        )
    graph: bytes = model.SerializeToString()
    return graph


def parity(pipeline: Pipeline, graph: bytes, matrix: Matrix) -> Parity:
    """Compare on these rows; regression differences are divided by the predictions' standard deviation."""
    expected = predict(pipeline, matrix)
    actual = OnnxModel(graph).predict(matrix)
    scale = 1.0 if expected.ndim == 2 else max(float(expected.std()), 1e-12)
    gaps = np.abs(expected - actual) / scale
    rows = gaps.max(axis=1) if gaps.ndim == 2 else gaps
    return Parity(len(matrix), float(rows.max(initial=0.0)), int((~(rows <= TOLERANCE)).sum()))


def predict(pipeline: Pipeline, matrix: Matrix) -> npt.NDArray[np.float64]:
    """Probabilities (n, classes) or values (n,), as `OnnxModel.predict` gives them."""
    if hasattr(pipeline, "predict_proba"):
        return np.asarray(pipeline.predict_proba(matrix), dtype=np.float64)
    return np.asarray(pipeline.predict(matrix), dtype=np.float64)


@contextmanager
def _plain_bools() -> Iterator[None]:
    """protobuf 7 refuses the numpy booleans that skl2onnx 1.20 puts into
    `nodes_missing_value_tracks_true` of histogram boosting; a test pins that this is still needed.
    """
    original = onnx.helper.make_attribute

    def make_attribute(key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "nodes_missing_value_tracks_true":
            value = [int(item) for item in value]
        return original(key, value, *args, **kwargs)

    onnx.helper.make_attribute = make_attribute
    try:
        yield
    finally:
        onnx.helper.make_attribute = original
