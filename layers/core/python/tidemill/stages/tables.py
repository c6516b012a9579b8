"""Reading an uploaded file as it is, block by block: columns of text or of the types asked for, and what is no row.

`open_table` looks at the head alone. Blocks are taken one after the other, which is cheap; `parse` is the work, and any
number of threads may do it at once.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from tidemill.encoding import FALSE_WORDS, NULL_WORDS, TRUE_WORDS
from tidemill.errors import InvalidUpload
from tidemill.stages.records import LARGEST_RECORD, UNCLOSED, Record, record_starts, scan_record, split, well_quoted
from tidemill.stages.text import Text, with_last

LARGEST_HEADER = 5_000
"""Columns; to infer and judge each takes a millisecond and more."""
MOST_ROWS = 50_000_000
"""With all that is made of them they fill a function's disk. A few bytes of Parquet can hold billions."""
_ROWS = 1 << 16
_SHOWN = 200
_PARQUET_MAGIC = b"PAR1"
_DELIMITERS = (",", ";", "\t", "|")
_DELIMITER_NAMES = {"\t": "tab"}
_LOOKED_AT = 50
_LARGEST_FIRST_LINE = 1 << 20
_LONGEST_NAME = 1_000
_FEW_UNTYPED = 8
"""Each column that does not convert costs a block another reading."""
_COLUMN = re.compile(r"In CSV column #(\d+)")
_NUMBER = re.compile(r"\s*[+-]?[0-9.,]+\s*")


def _cases(words: frozenset[str]) -> list[str]:
    return sorted({case for word in words for case in (word, word.upper(), word.capitalize())})


# NaN is how pandas and NumPy write it.
_NULLS = [*_cases(NULL_WORDS), "NaN"]
_TRUE, _FALSE = _cases(TRUE_WORDS), _cases(FALSE_WORDS)


@dataclass(frozen=True)
class Rejected:
    """One reason why one row cannot be used. `row` counts data rows from 1, in a `Chunk` from its first one; `line` is
    the file's line that it begins on, None where a file has no lines."""

    row: int
    line: int | None
    column: str
    value: str
    reason: str


@dataclass(frozen=True)
class Block:
    """A piece of a file: whole records as text, or already split, or a Parquet batch. `line` is its first one's."""

    line: int = 0
    data: bytes = b""
    records: Sequence[Record] = ()
    batch: pa.RecordBatch | None = None


