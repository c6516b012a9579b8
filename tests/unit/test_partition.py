import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import prepare, values_of
from tidemill.errors import InvalidInput, InvalidSpec
from tidemill.schema import COPY_BITS, Schema, split_by_key
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import npy, tables
from tidemill.stages.model_schema import MAX_CATEGORIES, same_model
from tidemill.stages.partition import Partition

SPEC = parse_spec('target = "y"\n[quality]\nmax_rejected = 1.0')
WITH_ID = parse_spec('target = "y"\nid = "key"\n[quality]\nmax_rejected = 1.0')


def schema_of(text: str, spec: str = 'target = "y"') -> Schema:
    return prepare(text, parse_spec(spec)).schema


def refusal(text: str, spec: ModelSpec | str = 'target = "y"', *before: Partition) -> str:
    try:
        partition = prepare(text, parse_spec(spec) if isinstance(spec, str) else spec, *before)
    except InvalidInput as error:
        return str(error)
    assert partition.invalid
    assert partition.account["accepted"] == 0
    return "; ".join(partition.invalid)


def kind_of(schema: Schema, name: str) -> tuple[str, str]:
    column = schema.column(name)
    assert column is not None
    return column.kind, column.role


def keys_of(partition: Partition) -> list[int]:
    keys: list[int] = npy.parsed((partition.folder / "keys.npy").read_bytes()).tolist()
    return keys


def quarantine_of(partition: Partition) -> list[dict[str, Any]]:
    path = partition.folder / "quarantine" / "part-0.parquet"
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist() if path.exists() else []
    return rows


def reasons_of(partition: Partition) -> dict[str, int]:
    return {f"{entry['column']} {entry['reason']}".strip(): entry["rows"] for entry in partition.account["reasons"]}


def said_of(partition: Partition) -> str:
    return " · ".join(f"{entry['says']} {entry['done']}" for entry in partition.account["findings"])


# The first upload


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["yes", "no"], "binary", ("no", "yes")),
        (["True", "false"], "binary", ("false", "true")),
        (["10", "9"], "binary", ("9", "10")),
        (["setosa", "virginica", "versicolor"], "multiclass", ("setosa", "versicolor", "virginica")),
        (["1.5", "2"], "regression", ()),
        ([str(i) for i in range(11)], "regression", ()),
    ],
)
def test_the_task_is_told_from_the_target(target: list[str], task: str, classes: tuple[str, ...]) -> None:
    schema = schema_of("x,y\n" + "".join(f"1,{value}\n" for value in target))
    assert (schema.task, schema.classes) == (task, classes)


def test_the_spec_decides_roles_kinds_and_the_task() -> None:
    schema = schema_of(
        "key,when,zip,late,y\n1,2024-01-01,501,9,3\n2,2024-01-02,502,9,4\n",
        'target = "y"\ntask = "regression"\nid = "key"\ntime = "when"\nexclude = ["late"]\n'
        '[columns.zip]\nkind = "categorical"',
    )
    assert schema.task == "regression"
    assert [column.role for column in schema.columns] == ["id", "time", "feature", "excluded", "target"]
    assert kind_of(schema, "zip") == ("categorical", "feature")
    assert kind_of(schema, "key") == ("categorical", "id")


@pytest.mark.parametrize(
    ("text", "spec", "expected"),
    [
        ("x,z\n1,2\n", 'target = "y"', "target 'y' of the spec is not a column of the file, which has 'x', 'z'"),
        ("x,y\n1,2\n", 'target = "y"\nid = "k"', "id 'k' of the spec is not a column of the file"),
        ("x,y\n1,\n2,NA\n", 'target = "y"', "target 'y' has no usable value: every value is missing"),
        ("x,y\n1,a\n2,a\n", 'target = "y"', "target 'y' has only the class 'a': a classifier needs at least two"),
        ("x,y\n1,2.5\n2,2.5\n", 'target = "y"', "has the same value in every row: nothing to predict"),
        ("x,y\n1,a\n2,b\n", 'target = "y"\ntask = "regression"', "is categorical, and a regression needs numbers"),
        ("x,y\nred,1\nblue,2\n", 'target = "y"\ntime = "x"', "time column 'x' holds no dates such as"),
        (
            "x,y\n" + "".join(f"1,c{i}\n" for i in range(101)),
            'target = "y"',
            'has more than 100 different values, too many for classes: if it is a quantity, say task = "regression"',
        ),
    ],
)
def test_a_table_that_the_spec_does_not_fit_says_why(text: str, spec: str, expected: str) -> None:
    assert expected in refusal(text, spec)


