"""Files of labels as people drop them."""

import json
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tidemill.schema import Column, Schema
from tidemill.stages.captured import Record
from tidemill.stages.label_file import MOST_ROWS, LabelFile, read_label_file

MODIFIED = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATE = Schema((Column("trip", "categorical", "id"), Column("late", "categorical", "target")), "binary", ("no", "yes"))
PRICE = Schema((Column("price", "numeric", "target"),), "regression", ())


@dataclass(frozen=True)
class Dropped:
    file: LabelFile
    records: list[Record]

    @property
    def problems(self) -> list[str]:
        return self.file.problems


def dropped(tmp_path: Path, name: str, content: str | bytes, schema: Schema = LATE, most: int = MOST_ROWS) -> Dropped:
    path = tmp_path / "labels"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    reading, records = read_label_file(path, name, schema, MODIFIED, most), []
    while True:
        try:
            records.append(next(reading))
        except StopIteration as end:
            return Dropped(end.value, records)


def parquet() -> bytes:
    return pd.DataFrame({"trip": ["a", "b"], "late": ["yes", "no"]}).to_parquet()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,label\na,yes\nb,no\n"),
        ("a.csv", "late;trip;other\nyes;a;1\nno;b;2\n"),
        ("a.jsonl", '{"id": "a", "label": "yes"}\n{"id": "b", "label": "no"}\n'),
        ("a.parquet", parquet()),
    ],
)
def test_id_and_label_are_read_from_any_table(tmp_path: Path, name: str, content: str | bytes) -> None:
    found = dropped(tmp_path, name, content)
    assert [(record["id"], record["label"]) for record in found.records] == [("a", "yes"), ("b", "no")]
    assert {record["time"] for record in found.records} == {MODIFIED.isoformat()}
    assert found.file.to_json() == {"name": name, "rows": 2, "used": 2, "problems": []}


def test_a_file_may_say_when_each_label_was_known_and_still_came_when_it_came(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "id,label,time\na,yes,2026-11-20T10:00:00+01:00\nb,no,\n")
    assert [record["time"][:16] for record in found.records] == ["2026-11-20T09:00", "2026-11-25T12:00"]
    assert {record["arrived"] for record in found.records} == {MODIFIED.isoformat()}


def test_what_cannot_be_used_is_told_each_kind_with_its_count(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "id,label\na,yes\nb,perhaps\nc,perhaps\n,yes\nd,\n")
    assert [record["id"] for record in found.records] == ["a"]
    assert found.file.rows == 5
    perhaps = "a label must be one of no, yes, not 'perhaps' (2 rows)"
    assert sorted(found.problems) == [perhaps, "no id (1 row)", "no label (1 row)"]


def test_a_label_that_is_no_number_is_told_and_nan_is_no_label(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "id,label\na,1.5\nb,NaN\nc,many\n", PRICE)
    assert [record["label"] for record in found.records] == [1.5]
    assert sorted(found.problems) == ["column 'label': 'many' is not a number (1 row)", "no label (1 row)"]


def test_a_file_in_another_encoding_is_read_and_told(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "id,label\nM\u00fcller,yes\n".encode("cp1252"))
    assert [record["id"] for record in found.records] == ["M\u00fcller"]
    assert found.problems == ["1 line is not UTF-8, first line 2: read as Windows-1252"]


def test_a_file_without_the_columns_or_that_is_no_table_is_told_and_has_no_labels(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "key,outcome\na,yes\n")
    assert found.problems == [
        "a.csv has no column 'id' or 'trip' and no column 'label' or 'late': labels have an id and a label"
    ]
    assert dropped(tmp_path, "a.parquet", b"PAR1 and no more").records == []
    assert len(dropped(tmp_path, "b.csv", b"").problems) == 1


def test_ids_are_text_whatever_the_file_has(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"id": number, "label": "no"}) for number in (7, 8))
    assert [record["id"] for record in dropped(tmp_path, "a.jsonl", lines).records] == ["7", "8"]


def test_rows_beyond_the_most_are_told_and_not_read(tmp_path: Path) -> None:
    found = dropped(tmp_path, "a.csv", "id,label\na,yes\nb,perhaps\nc,no\nd,yes\ne,yes\n", most=2)
    assert [record["id"] for record in found.records] == ["a", "c"]
    assert (found.file.rows, found.file.used) == (3, 2)
    assert any(one.startswith("its rows from 4 on are not read: 2,000,000 rows of all files") for one in found.problems)


def test_a_file_of_just_the_most_rows_has_no_problem(tmp_path: Path) -> None:
    assert not dropped(tmp_path, "a.csv", "id,label\na,yes\nb,no\n", most=2).problems


def test_records_come_before_the_file_was_read(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text("id,label\n" + "".join(f"k{row},yes\n" for row in range(400_000)))
    tracemalloc.start()
    for _ in read_label_file(path, "a.csv", LATE, MODIFIED):
        break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 400_000


def test_kinds_of_problems_do_not_grow_with_the_file(tmp_path: Path) -> None:
    rows = "".join(f"k{row},perhaps {row}\n" for row in range(1_500))
    found = dropped(tmp_path, "a.csv", f"id,label\n{rows}")
    assert found.file.rows == 1_500
    assert "something else is wrong (500 rows)" in found.problems
    assert len(found.problems) == 20
