import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.builders import opened
from tidemill.errors import InvalidUpload
from tidemill.stages import tables, text
from tidemill.stages.records import UNCLOSED
from tidemill.stages.tables import Chunk, Table


def parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


PARQUET = parquet({"a": [1, 2], "b": ["x", None]})


def chunks(table: Table, types: Mapping[str, pa.DataType] | None = None) -> list[Chunk]:
    asked = dict.fromkeys(table.names, pa.string()) if types is None else types
    return [table.parse(block, asked) for block in table.blocks()]


def cells(table: Table, types: Mapping[str, pa.DataType] | None = None) -> dict[str, list[Any]]:
    """All blocks' values."""
    found = chunks(table, types)
    return {name: [cell for chunk in found for cell in chunk.columns[name].to_pylist()] for name in found[0].columns}


def rejected(table: Table) -> list[tuple[int, int | None, str, str]]:
    """Under row numbers of the file."""
    found, before = [], 0
    for chunk in chunks(table):
        found += [(before + entry.row, entry.line, entry.value, entry.reason) for entry in chunk.rejected]
        before += chunk.rows_read
    return found


def lines(table: Table) -> list[int]:
    """Of all rows that are none of the rejected."""
    found: list[int] = []
    for chunk in chunks(table):
        starts = chunk.lines(np.arange(len(chunk.numbers)))
        assert starts is not None
        found += starts.tolist()
    return found


def refusal(data: str | bytes, name: str = "data.csv") -> str:
    with pytest.raises(InvalidUpload) as caught:
        cells(opened(data, name))
    return str(caught.value)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few lines."""
    monkeypatch.setattr(text, "PIECE", 200)
    monkeypatch.setattr(text, "_LONG_LINE", 50)


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("end", [True, False], ids=["with a last line end", "without"])
def test_any_usual_delimiter_and_line_end_is_understood(delimiter: str, newline: str, end: bool) -> None:
    said = newline.join(delimiter.join(row) for row in (["a", "b"], ["1", "x"], ["2", "y"])) + newline * end
    table = opened(said)
    assert cells(table) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert table.description == f"CSV, {'tab' if delimiter == chr(9) else delimiter!r}, UTF-8"


def test_line_ends_may_be_mixed() -> None:
    table = opened("a,b\r\n1,x\n2,y\r3,z\r\n")
    assert cells(table)["a"] == ["1", "2", "3"]
    assert lines(table) == [2, 3, 4]


def test_quotes_keep_delimiters_newlines_and_quotes() -> None:
    table = opened('a,b\n"x,y","two\nlines"\n"he said ""no""",2\n')
    assert cells(table) == {"a": ["x,y", 'he said "no"'], "b": ["two\nlines", "2"]}
    assert lines(table) == [2, 4]


def test_a_delimiter_inside_of_a_quoted_name_does_not_count() -> None:
    assert cells(opened('"height, width, depth";late\n1;2\n')) == {"height, width, depth": ["1"], "late": ["2"]}


def test_a_line_end_inside_of_a_quoted_name_is_part_of_it() -> None:
    table = opened('"height\nin cm",late\n1,2\n3\n')
    assert cells(table) == {"height\nin cm": ["1"], "late": ["2"]}
    assert (lines(table), rejected(table)) == ([3], [(2, 4, "3", "has 1 fields where the header has 2")])


