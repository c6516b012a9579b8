"""The scikit-learn pipelines that compete.

All of them take the encoded float32 matrix and are built on column positions. Only steps that convert to ONNX
without loss are used here: the traps are listed where they were avoided.
"""

from collections.abc import Sequence
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
from sklearn.preprocessing import Binarizer, OneHotEncoder, StandardScaler, TargetEncoder

from tidemill.encoding import categorical_positions, encoded_names
from tidemill.schema import Schema
from tidemill.stages.spaces import Params

MANY_CATEGORIES = 12
"""From here on a tree gets a category's mean target instead of its code, which has no order."""
_MOST_LEAVES = 200_000
"""Of all of a model's trees, a forest's times the numbers that each holds: without a bound, a forest grows with its
rows until the endpoint cannot load it."""
_BEYOND = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Columns:
    """Positions of the matrix by how they must be treated; `gaps` has one number of each column that may be missing."""

    numbers: tuple[int, ...]
    few_categories: tuple[int, ...]
    many_categories: tuple[int, ...]
    gaps: tuple[int, ...]

    @classmethod
    def of(cls, schema: Schema) -> "Columns":
        codes = categorical_positions(schema)
        sizes = [len(column.vocabulary) for column in schema.features if column.kind == "categorical"]
        many = {place for place, size in zip(codes, sizes, strict=True) if size > MANY_CATEGORIES}
        names = encoded_names(schema)
        nullable = {column.name for column in schema.features if column.nullable}
        return cls(
            numbers=tuple(place for place in range(len(names)) if place not in codes),
            few_categories=tuple(place for place in codes if place not in many),
            many_categories=tuple(sorted(many)),
            gaps=tuple(
                place
                for place, (kind, _, column) in enumerate(name.partition(":") for name in names)
                # A date is missing in all its parts.
                if column in nullable and kind in ("numeric", "boolean", "datetime.year")
            ),
        )


def build(candidate: str, schema: Schema, params: Params, seed: int) -> Pipeline:
    """An unfitted pipeline from the encoded matrix to probabilities or values."""
    steps = {"linear": _linear, "forest": _forest, "boosting": _boosting}[candidate]
    prepare, model = steps(schema, Columns.of(schema), params, seed)
    return Pipeline([("prepare", prepare), ("model", model)])


def most_trees(schema: Schema, params: Params) -> int:
    """Of boosting, which grows one a class where there are more than two."""
    classes = len(schema.classes) if schema.task == "multiclass" else 1
    return max(int(_MOST_LEAVES / (classes * params["max_leaf_nodes"])), 1)


def _linear(schema: Schema, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    numbers = Pipeline([("impute", _median()), ("scale", StandardScaler())])
    # handle_unknown="infrequent_if_exist" raises in ONNX Runtime on any unseen category.
    codes = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    prepare = _columns(
        ("numbers", numbers, columns.numbers), ("gaps", _is_missing(), columns.gaps), ("codes", codes, _codes(columns))
    )
    if schema.task == "regression":
        return prepare, Ridge(alpha=1.0 / params["strength"])
    return prepare, LogisticRegression(C=params["strength"], max_iter=300, random_state=seed)


def _forest(schema: Schema, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    # A forest on missing values converts without an error and answers wrong: impute first.
    prepare = _columns(
        ("numbers", _median(), columns.numbers),
        ("gaps", _is_missing(), columns.gaps),
        ("codes", "passthrough", _ordered_codes(schema, columns)),
        ("targets", _target_encoder(schema, seed), columns.many_categories),
    )
    forest = ExtraTreesRegressor if schema.task == "regression" else ExtraTreesClassifier
    trees = int(params["trees"])
    numbers_a_leaf = len(schema.classes) if schema.task == "multiclass" else 1
    # n_jobs=1: Lambda has no /dev/shm, so joblib's pool cannot start (joblib#391).
    return prepare, forest(
        n_estimators=trees,
        min_samples_leaf=int(params["min_samples_leaf"]),
        max_leaf_nodes=max(_MOST_LEAVES // (trees * numbers_a_leaf), 2),
        max_features=float(params["max_features"]),
        n_jobs=1,
        random_state=seed,
    )


def _boosting(schema: Schema, columns: Columns, params: Params, seed: int) -> tuple[Any, Any]:
    # No scaler: it moves rows across float32 splits. No categorical_features: it converts to wrong answers.
    prepare = _columns(
        ("numbers", "passthrough", columns.numbers),
        ("codes", "passthrough", _ordered_codes(schema, columns)),
        ("targets", _target_encoder(schema, seed), columns.many_categories),
    )
    boosting = HistGradientBoostingRegressor if schema.task == "regression" else HistGradientBoostingClassifier
    return prepare, boosting(
        learning_rate=params["learning_rate"],
        max_leaf_nodes=int(params["max_leaf_nodes"]),
        min_samples_leaf=int(params["min_samples_leaf"]),
        max_features=float(params["max_features"]),
        l2_regularization=params["l2_regularization"],
        max_iter=int(params["max_iter"]),
        early_stopping=False,
        random_state=seed,
    )


def _median() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _is_missing() -> Pipeline:
    """1 where a number is missing, of steps that convert; SimpleImputer(add_indicator) and MissingIndicator do not."""
    beyond = SimpleImputer(strategy="constant", fill_value=_BEYOND, keep_empty_features=True)
    return Pipeline([("fill", beyond), ("see", Binarizer(threshold=_BEYOND / 2))])


def _target_encoder(schema: Schema, seed: int) -> TargetEncoder:
    # A multi-class encoder does not convert: its mean class code is one number, and the codes stay beside it.
    kind = "binary" if schema.task == "binary" else "continuous"
    folds = KFold(5, shuffle=True, random_state=seed)
    return TargetEncoder(target_type=kind, cv=folds)


def _ordered_codes(schema: Schema, columns: Columns) -> tuple[int, ...]:
    return _codes(columns) if schema.task == "multiclass" else columns.few_categories


def _codes(columns: Columns) -> tuple[int, ...]:
    return (*columns.few_categories, *columns.many_categories)


def _columns(*parts: tuple[str, Any, Sequence[int]]) -> ColumnTransformer:
    return ColumnTransformer([(name, step, list(places)) for name, step, places in parts if places])