def test_a_metric_that_the_task_does_not_know_is_refused_with_those_that_it_does() -> None:
    said = refusal("x,y\n1,a\n2,b\n", 'target = "y"\n[train]\nmetric = "rmse"')
    assert "no metric 'rmse' for task 'binary': use one of roc_auc" in said


# Rows


def test_a_bad_row_goes_to_quarantine_with_line_row_column_value_and_reason() -> None:
    good = "".join(f"{i},2024-01-01,{i % 2}\n" for i in range(30))
    partition = prepare(f"x,when,y\n{good}\nabc,2024-13-01,1\n1,2024-01-01,\n1,2\n", SPEC)
    found = sorted(quarantine_of(partition), key=lambda entry: (entry["row"], entry["column"]))
    assert [tuple(entry.values()) for entry in found] == [
        ("data.csv", 31, 33, "when", "2024-13-01", "is not a date such as 2013-07-04T18:30:00Z"),
        ("data.csv", 31, 33, "x", "abc", "is not a number"),
        ("data.csv", 32, 34, "y", "", "the target is missing"),
        ("data.csv", 33, 35, "", "1,2", "has 2 fields where the header has 3"),
    ]
    assert partition.account["quarantined"] == 3
    assert reasons_of(partition) == {
        "has 2 fields where the header has 3": 1,
        "x is not a number": 1,
        "when is not a date such as 2013-07-04T18:30:00Z": 1,
        "y the target is missing": 1,
    }


def test_bad_values_of_excluded_columns_cost_no_row() -> None:
    good = "".join(f"{i},{i},{i % 2}\n" for i in range(30))
    partition = prepare(f"note,x,y\n{good}??,5,1\n", parse_spec('target = "y"\nexclude = ["note"]'))
    assert quarantine_of(partition) == []
    assert partition.account["accepted"] == 31


def test_too_many_bad_rows_refuse_the_upload_with_counts_and_the_first_of_them() -> None:
    good = "".join(f"{i},{i % 2}\n" for i in range(56))
    message = refusal(f"x,y\n{good}a,1\nb,1\n3,\n")
    assert message.startswith("data.csv: 3 of 59 rows cannot be used, more than the 5.0% that the spec allows (")
    assert "2 × column 'x' is not a number" in message
    assert "first at line 58, column 'x', value 'a'): correct the file, or raise quality.max_rejected" in message


damage = st.sampled_from(["", "abc", "1e999", "NA", '"', "1,2", "\x00x", "3", "yes", " "])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["red", "blue", ""]), st.integers(0, 1)), min_size=8),
    hits=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), damage), max_size=6),
    spec=st.sampled_from([SPEC, WITH_ID]),
)
def test_every_row_is_accepted_quarantined_or_a_duplicate(
    rows: list[tuple[int, str, int]], hits: list[tuple[int, int, str]], spec: ModelSpec
) -> None:
    cells = [[str(cell) for cell in row] for row in rows]
    for row, column, value in hits:
        cells[row][column] = value
    text = "key,colour,y\n" + "".join(",".join(row) + "\n" for row in cells)
    try:
        partition = prepare(text, spec)
    except InvalidInput:
        return
    account = partition.account
    if partition.invalid:
        return
    assert account["accepted"] + account["quarantined"] + account["duplicates"] == account["rows_read"]
    # Two stray quotes may make one value of what is between them.
    assert account["rows_read"] == len(rows) or text.count('"') > 1
    assert account["quarantined"] == len({entry["row"] for entry in quarantine_of(partition)})
    assert account["accepted"] == len(keys_of(partition)) == len(set(keys_of(partition))) == len(values_of(partition))


def test_the_newer_row_of_an_id_wins_within_a_file() -> None:
    partition = prepare("key,x,y\na,1,0\nb,2,1\na,3,1\n", WITH_ID)
    accepted = values_of(partition)
    assert dict(zip(accepted["key"], accepted["x"], strict=True)) == {"b": 2.0, "a": 3.0}
    assert partition.account["duplicates"] == 1
    assert partition.profile.rows == partition.profile.columns["x"].rows == 2
    matrix = npy.parsed((partition.folder / "matrix.npy").read_bytes())
    assert matrix[:, partition.names.index("numeric:x")].tolist() == [2.0, 3.0]
    assert [entry["row"]["x"] for entry in partition.examples] == [2.0, 3.0]
    assert [entry["at"] for entry in partition.examples] == [0, 1]


