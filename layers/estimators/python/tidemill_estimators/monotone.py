"""Boosting that is known to rise or to fall with some columns: the worked example, for the demo's flights."""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import TargetEncoder

from tidemill.encoding import categorical_positions, encoded_names
from tidemill.names import Task
from tidemill.schema import Schema

RISING: tuple[str, ...] = ("precipitation",)
"""Numeric columns: with more of one, and all else equal, the prediction never falls."""
FALLING: tuple[str, ...] = ("visibility",)


def build(schema: Schema, task: Task) -> Pipeline:
    """Of two classes, the probability of the second is what rises or falls."""
    if task == "multiclass":
        raise ValueError("of more than two classes, none can be said to rise: take it out of the spec")
    names, codes = encoded_names(schema), list(categorical_positions(schema))
    unknown = [column for column in (*RISING, *FALLING) if f"numeric:{column}" not in names]
    if unknown:
        raise ValueError(f"the data set has no numeric column {' or '.join(unknown)}: correct RISING and FALLING")
    direction = {f"numeric:{column}": 1 for column in RISING} | {f"numeric:{column}": -1 for column in FALLING}
    numbers = [place for place in range(len(names)) if place not in codes]
    # A category's code has no order. No scaler: it moves rows across the float32 splits of the exported graph.
    prepare = ColumnTransformer(
        [
            ("numbers", "passthrough", numbers),
            ("categories", TargetEncoder(target_type="binary" if task == "binary" else "continuous"), codes),
        ]
    )
    boosting = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    # In the order in which `prepare` hands the columns on.
    constraints = np.array([direction.get(names[place], 0) for place in [*numbers, *codes]])
    model = boosting(
        max_iter=500, learning_rate=0.05, max_leaf_nodes=15, monotonic_cst=constraints, early_stopping=True
    )
    return Pipeline([("prepare", prepare), ("model", model)])
