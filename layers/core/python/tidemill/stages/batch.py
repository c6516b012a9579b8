"""Batch: a file of rows in, a file of predictions out, block by block, whatever its size.

Values are read as an upload's are and answered as a request's are: a row with a value that cannot be used is not
answered, and told with its line, column, value and reason.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from tidemill.encoding import encode
from tidemill.errors import InvalidUpload
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.clean import REJECTED, Fault, kept_values, missing, sift
from tidemill.stages.columns import Parsed, Values, arrow_type, read
from tidemill.stages.ordered import in_order
from tidemill.stages.serve import ServedModel
from tidemill.stages.tables import Block, Chunk, Table, check_rows

LARGEST_ANSWER = 4_000_000_000
"""Bytes of predictions, and of problems: with the file itself they have to fit the 10 GB of a function's own disk."""
LEAST_SECONDS = 60.0
"""What is left of a function's time when it gives up: to upload what it wrote takes some of it."""
_MOST_WARNINGS = 20
_PARQUET = "Parquet"


@dataclass(frozen=True)
class Plan:
    """What is asked of every block: the model's features that the file has, and its id."""

    features: tuple[Column, ...]
    identity: Column | None
    types: Mapping[str, pa.DataType]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, schema: Schema) -> "Plan":
        """Raises `InvalidUpload` that names every column which the model cannot do without and the file has not."""
        absent = [column for column in schema.features if column.name not in table.names]
        needed = [repr(column.name) for column in absent if not column.nullable]
        if needed:
            has = ", ".join(map(repr, table.names[:20]))
            raise InvalidUpload(
                f"{table.name} lacks {', '.join(needed)}, without which the model answers no row; it has {has}"
            )
        known = {column.name for column in schema.columns}
        identity = schema.of_role("id")
        if identity and identity.name not in table.names:
            identity = None
        features = tuple(column for column in schema.features if column.name in table.names)
        asked = (*features, *([identity] if identity else ()))
        return cls(
            features,
            identity,
            {column.name: arrow_type(column, table.head.columns[column.name]) for column in asked},
            (
                *(f"column {column.name!r} is not in the file: every row lacks it" for column in absent),
                *(
                    f"column {name!r} is not known to the model and was ignored"
                    for name in table.names
                    if name not in known
                ),
            ),
        )


@dataclass(frozen=True)
class Answered:
    """What came of a block. `ids` are null without an id column; `places` and `values` as `ServedModel.answer` has
    them; `flagged` counts rows by what is strange in them."""

    rows_read: int
    rejected: pa.Table
    numbers: npt.NDArray[np.int64]
    ids: pa.Array | None
    values: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64] | None
    flagged: Mapping[str, int]


@dataclass
class Summary:
    """Of the whole file; `rows` = `answered` + the rows that `problems` are of."""

    rows: int = 0
    answered: int = 0
    problems: int = 0
    warnings: list[str] = field(default_factory=list)


def answer_table(
    table: Table, model: ServedModel, predictions: Path, problems: Path, seconds_left: Callable[[], float]
) -> Summary:
    """Writes both files: predictions as Parquet for Parquet and as CSV for all else, problems as CSV.

    Raises `InvalidUpload` for a file that lacks what the model needs, or that is more than one function can answer.
    """
    plan = Plan.of(table, model.schema)
    summary, flagged = Summary(), Counter[str]()
    with ExitStack() as opened:
        answers = _Answers(predictions, table, plan, model.schema, opened)
        rejected = opened.enter_context(pyarrow.csv.CSVWriter(problems, REJECTED))
        for answered in in_order(lambda block: answer_block(table, block, plan, model), table.blocks()):
            rejected.write_table(_numbered(answered.rejected, summary.rows))
            summary.problems += len(pc.unique(answered.rejected["row"]))
            answers.write(answered, summary.rows)
            summary.rows += answered.rows_read
            summary.answered += len(answered.values)
            flagged.update(answered.flagged)
            check_rows(table.name, summary.rows)
            _check_room(table.name, (predictions, problems), summary.rows, seconds_left())
    counted = [f"{text} ({count:,} rows)" for text, count in flagged.items()]
    summary.warnings = [*plan.warnings, *table.warnings, *counted][:_MOST_WARNINGS]
    return summary


