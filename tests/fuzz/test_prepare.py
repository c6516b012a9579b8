"""Generated and damaged files through the whole of Prepare: accepted, quarantined, or invalid with a reason.

FUZZ_EXAMPLES says how many; a run of more than the usual ones looks at other files every time.
"""

import csv
import faulthandler
import gzip
import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.fuzz.files import KINDS, TARGETS, File, files
from tests.fuzz.reference import BAD, meaning
from tests.unit.builders import assembled, prepare
from tidemill.errors import InvalidInput
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import npy, text
from tidemill.stages.partition import Before, Partition, make_partition
from tidemill.stages.tables import Table, open_table

USUAL = 200
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", USUAL))
SECONDS = 10


def fuzzed(share: float) -> settings:
    return settings(
        max_examples=round(share * EXAMPLES),
        deadline=None,
        derandomize=EXAMPLES <= USUAL,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


SPECS = [
    'target = "y"',
    'target = "y"\n[quality]\nmax_rejected = 1.0',
    'target = "y"\nid = "key"\n[quality]\nmax_rejected = 1.0',
]
KNOWN = {
    "two": ({"size": "number", "flag": "boolean", "colour": "category", "y": "two"}, SPECS[2]),
    "number": ({"size": "huge", "sent": "moment", "code": "code", "y": "number"}, SPECS[1]),
    "four": (
        {"sent": "date", "day": "day first", "size": "whole", "y": "four"},
        'target = "y"\ntime = "sent"\nid = "key"\nexclude = ["size"]\n[quality]\nmax_rejected = 1.0',
    ),
}


@contextmanager
def in_time() -> Iterator[None]:
    """Of the processor, which does not depend on who else works there; a hang ends the run with its place."""
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
    started = time.process_time()
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert time.process_time() - started < SECONDS


def outcome(file: File, spec: ModelSpec, *before: Partition) -> bool:
    """Whether it was accepted, and all of it checked; a refusal has to have reasons."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(file.data)
        known = Before(before[-1].schema, before[-1].profile, "previous") if before else None
        try:
            with in_time():
                table = open_table(path, file.name)
                partition = make_partition(table, spec, known, Path(folder) / "made", size=len(file.data))
        except InvalidInput as error:
            check_reasons(error.problems)
            return False
        check_account(partition)
        if partition.invalid:
            check_reasons(list(partition.invalid))
            return False
        check_files(partition)
        check_rows(partition, table, spec)
        assert file.rows in (None, partition.account["rows_read"])
        with suppress(InvalidInput), in_time():
            assembled([*before, partition], spec)
    return True


def check_reasons(reasons: list[str]) -> None:
    assert reasons
    for reason in reasons:
        assert len(reason) > 10
        assert reason == reason.strip()
        assert not any(word in reason for word in ("Error(", "Traceback", " at 0x", "<class", "None,"))


def check_account(partition: Partition) -> None:
    account = partition.account
    if not partition.invalid:
        assert account["accepted"] + account["quarantined"] + account["duplicates"] == account["rows_read"]
        assert account["accepted"] == partition.rows > 0
    assert sum(entry["rows"] for entry in account["reasons"]) >= account["quarantined"]
    path = partition.folder / "quarantine" / "part-0.parquet"
    quarantined = pyarrow.parquet.read_table(path).to_pylist() if path.exists() else []
    assert len({entry["row"] for entry in quarantined}) == account["quarantined"]
    assert all(entry["reason"] and 1 <= entry["row"] <= account["rows_read"] for entry in quarantined)


def check_files(partition: Partition) -> None:
    arrays = {
        name: npy.parsed((partition.folder / f"{name}.npy").read_bytes())
        for name in ("matrix", "target", "keys", "moments")
        if (partition.folder / f"{name}.npy").exists()
    }
    table = pyarrow.parquet.read_table(partition.folder / "part-0.parquet")
    assert {len(array) for array in arrays.values()} == {partition.rows} == {table.num_rows}
    assert len(np.unique(arrays["keys"])) == partition.rows
    assert not np.isinf(arrays["matrix"]).any()
    assert np.isfinite(arrays["target"]).all()
    if partition.schema.task != "regression":
        assert set(arrays["target"].tolist()) <= set(range(len(partition.schema.classes)))
    for column in partition.schema.columns:
        if (name := f"{column.kind}:{column.name}") in partition.names:
            found = arrays["matrix"][:, partition.names.index(name)].tolist()
            expected = [_code(column, cell) for cell in table[column.name].to_pylist()]
            assert np.array_equal(found, np.array(expected, np.float32), equal_nan=True)


def _code(column: Column, cell: Any) -> float:
    if column.kind != "categorical":
        return math.nan if cell is None else float(cell)
    if cell is None:
        return -2.0
    return float(column.vocabulary.index(cell)) if cell in column.vocabulary else -1.0


def check_rows(partition: Partition, table: Table, spec: ModelSpec) -> None:
    """Every row of the file, read as text and understood by the reference, is where it belongs."""
    kept = pyarrow.parquet.read_table(partition.folder / "part-0.parquet")
    columns = [column for column in partition.schema.columns if column.name in kept.column_names]
    good: dict[Any, dict[str, Any]] = {}
    read = bad = 0
    for block in table.blocks():
        chunk = table.parse(block, dict.fromkeys(table.names, pa.string()))
        read += chunk.rows_read
        bad += chunk.rows_read - len(chunk.numbers)
        cells = {name: array.to_pylist() for name, array in chunk.columns.items()}
        for row in range(len(chunk.numbers)):
            values = {column.name: meaning(cells[column.name][row], column) for column in columns}
            if not usable(values, columns, partition.schema):
                bad += 1
                continue
            key = values[spec.id] if spec.id else len(good)
            good.pop(key, None)
            good[key] = {name: None if value is BAD else value for name, value in values.items()}
    assert (read, bad) == (partition.account["rows_read"], partition.account["quarantined"])
    assert [*map(_plain, kept.to_pylist())] == [*map(_plain, good.values())]


def usable(values: Mapping[str, Any], columns: list[Column], schema: Schema) -> bool:
    for column in columns:
        value = values[column.name]
        if value is BAD and column.role != "excluded":
            return False
        if value is None and column.role in ("target", "id", "time"):
            return False
        if column.role == "target" and schema.task == "binary" and _name(value) not in schema.classes:
            return False
    return True


def _name(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


@cache
def known(name: str) -> Partition:
    """A model's first upload."""
    columns, spec = KNOWN[name]
    rng = Random(7)  # noqa: S311 - no secret
    kinds = [{**KINDS, **TARGETS}[kind] for kind in columns.values()]
    rows = [[f"k{row}", *(kind(rng, row) for kind in kinds)] for row in range(60)]
    partition = prepare(_text([["key", *columns], *rows]), parse_spec(spec))
    assert not partition.invalid
    return partition


def _text(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()


@pytest.mark.parametrize("piece", [8_000_000, 400], ids=["in one block", "in many blocks"])
@fuzzed(share=0.25)
@given(file=files(), spec=st.sampled_from(SPECS))
def test_a_first_upload_is_accepted_or_refused_with_reasons(piece: int, file: File, spec: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "PIECE", piece)
        event("accepted" if outcome(file, parse_spec(spec)) else "refused")


@fuzzed(share=0.5)
@given(data=st.data(), name=st.sampled_from([*KNOWN]))
def test_a_later_upload_is_accepted_or_refused_with_reasons(data: st.DataObject, name: str) -> None:
    columns, spec = KNOWN[name]
    event("accepted" if outcome(data.draw(files(columns)), parse_spec(spec), known(name)) else "refused")


def rows(count: int, cells: Callable[[int], str], header: str = "x,y") -> bytes:
    return "\n".join([header, *(f"{cells(row)},{'ab'[row % 2]}" for row in range(count))]).encode()


def wide(columns: int, count: int, cells: Callable[[int], str]) -> bytes:
    header = ",".join(f"c{place}" for place in range(columns))
    return rows(count, lambda row: ",".join([cells(row)] * columns), f"{header},y")


def constant_parquet() -> bytes:
    buffer = io.BytesIO()
    size = 3_000_000
    codes = pa.DictionaryArray.from_arrays(pa.array(np.arange(size, dtype=np.int32) % 2), ["a", "b"])
    pyarrow.parquet.write_table(pa.table({"x": pa.array(np.zeros(size)), "y": codes}), buffer)
    return buffer.getvalue()


ACCEPTED = "accepted"
EXTREMES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "2,000 columns": (lambda: wide(2_000, 40, str), ACCEPTED),
    "2,000 columns with a bad value each": (
        lambda: wide(2_000, 40, lambda row: "x" if row == 30 else str(row)),
        ACCEPTED,
    ),
    "4,999 columns": (lambda: wide(4_999, 40, str), ACCEPTED),
    "50,000 columns": (lambda: wide(50_000, 3, str), "more than the 5,000"),
    "1 row": (lambda: rows(1, str), "only the class 'a'"),
    "0 rows": (lambda: rows(0, str), "has a header and no rows"),
    "all null": (lambda: rows(40, lambda _: "NA"), ACCEPTED),
    "the target all null": (lambda: b"x,y\n" + b"1,\n" * 50, "every value is missing"),
    "10,000 categories": (lambda: rows(60_000, lambda row: f"c{row * 7919 % 10_000}"), ACCEPTED),
    "1e308": (lambda: rows(60, lambda row: "1e308" if row == 7 else str(row)), ACCEPTED),
    "1e308 alone": (lambda: rows(60, lambda _: "1e308"), "rows cannot be used"),
    "NaN and Inf": (
        lambda: rows(60, lambda row: ["NaN", "inf", "-Infinity"][row % 3] if row < 6 else str(row)),
        ACCEPTED,
    ),
    "formulas": (lambda: rows(60, lambda row: f'"=HYPERLINK(""http://x/{row % 5}"")"'), ACCEPTED),
    "a value of 900,000 characters": (lambda: rows(60, lambda row: "x" * (900_000 if row == 7 else 3)), ACCEPTED),
    "long values": (lambda: rows(60, lambda row: "xyz"[row % 3] * 500_000), ACCEPTED),
    "a line of 30 MB": (lambda: rows(60, lambda row: "x" * (30_000_000 if row == 7 else 3)), ACCEPTED),
    "a quote of 30 MB": (lambda: rows(60, lambda row: f'"{"x" * 30_000_000}"' if row == 7 else "z"), ACCEPTED),
    "1 MB of quotes": (lambda: b"x,y\n" + b'"' * 1_000_000, "data.csv has no row of its header's shape"),
    "1 MB without a line end": (lambda: b"x,y\n" + b"1," * 500_000, "data.csv has no row of its header's shape"),
    "a stray quote in each line": (
        lambda: rows(100_000, lambda row: f'"{row}'),
        "data.csv has no row of its header's shape",
    ),
    "quotes that open again and again": (lambda: b"x,y\n" + b'x",",y\n' * 100_000, "no row of its header's shape"),
    "deep JSON": (lambda: b'{"x": 1, "y": "a"}\n' + b'{"x": ' * 200_000, "only the class 'a'"),
    "a gzip bomb of zeros": (lambda: gzip.compress(bytes(150_000_000), 9), "is not text: it has NUL bytes"),
    "a gzip bomb of line ends": (lambda: gzip.compress(b"\n" * 150_000_000, 9), "no table shrinks so much"),
    "a gzip bomb of rows": (lambda: gzip.compress(b"x,y\n" + b"1,a\n2,b\n" * 19_000_000), "no table shrinks so much"),
    "a zstd bomb": (lambda: pa.compress(b"x,y\n" + b"1,a\n" * 38_000_000, "zstd", asbytes=True), "no table shrinks so"),
    "truncated gzip": (lambda: gzip.compress(rows(5_000, lambda row: str(row * 7919)))[:-500], "damaged gzip data"),
    "truncated zstd": (lambda: pa.compress(rows(5_000, str), "zstd", asbytes=True)[:-500], "damaged zstd data"),
    "Parquet of one value": (constant_parquet, ACCEPTED),
    "truncated Parquet": (lambda: constant_parquet()[:-500], "damaged Parquet file"),
    "a PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "is a PNG picture, not a table"),
    "mixed encodings": (lambda: rows(40, lambda _: "ä") + b"\n\xe4,a\n\xff\xfe,b\n", ACCEPTED),
}


@pytest.mark.parametrize("extreme", EXTREMES)
def test_an_extreme_file_is_accepted_or_refused_for_what_it_is(extreme: str, tmp_path: Path) -> None:
    make, expected = EXTREMES[extreme]
    path = tmp_path / "upload"
    path.write_bytes(make())
    name = "data.parquet" if "Parquet" in extreme else "data.csv"
    spec = parse_spec('target = "y"\n[quality]\nmax_rejected = 0.9')
    try:
        with in_time():
            partition = make_partition(open_table(path, name), spec, None, tmp_path / "made", size=1)
    except InvalidInput as error:
        check_reasons(error.problems)
        assert expected in str(error)  # noqa: PT017 - either may happen
        return
    check_account(partition)
    said = "; ".join(partition.invalid)
    assert expected in (said or ACCEPTED)
    assert len(str(partition.account)) < 5_000_000
