import io

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidemill.stages import records
from tidemill.stages.records import MISPLACED, UNCLOSED, record_starts, split, well_quoted


def rows(text: str, columns: int = 2, delimiter: str = ",") -> list[tuple[str, ...]]:
    return [
        record.fields or (record.problem,) for record in split(text, delimiter, columns, last=True)[0] if record.text
    ]


# Where whole records end


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"", 0),
        (b"1,2", 0),
        (b"1,2\n", 4),
        (b"1,2\n3", 4),
        (b'"a",b\n1', 6),
        (b'1,"a\nb"\n', 8),
        (b'1,2\n"a\nb', 4),
        (b'1,2\n1,"a\nb","c\nd', 4),
        (b'1,2\n1,"a\n"",\n""b","c\nd"', 4),
        (b'1,"x""y"\n', 9),
        (b'1,""\n"",2\n', 10),
        (b'1,"\n"\n2,"', 6),
    ],
)
def test_whole_records_end_at_a_line_end_that_no_quote_holds(data: bytes, whole: int) -> None:
    assert well_quoted(data, b",") == whole


@pytest.mark.parametrize(
    "data", [b'1,5" disk\n1,"b"\n"\n', b'a"b",c\n', b'"a"b,c\n', b'"a" ,c\n', b' "a",c\n', b'""x",1\n"\n']
)
def test_quotes_out_of_place_are_noticed(data: bytes) -> None:
    assert well_quoted(data, b",") is None


def test_a_quote_that_is_not_closed_within_the_largest_record_is_out_of_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LARGEST_RECORD", 20)
    assert well_quoted(b'1,"' + b"x\n" * 5, b",") == 0
    assert well_quoted(b'1,"' + b"x\n" * 12, b",") is None
    assert well_quoted(b"1,2\n" * 12 + b'1,"x', b",") == 48


# What the records are


def test_quotes_hold_delimiters_line_ends_and_quotes() -> None:
    assert rows('"x,y","two\nlines"\n"he said ""no""",2\n') == [("x,y", "two\nlines"), ('he said "no"', "2")]


def test_other_quotes_are_characters() -> None:
    assert rows('5" disk,a\n"a"b,c\nx ""y"",z\n') == [('5" disk', "a"), ("ab", "c"), ('x ""y""', "z")]


def test_a_quote_that_is_never_closed_costs_its_own_line_alone() -> None:
    assert rows('1,x\n2,"abc\n3,x\n4,y\n') == [("1", "x"), (UNCLOSED,), ("3", "x"), ("4", "y")]
    assert rows('1,x\n"abc,2\n3,x\n4,"y"\n') == [("1", "x"), (UNCLOSED,), ("3", "x"), ("4", "y")]


def test_lines_with_one_stray_quote_each_are_all_told() -> None:
    assert rows('1,"a\n2,"b\n3,"c\n4,d\n') == [(UNCLOSED,), (UNCLOSED,), (UNCLOSED,), ("4", "d")]


def test_a_value_of_several_lines_may_follow_a_quote_that_is_never_closed() -> None:
    assert rows('1,"a\n2,b\n3,"c\nd"\n4,e\n') == [(UNCLOSED,), ("2", "b"), ("3", "c\nd"), ("4", "e")]


def test_the_end_of_a_value_of_several_lines_is_never_taken_for_a_row() -> None:
    assert rows('1,"a\nb",c\n2,d\n') == [(UNCLOSED,), (MISPLACED,), ("2", "d")]


def test_a_long_record_is_refused_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LARGEST_RECORD", 20)
    assert rows("1," + "x" * 30 + "\n2,b\n") == [("has more than 20 characters",), ("2", "b")]


def test_lines_that_are_no_rows_say_why() -> None:
    assert rows("1\n1,2,3\n1,\0\n") == [
        ("has 1 fields where the header has 2",),
        ("has 3 fields where the header has 2",),
        ("has a NUL byte",),
    ]


