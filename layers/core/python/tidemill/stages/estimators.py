"""The scikit-learn pipelines that compete, and the settings that the search tries, the default first.

All of them take the encoded float32 matrix and are built on column positions. Only steps that convert to ONNX
without loss are used here: the traps are listed where they were avoided.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from tidemill.spec import Task

Params = Mapping[str, float]

MAX_LEAVES = 2_000
"""A tree's leaves: without a bound, a forest grows with its rows until the endpoint cannot load it."""
MANY_CATEGORIES = 12
"""From here on a tree gets a category's mean target instead of its code, which has no order."""

_SPACES: Mapping[str, Mapping[str, Sequence[float]]] = {
    "linear": {"strength": (1.0, 0.1, 0.01, 10.0)},
    "forest": {"min_samples_leaf": (10, 3, 30, 80), "max_features": (0.5, 0.3, 0.8)},
    "boosting": {
        "learning_rate": (0.08, 0.04, 0.15),
        "max_leaf_nodes": (31, 15, 63),
        "min_samples_leaf": (20, 60, 8),
        "max_iter": (150, 300),
        "l2_regularization": (0.0, 1.0, 10.0),
    },
}


@dataclass(frozen=True)
class Columns:
    """Positions of the matrix by how they must be treated."""

    numbers: tuple[int, ...]
    few_categories: tuple[int, ...]
    many_categories: tuple[int, ...]


def settings(candidate: str, trials: int, seed: int) -> Iterator[Params]:
    """The default settings, then random ones without repetition; the same seed gives the same sequence."""
    space = _SPACES[candidate]
    rng = np.random.default_rng(seed)
    drawn = {key: values[0] for key, values in space.items()}
    seen: list[Params] = []
    for _ in range(20 * trials):
        if drawn not in seen:
            seen.append(drawn)
            yield drawn
        if len(seen) == trials:
            return
        drawn = {key: values[int(rng.integers(len(values)))] for key, values in space.items()}


def build(candidate: str, task: Task, columns: Columns, params: Params, seed: int) -> Pipeline:
    """An unfitted pipeline from the encoded matrix to probabilities or values."""
    steps = {"linear": _linear, "forest": _forest, "boosting": _boosting}[candidate]
    prepare, model = steps(task, columns, params, seed)
    return Pipeline([("prepare", prepare), ("model", model)])


def _linear(task: Task, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    numbers = Pipeline(
        [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
    )
    # handle_unknown="infrequent_if_exist" raises in ONNX Runtime on any unseen category.
    codes = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    prepare = _columns(("numbers", numbers, columns.numbers), ("codes", codes, _codes(columns)))
    if task == "regression":
        return prepare, Ridge(alpha=1.0 / params["strength"])
    return prepare, LogisticRegression(C=params["strength"], max_iter=300, random_state=seed)


def _forest(task: Task, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    # A forest on missing values converts without an error and answers wrong: impute first.
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    prepare = _columns(
        ("numbers", impute, columns.numbers),
        ("codes", "passthrough", _ordered_codes(task, columns)),
        ("targets", _target_encoder(task, seed), columns.many_categories),
    )
    forest = ExtraTreesRegressor if task == "regression" else ExtraTreesClassifier
    # n_jobs=1: Lambda has no /dev/shm, so joblib's pool cannot start (joblib#391).
    return prepare, forest(
        n_estimators=100,
        min_samples_leaf=int(params["min_samples_leaf"]),
        max_leaf_nodes=MAX_LEAVES,
        max_features=params["max_features"],
        n_jobs=1,
        random_state=seed,
    )


def _boosting(task: Task, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    # No scaler: it moves rows across float32 splits. No categorical_features: it converts to wrong answers.
    prepare = _columns(
        ("numbers", "passthrough", columns.numbers),
        ("codes", "passthrough", _ordered_codes(task, columns)),
        ("targets", _target_encoder(task, seed), columns.many_categories),
    )
    boosting = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return prepare, boosting(
        learning_rate=params["learning_rate"],
        max_leaf_nodes=int(params["max_leaf_nodes"]),
        min_samples_leaf=int(params["min_samples_leaf"]),
        max_iter=int(params["max_iter"]),
        l2_regularization=params["l2_regularization"],
        early_stopping=False,
        random_state=seed,
    )


def _target_encoder(task: Task, seed: int) -> TargetEncoder:
    # A multi-class encoder does not convert: its mean class code is one number, and the codes stay beside it.
    kind = "binary" if task == "binary" else "continuous"
    folds = KFold(5, shuffle=True, random_state=seed)
    return TargetEncoder(target_type=kind, cv=folds)


def _ordered_codes(task: Task, columns: Columns) -> tuple[int, ...]:
    return _codes(columns) if task == "multiclass" else columns.few_categories


def _codes(columns: Columns) -> tuple[int, ...]:
    return (*columns.few_categories, *columns.many_categories)


def _columns(*parts: tuple[str, Any, Sequence[int]]) -> ColumnTransformer:
    return ColumnTransformer([(name, step, list(places)) for name, step, places in parts if places])