def test_one_column_is_a_table_whose_blank_lines_are_no_rows() -> None:
    table = opened('a\n1\n\n""\n2\n')
    assert cells(table) == {"a": ["1", "", "2"]}
    assert lines(table) == [2, 4, 5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_encoding_gives_the_same_table(encoding: str) -> None:
    table = opened("näme,b\nÅse,日本\nx,y\n".encode(encoding))
    assert cells(table) == {"näme": ["Åse", "x"], "b": ["日本", "y"]}
    assert table.warnings == ()


def test_windows_text_is_read_and_the_guess_is_told_with_its_line() -> None:
    table = opened("a,b\n1,plain\n2,50 €\n3,ü\n".encode("cp1252"))
    assert cells(table)["b"] == ["plain", "50 €", "ü"]
    assert table.warnings == ("2 lines are not UTF-8, first line 3: read as Windows-1252",)
    assert "Windows-1252" in table.description


def test_ragged_rows_are_set_aside_under_their_own_rows_and_lines() -> None:
    table = opened('\n\na,b\n"two\nlines",1\n\n1,2,3\n"q",2\nshort\n9,9\n')
    assert rejected(table) == [
        (2, 7, "1,2,3", "has 3 fields where the header has 2"),
        (4, 9, "short", "has 1 fields where the header has 2"),
    ]
    assert [number for chunk in chunks(table) for number in chunk.numbers] == [1, 3, 5]
    assert lines(table) == [4, 8, 10]
    assert cells(table)["a"] == ["two\nlines", "q", "9"]
    assert table.head.rows_read == 5


@pytest.mark.parametrize("stray", ["", '5,5" disk\n', '5,"never closed\n', "5,\0\n"])
def test_rows_and_lines_are_the_same_whichever_way_a_block_is_read(stray: str) -> None:
    """A quote out of place or a NUL byte has its block read by another reader."""
    table = opened(f'a,b\n\n1,"x\ny"\n1,2,3\n\n2,z\n{stray}6,end\n')
    assert rejected(table)[0] == (2, 5, "1,2,3", "has 3 fields where the header has 2")
    assert cells(table)["b"][:2] == ["x\ny", "z"]
    assert cells(table)["b"][-1] == "end"
    assert lines(table)[:2] == [3, 7]
    assert lines(table)[-1] == 8 + bool(stray)
    assert table.head.rows_read == 4 + bool(stray)


@pytest.mark.parametrize("said", ['a,b\n1,x\n2,"abc\n3,x\n4,y\n', 'a,b\n1,x\n"abc,2\n3,x\n4,y\n'])
def test_a_quote_that_is_never_closed_swallows_no_rows(said: str) -> None:
    table = opened(said)
    assert cells(table)["a"] == ["1", "3", "4"]
    assert [(row, line, reason) for row, line, _, reason in rejected(table)] == [(2, 3, UNCLOSED)]


def test_a_quote_that_is_never_closed_does_not_hide_the_delimiter() -> None:
    table = opened('a;b\n1;x\n2;"abc\n' + "3;x,y\n" * 40_000)
    assert table.names == ("a", "b")
    assert table.head.rows_read == 40_002


def test_a_nul_byte_costs_its_row() -> None:
    table = opened("a,b\n" + "1,2\n" * 20 + "3,\0\n4,5\n")
    assert rejected(table) == [(21, 22, "3,\0", "has a NUL byte")]
    assert cells(table)["a"][-1] == "4"


def test_a_line_that_is_too_long_costs_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LARGEST_RECORD", 1_000)
    monkeypatch.setattr("tidemill.stages.records.LARGEST_RECORD", 1_000)
    table = opened("a,b\n1,2\n" + "x" * 2_000 + ",3\n4,5\n")
    assert [(row, line, reason) for row, line, _, reason in rejected(table)] == [
        (2, 3, "has more than 1,000 characters")
    ]
    assert cells(table)["a"] == ["1", "4"]


def test_a_shown_value_is_cut() -> None:
    assert len(rejected(opened("a,b\n1,2\n" + "x" * 500 + "\n"))[0][2]) == 200


# Blocks

MANY = "a,b,c\n" + "".join(
    f'{row},"{"many" * (row % 9)}\n, ""{row}""",{"é" * (row % 5)}\n' if row % 3 else f"{row},x\n\n"
    for row in range(200)
)


def test_rows_numbers_and_lines_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = opened(MANY)
    assert whole.whole
    expected = cells(whole), rejected(whole), lines(whole)
    assert len(rejected(whole)) == 67
    for size in (120, 333, 1_000):
        monkeypatch.setattr(text, "PIECE", size)
        monkeypatch.setattr(text, "_LONG_LINE", 40)
        table = opened(MANY)
        assert not table.whole
        assert len(chunks(table)) > len(MANY.encode()) / size / 4
        assert (cells(table), rejected(table), lines(table)) == expected


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stray", ['stray,5" disk,x\n', 'stray,"never,x\n', "stray,\0,x\n"])
def test_a_stray_quote_changes_nothing_in_other_rows(stray: str) -> None:
    rows = [f'{row},"many\n, ""{row}""",é\n' for row in range(60)]
    table = opened("a,b,c\n" + "".join([*rows[:30], stray, *rows[30:]]))
    found = [row for row in zip(*cells(table).values(), strict=True) if row[0] != "stray"]
    assert found == [(str(row), f'many\n, "{row}"', "é") for row in range(60)]
    assert sum(chunk.rows_read for chunk in chunks(table)) == 61


@pytest.mark.usefixtures("small")
def test_blocks_may_be_taken_again() -> None:
    table = opened(MANY)
    assert [block.data for block in table.blocks()] == [block.data for block in table.blocks()]
    assert cells(table) == cells(table)


@pytest.mark.usefixtures("small")
def test_the_head_is_the_first_block_as_text() -> None:
    table = opened("a,b\n" + "".join(f"{row},x\n" for row in range(500)))
    assert table.head.columns["a"].to_pylist() == chunks(table)[0].columns["a"].to_pylist()
    assert table.head.columns["a"].type == pa.string()
    assert 0 < table.head.rows_read < 500


@pytest.mark.usefixtures("small")
def test_blank_lines_make_no_block() -> None:
    table = opened("a,b\n" + "\n" * 2_000 + "1,2\n" + "\n" * 2_000)
    assert cells(table) == {"a": ["1"], "b": ["2"]}
    assert lines(table) == [2_002]


@pytest.mark.usefixtures("small")
def test_blank_lines_before_the_header_are_counted() -> None:
    table = opened("\n" * 1_000 + "a,b\n1,2\n")
    assert lines(table) == [1_002]


# Types

TYPES = {
    "n": pa.float64(),
    "b": pa.bool_(),
    "d": pa.timestamp("us"),
    "c": pa.dictionary(pa.int32(), pa.string()),
}
GOOD = "1.5,yes,2024-01-01,red\n,NA,null,\n-2e3,OFF,2024-01-01T10:30:00,blue\n"


def typed(rows: str, types: Mapping[str, pa.DataType] = TYPES) -> Chunk:
    table = opened(f"n,b,d,c\n{rows}")
    return table.parse(next(table.blocks()), types)


def test_values_come_in_the_types_asked_for() -> None:
    found = typed(GOOD).columns
    assert {name: array.type for name, array in found.items()} == TYPES
    assert found["n"].to_pylist() == [1.5, None, -2000.0]
    assert found["b"].to_pylist() == [True, None, False]
    assert [str(day) for day in found["d"].to_pylist()] == ["2024-01-01 00:00:00", "None", "2024-01-01 10:30:00"]
    assert found["c"].to_pylist() == ["red", "", "blue"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", "abc"),
        ("n", "1,5"),
        ("n", "inf"),
        ("n", "-nan"),
        ("n", "1e400"),
        ("b", "maybe"),
        ("b", "1"),
        ("d", "2024-13-01"),
        ("d", "soon"),
    ],
)
def test_a_column_with_a_value_that_does_not_convert_comes_as_text_and_no_other(column: str, value: str) -> None:
    row = ",".join(f'"{value}"' if name == column else "" for name in TYPES)
    found = typed(GOOD + row + "\n").columns
    assert {name for name, array in found.items() if array.type != TYPES[name]} == {column}
    assert found[column].type == pa.string()
    assert found[column].to_pylist()[-1] == value
    assert len({len(array) for array in found.values()}) == 1