@dataclass(frozen=True)
class Chunk:
    """Rows in their order. `columns` are contiguous arrays of one length; `numbers` are the rows' places in the block,
    counted from 1, with gaps where rows were rejected."""

    columns: Mapping[str, pa.Array]
    numbers: npt.NDArray[np.int64]
    rejected: tuple[Rejected, ...] = ()
    block: Block = Block()

    @property
    def rows_read(self) -> int:
        return len(self.numbers) + len({entry.row for entry in self.rejected})

    def lines(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """The file's lines that the rows at these places of the columns begin on."""
        return None if self.block.batch is not None else self._starts[self.numbers[places] - 1] + self.block.line

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        if not self.block.records:
            return record_starts(self.block.data, self.rows_read)
        starts = np.cumsum([0, *(record.lines for record in self.block.records[:-1])])
        return starts[[bool(record.text) and record.text != "\n" for record in self.block.records]]


class Table(Protocol):
    """An opened file. `head` is its first block, of which kinds are inferred; `whole` says that there is no other.

    `warnings` are complete once all blocks were taken.
    """

    name: str
    names: tuple[str, ...]
    head: Chunk
    whole: bool

    @property
    def description(self) -> str: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def blocks(self) -> Iterator[Block]:
        """From the first row on; may be called again."""

    def parse(self, block: Block, types: Mapping[str, pa.DataType]) -> Chunk:
        """The columns named, of the type asked for where all values of the block are, else as text or as the file has
        them."""


def open_table(path: Path, name: str) -> Table:
    """CSV, Parquet or JSON Lines, told from the content and checked against the name; raises `InvalidUpload`."""
    suffix = PurePosixPath(name.lower()).suffix
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == _PARQUET_MAGIC:
        if suffix in (".csv", ".tsv", ".txt", ".json", ".jsonl"):
            raise InvalidUpload(f"{name} is named {suffix} but holds Parquet data: rename it to .parquet")
        return _checked(_ParquetTable(path, name))
    if suffix in (".parquet", ".pq"):
        raise InvalidUpload(f"{name} is named {suffix} but is not a Parquet file")
    text = Text(path, name)
    first = next((piece for _, piece in text.pieces() if piece.strip()), b"")
    if not first:
        raise InvalidUpload(f"{name} is empty: upload a CSV or Parquet file with a header and rows")
    start = first.lstrip()[:1]
    if start == b"[":
        raise InvalidUpload(
            f"{name} is one JSON document: upload JSON Lines, one object a line (jq -c '.[]' makes them of an array)"
        )
    return _checked(_JsonTable(text, name) if start == b"{" else _CsvTable(text, name, first))


def check_rows(name: str, rows: int) -> None:
    if rows > MOST_ROWS:
        raise InvalidUpload(
            f"{name} has {rows:,} rows or more, and {MOST_ROWS:,} is the most that one function can prepare: upload it "
            "in parts, one after the other; a model learns from all of them"
        )


def _checked(table: Table) -> Table:
    if not table.head.rows_read:
        raise InvalidUpload(f"{table.name} has a header and no rows")
    if not len(table.head.numbers):
        first, where = table.head.rejected[0], "" if table.whole else " in its first part"
        raise InvalidUpload(
            f"{table.name} has no row of its header's shape{where}: line {first.line} {first.reason} ({first.value!r})"
        )
    return table


class _CsvTable:
    def __init__(self, text: Text, name: str, first: bytes) -> None:
        self.name, self._text = name, text
        self._delimiter, self.names, self._header = _dialect(name, first)
        self._untyped: set[str] = set()
        start = list(islice(self.blocks(), 2))
        self.whole = len(start) < 2
        types = dict.fromkeys(self.names, pa.string())
        self.head = self.parse(start[0], types) if start else Chunk({}, np.zeros(0, np.int64))

    @property
    def description(self) -> str:
        return f"CSV, {_DELIMITER_NAMES.get(self._delimiter, self._delimiter)!r}, {self._text.description}"

    @property
    def warnings(self) -> tuple[str, ...]:
        return _strange_lines(self._text)

    def blocks(self) -> Iterator[Block]:
        mark, rest, header = self._delimiter.encode(), b"", self._header
        for (begins, piece), last in with_last(self._text.pieces()):
            line, data = begins, piece
            if rest:
                line, data = begins - rest.count(b"\n"), rest + piece
            if header:
                data = data.lstrip(b"\n")
                line += len(piece) - len(data) + data.count(b"\n", 0, header)
                data, header = data[header:], 0 if data else header
            if last and not data.endswith(b"\n"):
                data += b"\n"
            stop = well_quoted(data, mark)
            if stop is None or (last and stop < len(data)):
                records, used = split(data.decode(), self._delimiter, len(self.names), last=last)
                stop = len(data) if last else len(data.decode()[:used].encode())
                if any(record.text for record in records):
                    yield Block(line, data[:stop], records)
            elif data[:stop].strip(b"\n"):
                yield Block(line, data[:stop])
            rest = data[stop:]

    def parse(self, block: Block, types: Mapping[str, pa.DataType]) -> Chunk:
        if block.records or b"\0" in block.data or _has_long_line(block.data):
            return self._parse_split(block, types)
        untyped = self._untyped
        asked = {name: pa.string() if name in untyped else kind for name, kind in types.items()}
        failures = 0
        while True:
            misshapen: list[pyarrow.csv.InvalidRow] = []
            try:
                table = self._read(block, asked, misshapen)
                break
            except pa.ArrowInvalid as error:
                found = _COLUMN.match(str(error))
                if not found or failures == _FEW_UNTYPED:
                    raise InvalidUpload(f"{self.name} is not a readable CSV file: {_first_line(error)}") from None
                # What does not convert here will hardly do so in the next block.
                failures += 1
                failed = [self.names[int(found[1])]] if failures < _FEW_UNTYPED else list(types)
                untyped.update(failed)
                asked |= dict.fromkeys(failed, pa.string())
        columns = {name: _contiguous(table[name]) for name in types}
        wild = [name for name, array in columns.items() if not _finite(array)]
        if wild:
            texts = self._read(block, dict.fromkeys(wild, pa.string()), [])
            columns |= {name: _contiguous(texts[name]) for name in wild}
        gaps = {row.number for row in misshapen}
        numbers = np.arange(1, table.num_rows + len(gaps) + 1)
        if not gaps:
            return Chunk(columns, numbers, (), block)
        lines = record_starts(block.data, len(numbers))[np.array(sorted(gaps)) - 1] + block.line
        rejected = tuple(
            Rejected(
                row.number,
                int(line),
                "",
                row.text[:_SHOWN],
                f"has {row.actual_columns} fields where the header has {row.expected_columns}",
            )
            for row, line in zip(misshapen, lines, strict=True)
        )
        return Chunk(columns, numbers[~np.isin(numbers, list(gaps))], rejected, block)

    def _read(
        self, block: Block, types: Mapping[str, pa.DataType], misshapen: list[pyarrow.csv.InvalidRow]
    ) -> pa.Table:
        def skip(row: pyarrow.csv.InvalidRow) -> str:
            misshapen.append(row)
            return "skip"

        # The reader drops a byte order mark from the beginning, where in the middle of a file it is a cell's own.
        data = codecs.BOM_UTF8 + block.data if block.data.startswith(codecs.BOM_UTF8) else block.data
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One thread: only then does a row that is skipped know its number.
            pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(self.names)),
            pyarrow.csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=b'"' in block.data, invalid_row_handler=skip
            ),
            pyarrow.csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=_NULLS,
                true_values=_TRUE,
                false_values=_FALSE,
                strings_can_be_null=False,
            ),
        )

    def _parse_split(self, block: Block, types: Mapping[str, pa.DataType]) -> Chunk:
        records = block.records or split(block.data.decode(), self._delimiter, len(self.names), last=True)[0]
        return _chunk_of(Block(block.line, block.data, records), self.names, types)


