"""Files that somebody may upload: tables of all kinds in all formats, and what damage can make of them."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import pyarrow as pa
import pyarrow.parquet
from hypothesis import strategies as st

Cells = list[list[str]]

KINDS: Mapping[str, Callable[[Random, int], str]] = {
    "number": lambda rng, _: f"{rng.gauss(0, 100):.3f}",
    "whole": lambda rng, _: str(rng.randrange(50)),
    "huge": lambda rng, _: rng.choice(["1e38", "-2.5E37", "1e-300", "3", "0"]),
    "boolean": lambda rng, _: rng.choice(["true", "false", "Yes", "n", "ON"]),
    "date": lambda rng, _: f"20{rng.randrange(10, 30)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    "moment": lambda rng, _: f"2024-03-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:15:30Z",
    "day first": lambda rng, _: f"{rng.randrange(1, 29):02}.{rng.randrange(1, 13):02}.2024",
    "category": lambda rng, _: rng.choice(["red", "blue", "grün", "日本", "a,b", 'say "x"', "two\nlines"]),
    "code": lambda rng, _: f"{rng.randrange(100):05}",
    "free text": lambda rng, row: f"note {row} {rng.random()}",
    "formula": lambda rng, _: rng.choice(["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3"]),
    "constant": lambda *_: "7",
    "nothing": lambda rng, _: rng.choice(["", "NA", "null", " "]),
}
TARGETS: Mapping[str, Callable[[Random, int], str]] = {
    "two": lambda rng, _: rng.choice(["yes", "no"]),
    "flag": lambda rng, _: rng.choice(["true", "false"]),
    "four": lambda rng, _: rng.choice(["a", "b", "c", "d"]),
    "few numbers": lambda rng, _: str(rng.randrange(3)),
    "number": lambda rng, _: f"{rng.gauss(10, 3):.2f}",
}
NASTY = (
    "", "NA", "abc", "1e308", "-1e39", "3.5e38", "NaN", "-nan", "inf", "-Infinity", "1e400", "=1+1", '"', '""', "x,y",
    "a\nb", "a\r\nb", "1,5", "1.234,5", "0x10", "1_000", "١٢", "２", " 5 ", "+5", "5.", ".5", "--1", "5e", "true",
    "2024-02-30", "0000-01-01", "9999-12-31T23:59:60Z", "10000-01-01", "2024-01-01T25:00", "2024-1-1", "20240101",
    "2024-01-01T10:00+25:00", "0001-01-01T00:00+01:00", "T", "0",
    "2024-01-01 10", "31.12.2024", "12/31/2024", "\u200b5", "\0",
    "\ufeff", "5\u00a0", "x" * 300, "TRUE ", "none", "#N/A", "1\t2", ";", "|", "infinity", "1e-400", "-0", "nan(1)",
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """`rows`: how many it has, while nothing has damaged it."""

    name: str
    data: bytes
    rows: int | None


@st.composite
def tables(draw: st.DrawFn, columns: Mapping[str, str] | None = None) -> Cells:
    """Rows of text under a header: those of the kinds given, or of some; the id and the target always."""
    rng = draw(st.randoms(use_true_random=True))
    if columns is None:
        chosen = draw(st.lists(st.sampled_from([*KINDS]), min_size=1, max_size=6))
        columns = {f"{kind} {place}": kind for place, kind in enumerate(chosen)}
    target = draw(st.sampled_from([*TARGETS])) if "y" not in columns else columns["y"]
    rows = draw(st.sampled_from([60, 60, 60, 60, 60, 60, 200, 12, 2, 1, 0]))
    kinds = [KINDS[kind] for name, kind in columns.items() if name != "y"]
    header = ["key", *(name for name in columns if name != "y"), "y"]
    body = [[f"k{row}", *(kind(rng, row) for kind in kinds), TARGETS[target](rng, row)] for row in range(rows)]
    return _spoiled([header, *body], draw, rng)


def _spoiled(table: Cells, draw: st.DrawFn, rng: Random) -> Cells:
    hurt = draw(st.sampled_from([0, 1, 3, 20, 20]))
    for _ in range(hurt):
        row = rng.randrange(1, len(table)) if len(table) > 1 else 0
        if row:
            place = rng.randrange(len(table[row]))
            table[row][place] = rng.choice(NASTY) if rng.random() < 0.8 else rng.choice(table[row])
    shape = draw(st.sampled_from(["", "", "", "", "", "the same id again", *_SHAPES]))
    if shape:
        _SHAPES[shape](table, rng)
    return table


def _ragged(table: Cells, rng: Random) -> None:
    for row in table[1:]:
        if rng.random() < 0.1:
            row[1:2] = [] if rng.random() < 0.5 else ["1", "2"]


def _doubled(table: Cells, rng: Random) -> None:
    for row in rng.choices(table[1:], k=5) if table[1:] else []:
        table.append([*row[:1], *rng.choice(table[1:])[1:]])


def _column_gone(table: Cells, rng: Random) -> None:
    place = rng.randrange(len(table[0]))
    table[:] = [row[:place] + row[place + 1 :] for row in table]


def _column_new(table: Cells, rng: Random) -> None:
    kind = KINDS[rng.choice([*KINDS])]
    table[0].append("new")
    for number, row in enumerate(table[1:]):
        row.append(kind(rng, number))


def _reordered(table: Cells, rng: Random) -> None:
    order = rng.sample(range(len(table[0])), len(table[0]))
    table[:] = [[row[place] for place in order] for row in table]


def _units(table: Cells, _: Random) -> None:
    for row in table[1:]:
        row[1] += " kg"


def _no_header(table: Cells, _: Random) -> None:
    del table[: len(table) > 1]


def _header(name: Callable[[int, Sequence[str]], str]) -> Callable[[Cells, Random], None]:
    def spoiled(table: Cells, _: Random) -> None:
        table[0] = [name(place, table[0]) for place in range(len(table[0]))]

    return spoiled


_SHAPES: Mapping[str, Callable[[Cells, Random], None]] = {
    "ragged": _ragged,
    "the same id again": _doubled,
    "a column gone": _column_gone,
    "a column new": _column_new,
    "columns in another order": _reordered,
    "a name twice": _header(lambda place, names: names[max(1, place)]),
    "a name empty": _header(lambda place, names: names[place] if place != 1 else " "),
    "names with line ends": _header(lambda place, names: names[place] if place != 1 else 'odd\n"name", it is'),
    "no header": _no_header,
    "numbers for a header": _header(lambda place, _: str(place)),
    "units": _units,
}


@st.composite
def files(draw: st.DrawFn, columns: Mapping[str, str] | None = None) -> File:
    table = draw(tables(columns))
    write = draw(st.sampled_from([_csv, _csv, _csv, _jsonl, _parquet]))
    name, data = write(draw, table)
    rng = draw(st.randoms(use_true_random=True))
    # Of a damaged Parquet file nothing is left most times.
    spared = write is _parquet and draw(st.integers(0, 3)) > 0
    hurt = "" if spared else draw(st.sampled_from(["", "", "", "", "", "", *_DAMAGES]))
    times = draw(st.sampled_from([1, 1, 3, 20])) if hurt else 0
    for _ in range(times):
        data = _DAMAGES[hurt](data, rng)
    if not name.endswith(".parquet") and draw(st.integers(0, 5)) == 0:
        pack = draw(st.sampled_from(["gz", "zst"]))
        data = gzip.compress(data, 1) if pack == "gz" else pa.compress(data, "zstd", asbytes=True)
        name = f"{name}.{pack}"
        if draw(st.booleans()):
            data, times = _DAMAGES["cut"](data, rng), 1
    return File(name, data, None if times else len(table) - 1)


def _csv(draw: st.DrawFn, table: Cells) -> tuple[str, bytes]:
    buffer = io.StringIO(newline="")
    csv.writer(
        buffer,
        delimiter=draw(st.sampled_from([",", ";", "\t", "|"])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    ).writerows(table)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]))
    return "data.csv", buffer.getvalue().encode(encoding, "replace")


def _jsonl(draw: st.DrawFn, table: Cells) -> tuple[str, bytes]:
    typed = draw(st.booleans())
    rows = [dict(zip(table[0], map(_json, row) if typed else row, strict=False)) for row in table[1:]]
    return "data.jsonl", "".join(f"{json.dumps(row, ensure_ascii=typed)}\n" for row in rows).encode("utf-8", "replace")


def _json(cell: str) -> object:
    try:
        return json.loads(cell)
    except ValueError:
        return cell or None


def _parquet(draw: st.DrawFn, table: Cells) -> tuple[str, bytes]:
    width = len(table[0])
    columns = [[row[place] if place < len(row) else None for row in table[1:]] for place in range(width)]
    arrays = [_typed(column) if draw(st.booleans()) else pa.array(column, pa.string()) for column in columns]
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        pa.Table.from_arrays(arrays, table[0]), buffer, row_group_size=draw(st.sampled_from([1, 7, 1000]))
    )
    return "data.parquet", buffer.getvalue()


def _typed(column: Sequence[str | None]) -> pa.Array:
    for kind in (
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("ns"),
        pa.timestamp("s", "UTC"),
    ):
        try:
            return pa.array([cell or None for cell in column], pa.string()).cast(kind)
        except pa.ArrowInvalid:
            continue
    return pa.array(column, pa.string()).dictionary_encode()


def _inserted(what: Sequence[bytes]) -> Callable[[bytes, Random], bytes]:
    def damage(data: bytes, rng: Random) -> bytes:
        place = rng.randrange(len(data) + 1)
        return data[:place] + rng.choice(what) + data[place:]

    return damage


def _flipped(data: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(data) or 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _piece_gone(data: bytes, rng: Random) -> bytes:
    start, size = rng.randrange(len(data) + 1), rng.choice([1, 2, 5, 50])
    return data[:start] + data[start + size :]


def _piece_twice(data: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    stop = start + rng.choice([1, 5, 50, 500])
    return data[:stop] + data[start:]


_DAMAGES: Mapping[str, Callable[[bytes, Random], bytes]] = {
    "stray quotes": _inserted([b'"', b'""', b'"\n', b',"', b'\n"']),
    "NUL bytes": _inserted([b"\0", b"\0\0\0"]),
    "another encoding": _inserted([b"\xe9", b"\x80", b"\xff", b"\xed\xa0\x80", "é".encode("utf-16")]),
    "line ends": _inserted([b"\n", b"\r", b"\r\n", b"\n\n\n"]),
    "delimiters": _inserted([b",", b";", b"\t", b"|", b",,,,"]),
    "brackets": _inserted([b"{", b"}", b"[", b"]", b"{}\n", b"[]\n", b"NaN", b"\\ud800"]),
    "bytes": _flipped,
    "cut": _cut,
    "a piece gone": _piece_gone,
    "a piece twice": _piece_twice,
}
