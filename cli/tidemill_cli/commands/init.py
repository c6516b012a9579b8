"""`tidemill init` and `tidemill spec`: what is said about a model, written from data or by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tidemill.aws.paths import spec_key
from tidemill.errors import InvalidRequest, InvalidSpec, InvalidUpload, NotFound
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec, Quality, model_name, parse_spec
from tidemill.stages.assemble import Accepted, assemble
from tidemill.stages.classes import class_texts
from tidemill.stages.metrics import METRICS, default_metric
from tidemill.stages.prepare import Partition, clean, first_schema
from tidemill.stages.tables import RawTable, read_table
from tidemill_cli import specfile
from tidemill_cli.console import Result, Table
from tidemill_cli.rows import read_file
from tidemill_cli.session import Session


@dataclass(frozen=True)
class _Seen:
    """A file as Prepare would take it in."""

    schema: Schema
    metric: str
    rows: int
    columns: Sequence[dict[str, str]]
    warnings: Sequence[str]


def init(
    session: Session, model: str, file: Path, minimal: str, *, out: Path | None = None, force: bool = False
) -> Result:
    """`minimal` is the spec as far as the command line says it; the file tells the rest."""
    spec, key = parse_spec(minimal), spec_key(model_name(model))
    with session.console.progress(f"reading {file.name}"):
        raw = read_table(file.name, read_file(file))
        _check_excluded(raw, spec, file.name)
        seen = _see(raw, spec, file.name)
    path = out or Path(f"{model}.toml")
    target = session.target
    existing = target.spec(model)
    if not force and (existing is not None or path.exists()):
        there = f"model {model!r} has a spec already" if existing is not None else f"{path} exists already"
        change = "FILE" if existing is not None else str(path)
        raise InvalidRequest(
            f"{there}: upload an edited one with `tidemill spec {model} {change}`, or write it anew with --force"
        )
    text = _write(model, spec, seen, file.name)
    _replace(path, text)
    target.data.put(key, text.encode(), "application/toml")
    document = {
        "model": model,
        "spec": str(path),
        "uploaded": target.uri_of_spec(model),
        "target": spec.target,
        "task": seen.schema.task,
        "classes": list(seen.schema.classes),
        "metric": seen.metric,
        "rows": seen.rows,
        "columns": list(seen.columns),
        "warnings": list(seen.warnings),
    }
    return Result(document, _text(document, file))


def show_spec(session: Session, model: str) -> Result:
    text = session.target.spec(model_name(model))
    if text is None:
        raise NotFound(f"model {model!r} has no spec: write one with `tidemill init {model} FILE --target COLUMN`")
    return Result({"model": model, "spec": text}, [text.rstrip("\n")])


def put_spec(session: Session, model: str, file: Path) -> Result:
    try:
        text = read_file(file).decode()
    except UnicodeDecodeError:
        raise InvalidSpec(f"{file} is not UTF-8 text") from None
    spec, target = parse_spec(text), session.target
    before = target.spec(model_name(model))
    changed = text != before
    if changed:
        target.data.put(spec_key(model), text.encode(), "application/toml")
    document = {
        "model": model,
        "uploaded": target.uri_of_spec(model),
        "changed": changed,
        "digest": spec.digest(),
    }
    said = "holds from the next upload or retrain on" if changed else "is what it was: nothing has changed"
    return Result(document, [f"the spec of {model} {said}"])


def _check_excluded(raw: RawTable, spec: ModelSpec, name: str) -> None:
    """A misspelt column would stay a feature, and may give the answer away."""
    unknown = [column for column in spec.exclude if column not in raw.columns]
    if unknown:
        raise InvalidSpec(
            f"excluded {', '.join(map(repr, unknown))} is no column of {name}, "
            f"which has {', '.join(map(repr, list(raw.columns)[:20]))}"
        )


def _see(raw: RawTable, spec: ModelSpec, source: str) -> _Seen:
    """Told in full even of a file with more bad rows than an upload may have."""
    tolerant = replace(spec, quality=Quality(max_rejected=1.0))
    partition, schema = clean(raw, tolerant, first_schema(raw, tolerant), source=source)
    warnings = [*partition.account["warnings"], *_bad_rows(partition, spec)]
    try:
        learned = assemble([Accepted(partition.columns, partition.keys)], schema, spec).schema
    except InvalidUpload as error:
        learned = schema
        warnings.append(f"an upload of this file would be refused: {error}")
    columns = [_described(column, partition.columns.get(column.name)) for column in learned.columns]
    return _Seen(learned, _metric(partition, schema), len(partition.keys), columns, warnings)


def _bad_rows(partition: Partition, spec: ModelSpec) -> list[str]:
    bad, rows = partition.account["quarantined"], partition.account["rows_read"]
    if not bad:
        return []
    reasons = "; ".join(f"{count:,} × {reason}" for reason, count in list(partition.account["reasons"].items())[:5])
    verdict = "will be quarantined"
    if bad > spec.quality.max_rejected * rows:
        verdict = (
            f"cannot be used, more than the {spec.quality.max_rejected:.0%} allowed: an upload of this file will be "
            "refused unless it is corrected or quality.max_rejected is raised in the spec"
        )
    return [f"{bad:,} of {rows:,} rows {verdict} ({reasons})"]


def _metric(partition: Partition, schema: Schema) -> str:
    share = None
    if schema.task == "binary":
        texts = class_texts(partition.columns[schema.target.name], schema.target.kind)
        share = float(np.mean(texts == schema.classes[1]))
    return default_metric(schema.task, share).name


def _write(model: str, spec: ModelSpec, seen: _Seen, source: str) -> str:
    metrics = [metric.name for metric in METRICS.values() if seen.schema.task in metric.tasks]
    others = [name for name in metrics if name != seen.metric]
    text = specfile.write(model, spec, specfile.Inferred(seen.schema, seen.metric, others, source, seen.rows))
    parse_spec(text)
    return text


def _replace(path: Path, text: str) -> None:
    """What somebody may have edited is kept beside it; the bucket keeps its own earlier versions."""
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        path.replace(path.with_name(f"{path.name}.bak"))
    path.write_text(text, encoding="utf-8")


def _described(column: Column, values: npt.NDArray[Any] | None) -> dict[str, str]:
    facts = [column.note] if column.note else []
    if values is not None and column.role != "unused":
        missing = np.asarray(pd.isna(values), dtype=bool)
        present = values[~missing]
        if column.kind in ("numeric", "datetime") and len(present):
            facts.append(f"{_shown(present.min())} to {_shown(present.max())}")
        if column.vocabulary:
            facts.append(f"{len(column.vocabulary):,} categories")
        if missing.any():
            facts.append(f"{int(missing.sum()):,} missing")
    return {"name": column.name, "kind": column.kind, "role": column.role, "note": "; ".join(facts)}


def _shown(value: Any) -> str:
    return str(value)[:19] if isinstance(value, np.datetime64) else f"{value:.6g}"


def _text(document: dict[str, Any], file: Path) -> list[str | Table]:
    model = document["model"]
    classes = f" of {', '.join(document['classes'][:10])}" if document["classes"] else ""
    return [
        Table(
            ("column", "kind", "role", "note"),
            [tuple(column.values()) for column in document["columns"]],
            f"{model}: {document['rows']:,} rows of {file.name}",
        ),
        f"predicts {document['target']} ({document['task']}{classes}), judged by {document['metric']}",
        *(f"warning: {warning}" for warning in document["warnings"]),
        f"written to {document['spec']} and {document['uploaded']}",
        f"next: tidemill upload {model} {file} --wait",
    ]