class _JsonTable:
    """One object a line. Values are text, as a CSV file would have them."""

    def __init__(self, text: Text, name: str) -> None:
        self.name, self._text = name, text
        start = list(islice(self.blocks(), 2))
        self.whole = len(start) < 2
        keys = (key for line in start[0].data.decode().split("\n") for key in _object(line)[0])
        self.names = tuple(dict.fromkeys(keys))
        if not self.names:
            raise InvalidUpload(f"{name} has no line that is a JSON object: upload JSON Lines, one object a line")
        _check_header(name, self.names)
        self._late: dict[str, int] = {}
        self.head = self.parse(start[0], dict.fromkeys(self.names, pa.string()))

    @property
    def description(self) -> str:
        return f"JSON Lines, {self._text.description}"

    @property
    def warnings(self) -> tuple[str, ...]:
        late = tuple(
            f"the key {name!r} comes first in line {line:,}, behind all that columns are made from: it is left out"
            for name, line in sorted(self._late.items(), key=lambda item: item[1])[:20]
        )
        return (*_strange_lines(self._text), *late)

    def blocks(self) -> Iterator[Block]:
        return (Block(line, piece) for line, piece in self._text.pieces() if piece.strip())

    def parse(self, block: Block, types: Mapping[str, pa.DataType]) -> Chunk:
        records, known = [], set(self.names)
        for place, line in enumerate(block.data.decode().split("\n")):
            values, problem = _object(line)
            for name in values.keys() - known:
                self._late[name] = min(self._late.get(name, block.line + place), block.line + place)
            fields = tuple(values.get(name, "") for name in self.names) if values or line.strip() else ()
            records.append(Record(fields if not problem else (), 1, line.strip(), problem))
        return _chunk_of(Block(block.line, block.data, records), self.names, types)


class _ParquetTable:
    description = "Parquet"
    warnings: tuple[str, ...] = ()

    def __init__(self, path: Path, name: str) -> None:
        self.name, self._path = name, path
        with _damage_told(name):
            check_rows(name, pyarrow.parquet.read_metadata(path).num_rows)
        start = list(islice(self.blocks(), 2))
        self.whole = len(start) < 2
        self.names = tuple(self._schema.names)
        _check_header(name, self.names)
        if start:
            self.head = self.parse(start[0], dict(zip(self.names, self._schema.types, strict=True)))
        else:
            self.head = Chunk({}, np.zeros(0, np.int64))

    @cached_property
    def _schema(self) -> pa.Schema:
        with _damage_told(self.name):
            return pyarrow.parquet.read_schema(self._path)

    def blocks(self) -> Iterator[Block]:
        with _damage_told(self.name), pyarrow.parquet.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS):
                batch.validate(full=True)
                if batch.num_rows:
                    yield Block(batch=batch)

    def parse(self, block: Block, types: Mapping[str, pa.DataType]) -> Chunk:
        batch = cast("pa.RecordBatch", block.batch)
        return Chunk({name: batch.column(name) for name in types}, np.arange(1, batch.num_rows + 1), (), block)


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """What pyarrow raises of a damaged Parquet file, as one sentence."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidUpload(f"{name} is a damaged Parquet file: {_first_line(error)}") from None


def _chunk_of(block: Block, names: Sequence[str], types: Mapping[str, pa.DataType]) -> Chunk:
    """Of records that are split already; blank lines among them are no rows."""
    line, number = block.line, 0
    numbers, rows, rejected = [], [], []
    for record in block.records:
        if record.problem or record.fields:
            number += 1
        if record.problem:
            rejected.append(Rejected(number, line, "", record.text[:_SHOWN], record.problem))
        elif record.fields:
            numbers.append(number)
            rows.append(record.fields)
        line += record.lines
    places = {name: place for place, name in enumerate(names)}
    columns = {name: pa.array([row[places[name]] for row in rows], pa.string()) for name in types}
    return Chunk(columns, np.array(numbers, dtype=np.int64), tuple(rejected), block)


def _object(line: str) -> tuple[dict[str, str], str]:
    """A line's keys and values as text, or why it has none."""
    if not line.strip():
        return {}, ""
    try:
        document = json.loads(line)
        if not isinstance(document, dict):
            return {}, "is not a JSON object"
        return {_characters(key): _json_text(value) for key, value in document.items()}, ""
    except (ValueError, RecursionError) as error:
        return {}, f"is not valid JSON: {error}"[:_SHOWN]