def answer_block(table: Table, block: Block, plan: Plan, model: ServedModel) -> Answered:
    """Pure, so that two may be worked on at once."""
    chunk = table.parse(block, plan.types)
    sifted = sift(chunk, plan.features, _faults)
    answers, places = model.answer(encode(model.schema, sifted.values, sifted.rows))
    ids = _ids(chunk, plan.identity, sifted.kept)
    flagged = dict(_strange(plan.features, sifted.values))
    if plan.identity and ids is not None and ids.null_count:
        flagged[f"column {plan.identity.name!r}: no id, and none beside the answer"] = ids.null_count
    numbers = chunk.numbers if sifted.kept is None else chunk.numbers[sifted.kept]
    return Answered(chunk.rows_read, sifted.rejected, numbers, ids, answers, places, flagged)


def _faults(column: Column, parsed: Parsed) -> Iterator[Fault]:
    if parsed.bad.any():
        yield f"is not {parsed.expected}", parsed.bad
    if not column.nullable and (absent := missing(parsed.values) & ~parsed.bad).any():
        yield "is missing, and no training row lacked it", absent


def _ids(chunk: Chunk, identity: Column | None, kept: npt.NDArray[np.bool_] | None) -> pa.Array | None:
    return kept_values(read(chunk.columns[identity.name], identity).values, kept) if identity else None


def _strange(features: Sequence[Column], values: Mapping[str, Values]) -> Iterator[tuple[str, int]]:
    """What a request is warned of."""
    for column in features:
        own = values[column.name]
        if isinstance(own, Levels):
            vocabulary = set(column.vocabulary)
            known = np.array([*(name in vocabulary for name in own.names), True])
            if unseen := int((~known[own.codes]).sum()):
                yield f"column {column.name!r}: a category that was not seen in training", unseen
        elif column.kind == "numeric" and column.low is not None and column.high is not None:
            beyond = int(((own < column.low) | (own > column.high)).sum())
            if beyond:
                span = f"{column.low:.6g} to {column.high:.6g}"
                yield f"column {column.name!r}: a value outside of training's {span}", beyond


class _Answers:
    """The file of predictions: the id or the row's number, the answer, and a probability a class."""

    def __init__(self, path: Path, table: Table, plan: Plan, schema: Schema, opened: ExitStack) -> None:
        self._classes = schema.classes
        key = ("id", pa.string()) if plan.identity else ("row", pa.int64())
        answer = pa.string() if schema.classes else pa.float32()
        shares = [(f"probability_{name}", pa.float32()) for name in schema.classes]
        self._schema = pa.schema([key, ("prediction", answer), *shares])
        writer = pyarrow.parquet.ParquetWriter if table.description == _PARQUET else pyarrow.csv.CSVWriter
        self._writer: Any = opened.enter_context(writer(path, self._schema))

    def write(self, answered: Answered, before: int) -> None:
        key = pa.array(answered.numbers + before) if answered.ids is None else answered.ids
        # The graph's own numbers are float32: nothing is lost.
        values = answered.values.astype(np.float32)
        if answered.places is None:
            columns = [key, pa.array(values)]
        else:
            names = pa.array(self._classes, pa.string()).take(pa.array(answered.places))
            columns = [key, names, *(pa.array(values[:, place]) for place in range(len(self._classes)))]
        self._writer.write_table(pa.table(columns, schema=self._schema))


def _numbered(rejected: pa.Table, before: int) -> pa.Table:
    return rejected.set_column(0, REJECTED.field("row"), pc.add(rejected["row"], before)).sort_by("row")


def _check_room(name: str, files: Sequence[Path], rows: int, seconds: float) -> None:
    largest = max(path.stat().st_size for path in files)
    if largest > LARGEST_ANSWER:
        why = f"its first {rows:,} rows alone make {largest:,} bytes of answers, and {LARGEST_ANSWER:,} is the most"
    elif seconds < LEAST_SECONDS:
        why = f"its first {rows:,} rows alone took the time that a function has"
    else:
        return
    most = max(1, rows // 2)
    raise InvalidUpload(f"{name} is too large for one function: {why}; split it into files of at most {most:,} rows")