def test_columns_that_are_not_asked_for_are_left_out_and_the_others_still_found() -> None:
    found = typed(f"{GOOD}1,soon,soon,x\n", {"d": pa.timestamp("us"), "n": pa.float64()}).columns
    assert list(found) == ["d", "n"]
    assert found["d"].to_pylist()[-1] == "soon"
    assert found["n"].to_pylist()[-1] == 1.0


def test_many_columns_that_do_not_convert_cost_no_reading_each(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{place}" for place in range(60)]
    table = opened("\n".join([",".join(names), ",".join("1" * 60), ",".join("x" * 60)]))
    readings = 0
    read = pyarrow.csv.read_csv

    def counted(*arguments: Any) -> pa.Table:
        nonlocal readings
        readings += 1
        return read(*arguments)

    monkeypatch.setattr(pyarrow.csv, "read_csv", counted)
    found = table.parse(next(table.blocks()), dict.fromkeys(names, pa.float64()))
    assert {tuple(array.to_pylist()) for array in found.columns.values()} == {("1", "x")}
    assert readings < 12


@pytest.mark.usefixtures("small")
def test_a_block_with_a_stray_quote_is_text_and_the_others_are_typed() -> None:
    table = opened("n,m\n" + "1,2\n" * 200 + '3,5" disk\n' + "1,2\n" * 200)
    kinds = {chunk.columns["n"].type for chunk in chunks(table, {"n": pa.float64()})}
    assert kinds == {pa.float64(), pa.string()}


# JSON Lines


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_json_lines_are_text_as_a_csv_would_have_it() -> None:
    table = opened(jsonl({"a": 1, "b": True}, {"b": None, "a": 2.5}, {"a": "x"}, {"a": [1, {"k": 2}], "b": {"c": "d"}}))
    assert cells(table) == {"a": ["1", "2.5", "x", '[1, {"k": 2}]'], "b": ["true", "", "", '{"c": "d"}']}
    assert (table.names, table.description) == (("a", "b"), "JSON Lines, UTF-8")


def test_json_lines_with_a_mistake_are_rejected_with_their_line() -> None:
    table = opened('{"a": 1}\n\n{"a": 2\n[3]\n{}\n{"a": 4}\n', "data.jsonl")
    found = rejected(table)
    assert [(row, line, value) for row, line, value, _ in found] == [(2, 3, '{"a": 2'), (3, 4, "[3]")]
    assert found[0][3].startswith("is not valid JSON")
    assert found[1][3] == "is not a JSON object"
    assert cells(table)["a"] == ["1", "", "4"]
    assert lines(table) == [1, 5, 6]


@pytest.mark.usefixtures("small")
def test_json_keys_that_come_late_are_left_out_and_told_once() -> None:
    table = opened(jsonl(*({"a": row} for row in range(100)), {"a": 100, "b": 1}, {"b": 2, "c": 3}))
    assert cells(table)["a"] == [*map(str, range(101)), ""]
    assert [warning.split(",")[0] for warning in table.warnings] == [
        "the key 'b' comes first in line 101",
        "the key 'c' comes first in line 102",
    ]


def test_json_numbers_that_are_none_come_as_their_words() -> None:
    assert cells(opened('{"a": NaN}\n{"a": Infinity}\n{"a": 1e999}\n'))["a"] == ["NaN", "Infinity", "Infinity"]


def test_json_text_may_have_any_character() -> None:
    row = {"a\u2028b": "c\x85d", "half": "\ud800", "\udc00": "x"}
    table = opened("".join(f"{line}\n" for line in (json.dumps(row, ensure_ascii=True), '{"a\u2028b": "\u2029"}')))
    assert cells(table) == {"a\u2028b": ["c\x85d", "\u2029"], "half": ["?", ""], "?": ["x", ""]}
    assert table.warnings == ()


@pytest.mark.parametrize("depth", [100, 400, 900, 2_000, 100_000])
def test_json_of_any_depth_is_text_or_rejected(depth: int) -> None:
    table = opened('{"a": 1}\n{"a": ' + "[" * depth + "]" * depth + "}\n")
    assert table.head.rows_read == 2


def test_json_numbers_of_any_length_are_text_or_rejected() -> None:
    table = opened('{"a": 1}\n{"a": ' + "9" * 10_000 + "}\n")
    assert len(rejected(table)) == 1


# Parquet


@pytest.mark.parametrize("name", ["data.parquet", "data.pq", "data"])
def test_parquet_keeps_its_own_types(name: str) -> None:
    table = opened(PARQUET, name)
    assert cells(table) == {"a": [1, 2], "b": ["x", None]}
    assert [array.type for array in table.head.columns.values()] == [pa.int64(), pa.string()]
    assert table.description == "Parquet"
    assert table.head.lines(np.array([0])) is None


def test_parquet_is_read_in_blocks_whatever_its_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_ROWS", 70)
    for rows in (1, 7, 100, 1_000):
        data = parquet({"a": range(200), "b": [str(row) for row in range(200)]}, row_group_size=rows)
        table = opened(data, "data.parquet")
        assert not table.whole
        assert cells(table) == cells(table) == {"a": [*range(200)], "b": [*map(str, range(200))]}
        assert max(len(chunk.numbers) for chunk in chunks(table)) <= 70


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], pa.int8()),
        ([Decimal("1.50"), None], pa.decimal128(5, 2)),
        (["x", "y"], pa.dictionary(pa.int8(), pa.string())),
        (["x", "y"], pa.large_string()),
        ([b"x", None], pa.binary()),
        ([[1], None], pa.list_(pa.int64())),
        ([{"k": 1}, None], pa.struct({"k": pa.int64()})),
        ([None, None], pa.null()),
        ([1, 2], pa.date32()),
        ([1, 2], pa.timestamp("ns", "Europe/Berlin")),
        ([1, 2], pa.time64("us")),
        ([1, 2], pa.duration("ms")),
    ],
    ids=str,
)
def test_parquet_may_have_any_type(values: Sequence[Any], kind: pa.DataType) -> None:
    array = pa.array(values, kind) if not pa.types.is_dictionary(kind) else pa.array(values).dictionary_encode()
    table = opened(parquet({"a": array, "b": [1, 2]}), "data.parquet")
    assert table.head.columns["a"].to_pylist() == array.to_pylist()


