"""The lines by which the endpoint hands over what it answered, and what it refused: written to its log, read behind the
log's subscription. One JSON object a line:

{"tidemill":"capture", "kind":"predictions", "model", "version", "request", "time", "classes", "ids", "columns",
"predictions", "shares"}, in the names of `Answers`;
{"tidemill":"capture", "kind":"refusals", "model", "version", "request", "time", "rows", "problems", "more"}, without a
value that was sent.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidemill.errors import InvalidSpec
from tidemill.names import model_name

if TYPE_CHECKING:
    # Who reads the lines has no ONNX Runtime.
    from tidemill.stages.serve import Answers

Record = dict[str, Any]
Batch = dict[str, Any]
"""One request's predictions, column by column: what all have in common is said once; or its refusal."""
PREDICTIONS, REFUSALS = "predictions", "refusals"

Write = Callable[[Any, int], str]
"""A document in which so many values are None, as JSON. Raises ValueError for what is no number."""

LONGEST_LINE = 200_000
"""Bytes; CloudWatch cuts an event of the log at 256 KB."""
MOST_PROBLEMS, _LONGEST_NAME = 30, 200
"""Of a refusal: what keeps it within a line, however many columns the model has and whatever they are called."""

as_json = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode
"""Compact; of what came from JSON or is ours, which has no circles. Raises ValueError for what is no number."""
_STARTS = ('{"tidemill":"capture"', '{"tidemill": "capture"')


@dataclass(frozen=True)
class Captured:
    """Records by kind and model, in the order of the lines; `damaged` is how many lines could not be read."""

    records: Mapping[tuple[str, str], Sequence[Record]]
    damaged: int


def batch_of(answers: "Answers", model: str, version: int, request: str, moment: datetime) -> Batch:
    return {
        "tidemill": "capture",
        "kind": PREDICTIONS,
        "model": model,
        "version": version,
        "request": request,
        "time": moment.isoformat(),
        "classes": answers.classes,
        "ids": answers.ids,
        "columns": answers.columns,
        "predictions": answers.predictions,
        "shares": answers.shares,
    }


def refusal_of(
    rows: int, problems: Sequence[tuple[str, str]], model: str, version: int, request: str, moment: datetime
) -> Batch:
    """`problems`: each a column of the model, or "" for the body, and what is wrong with it in one word. `more` counts
    those that are left out."""
    return {
        "tidemill": "capture",
        "kind": REFUSALS,
        "model": model,
        "version": version,
        "request": request,
        "time": moment.isoformat(),
        "rows": rows,
        "problems": [[name[:_LONGEST_NAME], what] for name, what in problems[:MOST_PROBLEMS]],
        "more": len(problems[MOST_PROBLEMS:]),
    }


def rows_of(batch: Batch) -> int:
    rows: int = batch["rows"] if batch["kind"] == REFUSALS else len(batch["ids"])
    return rows


def records_of(batch: Batch) -> list[Record]:
    """As the capture bucket keeps them: one record a row, of a refusal one."""
    if batch["kind"] == REFUSALS:
        return [{name: batch[name] for name in ("request", "time", "version", "rows", "problems", "more")}]
    ids, names = batch["ids"], list(batch["columns"])
    rows = [dict(zip(names, values, strict=True)) for values in zip(*batch["columns"].values(), strict=True)]
    columns = (ids, rows or [{} for _ in ids], batch["predictions"], batch["shares"] or [None] * len(ids))
    return [
        {
            "id": identity,
            "time": batch["time"],
            "version": batch["version"],
            "row": row,
            "prediction": prediction,
            "probabilities": dict(zip(batch["classes"], shares, strict=True)) if shares else None,
        }
        for identity, row, prediction, shares in zip(*columns, strict=True)
    ]


def lines_of(batch: Batch, write: Write) -> Iterator[tuple[int, str]]:
    """The batch as JSON, in as many lines as it takes, each with how many of its rows it has; without the rows that
    are too long for a line."""
    if batch["kind"] == REFUSALS:
        yield rows_of(batch), write(batch, 0)
    else:
        yield from _fitting(batch, 0, rows_of(batch), write)


def read_lines(lines: Iterable[str]) -> Captured:
    """A line of another kind is nobody's loss; one that was cut, or is not what the endpoint writes, is."""
    found: dict[tuple[str, str], list[Record]] = {}
    damaged = 0
    for line in lines:
        if not line.lstrip().startswith(_STARTS):
            continue
        try:
            batch = json.loads(line)
            found.setdefault(_place(batch), []).extend(records_of(batch))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSpec):
            damaged += 1
    return Captured(found, damaged)


def _place(batch: Batch) -> tuple[str, str]:
    """Kind and model become parts of a key, and so does the time."""
    if batch["kind"] not in (PREDICTIONS, REFUSALS) or datetime.fromisoformat(batch["time"]).tzinfo is None:
        raise ValueError("not what the endpoint writes")
    return batch["kind"], model_name(batch["model"])


def _fitting(batch: Batch, start: int, end: int, write: Write) -> Iterator[tuple[int, str]]:
    part = _part(batch, start, end)
    line = write(part, _nulls(part))
    if len(line.encode()) <= LONGEST_LINE:
        yield end - start, line
    elif end - start > 1:
        middle = (start + end) // 2
        yield from _fitting(batch, start, middle, write)
        yield from _fitting(batch, middle, end, write)


def _part(batch: Batch, start: int, end: int) -> Batch:
    place = slice(start, end)
    return batch | {
        "ids": batch["ids"][place],
        "columns": {name: values[place] for name, values in batch["columns"].items()},
        "predictions": batch["predictions"][place],
        "shares": batch["shares"] and batch["shares"][place],
    }


def _nulls(batch: Batch) -> int:
    missing: int = sum(values.count(None) for values in batch["columns"].values())
    return missing + (batch["shares"] is None)
