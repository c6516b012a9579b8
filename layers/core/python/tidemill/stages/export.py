"""From a fitted scikit-learn pipeline to the ONNX graph that serves, and the proof that both say the same."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx.helper
import onnx.numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.operator_converters import random_forest
from sklearn.base import BaseEstimator

from tidemill.encoding import Matrix
from tidemill.errors import TrainingFailed
from tidemill.stages.finish import LEAST, Calibrated, LogScale, Sigmoid, SignedLog
from tidemill.stages.onnx_model import INPUT, OnnxModel
from tidemill.stages.parity import TOLERANCE, Parity

_OPSET = 21
_ML_OPSET = 3
_INNER = "tidemill_"
_TRAPS = {
    "FunctionTransformer": "columns that are computed before the upload",
    "IsolationForest": "ExtraTreesClassifier on labelled rows",
    "IterativeImputer": "SimpleImputer",
    "KNNImputer": "SimpleImputer",
    "LinearDiscriminantAnalysis": "LogisticRegression",
    "MissingIndicator": "SimpleImputer(strategy='constant') and Binarizer",
    "QuantileTransformer": "StandardScaler or RobustScaler",
    "SplineTransformer": "KBinsDiscretizer(encode='onehot-dense'), or a tree-based model",
    "TransformedTargetRegressor": "its regressor alone: a skewed target is taken on a log scale where that is better",
    "VotingClassifier": "StackingClassifier",
}
"""Steps that convert wrongly, never come to an end, or not at all, and what does in their place."""
_LONGEST = 200
_CATEGORIES = {"categorical_features": ((None, "from_dtype"), "TargetEncoder before it")}
_INFREQUENT = dict.fromkeys(("max_categories", "min_frequency"), ((None,), "all categories, or fewer in the upload"))
_SETTINGS: Mapping[str, Mapping[str, tuple[Sequence[object], str]]] = {
    "HistGradientBoostingClassifier": _CATEGORIES,
    "HistGradientBoostingRegressor": {
        **_CATEGORIES,
        "loss": (("squared_error", "absolute_error", "quantile"), "loss='squared_error'"),
    },
    "KBinsDiscretizer": {"encode": (("ordinal", "onehot-dense"), "encode='onehot-dense'")},
    "OneHotEncoder": _INFREQUENT,
    "OrdinalEncoder": _INFREQUENT,
    "SimpleImputer": {"add_indicator": ((False,), "another one, with strategy='constant', and Binarizer beside it")},
}
"""Steps that convert, but for some settings: a parameter's harmless values, and what does in place of another."""
_ANYTHING_ELSE = "a scikit-learn step that skl2onnx supports, such as those in stages/estimators.py"


def to_onnx(model: Any, width: int, *, classifier: bool) -> bytes:
    """One input `X` (n, width) float32; the last output has the probabilities or the values.

    Raises `TrainingFailed` with the step that cannot be exported, and what does in its place.
    """
    if isinstance(model, Calibrated):
        return _with_nodes(to_onnx(model.pipeline, width, classifier=True), _sigmoid_nodes(model.sigmoid))
    if isinstance(model, SignedLog):
        return _with_nodes(to_onnx(model.pipeline, width, classifier=False), _exponential_nodes(model.scale))
    refuse_traps(model)
    options = {id(model): {"zipmap": False}} if classifier else None
    try:
        with _exact_boosting():
            document = convert_sklearn(
                model,
                name="tidemill",  # otherwise a random one, and the same training would not give the same bytes
                initial_types=[(INPUT, FloatTensorType([None, width]))],
                options=options,
                target_opset={"": _OPSET, "ai.onnx.ml": _ML_OPSET},
            )
    except Exception as error:
        raise TrainingFailed(_not_exported(model, error)) from error
    graph: bytes = document.SerializeToString()
    return graph


Nodes = Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]]
"""Operator, its further inputs as arrays, its attributes: a chain, each taking what the one before it gives."""


def _with_nodes(graph: bytes, nodes: Nodes) -> bytes:
    """The graph with more nodes behind its last output, which keeps its name and its shape."""
    document = onnx.load_from_string(graph)
    output = document.graph.output[-1].name
    for node in document.graph.node:
        for place, name in enumerate(node.output):
            node.output[place] = f"{_INNER}0" if name == output else name
        for place, name in enumerate(node.input):
            node.input[place] = f"{_INNER}0" if name == output else name
    for place, (operator, values, attributes) in enumerate(nodes):
        constants = [f"{_INNER}{place}_{number}" for number in range(len(values))]
        for name, value in zip(constants, values, strict=True):
            document.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
        result = output if place == len(nodes) - 1 else f"{_INNER}{place + 1}"
        document.graph.node.append(
            onnx.helper.make_node(operator, [f"{_INNER}{place}", *constants], [result], **attributes)
        )
    extended: bytes = document.SerializeToString()
    return extended