def test_copies_without_an_id_are_kept_and_named() -> None:
    partition = prepare("x,y\n" + "1,0\n" * 60 + "2,1\n", SPEC)
    assert (partition.account["accepted"], partition.account["duplicates"]) == (61, 0)
    assert len(set(keys_of(partition))) == 61
    assert "59 rows are exact copies of others" in said_of(partition)


def test_a_few_copies_share_a_side_of_the_split_and_many_are_drawn_on_their_own() -> None:
    for text in ("1,0\n", "2,1\n", "3,1\n"):
        keys = np.array(keys_of(prepare("x,y\n9,1\n8,0\n" + text * 1_000, SPEC)), dtype=np.uint64)
        sides = split_by_key(keys, 0.5)[2:]
        assert len(set(sides[:8].tolist())) == 1
        assert 400 < sides.sum() < 600


def test_the_same_rows_in_another_file_are_the_same_rows_copies_included() -> None:
    first = prepare("x,y\n1,0\n1,0\n2,1\n", SPEC)
    again = prepare("x,y\n2,1\n1,0\n1,0\n", SPEC)
    assert sorted(keys_of(first)) == sorted(keys_of(again))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["a", "ß", ""]), st.sampled_from(["0.5", "-1", ""])), min_size=1, max_size=6))
def test_the_key_of_a_row_does_not_depend_on_the_rows_around_it(rows: list[tuple[str, str]]) -> None:
    other = [("a", "8"), ("ß", "9")]

    def keys(some: list[tuple[str, str]]) -> list[int]:
        lines = [f"{word},{number},{place % 2}\n" for place, (word, number) in enumerate([*other, *some])]
        found = np.array(keys_of(prepare("c,x,y\n" + "".join(lines), SPEC)), dtype=np.uint64)
        assert len(set(found.tolist())) == len(found)
        of_rows: list[int] = (found >> np.uint64(COPY_BITS)).tolist()
        return of_rows[len(other) :]

    lines = [(word, number) for word, number in rows for _ in (0, 1)]
    together = keys(lines)
    assert together == [key for word, number in rows for key in keys([(word, number), (word, number)])]
    assert len(set(together)) == len({(word, number, place % 2) for place, (word, number) in enumerate(lines)})


# Columns that no model can use


def test_free_text_and_empty_columns_are_left_out_and_said_to_be() -> None:
    text = "note,gone,y\n" + "".join(f"word{i},,{i % 2}\n" for i in range(50))
    partition = prepare(text, SPEC)
    assert kind_of(partition.schema, "note")[1] == kind_of(partition.schema, "gone")[1] == "unused"
    said = {entry["column"]: entry["done"] for entry in partition.account["findings"] if entry["kind"] == "unused"}
    assert "every value is missing" in said["gone"]
    assert "50 different values in 50 rows are an id or free text" in said["note"]


def test_the_most_frequent_categories_are_kept_and_the_rarest_count_as_unknown() -> None:
    often = [f"often{i}" for i in range(MAX_CATEGORIES - 1) for _ in range(3)]
    text = "c,x,y\n" + "".join(f"{c},{i},{i % 2}\n" for i, c in enumerate([*often, "rare1", "rare2"]))
    partition = prepare(text, SPEC)
    column = partition.schema.column("c")
    assert column is not None
    assert len(column.vocabulary) == MAX_CATEGORIES
    assert "often7" in column.vocabulary
    assert "rare2" not in column.vocabulary
    assert "more than 1,000 categories" in said_of(partition)
    matrix = npy.parsed((partition.folder / "matrix.npy").read_bytes())
    assert (matrix[:, partition.names.index("categorical:c")] == -1).sum() == 1


# Later uploads

FIRST = "x,colour,y\n" + "".join(f"{i},{'red' if i % 2 else 'blue'},{'a' if i % 3 else 'b'}\n" for i in range(12))


def later(text: str, spec: ModelSpec = SPEC) -> Partition:
    return prepare(text, spec, prepare(FIRST, SPEC))


def test_categories_are_appended_and_codes_never_move() -> None:
    column = later("x,colour,y\n1,azure,a\n2,red,b\n").schema.column("colour")
    assert column is not None
    assert column.vocabulary == ("blue", "red", "azure")


def test_kinds_stay_as_the_first_upload_had_them() -> None:
    partition = later("x,colour,y\n1,7,a\n2,8,b\nthree,9,a\n")
    assert kind_of(partition.schema, "colour") == ("categorical", "feature")
    assert reasons_of(partition) == {"x is not a number": 1}


