"""Where a model is worse than on the whole: by category, by quarters of a number, by what is missing.

Few resamples are enough for a standard error. On the 50,000 rows that are looked at, sixty slices take some seconds.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import MISSING, Matrix
from tidemill.schema import Column, Schema
from tidemill.stages.bootstrap import paired_difference
from tidemill.stages.metrics import Metric

SEED = 13
FEWEST_ROWS = 100
FEWEST_OF_CLASS = 10
"""Rows of either of two classes that a slice must have: without it, one in ten equal candidates was refused (AUC, 2,000
rows, 5 % positives, half a hundred slices)."""
MOST_SLICES = 60
MOST_ROWS = 50_000
RESAMPLES = 200
_LEVELS = 8
_QUARTERS = 4
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """`lost`: what the champion's gain exceeds the candidate's by, as a share of what the champion earns over a model
    without features on all rows, `earned`; `surely_lost` = lost - z * standard_error / earned, the favourable end of a
    one-sided interval, with z corrected for the number of slices."""

    name: str
    rows: int
    candidate: float
    champion: float
    lost: float
    surely_lost: float
    standard_error: float
    earned: float
    z: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    metric: Metric,
    masks: Sequence[tuple[str, Mask]],
    truth: Array,
    candidate: Array,
    champion: Array,
    dummy: Array,
    *,
    confidence: float,
) -> list[Slice]:
    """Slices where both have a value, the greatest sure loss first. Where the champion is no better than a model
    without features, no loss can be a share of what it earned, and there are none."""
    earned = metric.gain(metric.bind(truth, champion)(None)) - metric.gain(metric.bind(truth, dummy)(None))
    if not earned > 0 or not masks:
        return []
    # Bonferroni: the error is shared by all slices.
    z = NormalDist().inv_cdf(1 - (1 - confidence) / len(masks))
    found = []
    for name, mask in masks:
        result = paired_difference(
            metric, truth[mask], candidate[mask], champion[mask],
            seed=SEED, confidence=confidence, resamples=RESAMPLES,
        )  # fmt: skip
        if math.isfinite(result.standard_error) and (result.rarest is None or result.rarest >= FEWEST_OF_CLASS):
            lost, surely = (-gap / earned for gap in (result.difference, result.difference + z * result.standard_error))
            told = result.candidate, result.champion, lost, surely, result.standard_error
            found.append(Slice(name, result.rows, *told, earned, z))
    return sorted(found, key=lambda one: -one.surely_lost)


def values(metric: Metric, masks: Sequence[tuple[str, Mask]], truth: Array, candidate: Array) -> list[dict[str, Any]]:
    """The metric of one model in each slice, the worst first."""
    found = [(metric.bind(truth[mask], candidate[mask])(None), name, int(mask.sum())) for name, mask in masks]
    known = sorted((entry for entry in found if math.isfinite(entry[0])), key=lambda entry: metric.gain(entry[0]))
    return [{"name": name, "rows": rows, "value": value} for value, name, rows in known]


def slices(schema: Schema, names: Sequence[str], matrix: Matrix, order: Sequence[str]) -> list[tuple[str, Mask]]:
    """Slices of `FEWEST_ROWS` or more that are not all rows, by features in this order: what matters most comes first,
    and `MOST_SLICES` are looked at."""
    features = {column.name: column for column in schema.features}
    ranked = [features[name] for name in order if name in features]
    found = [
        (name, mask)
        for column in ranked
        for name, mask in _of_column(column, names, matrix)
        if FEWEST_ROWS <= int(mask.sum()) < len(matrix)
    ]
    return found[:MOST_SLICES]


def chosen(rows: int) -> npt.NDArray[np.int64]:
    """Places of the rows that slices are made of: all, or an even draw."""
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(SEED).choice(rows, MOST_ROWS, replace=False))


def _of_column(column: Column, names: Sequence[str], matrix: Matrix) -> Iterator[tuple[str, Mask]]:
    if column.kind == "datetime":
        yield from _weekdays(column, names, matrix)
        return
    name = f"{column.kind}:{column.name}"
    if name not in names:
        return
    values = matrix[:, names.index(name)]
    if column.kind == "categorical":
        yield f"{column.name} is missing", values == MISSING
        known, times = np.unique(values[values >= 0], return_counts=True)
        for code in known[np.argsort(-times, kind="stable")][:_LEVELS]:
            yield f"{column.name} is {column.vocabulary[int(code)]!r}", values == code
        return
    yield f"{column.name} is missing", np.isnan(values)
    if column.kind == "boolean":
        yield f"{column.name} is false", values == 0
        yield f"{column.name} is true", values == 1
        return
    yield from _quarters(column.name, values)


def _quarters(name: str, values: npt.NDArray[np.float32]) -> Iterator[tuple[str, Mask]]:
    present = values[~np.isnan(values)]
    if not len(present):
        return
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _QUARTERS + 1), method="lower"))
    for low, high in pairwise(edges):
        first = low == edges[0]
        mask = (values >= low if first else values > low) & (values <= high)
        yield f"{name} is {'' if first else 'over '}{low:.6g} to {high:.6g}", mask


def _weekdays(column: Column, names: Sequence[str], matrix: Matrix) -> Iterator[tuple[str, Mask]]:
    """Of a date's parts, the one that comes again soon and that people plan by."""
    name = f"datetime.weekday:{column.name}"
    if name in names:
        values = matrix[:, names.index(name)]
        yield f"{column.name} is missing", np.isnan(values)
        for day, word in enumerate(_WEEKDAYS):
            yield f"{column.name} is a {word}", values == day
