"""Rows of a file or of an argument as JSON values, typed as the model's own columns are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.encoding import NULL_WORDS, write_value
from tidemill.errors import InvalidRequest, NotFound
from tidemill.schema import Column
from tidemill.spec import Kind
from tidemill.stages.columns import parse
from tidemill.stages.tables import RawTable, read_table

_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_JSON = (".json", ".jsonl", ".ndjson")

Row = dict[str, Any]


def read_file(path: Path) -> bytes:
    if not path.exists():
        raise NotFound(f"file {path} does not exist")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from None


def rows_of_argument(text: str) -> list[Row]:
    """One object, a list of them, or the body that HTTP takes."""
    return _list(_decode(text, "the argument"), "rows", "the argument")


def rows_of_file(path: Path, kinds: Mapping[str, Kind], name: str = "rows") -> list[Row]:
    """JSON as it is; the columns of CSV and Parquet by `kinds`, and text where nothing is said about one.

    A value that is not of its column's kind stays what it was: the endpoint names it, with what it expected.
    """
    data = read_file(path)
    if _is_json(path, data):
        return _list(_decode_file(data, path.name), name, path.name)
    return _rows_of_table(_whole(read_table(path.name, data), path.name), kinds)


def labels_of_file(path: Path, model: Mapping[str, Any]) -> list[Row]:
    """`{"id", "label"}` a row; where the file has no such columns, the model's own id and target."""
    target = model["target"]
    own_id = next((field["name"] for field in model["fields"] if field["role"] == "id"), "id")
    kinds: dict[str, Kind] = {own_id: "categorical", "id": "categorical"}
    rows = rows_of_file(path, {**kinds, target["name"]: target["kind"], "label": target["kind"]}, "labels")
    first = rows[0]
    id_name = "id" if "id" in first else own_id
    label_name = "label" if "label" in first else target["name"]
    missing = [name for name, there in (("id", id_name), ("label", label_name)) if there not in first]
    if missing:
        raise InvalidRequest(
            f"{path.name} has no column {' and no column '.join(map(repr, missing))}: labels have an id, "
            f"that of a prediction, and a label; the file has {', '.join(map(repr, first))}"
        )
    labels = [{"id": row.get(id_name), "label": row.get(label_name)} for row in rows]
    empty = [i for i, entry in enumerate(labels) if None in entry.values()]
    if empty:
        raise InvalidRequest(
            f"{path.name}: {len(empty):,} rows lack their id or label, the first is row {empty[0]}: leave them out"
        )
    return labels


def _is_json(path: Path, data: bytes) -> bool:
    suffix = path.suffix.lower()
    return suffix in _JSON or (suffix not in _TABLES and data.lstrip()[:1] in (b"{", b"["))


def _decode_file(data: bytes, name: str) -> Any:
    """JSON, or one JSON value a line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} is not UTF-8 text") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for _, line in lines):
        return [_decode(line, f"{name} line {number}") for number, line in lines]
    return _decode(text, name)


def _decode(text: str, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{source} is not valid JSON: {error}") from None


def _constant(word: str) -> None:
    """NaN is how many programs write a missing value."""
    if word != "NaN":
        raise ValueError(f"{word} is not a number")


def _list(document: Any, name: str, source: str) -> list[Row]:
    if isinstance(document, dict) and isinstance(document.get(name), list):
        document = document[name]
    entries = [document] if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise InvalidRequest(f"{source} must be an object, a list of objects or {{{name!r}: […]}}")
    wrong = next((i for i, entry in enumerate(entries) if not isinstance(entry, dict)), None)
    if wrong is not None:
        raise InvalidRequest(f"{source}: entry {wrong} is not an object but {entries[wrong]!r:.60}")
    if not entries:
        raise InvalidRequest(f"{source} has no {name}")
    return entries


def _whole(table: RawTable, name: str) -> RawTable:
    """Every row is answered or none is: a line that is no row is not passed over."""
    if table.rejected:
        first = table.rejected[0]
        raise InvalidRequest(f"{name}: {len(table.rejected):,} lines are no rows; row {first.row} {first.reason}")
    return table


def _rows_of_table(table: RawTable, kinds: Mapping[str, Kind]) -> list[Row]:
    columns = [
        _typed(name, values, kinds[name]) if name in kinds else [_plain(value) for value in values.to_pylist()]
        for name, values in table.columns.items()
    ]
    names = list(table.columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _typed(name: str, values: pa.ChunkedArray, kind: Kind) -> Iterator[Any]:
    """Read by the code that reads an upload, so that a file means here what it means there."""
    column, parsed = Column(name, kind, "feature"), parse(values, kind)
    for row, (value, bad) in enumerate(zip(parsed.values, parsed.bad.tolist(), strict=True)):
        yield _plain(values[row].as_py()) if bad else write_value(column, value)


def _plain(value: Any) -> Any:
    """A value of a column that the model does not know, in JSON."""
    if isinstance(value, str):
        return None if value.strip().lower() in NULL_WORDS else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if value == value else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def kinds_of(fields: Sequence[Mapping[str, Any]]) -> dict[str, Kind]:
    """From the fields that GET /models/MODEL tells."""
    return {field["name"]: field["kind"] for field in fields}
