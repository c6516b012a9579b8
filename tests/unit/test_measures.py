"""The numbers that a check leaves for whoever draws them over time."""

from dataclasses import replace

from tidemill.stages.drift import DriftPolicy, DriftReport
from tidemill.stages.estimate import Estimate
from tidemill.stages.measures import MEASURES, measures
from tidemill.stages.performance import Performance

JUDGED = Performance("fine", "roc_auc", 200, 150, 100, "", value=0.8)
GUESSED = Estimate("estimated_fine", "roc_auc", 200, "", value=0.75)
UNLABELLED = Performance("insufficient_labels", "roc_auc", 0, 0, 100, "")
UNKNOWN = Estimate("not_estimated", "roc_auc", 0, "")
MOVED = DriftReport("drift", "", 200, 100, 1_000, ("wind", "distance"), (), DriftPolicy(), 0.25)


def test_each_number_has_its_name() -> None:
    found = measures(200, JUDGED, GUESSED, MOVED)
    assert tuple(found) == MEASURES
    assert list(found.values()) == [200, 0.75, 0.8, 0.75, 2, 0.25]


def test_what_is_not_known_has_no_number() -> None:
    untested = replace(MOVED, verdict="insufficient_data", drifted=(), importance=None)
    assert measures(0, UNLABELLED, UNKNOWN, untested) == {"CheckedPredictions": 0}


def test_a_window_without_drift_has_none_and_not_nothing() -> None:
    found = measures(200, JUDGED, GUESSED, replace(MOVED, verdict="no_drift", drifted=(), importance=None))
    assert (found["DriftedColumns"], found["DriftedImportance"]) == (0, 0)


def test_drift_of_which_no_importance_is_known_has_a_number_of_columns_alone() -> None:
    found = measures(200, JUDGED, GUESSED, replace(MOVED, importance=None))
    assert found["DriftedColumns"] == 2
    assert "DriftedImportance" not in found