def test_blank_lines_are_no_records_but_count_as_lines() -> None:
    found, used = split('\n1,2\n\n\n3,"x\ny"\n', ",", 2, last=True)
    assert [(record.fields, record.lines) for record in found] == [
        ((), 1),
        (("1", "2"), 1),
        ((), 1),
        ((), 1),
        (("3", "x\ny"), 2),
    ]
    assert used == 15


def test_a_record_that_may_go_on_is_left_to_the_text_that_follows() -> None:
    assert split('1,2\n3,"x\ny', ",", 2, last=False)[1] == 4
    assert split('1,2\n3,"x\ny', ",", 2, last=True)[1] == 10


@pytest.mark.parametrize(
    "line",
    ['x","', 'x",",y', '"x', '1,"x', '"', '""', '"""', '","', '",', 'x"y,"z', 'x,"y', '"",""",'],
)
def test_no_quotes_make_the_same_text_be_read_again_and_again(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Counted, not timed: each scan may go over several lines, but no line is in more than a few of them."""
    scanned = 0
    scan = records.scan_record

    def counted(text: str, start: int, delimiter: str, stop: int) -> records.Scan:
        nonlocal scanned
        found = scan(text, start, delimiter, stop)
        scanned += found.end - start
        return found

    monkeypatch.setattr(records, "scan_record", counted)
    for columns in (2, 10_000):
        scanned = 0
        text = f"{line}\n" * 500
        split(text, ",", columns, last=True)
        assert scanned <= 4 * len(text)


# Both readers


fields = st.text(st.sampled_from("ab \"\n,;'é"), max_size=6)


def _written(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set('",\n') or not field else field


@settings(max_examples=300, deadline=None, derandomize=True)
@example([["a", '"'], ["\n", ""]])
@given(st.lists(st.lists(fields, min_size=2, max_size=2), min_size=1, max_size=8))
def test_well_quoted_text_is_the_same_to_both_readers(table: list[list[str]]) -> None:
    text = "".join(",".join(map(_written, row)) + "\n" for row in table)
    data = text.encode()
    assert well_quoted(data, b",") == len(data)
    assert rows(text) == [tuple(row) for row in table]
    read = pyarrow.csv.read_csv(
        io.BytesIO(data),
        pyarrow.csv.ReadOptions(column_names=["a", "b"]),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types={"a": pa.string(), "b": pa.string()}, strings_can_be_null=False),
    )
    assert [tuple(row.values()) for row in read.to_pylist()] == [tuple(row) for row in table]
    starts = [text.count("\n", 0, place) for place in _places(table)]
    assert record_starts(data, len(starts)).tolist() == starts


def _places(table: list[list[str]]) -> list[int]:
    lengths = [len(",".join(map(_written, row))) + 1 for row in table]
    return [sum(lengths[:row]) for row in range(len(table))]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(st.sampled_from('ab,\n"'), max_size=24))
def test_whatever_seems_well_quoted_is_the_same_to_both_readers(text: str) -> None:
    """Of the records of the header's shape, and where a record of several lines has it too."""
    data = f"{text}\n".encode()
    if well_quoted(data, b",") != len(data):
        return
    skipped: list[pyarrow.csv.InvalidRow] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        skipped.append(row)
        return "skip"

    read = pyarrow.csv.read_csv(
        io.BytesIO(data),
        pyarrow.csv.ReadOptions(column_names=["a", "b"], use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
        pyarrow.csv.ConvertOptions(column_types={"a": pa.string(), "b": pa.string()}, strings_can_be_null=False),
    )
    if any("\n" in row.text for row in skipped):
        return
    found = rows(data.decode())
    assert [row for row in found if len(row) == 2] == [tuple(row.values()) for row in read.to_pylist()]
    assert len(found) == read.num_rows + len(skipped)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(st.sampled_from('ab,\n"'), max_size=40), st.integers(1, 3))
def test_every_line_of_any_text_is_in_one_record(text: str, columns: int) -> None:
    text = f"{text}\n"
    found, used = split(text, ",", columns, last=True)
    assert used == len(text)
    assert sum(record.lines for record in found) == text.count("\n")
    assert all(record.problem == "" or not record.fields for record in found)
