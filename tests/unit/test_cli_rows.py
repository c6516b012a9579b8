"""A file's rows as JSON, typed as the model's columns are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tidemill.errors import InvalidRequest, InvalidUpload, NotFound
from tidemill.schema import Column
from tidemill_cli.rows import columns_of, labels_of_file, rows_of_argument, rows_of_file

COLUMNS = {
    "n": Column("n", "numeric", "feature"),
    "b": Column("b", "boolean", "feature"),
    "c": Column("c", "categorical", "feature"),
    "d": Column("d", "datetime", "feature"),
}
MODEL: dict[str, Any] = {
    "target": {"name": "late", "kind": "boolean", "classes": ["false", "true"]},
    "fields": [{"name": "flight", "kind": "categorical", "role": "id"}],
}


def saved(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_text_of_a_csv_becomes_values_of_the_columns_kinds(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.csv", "n,b,c,d\n 1.5 ,yes,007,2013-07-04\n")
    assert rows_of_file(path, COLUMNS) == [{"n": 1.5, "b": True, "c": "007", "d": "2013-07-04T00:00:00.000000Z"}]


def test_missing_values_of_a_csv_are_null(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.csv", "n,b,c,d,other\n,NA,null,,nan\n")
    assert rows_of_file(path, COLUMNS) == [{"n": None, "b": None, "c": None, "d": None, "other": None}]


def test_a_value_of_another_kind_is_left_for_the_endpoint_to_name(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.csv", "n,d\nten,someday\n2,2013-07-04\n")
    assert rows_of_file(path, COLUMNS)[0] == {"n": "ten", "d": "someday"}


def test_columns_that_the_model_does_not_know_stay_text(tmp_path: Path) -> None:
    assert rows_of_file(saved(tmp_path, "a.csv", "n,x\n1,2\n"), COLUMNS) == [{"n": 1.0, "x": "2"}]


def test_a_line_that_is_no_row_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"a\.csv line 3 is no row: it has 3 fields where the header has 2"):
        rows_of_file(saved(tmp_path, "a.csv", "n,c\n1,a\n1,2,3\n"), COLUMNS)


def test_parquet_and_csv_give_the_same_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2], "b": [True, False], "c": ["x", None], "d": pd.to_datetime(["2013-07-04"] * 2)})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert rows_of_file(tmp_path / "a.parquet", COLUMNS) == rows_of_file(tmp_path / "a.csv", COLUMNS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"n": 1}, {"n": 2}]'),
        ("a.json", '{"rows": [{"n": 1}, {"n": 2}]}'),
        ("a.jsonl", '{"n": 1}\n\n{"n": 2}\n'),
        ("rows", '[{"n": 1},\n {"n": 2}]'),
    ],
)
def test_json_is_read_in_each_of_its_shapes(tmp_path: Path, name: str, text: str) -> None:
    assert rows_of_file(saved(tmp_path, name, text), COLUMNS) == [{"n": 1}, {"n": 2}]


def test_nan_in_json_is_a_missing_value() -> None:
    assert rows_of_argument('{"n": NaN}') == [{"n": None}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": ', "not valid JSON"),
        ("[]", "has no rows"),
        ("3", "must be an object"),
        ('[{"n": 1}, 2]', "entry 1 is not an object"),
        ('{"n": Infinity}', "Infinity is not a number"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_an_argument_that_is_no_rows_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        rows_of_argument(text)


def test_a_broken_line_of_json_lines_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"a\.jsonl line 2"):
        rows_of_file(saved(tmp_path, "a.jsonl", '{"n": 1}\n{"n": }\n'), COLUMNS)


def test_a_file_that_is_not_there_or_empty_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        rows_of_file(tmp_path / "none.csv", COLUMNS)
    with pytest.raises(InvalidUpload, match="empty"):
        rows_of_file(saved(tmp_path, "a.csv", ""), COLUMNS)


def test_labels_of_a_csv_take_the_targets_kind(tmp_path: Path) -> None:
    path = saved(tmp_path, "labels.csv", "id,label,more\n007,true,x\nf2,no,y\n")
    assert labels_of_file(path, MODEL) == [{"id": "007", "label": True}, {"id": "f2", "label": False}]


def test_the_models_own_names_do_for_labels_as_well(tmp_path: Path) -> None:
    path = saved(tmp_path, "late.csv", "flight,late\nf1,yes\n")
    assert labels_of_file(path, MODEL) == [{"id": "f1", "label": True}]


def test_labels_of_json_are_taken_as_they_are(tmp_path: Path) -> None:
    path = saved(tmp_path, "labels.json", json.dumps({"labels": [{"id": 7, "label": False}]}))
    assert labels_of_file(path, MODEL) == [{"id": 7, "label": False}]


def test_labels_without_their_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no column 'id' and no column 'label'"):
        labels_of_file(saved(tmp_path, "labels.csv", "a,b\n1,2\n"), MODEL)


def test_a_label_that_is_missing_is_refused_before_any_is_sent(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="1 rows lack their id or label, the first is row 1"):
        labels_of_file(saved(tmp_path, "labels.csv", "id,label\nf1,yes\nf2,\n"), MODEL)


def test_text_is_read_as_the_model_says_that_it_is_written(tmp_path: Path) -> None:
    fields = [
        {"name": "n", "kind": "numeric", "role": "feature", "required": True, "decimal": ",", "thousands": "."},
        {"name": "d", "kind": "datetime", "role": "feature", "required": True, "format": "%d.%m.%Y"},
    ]
    path = saved(tmp_path, "a.csv", 'n,d\n"1.234",04.07.2013\n')
    assert rows_of_file(path, columns_of(fields)) == [{"n": 1234.0, "d": "2013-07-04T00:00:00.000000Z"}]
