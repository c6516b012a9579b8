"""Rows of a file or of an argument as JSON values, typed as the model's own columns are."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.encoding import NULL_WORDS, write_value
from tidemill.errors import InvalidRequest, NotFound
from tidemill.schema import Column
from tidemill.stages.columns import arrow_type, parse
from tidemill.stages.tables import Table, open_table

_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
_JSON = (".json", ".jsonl", ".ndjson")

Row = dict[str, Any]


def existing_file(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"file {path} does not exist")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise InvalidRequest(f"{path} cannot be read: it is no file, or not yours to read")
    return path


def read_file(path: Path) -> bytes:
    return existing_file(path).read_bytes()


def rows_of_argument(text: str) -> list[Row]:
    """One object, a list of them, or the body that HTTP takes."""
    return _list(_decode(text, "the argument"), "rows", "the argument")


def rows_of_file(path: Path, columns: Mapping[str, Column], name: str = "rows") -> list[Row]:
    """JSON as it is; CSV and Parquet by `columns`, and text where nothing is said about one.

    A value that is not of its column's kind stays what it was: the endpoint names it, with what it expected.
    """
    if _is_json(existing_file(path)):
        return _list(_decode_file(path.read_bytes(), path.name), name, path.name)
    return _rows_of_table(open_table(path, path.name), columns)


def labels_of_file(path: Path, model: Mapping[str, Any]) -> list[Row]:
    """`{"id", "label"}` a row; where the file has no such columns, the model's own id and target."""
    target = model["target"]
    own_id = next((field["name"] for field in model["fields"] if field["role"] == "id"), "id")
    columns = {name: Column(name, "categorical", "feature") for name in (own_id, "id")}
    columns |= {name: column_of({**target, "name": name, "role": "target"}) for name in (target["name"], "label")}
    rows = rows_of_file(path, columns, "labels")
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


def _is_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _JSON or suffix in _TABLES:
        return suffix in _JSON
    with path.open("rb") as file:
        return file.read(1 << 16).lstrip()[:1] in (b"{", b"[")


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


def _rows_of_table(table: Table, columns: Mapping[str, Column]) -> list[Row]:
    """Every row is answered or none is: a line that is no row is not passed over."""
    head = table.head.columns
    types = {name: arrow_type(columns[name], head[name]) if name in columns else head[name].type for name in head}
    rows: list[Row] = []
    for block in table.blocks():
        chunk = table.parse(block, types)
        if chunk.rejected:
            first = chunk.rejected[0]
            raise InvalidRequest(f"{table.name} line {first.line or first.row} is no row: it {first.reason}")
        typed = [
            _typed(columns[name], values) if name in columns else [_plain(value) for value in values.to_pylist()]
            for name, values in chunk.columns.items()
        ]
        rows += [dict(zip(chunk.columns, values, strict=True)) for values in zip(*typed, strict=True)]
    return rows


def _typed(column: Column, values: pa.Array) -> Iterator[Any]:
    """Read by the code that reads an upload, so that a file means here what it means there."""
    parsed = parse(values, column)
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


def columns_of(fields: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """From the fields that GET /models/MODEL tells."""
    return {field["name"]: column_of(field) for field in fields}


def column_of(field: Mapping[str, Any]) -> Column:
    written = {key: field[key] for key in ("decimal", "thousands", "unit", "format") if key in field}
    return Column(field["name"], field["kind"], field["role"], **written)
