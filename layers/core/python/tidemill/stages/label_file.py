"""A file of labels as somebody drops it: CSV, Parquet or JSON Lines with an id and a label a row."""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field, replace
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

MOST_ROWS = 2_000_000
"""Of all files that are read together. Each label is kept until all were read, in up to 400 bytes."""
_SHOWN = 20
_MOST_KINDS = 1_000


@dataclass
class LabelFile:
    """So many of its `rows` were `used`; `problems` say what is wrong with the file, and why the other rows were not,
    each kind once with its count."""

    name: str
    rows: int = 0
    used: int = 0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_label_file(
    path: Path, name: str, schema: Schema, modified: datetime, most: int = MOST_ROWS
) -> Generator[Record, None, LabelFile]:
    """Columns `id` and `label`, or the model's own id and target; a label's time is that of its column `time`, or when
    the file was last modified. Yields the records one by one, `most` of them, and returns what became of the file; one
    that is damaged on the way has its rows before that used."""
    file = LabelFile(name)
    told: Counter[str] = Counter()
    whole: list[str] = []
    try:
        table = open_table(path, name)
        for record, problem in _read(table, schema):
            if not problem and file.used == most:
                whole.append(beyond(f"its rows from {file.rows + 1:,} on"))
                break
            file.rows += 1
            if not problem:
                file.used += 1
                arrived = modified.astimezone(UTC).isoformat()
                yield {**record, "time": record["time"] or arrived, "arrived": arrived}
            elif problem in told or len(told) < _MOST_KINDS:
                told[problem] += 1
            else:
                told["something else is wrong"] += 1
        whole.extend(table.warnings)
    except InvalidUpload as error:
        whole.extend(error.problems)
    rows = [f"{what} ({count:,} row{'' if count == 1 else 's'})" for what, count in told.most_common(_SHOWN)]
    file.problems = [*whole[:_SHOWN], *rows]
    return file


def beyond(what: str) -> str:
    """Why something is not read."""
    return (
        f"{what} are not read: {MOST_ROWS:,} rows of all files together are, the newest files first; "
        "delete files that are not needed, and drop labels of predictions alone"
    )


def _read(table: Table, schema: Schema) -> Iterator[tuple[Record, str | None]]:
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
    for block in table.blocks():
        yield from _rows(table, block, found, schema)


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
