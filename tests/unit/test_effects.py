"""What each report knows of the windows before its own."""

from typing import Any

from tidemill.stages.drift import ColumnDrift, ColumnTest
from tidemill.stages.effects import MOST_WINDOWS, extended


def column(name: str, effect: float, test: str = "ks", of: Any = "feature") -> ColumnDrift:
    found = ColumnTest(test, effect, effect, 0.5, 0.05, "moved up", "")
    return ColumnDrift(name, "numeric", "tested", "", (found,), of=of)


def test_each_window_comes_behind_those_before() -> None:
    first = extended(None, "monday", [column("wind", 0.012345)])
    assert first == {"ends": ["monday"], "columns": {"feature": {"wind": {"ks": [0.0123]}}}}
    second = extended(first, "tuesday", [column("wind", 0.2)])
    assert second == {"ends": ["monday", "tuesday"], "columns": {"feature": {"wind": {"ks": [0.0123, 0.2]}}}}


def test_a_test_that_was_not_made_has_a_gap() -> None:
    first = extended(None, "monday", [column("wind", 0.1)])
    second = extended(first, "tuesday", [column("wind", 0.3, "missing"), column("dep", 0.2)])
    assert second["columns"]["feature"] == {
        "wind": {"missing": [None, 0.3], "ks": [0.1, None]},
        "dep": {"ks": [None, 0.2]},
    }


def test_a_feature_and_an_answer_of_one_name_are_kept_apart() -> None:
    found = extended(None, "monday", [column("late", 0.1), column("late", 0.2, of="answer")])
    assert found["columns"] == {"feature": {"late": {"ks": [0.1]}}, "answer": {"late": {"ks": [0.2]}}}


def test_a_window_with_too_few_rows_adds_nothing() -> None:
    first = extended(None, "monday", [column("wind", 0.1)])
    assert extended(first, "tuesday", []) == first


def test_the_oldest_windows_are_let_go_and_columns_that_none_is_left_of() -> None:
    found = extended(None, "0", [column("old", 0.1), column("wind", 0.0)])
    for day in range(1, MOST_WINDOWS + 1):
        found = extended(found, str(day), [column("wind", day / 100)])
    assert found["ends"] == [str(day) for day in range(1, MOST_WINDOWS + 1)]
    assert list(found["columns"]["feature"]) == ["wind"]
    assert len(found["columns"]["feature"]["wind"]["ks"]) == MOST_WINDOWS
