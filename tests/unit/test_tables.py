import io
from typing import Any

import pandas as pd
import pytest

from tests.unit.builders import raw
from tidemill.errors import InvalidUpload
from tidemill.stages import tables
from tidemill.stages.tables import RawTable, read_table


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


PARQUET = parquet(pd.DataFrame({"a": [1, 2], "b": ["x", None]}))


def cells(table: RawTable) -> dict[str, list[Any]]:
    return {name: column.to_pylist() for name, column in table.columns.items()}


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(InvalidUpload) as caught:
        read_table(name, data)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
def test_any_usual_delimiter_and_line_end_is_understood(delimiter: str, newline: str) -> None:
    text = newline.join(delimiter.join(row) for row in (["a", "b"], ["1", "x"], ["2", "y"]))
    assert cells(raw(text)) == {"a": ["1", "2"], "b": ["x", "y"]}


def test_quotes_keep_delimiters_newlines_and_quotes() -> None:
    table = raw('a,b\n"x,y","two\nlines"\n"he said ""no""",2\n')
    assert cells(table) == {"a": ["x,y", 'he said "no"'], "b": ["two\nlines", "2"]}


def test_a_delimiter_inside_of_a_quoted_name_does_not_count() -> None:
    assert cells(raw('"height, width, depth";late\n1;2\n')) == {"height, width, depth": ["1"], "late": ["2"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_with_and_without_a_byte_order_mark(encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    table = read_table("data.csv", f"{mark}näme,b\nÅse,日本\n".encode(encoding))
    assert cells(table) == {"näme": ["Åse"], "b": ["日本"]}
    assert table.warnings == ()


def test_windows_text_is_read_and_the_guess_is_told_with_its_line() -> None:
    table = read_table("data.csv", "a,b\n1,plain\n2,50 €\n".encode("cp1252"))
    assert cells(table)["b"] == ["plain", "50 €"]
    assert table.warnings == ("data.csv is not UTF-8 (first at line 3); it was read as Windows-1252",)


def test_ragged_rows_are_set_aside_under_their_own_row_numbers() -> None:
    table = raw('\n\na,b\n"two\nlines",1\n\n1,2,3\n"q",2\nshort\n9,9\n')
    assert [(entry.row, entry.value, entry.reason) for entry in table.rejected] == [
        (2, "1,2,3", "has 3 fields where the header has 2"),
        (4, "short", "has 1 fields where the header has 2"),
    ]
    assert list(table.numbers) == [1, 3, 5]
    assert cells(table)["a"] == ["two\nlines", "q", "9"]
    assert table.rows_read == 5


def test_row_numbers_hold_over_the_blocks_of_a_long_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_LARGEST_FIELD", 64)
    table = raw("a,b\n" + "".join(f"{row},x\n" if row % 7 else f"{row}\n" for row in range(1, 200)))
    assert [entry.value for entry in table.rejected] == [str(entry.row) for entry in table.rejected]
    assert cells(table)["a"] == [str(number) for number in table.numbers]
    assert len(table.numbers) + len(table.rejected) == table.rows_read == 199


def test_a_file_without_one_row_of_the_right_shape_shows_the_first() -> None:
    with pytest.raises(InvalidUpload, match=r"row 1 has 1 fields where the header has 2 \('1'\)") as caught:
        raw("a,b\n1\n2\n")
    assert len(caught.value.rejected) == 2


@pytest.mark.parametrize("text", ['a,b\n1,x\n2,"abc\n3,x\n4,y\n', 'a,b\n1,x\n"abc,2\n3,x\n4,y\n'])
def test_a_quote_that_is_never_closed_is_named_with_its_line_instead_of_swallowing_rows(text: str) -> None:
    assert "has a quote in line 3 that is never closed" in refusal("data.csv", text.encode())


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("data.csv", b"", "data.csv is empty"),
        ("data.csv", b" \r\n\n", "data.csv is empty"),
        ("data.csv", b"\xef\xbb\xbf", "data.csv is empty"),
        ("data.csv", "\n\n".encode("utf-16"), "data.csv is empty"),
        ("data.csv", b"a,b\n", "data.csv has a header and no rows"),
        ("data.csv", b"a,b", "data.csv has a header and no rows"),
        ("data.csv", b"a,,b,\n1,2,3,4\n", "data.csv has no name in its header for column 2, 4"),
        ("data.csv", b"a,b,a\n1,2,3\n", "data.csv has more than one column named 'a'"),
        ("data.csv", b"x" * 200_000, "its first line is no header"),
        ("data.csv", b"a,b\n1,\0\n", "it has a NUL byte at line 2"),
        ("data.csv", "a,b\n1,é\n".encode("utf-16-le")[:-1], "NUL bytes and no known encoding"),
        ("data.csv", b"\x89PNG\r\n\x1a\n", "data.csv is a PNG picture, not a CSV or Parquet file"),
        ("data.csv", b"PK\x03\x04rest", "data.csv is a zip archive or an Excel workbook"),
        ("data.csv.gz", b"\x1f\x8brest", "is gzip data"),
        ("data.csv", PARQUET, "is named .csv but holds Parquet data: rename it to .parquet"),
        ("data.parquet", b"a,b\n1,2\n", "is named .parquet but is not a Parquet file"),
        ("data.parquet", PARQUET[:-30], "data.parquet is a damaged Parquet file"),
        ("data.parquet", parquet(pd.DataFrame({"a": []})), "has a header and no rows"),
    ],
)
def test_a_file_that_cannot_be_a_table_says_why_and_what_to_do(name: str, data: bytes, expected: str) -> None:
    assert expected in refusal(name, data)


def test_parquet_keeps_its_own_types_whatever_the_name_says_beyond_the_suffix() -> None:
    for name in ("data.parquet", "data.pq", "data"):
        table = read_table(name, PARQUET)
        assert cells(table) == {"a": [1, 2], "b": ["x", None]}
        assert (list(table.numbers), table.rows_read) == ([1, 2], 2)


def test_damaged_parquet_is_never_a_crash() -> None:
    for place in range(4, len(PARQUET), 7):
        damaged = bytearray(PARQUET)
        damaged[place] ^= 0xFF
        try:
            table = read_table("data.parquet", bytes(damaged))
        except InvalidUpload:
            continue
        assert table.rows_read == 2