def test_a_missing_column_is_refused_with_what_may_have_been_renamed() -> None:
    said = refusal("X,colour,y\n1,red,a\n", SPEC, prepare(FIRST, SPEC))
    assert "'x'" in said
    assert "'X'" in said


def test_a_missing_column_that_the_spec_excludes_is_no_matter() -> None:
    assert later("colour,y\nred,a\nblue,b\n", replace(SPEC, exclude=("x",))).account["accepted"] == 2


def test_a_new_column_is_told_of_and_takes_its_kind_from_the_spec() -> None:
    spec = parse_spec('target = "y"\n[columns.zip]\nkind = "categorical"')
    partition = later("x,colour,y,zip\n1,red,a,501\n2,red,b,501\n", spec)
    assert "zip" in {entry["column"] for entry in partition.account["findings"]}
    assert kind_of(partition.schema, "zip") == ("categorical", "feature")
    assert same_model(partition.schema, spec).column("zip") == partition.schema.column("zip")


def test_a_class_that_a_binary_model_does_not_know_is_a_bad_value() -> None:
    partition = later("x,colour,y\n1,red,a\n2,red,c\n")
    assert partition.schema.classes == ("a", "b")
    assert reasons_of(partition) == {"y is not one of the model's classes 'a', 'b'": 1}


def test_a_multi_class_model_learns_new_classes_behind_the_old_ones() -> None:
    partition = prepare("x,y\n1,a\n2,o\n", SPEC, prepare("x,y\n1,m\n2,n\n3,o\n", SPEC))
    assert partition.schema.classes == ("m", "n", "o", "a")
    assert npy.parsed((partition.folder / "target.npy").read_bytes()).tolist() == [3.0, 2.0]


def test_classes_do_not_grow_beyond_what_the_first_upload_could_have() -> None:
    first = prepare("x,y\n1,m\n2,n\n3,o\n", SPEC)
    many = "x,y\n" + "".join(f"1,c{i}\n" for i in range(98))
    assert "has more than 100 different values, too many for classes" in refusal(many, SPEC, first)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ('target = "x"', "the target of this model is 'y', not 'x': use another model name"),
        ('target = "y"\ntask = "regression"', "the task of this model is binary, not regression"),
        (
            'target = "y"\n[columns.x]\nkind = "categorical"',
            "column 'x' was numeric in earlier uploads and cannot become categorical: use another model name",
        ),
    ],
)
def test_what_would_be_another_model_is_refused(spec: str, expected: str) -> None:
    schema = prepare(FIRST, SPEC).schema
    with pytest.raises(InvalidSpec) as caught:
        same_model(schema, parse_spec(spec))
    assert expected in str(caught.value)


def test_text_of_more_rows_than_can_be_prepared_is_refused_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 20)
    assert "data.csv has 30 rows or more, and 20 is the most" in refusal("x,y\n" + "1,0\n2,1\n" * 15)


def test_damaged_parquet_that_still_opens_is_cleaned_or_refused() -> None:
    frame = pd.DataFrame(
        {
            "s": ["añb", "c", None] * 4,
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(range(12), unit="D"),
            "x": np.arange(12.0),
            "y": [0, 1] * 6,
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression=None)
    whole = buffer.getvalue()
    for place in range(4, len(whole) - 8, 5):
        damaged = bytearray(whole)
        damaged[place] ^= 0xA5
        try:
            account = prepare(bytes(damaged), SPEC, name="data.parquet").account
        except InvalidInput:
            continue
        if "invalid" in account:
            continue
        assert account["accepted"] + account["quarantined"] + account["duplicates"] == account["rows_read"]


@pytest.mark.parametrize("line", ['id = "key"', 'time = "when"'])
def test_an_id_or_a_time_cannot_be_given_later_since_rows_would_change_sides(line: str) -> None:
    known = schema_of("key,when,x,y\n" + "".join(f"k{i},2020-01-{i + 1:02},{i},{i % 2}\n" for i in range(20)))
    with pytest.raises(InvalidSpec, match="would change sides of the split: use another model name"):
        same_model(known, parse_spec(f'target = "y"\n{line}'))


def test_a_row_is_known_again_when_a_later_file_has_one_more_column() -> None:
    first = prepare("x,y\n1,0\n2,1\n3,0\n", SPEC)
    again = prepare("x,y,new\n1,0,7\n2,1,8\n3,0,9\n", SPEC, first)
    assert keys_of(again) == keys_of(first)
