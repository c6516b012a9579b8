"""What Train is compared with, in an environment of its own: `python -m tests.bench.peers NAME FOLDER SECONDS CORES`.

Takes rows.npz and rows.json of the folder; leaves its answers to the held-out rows in NAME.npy.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flaml import AutoML  # type: ignore[import-not-found]
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from tests.bench import quiet

MOST_CATEGORIES = 255
"""Histogram boosting refuses a column that has more; it gets their codes as numbers."""
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "r2"}


def hist(
    task: str, known: pd.DataFrame, target: Any, asked: pd.DataFrame, seconds: float, cores: int
) -> tuple[Any, str]:
    for name in known.select_dtypes("category"):
        if len(known[name].cat.categories) > MOST_CATEGORIES:
            known[name], asked[name] = known[name].cat.codes, asked[name].cat.codes
    model = (HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier)(random_state=0)
    model.fit(known, target)
    return (model.predict(asked) if task == "regression" else model.predict_proba(asked)), f"{model.n_iter_} trees"


def flaml(
    task: str, known: pd.DataFrame, target: Any, asked: pd.DataFrame, seconds: float, cores: int
) -> tuple[Any, str]:
    model = AutoML()
    model.fit(
        known,
        target,
        task="regression" if task == "regression" else "classification",
        metric=METRICS[task],
        time_budget=seconds,
        n_jobs=cores,
        seed=0,
        verbose=0,
    )
    answers = model.predict(asked) if task == "regression" else model.predict_proba(asked)
    return answers, f"{model.best_estimator} {model.best_config}"


def main(name: str, folder: Path, seconds: float, cores: int) -> None:
    facts, arrays = json.loads((folder / "rows.json").read_text()), np.load(folder / "rows.npz")
    columns = {}
    for place, (column, categories) in enumerate(facts["columns"]):
        values = arrays[f"column{place}"]
        columns[column] = values if categories is None else pd.Categorical.from_codes(values, categories)
    frame, held_out, target = pd.DataFrame(columns), arrays["held_out"], arrays["target"]
    target = target if facts["task"] == "regression" else target.astype(int)
    answer = {"hist": hist, "flaml": flaml}[name]
    known, asked = frame[~held_out].copy(), frame[held_out].copy()
    now, begun, today = partial(quiet.seconds, cores), quiet.seconds(cores), time.time()
    # FLAML asks this clock how much of its time is left.
    time.time = lambda: today + now() - begun
    answers, how = answer(facts["task"], known, target[~held_out], asked, seconds, cores)
    np.save(folder / f"{name}.npy", answers)
    print(json.dumps({"seconds": now() - begun, "how": how}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