def test_parquet_columns_that_are_not_asked_for_are_left_out() -> None:
    table = opened(PARQUET, "data.parquet")
    assert cells(table, {"b": pa.string()}) == {"b": ["x", None]}


def test_damaged_parquet_is_never_a_crash() -> None:
    for place in range(4, len(PARQUET), 7):
        damaged = bytearray(PARQUET)
        damaged[place] ^= 0xFF
        try:
            table = opened(bytes(damaged), "data.parquet")
            chunks(table)
        except InvalidUpload as error:
            assert "Parquet" in str(error)  # noqa: PT017 - either may happen
            continue
        assert table.head.rows_read == 2


def test_parquet_of_more_rows_than_can_be_prepared_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 1)
    with pytest.raises(
        InvalidUpload, match=r"data.parquet has 2 rows or more, and 1 is the most .*: upload it in parts"
    ):
        opened(PARQUET, "data.parquet")


# Files that are no tables


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("data.csv", b"", "data.csv is empty"),
        ("data.csv", b" \r\n\n", "data.csv is empty"),
        ("data.csv", b"\xef\xbb\xbf", "data.csv is empty"),
        ("data.csv", "\n\n".encode("utf-16"), "data.csv is empty"),
        ("data.csv", b"a,b\n", "data.csv has a header and no rows"),
        ("data.csv", b"a,b", "data.csv has a header and no rows"),
        ("data.csv", b"a,b\n\n\n", "data.csv has a header and no rows"),
        ("data.csv", b"a,,b, \n1,2,3,4\n", "data.csv has no name in its header for column 2, 4"),
        ("data.csv", b"a,b,a\n1,2,3\n", "data.csv has more than one column named 'a'"),
        ("data.csv", b"a,,a\n1,2,3\n", "for column 2; data.csv has more than one column named 'a'"),
        ("data.csv", b"1,2\n3,4\n", "data.csv has only numbers in its first line: put a line with the columns' names"),
        ("data.csv", b"a,b\0\n" + b"1,2\n" * 20, "data.csv has a NUL byte in its header"),
        ("data.csv", b'a,"b\n1,2\n', "its header has a quote that is never closed"),
        ("data.csv", b'a,"b\n1,"2"\n', "its header has a quote that is never closed"),
        ("data.csv", b"x" * 200_000, "its first line is no header"),
        ("data.csv", b"x," * 600_000 + b"\n1,2\n", "its first line is no header"),
        (
            "data.csv",
            b",".join(b"c%d" % i for i in range(5_001)) + b"\n1\n",
            "has 5,001 columns, more than the 5,000",
        ),
        ("data.csv", b"a,b\n1\n2\n", "no row of its header's shape: line 2 has 1 fields where the header has 2 ('1')"),
        ("data.csv", "a,b\n1,2\n".encode("utf-32"), "data.csv is UTF-32 text"),
        ("data.csv", b"\x89PNG\r\n\x1a\n", "data.csv is a PNG picture, not a table: upload CSV, Parquet or JSON Lines"),
        ("data.csv", b"PK\x03\x04rest", "data.csv is a zip archive or an Excel workbook"),
        ("data.csv.gz", b"\x1f\x8brest", "data.csv.gz is damaged gzip data"),
        ("data.csv", PARQUET, "is named .csv but holds Parquet data: rename it to .parquet"),
        ("data.jsonl", PARQUET, "is named .jsonl but holds Parquet data"),
        ("data.parquet", b"a,b\n1,2\n", "is named .parquet but is not a Parquet file"),
        ("data.parquet", PARQUET[:-30], "data.parquet is a damaged Parquet file"),
        ("data.parquet", PARQUET[: len(PARQUET) // 2], "data.parquet is a damaged Parquet file"),
        ("data.parquet", parquet({"a": pa.array([], pa.int64())}), "has a header and no rows"),
        ("data.parquet", parquet({"": [1], "b": [2]}), "has no name in its header for column 1"),
        ("data.json", b'[{"a": 1}]', "is one JSON document: upload JSON Lines, one object a line (jq"),
        ("data.json", b'{\n"a": 1\n}\n', "has no line that is a JSON object"),
        ("data.json", b'{"": 1}\n', "has no name in its header for column 1"),
        ("data.json", b'{"a\\u0000": 1}\n', "has a NUL byte in its header"),
    ],
)
def test_a_file_that_cannot_be_a_table_says_why_and_what_to_do(name: str, data: bytes, expected: str) -> None:
    assert expected in refusal(data, name)


