"""Reading an uploaded file as it is: columns of text or of the file's own types, and the lines that are not rows."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tidemill.errors import InvalidUpload

_EMPTY = "{name} is empty: upload a CSV or Parquet file with a header and rows"
_PARQUET_MAGIC = b"PAR1"
_BINARY_MAGICS: Mapping[bytes, str] = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "gzip data",
    b"\x28\xb5\x2f\xfd": "zstd data",
}
_DELIMITERS = (",", ";", "\t", "|")
_QUOTED = re.compile(r'"[^"]*"')
_LARGEST_FIELD = 1 << 26
_LARGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Rejected:
    """One reason why one row cannot be used. `row` counts data rows from 1, the header apart."""

    row: int
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class RawTable:
    """`columns` hold the rows that have the right shape; `numbers[i]` is the file's row number of row i."""

    columns: Mapping[str, pa.ChunkedArray]
    numbers: Sequence[int]
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = ()
    rows_read: int = 0


def read_table(name: str, data: bytes) -> RawTable:
    """CSV or Parquet, told from the content and checked against the name; raises `InvalidUpload`."""
    suffix = PurePosixPath(name).suffix.lower()
    if not data.strip():
        raise InvalidUpload(_EMPTY.format(name=name))
    if data[:4] == _PARQUET_MAGIC:
        if suffix in (".csv", ".tsv", ".txt"):
            raise InvalidUpload(f"{name} is named {suffix} but holds Parquet data: rename it to .parquet")
        table = _read_parquet(name, data)
    elif suffix in (".parquet", ".pq"):
        raise InvalidUpload(f"{name} is named {suffix} but is not a Parquet file")
    else:
        table = _read_csv(name, data)
    if table.rows_read == 0:
        raise InvalidUpload(f"{name} has a header and no rows")
    if not table.numbers:
        first = table.rejected[0]
        raise InvalidUpload(
            f"{name} has no row of its header's shape: row {first.row} {first.reason} ({first.value!r})", table.rejected
        )
    return table


def _read_parquet(name: str, data: bytes) -> RawTable:
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        _check_header(name, file.schema_arrow.names)
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidUpload(f"{name} is a damaged Parquet file: {_first_line(error)}") from None
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return RawTable(columns, range(1, table.num_rows + 1), rows_read=table.num_rows)


def _read_csv(name: str, data: bytes) -> RawTable:
    for magic, what in _BINARY_MAGICS.items():
        if data.startswith(magic):
            raise InvalidUpload(f"{name} is {what}, not a CSV or Parquet file")
    text, warnings = _decode(name, data)
    delimiter, header = _header(name, text)
    _check_header(name, header)
    misshapen: list[pyarrow.csv.InvalidRow] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        misshapen.append(row)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            # One thread: only then does a row that is skipped know its number.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_LARGEST_FIELD),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={column: pa.string() for column in header}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise InvalidUpload(f"{name} is not a readable CSV file: {_first_line(error)}") from None
    _check_quotes(name, text, table, misshapen)
    # pyarrow counts the header as row 1 and leaves blank lines out.
    rejected = tuple(
        Rejected(
            row.number - 1,
            "",
            row.text[:200],
            f"has {row.actual_columns} fields where the header has {row.expected_columns}",
        )
        for row in misshapen
    )
    return RawTable(
        dict(zip(table.column_names, table.columns, strict=True)),
        _numbers(table.num_rows, {entry.row for entry in rejected}),
        rejected,
        warnings,
        table.num_rows + len(rejected),
    )


def _check_quotes(name: str, text: str, table: pa.Table, misshapen: Sequence[pyarrow.csv.InvalidRow]) -> None:
    """A quote that is never closed makes one value of all lines after it, which must not pass as one row."""
    rows = table.num_rows + len(misshapen)
    if misshapen and misshapen[-1].number - 1 == rows:
        last = f"{misshapen[-1].text}\n"
        swallowed = last.count("\n") > 1 and last.count('"') % 2 == 1
    else:
        last = table.column(-1)[-1].as_py() if rows else ""
        swallowed = "\n" in last and not text.rstrip("\n").endswith('"')
    if swallowed:
        line = text.count("\n") - last.count("\n") + 1
        raise InvalidUpload(f"{name} has a quote in line {line} that is never closed: close it, or double it")


def _decode(name: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Text without a byte order mark, and a warning where the encoding had to be guessed."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    warnings: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise InvalidUpload(f"{name} is not text: it has NUL bytes and no known encoding") from None
        line = data.count(b"\n", 0, error.start) + 1
        text = data.decode("cp1252", errors="replace")
        warnings = (f"{name} is not UTF-8 (first at line {line}); it was read as Windows-1252",)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidUpload(f"{name} is not text: it has a NUL byte at line {line}")
    # Every way to end a line is one afterwards; pyarrow needs the last one to see that there are no rows.
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    if not text.strip():
        raise InvalidUpload(_EMPTY.format(name=name))
    return (text if text.endswith("\n") else f"{text}\n"), warnings


def _header(name: str, text: str) -> tuple[str, list[str]]:
    """The delimiter is the one that the header has most of, outside of quotes."""
    line = _QUOTED.sub("", text[:_LARGEST_HEADER]).split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        return delimiter, next(csv.reader(io.StringIO(text[:_LARGEST_HEADER]), delimiter=delimiter), [])
    except csv.Error as error:
        raise InvalidUpload(f"{name} is not a readable CSV file: its first line is no header ({error})") from None


def _check_header(name: str, header: Sequence[str]) -> None:
    problems = []
    empty = [str(place) for place, column in enumerate(header, start=1) if not column.strip()]
    if empty:
        problems.append(f"{name} has no name in its header for column {', '.join(empty)}")
    twice = sorted(column for column, count in Counter(header).items() if count > 1 and column.strip())
    if twice:
        problems.append(f"{name} has more than one column named {', '.join(map(repr, twice))}")
    if problems:
        raise InvalidUpload(problems)


def _numbers(rows: int, skipped: set[int]) -> Sequence[int]:
    if not skipped:
        return range(1, rows + 1)
    return [number for number in range(1, rows + len(skipped) + 1) if number not in skipped]


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
