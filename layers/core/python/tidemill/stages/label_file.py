"""A file of labels as somebody drops it: CSV, Parquet or JSON Lines with an id and a label a row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemill.encoding import write_value
from tidemill.errors import InvalidUpload
from tidemill.schema import Column, Schema
from tidemill.stages.captured import Record
from tidemill.stages.classes import label_problem
from tidemill.stages.columns import arrow_type, parse
from tidemill.stages.tables import Block, Table, open_table

_SHOWN = 20


@dataclass(frozen=True)
class LabelFile:
    """`records` are what can be used of its `rows`; `problems` say what cannot, each kind once with its count."""

    name: str
    rows: int
    records: Sequence[Record]
    problems: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "used": len(self.records), "problems": list(self.problems)}


def read_label_file(path: Path, name: str, schema: Schema, modified: datetime) -> LabelFile:
    """Columns `id` and `label`, or the model's own id and target; a label's time is that of its column `time`, or when
    the file was last modified."""
    try:
        return _read(open_table(path, name), schema, modified.astimezone(UTC))
    except InvalidUpload as error:
        return LabelFile(name, 0, [], error.problems)


def _read(table: Table, schema: Schema, modified: datetime) -> LabelFile:
    own = schema.of_role("id")
    columns = {
        "id": (("id", own.name) if own else ("id",), Column("id", "categorical", "id")),
        "label": (("label", schema.target.name), schema.target),
        "time": (("time",), Column("time", "datetime", "feature")),
    }
    named = {what: next((n for n in names if n in table.names), None) for what, (names, _) in columns.items()}
    missing = [" or ".join(map(repr, columns[what][0])) for what in ("id", "label") if named[what] is None]
    if missing:
        raise InvalidUpload(
            f"{table.name} has no column {' and no column '.join(missing)}: labels have an id and a label"
        )
    found = {what: (str(name), replace(columns[what][1], name=str(name))) for what, name in named.items() if name}
    records: list[Record] = []
    told: Counter[str] = Counter()
    rows = 0
    for block in table.blocks():
        for record, problem in _rows(table, block, found, schema):
            rows += 1
            if problem:
                told[problem] += 1
            else:
                arrived = modified.isoformat()
                records.append({**record, "time": record["time"] or arrived, "arrived": arrived})
    problems = [f"{problem} ({count:,} rows)" if count > 1 else problem for problem, count in told.most_common(_SHOWN)]
    return LabelFile(table.name, rows, records, problems)


def _rows(
    table: Table, block: Block, found: dict[str, tuple[str, Column]], schema: Schema
) -> Iterator[tuple[Record, str | None]]:
    head = table.head.columns
    types = {name: arrow_type(column, head[name]) for name, column in found.values()}
    chunk = table.parse(block, types)
    for rejected in chunk.rejected:
        yield {}, f"a row {rejected.reason}"
    parsed = {what: parse(chunk.columns[name], column) for what, (name, column) in found.items()}
    for row in range(len(chunk.numbers)):
        record: Record = {"time": None}
        problem = None
        for what, column in parsed.items():
            name, kind = found[what]
            if column.bad[row]:
                problem = f"column {name!r}: {column.text(row)!r} is not {column.expected}"
                break
            record[what] = _value(kind, column.values[row])
        yield record, problem or _problem(record, schema)


def _value(column: Column, value: Any) -> Any:
    written = write_value(column, value)
    if column.kind == "datetime" and isinstance(written, str):
        return datetime.fromisoformat(written).isoformat()
    return written


def _problem(record: Record, schema: Schema) -> str | None:
    if record["id"] is None or record["label"] is None:
        return f"no {'id' if record['id'] is None else 'label'}"
    problem = label_problem(record["label"], schema)
    return problem and f"a label {problem}"