# What Python writes

cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8) | st.sampled_from(
    ["", '"', '""', "\n", ",", ";", "\t", "|", "a\nb", '5" disk', "ü", "日本", "=1+1", " ", "NA", "\ufeff"]
)
DIALECTS = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from([",", ";", "\t", "|"]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    }
)


@pytest.mark.parametrize("piece", [60, 8_000_000])
def test_a_byte_order_mark_within_a_file_is_a_cells_own(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    lines = [f"{'a' * 24},{'b' * 24}", *["\ufeff,x"] * 40]
    found = cells(opened("\n".join(lines).encode()))
    assert next(iter(found.values())) == ["\ufeff"] * 40


@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    table=st.integers(2, 4).flatmap(lambda width: st.lists(st.tuples(*[cell] * width), min_size=1, max_size=12)),
    dialect=DIALECTS,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    piece=st.sampled_from([60, 150, 8_000_000]),
)
def test_what_pythons_csv_module_writes_is_read_back(
    monkeypatch: pytest.MonkeyPatch,
    table: list[tuple[str, ...]],
    dialect: Mapping[str, Any],
    encoding: str,
    piece: int,
) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, **dialect)
    names = [f"name {place} " * 3 for place in range(len(table[0]))]
    writer.writerow(names)
    writer.writerows(table)
    read = opened(buffer.getvalue().encode(encoding))
    assert read.names == tuple(names)
    found = cells(read)
    assert [*zip(*found.values(), strict=True)] == table
    assert rejected(read) == []


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=80) | st.text(st.sampled_from('ab,;\n\r"\0é{}[]: 1'), max_size=80).map(str.encode),
    before=st.sampled_from([b"", b"a,b\n1,2\n", b'{"a": 1}\n', b"\xff\xfe", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"]),
    piece=st.sampled_from([40, 8_000_000]),
)
def test_any_bytes_are_rows_read_or_a_refusal(
    monkeypatch: pytest.MonkeyPatch, data: bytes, before: bytes, piece: int
) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    try:
        table = opened(before + data)
        found = chunks(table)
    except InvalidUpload as error:
        assert str(error).startswith("data.csv ")  # noqa: PT017 - either may happen
        return
    for chunk in found:
        assert chunk.rows_read == len(chunk.numbers) + len(chunk.rejected)
        assert sorted([*chunk.numbers, *(entry.row for entry in chunk.rejected)]) == [*range(1, chunk.rows_read + 1)]
        assert {len(array) for array in chunk.columns.values()} == {len(chunk.numbers)}
        assert all(entry.reason and entry.line for entry in chunk.rejected)
        starts = chunk.lines(np.arange(len(chunk.numbers)))
        assert starts is not None
        assert (np.diff(starts) > 0).all()


ATTACKS: Mapping[str, Callable[[], bytes]] = {
    "quotes alone": lambda: b"a,b\n" + b'"' * 1_000_000,
    "no line end": lambda: b"a,b\n" + b"x" * 1_000_000,
    "no line end within quotes": lambda: b'a,b\n1,"' + b"x" * 2_500_000,
    "a stray quote a line": lambda: b"a,b\n" + b'1,"x\n' * 200_000,
    "quotes that open again": lambda: b"a,b\n" + b'x",",y\n' * 150_000,
    "such quotes and many columns": lambda: b",".join(b"c%d" % i for i in range(4_900)) + b"\n" + b'x",",y\n' * 150_000,
    "many columns": lambda: b",".join(b"c%d" % i for i in range(50_000)) + b"\n" + b"1," * 49_999 + b"1\n",
    "delimiters alone": lambda: b"," * 1_000_000,
    "deep JSON": lambda: b'{"a": 1}\n' + b'{"a": ' * 500_000,
    "many JSON keys": lambda: b'{"a": 1}\n' + b"".join(b'{"k%d": 1}\n' % i for i in range(20_000)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_made_to_take_long_is_read_or_refused(attack: str) -> None:
    """Each of them once took minutes or would have: the suite's patience is the limit."""
    try:
        chunks(opened(ATTACKS[attack]()))
    except InvalidUpload as error:
        assert str(error).startswith("data.csv ")  # noqa: PT017 - either may happen