def _sigmoid_nodes(sigmoid: Sigmoid) -> Nodes:
    return (
        ("Clip", [LEAST, 1.0], {}),
        ("Log", [], {}),
        ("Mul", [sigmoid.slope], {}),
        ("Add", [sigmoid.offsets], {}),
        ("Softmax", [], {"axis": 1}),
    )


def _exponential_nodes(scale: LogScale) -> Nodes:
    return ("Clip", [scale.low, scale.high], {}), ("Sinh", [], {}), ("Mul", [scale.scale], {})


def parity(model: Any, graph: bytes, matrix: Matrix, spread: float = 0.0) -> Parity:
    """Compare on these rows; regression differences are divided by the standard deviation of the predictions, or of the
    target where that is more: a model of noise says nearly the same of all rows."""
    expected = predict(model, matrix)
    actual = OnnxModel(graph).predict(matrix)
    scale = 1.0 if expected.ndim == 2 else max(float(expected.std()), spread, 1e-12)
    gaps = np.abs(expected - actual) / scale
    rows = gaps.max(axis=1) if gaps.ndim == 2 else gaps
    return Parity(len(matrix), float(rows.max(initial=0.0)), int((~(rows <= TOLERANCE)).sum()))


def predict(model: Any, matrix: Matrix) -> npt.NDArray[np.float64]:
    """Probabilities (n, classes) or values (n,), as `OnnxModel.predict` gives them."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(matrix), dtype=np.float64)
    return np.asarray(model.predict(matrix), dtype=np.float64)


def refuse_traps(model: Any) -> None:
    """Raises `TrainingFailed` for a step that is known not to export, fitted or not."""
    for step in _steps(model):
        name = type(step).__name__
        if name in _TRAPS:
            raise TrainingFailed(_refusal(step, "does not export without loss"))
        for parameter, (harmless, instead) in _SETTINGS.get(name, {}).items():
            value = repr(getattr(step, parameter))
            if value not in map(repr, harmless):
                raise TrainingFailed(f"step {name}({parameter}={value}) does not export without loss: use {instead}")


def _not_exported(model: Any, error: Exception) -> str:
    """The innermost step that the exporter names, or else the last one."""
    steps = list(_steps(model))
    named = [step for step in steps if re.search(rf"\b{type(step).__name__}\b", str(error))]
    said = " ".join(str(error).split())[:_LONGEST]
    return _refusal((named or steps)[-1], f"cannot be exported to ONNX ({said})")


def _refusal(step: Any, what: str) -> str:
    name = type(step).__name__
    return f"step {name} {what}: use {_TRAPS.get(name, _ANYTHING_ELSE)}"


def _steps(model: Any) -> Iterator[Any]:
    """The estimator and all that it is made of, the outer before the inner."""
    yield model
    for part in model.get_params(deep=False).values() if hasattr(model, "get_params") else ():
        entries = part if isinstance(part, list | tuple) else [part]
        for entry in entries:
            for one in entry if isinstance(entry, tuple) else (entry,):
                if isinstance(one, BaseEstimator):
                    yield from _steps(one)


@contextmanager
def _exact_boosting() -> Iterator[None]:
    """What skl2onnx 1.20 leaves undone for histogram boosting; tests pin that both are still needed.

    A threshold lies between two float32 values, and the graph keeps it as one: it must be the lower of them, since
    rounded to the upper one it would send that value to the other side. And protobuf 7 refuses the numpy booleans of
    `nodes_missing_value_tracks_true`.
    """
    make_attribute = onnx.helper.make_attribute
    add_tree = random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting

    def with_plain_booleans(key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "nodes_missing_value_tracks_true":
            value = [int(item) for item in value]
        return make_attribute(key, value, *args, **kwargs)

    def with_lower_thresholds(pairs: Any, classifies: bool, tree: Any, *args: Any, **kwargs: Any) -> None:
        nodes = tree.nodes.copy()
        nodes["num_threshold"] = _rounded_down(nodes["num_threshold"])
        add_tree(pairs, classifies, SimpleNamespace(nodes=nodes), *args, **kwargs)

    onnx.helper.make_attribute = with_plain_booleans
    random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = with_lower_thresholds
    try:
        yield
    finally:
        onnx.helper.make_attribute = make_attribute
        random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = add_tree


def _rounded_down(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
