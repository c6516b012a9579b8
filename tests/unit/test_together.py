"""How columns go together: what no column shows alone is found, and clean windows are left alone."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.profile import profile
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.answers import answer_columns, profile_answers
from tidemill.stages.drift import Compared, DriftReport, detect
from tidemill.stages.reference import Reference, Watch, learn_together
from tidemill.stages.together import NAME, Together, learn

NAMES = ("numeric:a", "numeric:b", "numeric:c", "categorical:d")
SCHEMA = Schema(
    (
        *(Column(name, "numeric", "feature", nullable=True) for name in "abc"),
        Column("d", "categorical", "feature", vocabulary=("x", "y", "z")),
        Column("at", "datetime", "feature"),
        Column("late", "boolean", "target"),
    ),
    "binary",
    ("false", "true"),
)


def rows(seed: int, count: int, correlation: float = 0.9) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(count, 4))
    made[:, 1] = correlation * made[:, 0] + np.sqrt(1 - correlation**2) * made[:, 1]
    made[:, 2] = np.where(rng.random(count) < 0.2, np.nan, np.exp(2 * made[:, 2]))
    made[:, 3] = rng.choice([-2, 0, 1, 2], count)
    return made.astype(np.float32)


def learned(count: int = 4_000) -> Together:
    found = learn(rows(1, count), NAMES)
    assert found is not None
    return found


def columns(matrix: npt.NDArray[np.float32]) -> dict[str, Any]:
    numbers = {name: matrix[:, place].astype(np.float64) for place, name in enumerate("abc")}
    at = np.datetime64("2026-01-01", "us") + np.arange(len(matrix)) * 10**9
    return {**numbers, "d": Levels(np.maximum(matrix[:, 3], -1).astype(np.int32), ("x", "y", "z")), "at": at}


def watched(reference: Reference, matrix: npt.NDArray[np.float32], share: float = 0.3) -> DriftReport:
    watch = Watch(reference, SCHEMA)
    yes = np.random.default_rng(5).beta(2, 5, len(matrix)) + share - 0.3
    answers = answer_columns(SCHEMA, np.column_stack([1 - yes, yes]), (yes >= 0.5).astype(np.int64))
    for start in range(0, len(matrix), 600):
        block = slice(start, start + 600)
        part = {name: Levels(one.codes[block], one.names) if isinstance(one, Levels) else one[block]
                for name, one in answers.items()}  # fmt: skip
        watch.add(columns(matrix[block]), part, len(matrix[block]))
    return detect(watch.compared(watch.features))


def reference() -> Reference:
    known = rows(1, 4_000)
    yes = np.random.default_rng(4).beta(2, 5, 1_000)
    answers = answer_columns(SCHEMA, np.column_stack([1 - yes, yes]), (yes >= 0.5).astype(np.int64))
    kinds = {column.name: column.kind for column in SCHEMA.features}
    encoded = np.column_stack([known, *[known[:, 0]] * 6])
    together = learn_together(encoded, np.ones(4_000, dtype=np.bool_), SCHEMA, (), ())
    return Reference(profile(columns(known), kinds), profile_answers(answers), together)


def test_a_correlation_that_broke_is_found_though_no_column_moved() -> None:
    report = watched(reference(), rows(2, 1_200, correlation=0.0))
    assert report.drifted == (NAME,)
    assert report.columns[-1].of == "together"
    assert f"{NAME} moved up: median" in report.columns[-1].sentence


def test_a_clean_window_shows_nothing_and_is_compared_in_answers_and_together_too() -> None:
    report = watched(reference(), rows(3, 1_200))
    assert report.verdict == "no_drift"
    tested = {column.name for column in report.columns if column.status == "tested"}
    assert tested == {"a", "b", "c", "d", "predicted late", "probability of true", NAME}


def test_answers_that_moved_are_named() -> None:
    report = watched(reference(), rows(3, 1_200), share=0.6)
    assert report.drifted[0] in ("predicted late", "probability of true")
    assert all(column.of == "answer" for column in report.columns if column.drifted)


def test_few_rows_say_nothing_of_how_columns_go_together() -> None:
    report = watched(reference(), rows(2, 200, correlation=0.0))
    assert report.verdict == "no_drift"
    assert report.columns[-1].status == "too_few_values"


def test_errors_of_clean_rows_are_as_usual_in_most_windows() -> None:
    flagged = 0
    for seed in range(60):
        together = learn(rows(1_000 + seed, 1_000), NAMES)
        assert together is not None
        matrix = rows(2_000 + seed, 1_000)
        window = Watch(Reference(profile({}, {}), together=together), SCHEMA)
        window.add(columns(matrix), {}, len(matrix))
        (found,) = [one for one in window.compared(window.features) if one.of == "together"]
        flagged += detect(Compared(found.reference, found.window)).verdict == "drift"
    assert flagged <= 2


def test_too_few_reference_rows_or_columns_are_not_learned_from() -> None:
    assert learn(rows(1, 900), NAMES) is None
    assert learn(rows(1, 2_000)[:, :1], NAMES[:1]) is None
    constant = np.zeros((2_000, 2), dtype=np.float32)
    assert learn(constant, NAMES[:2]) is None


def test_it_travels_as_json_and_measures_the_same() -> None:
    together = learned()
    again = Together.from_json(json.loads(json.dumps(together.to_json(), allow_nan=False)))
    matrix = rows(7, 500)
    assert (again.errors(matrix, NAMES) == together.errors(matrix, NAMES)).all()
    assert again.usual == together.usual


def test_the_same_rows_are_learned_the_same_way() -> None:
    assert json.dumps(learned().to_json()) == json.dumps(learned().to_json())


def test_a_version_without_them_is_compared_by_its_features_alone() -> None:
    plain = Reference.from_json(reference().features.to_json(), None)
    assert {column.of for column in watched(plain, rows(3, 600)).columns} == {"feature"}


def test_answers_of_a_regression_keep_five_digits() -> None:
    schema = Schema((Column("delay", "numeric", "target"),), "regression")
    (values,) = answer_columns(schema, np.array([1234.567, 1234.5671, -0.00012345678, 0.0]), None).values()
    assert np.asarray(values).tolist() == [1234.6, 1234.6, -0.00012346, 0.0]
