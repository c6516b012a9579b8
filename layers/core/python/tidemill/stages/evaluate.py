"""Evaluate: what the exported graph answers on held-out rows, measured and drawn.

The artifact that is judged is the one that will serve. Nothing is fitted here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix, encoded_names, select
from tidemill.schema import Schema
from tidemill.stages.bootstrap import interval
from tidemill.stages.metrics import METRICS, Metric, as_judged, decisions
from tidemill.stages.onnx_model import OnnxModel

SEED = 7
_CURVE_POINTS = 60
_BINS = 10
_SCATTER_POINTS = 250
_IMPORTANCE_ROWS = 4_000
_TIMED = 200

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows of a data set, in its own schema's encoding."""

    schema: Schema
    names: tuple[str, ...]
    matrix: Matrix
    truth: Array


def answer(model: OnnxModel, schema: Schema, rows: HeldOut) -> Array:
    """What a version with its own (older or equal) schema answers for these rows."""
    prediction = model.predict(select(rows.matrix, rows.names, schema))
    if schema.task == "regression" or schema.classes == rows.schema.classes:
        return prediction
    aligned = np.zeros((len(prediction), len(rows.schema.classes)))
    for place, name in enumerate(rows.schema.classes):
        if name in schema.classes:
            aligned[:, place] = prediction[:, schema.classes.index(name)]
    return aligned


def measures(task: str, truth: Array, prediction: Array, threshold: float | None) -> dict[str, float | None]:
    """Every metric that the task knows; None where it is undefined on these rows."""
    known = [metric for metric in METRICS.values() if task in metric.tasks]
    values = {m.name: m.bind(truth, as_judged(m, prediction, threshold))(None) for m in known}
    return {name: value if value == value else None for name, value in values.items()}


def describe(metric: Metric, task: str, truth: Array, prediction: Array, threshold: float | None) -> dict[str, Any]:
    """One version's held-out numbers: the metric with its interval, all other metrics beside it."""
    return {
        "interval": interval(metric, truth, as_judged(metric, prediction, threshold), seed=SEED).to_json(),
        "metrics": measures(task, truth, prediction, threshold),
        "threshold": threshold,
    }


def latency(model: OnnxModel, matrix: Matrix, clock: Callable[[], float]) -> float:
    """Milliseconds for one row, the median of a few hundred; `clock` counts seconds."""
    row = matrix[:1]
    taken = []
    for _ in range(_TIMED):
        started = clock()
        model.predict(row)
        taken.append(clock() - started)
    return float(np.median(taken) * 1_000)


def curves(
    task: str, truth: Array, prediction: Array, classes: tuple[str, ...], threshold: float | None
) -> dict[str, Any]:
    """What the report draws, in few enough points to store.

    binary: roc [[false positive rate, true positive rate]…], precision_recall [[recall, precision]…],
    calibration [[mean predicted, observed share, rows]…]; classification: confusion counts by [truth][answer];
    regression: scatter [[actual, predicted]…], residuals {edges, counts}.
    """
    if task == "regression":
        return _regression_curves(truth, prediction)
    answers = np.argmax(prediction if threshold is None else decisions(prediction, threshold), axis=1)
    size = len(classes)
    confusion = np.bincount(truth.astype(int) * size + answers, minlength=size * size).reshape(size, size)
    drawn: dict[str, Any] = {"classes": list(classes), "confusion": confusion.tolist()}
    return drawn | _binary_curves(truth, prediction[:, 1]) if task == "binary" else drawn


def importance(model: OnnxModel, rows: HeldOut, metric: Metric, threshold: float | None) -> dict[str, float]:
    """Permutation importance on held-out rows (Breiman 2001): the loss of the metric's gain when a feature's
    values are shuffled, every part of a date together; the largest first."""
    chosen = np.random.default_rng(SEED).permutation(len(rows.truth))[:_IMPORTANCE_ROWS]
    matrix, truth = rows.matrix[chosen], rows.truth[chosen]

    def gain(of: Matrix) -> float:
        return metric.gain(metric.bind(truth, as_judged(metric, model.predict(of), threshold))(None))

    whole = gain(matrix)
    losses = {}
    for column in rows.schema.features:
        parts = encoded_names(replace(rows.schema, columns=(column,)))
        places = [place for place, name in enumerate(rows.names) if name in parts]
        shuffled = matrix.copy()
        order = np.random.default_rng(SEED).permutation(len(truth))
        shuffled[:, places] = matrix[order][:, places]
        losses[column.name] = whole - gain(shuffled)
    usable = {name: float(loss) for name, loss in losses.items() if loss == loss}
    return dict(sorted(usable.items(), key=lambda item: -item[1]))


def golden_rows(model: OnnxModel, matrix: Matrix, examples: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Raw rows and the answers that serving must reproduce before it is ready; `matrix` rows by position."""
    positions = sorted(examples)
    expected = model.predict(matrix[positions])
    return [
        {"row": dict(examples[position]), "expected": np.atleast_1d(expected[i]).tolist()}
        for i, position in enumerate(positions)
    ]


def _binary_curves(truth: Array, score: Array) -> dict[str, Any]:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    seen = np.arange(1, len(order) + 1)
    positives, negatives = max(hits[-1], 1.0), max(len(order) - hits[-1], 1.0)
    places = np.unique(np.linspace(0, len(order) - 1, _CURVE_POINTS).astype(int))
    roc = np.column_stack([(seen - hits)[places] / negatives, hits[places] / positives])
    recall = np.column_stack([hits[places] / positives, (hits / seen)[places]])
    edges = np.unique(np.quantile(score, np.linspace(0, 1, _BINS + 1)))
    bins = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, max(len(edges) - 2, 0))
    calibration = [
        [float(score[bins == b].mean()), float(truth[bins == b].mean()), int((bins == b).sum())]
        for b in np.unique(bins)
    ]
    return {
        "roc": [[0.0, 0.0], *roc.round(4).tolist()],
        "precision_recall": recall.round(4).tolist(),
        "calibration": calibration,
    }


def _regression_curves(truth: Array, prediction: Array) -> dict[str, Any]:
    chosen = np.random.default_rng(SEED).permutation(len(truth))[:_SCATTER_POINTS]
    counts, edges = np.histogram(prediction - truth, bins=24)
    return {
        "scatter": np.column_stack([truth[chosen], prediction[chosen]]).round(6).tolist(),
        "residuals": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