def _json_text(value: Any) -> str:
    return _characters((value or "") if value is None or isinstance(value, str) else json.dumps(value))


def _characters(text: str) -> str:
    """Half a surrogate pair is none."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _dialect(name: str, first: bytes) -> tuple[str, tuple[str, ...], int]:
    """The delimiter, the header and the bytes that it takes, from the file's first piece."""
    data = first.lstrip(b"\n")
    text = data[:_LARGEST_FIRST_LINE].decode(errors="ignore")
    text = text if text.endswith("\n") else f"{text}\n"
    delimiter = max(_DELIMITERS, key=lambda mark: _likeness(text, mark))
    header = scan_record(text, 0, delimiter, len(text))
    if header.torn or not header.closed:
        raise InvalidUpload(f"{name} is not a readable CSV file: its header {UNCLOSED}")
    cut = len(data) > _LARGEST_FIRST_LINE and header.end == len(text)
    if cut or any(len(cell) > _LONGEST_NAME for cell in header.fields):
        raise InvalidUpload(f"{name} is not a readable CSV file: its first line is no header")
    _check_header(name, header.fields)
    if all(_NUMBER.fullmatch(cell) for cell in header.fields):
        raise InvalidUpload(
            f"{name} has only numbers in its first line: put a line with the columns' names before them"
        )
    return delimiter, header.fields, len(text[: header.end].encode())


def _likeness(text: str, delimiter: str) -> tuple[bool, float, int]:
    """To a table of this delimiter: several columns, as many in each of the first rows, and the more the better."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        for row in islice(filter(None, csv.reader(io.StringIO(text), delimiter=delimiter)), _LOOKED_AT):
            rows.append(row)  # noqa: PERF402 - what came before an error counts
    width = len(rows[0]) if rows else 0
    return width > 1, round(sum(len(row) == width for row in rows) / max(1, len(rows)), 1), width


def _has_long_line(data: bytes) -> bool:
    """True for each that has one of more than `LARGEST_RECORD`, False for each without one of half of that."""
    half = LARGEST_RECORD // 2
    return any(data.find(b"\n", at, at + half) < 0 for at in range(0, len(data) - half + 1, half))


def _check_header(name: str, header: Sequence[str]) -> None:
    problems = []
    if len(header) > LARGEST_HEADER:
        raise InvalidUpload(f"{name} has {len(header):,} columns, more than the {LARGEST_HEADER:,} that are read")
    empty = [str(place) for place, column in enumerate(header, start=1) if not column.strip()]
    if empty:
        problems.append(f"{name} has no name in its header for column {', '.join(empty[:20])}")
    twice = sorted(column for column, count in Counter(header).items() if count > 1 and column.strip())
    if twice:
        problems.append(f"{name} has more than one column named {', '.join(map(repr, twice[:20]))}")
    if any("\0" in column for column in header):
        problems.append(f"{name} has a NUL byte in its header")
    if problems:
        raise InvalidUpload(problems)


def _strange_lines(text: Text) -> tuple[str, ...]:
    if not text.strange:
        return ()
    what = "line is" if text.strange == 1 else "lines are"
    return (f"{text.strange:,} {what} not UTF-8, first line {text.first_strange:,}: read as Windows-1252",)


def _contiguous(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _finite(array: pa.Array) -> bool:
    """pyarrow reads `inf`, `-nan` and `1e400` as numbers, of which nothing can be learned."""
    return not pa.types.is_floating(array.type) or pc.all(pc.is_finite(array)).as_py() is not False


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:_SHOWN]
