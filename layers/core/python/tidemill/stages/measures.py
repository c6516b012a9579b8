"""What a check measured, as numbers to be drawn over time: one a name, and none for what is not known."""

from collections.abc import Mapping

from tidemill.stages.drift import DriftReport
from tidemill.stages.estimate import Estimate
from tidemill.stages.performance import Performance

MEASURES = (
    "CheckedPredictions",
    "LabelCoverage",
    "Performance",
    "EstimatedPerformance",
    "DriftedColumns",
    "DriftedImportance",
)
"""Rows of the window; labelled predictions of all; both metrics in their own unit; columns; their share of all
importance."""


def measures(rows: int, performance: Performance, estimate: Estimate, drift: DriftReport) -> Mapping[str, float]:
    tested = drift.verdict != "insufficient_data"
    found = (
        rows,
        performance.labelled / performance.predictions if performance.predictions else None,
        performance.value,
        estimate.value,
        len(drift.drifted) if tested else None,
        (drift.importance if drift.drifted else 0.0) if tested else None,
    )
    return {name: float(value) for name, value in zip(MEASURES, found, strict=True) if value is not None}
