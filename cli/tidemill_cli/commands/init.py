"""`tidemill init` and `tidemill spec`: what is said about a model, written from data or by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tidemill.aws.paths import spec_key
from tidemill.errors import InvalidRequest, InvalidSpec, InvalidUpload, NotFound
from tidemill.names import model_name
from tidemill.profile import ColumnProfile, NumericProfile, TimeProfile
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec, Quality, parse_spec
from tidemill.stages.assemble import assemble
from tidemill.stages.columns import suggestions
from tidemill.stages.metrics import METRICS, default_metric
from tidemill.stages.partition import Partition, causes, make_partition
from tidemill.stages.tables import open_table
from tidemill_cli import specfile
from tidemill_cli.cloud import Target, project_root
from tidemill_cli.console import Result, Table
from tidemill_cli.rows import existing_file, read_file
from tidemill_cli.session import Session

_HOLDS = (
    "holds from the next check, upload or retrain on, and [capture] from the next promoted version on; what the first "
    "upload fixed stays"
)


@dataclass(frozen=True)
class _Seen:
    """A file as Prepare would take it in."""

    schema: Schema
    metric: str
    rows: int
    columns: Sequence[dict[str, str]]
    suggestions: Mapping[str, Sequence[Mapping[str, str]]]
    warnings: Sequence[str]


def init(
    session: Session, model: str, file: Path, minimal: str, *, out: Path | None = None, force: bool = False
) -> Result:
    """`minimal` is the spec as far as the command line says it; the file tells the rest."""
    spec, key = parse_spec(minimal), spec_key(model_name(model))
    with session.console.progress(f"reading {file.name}"):
        seen = _see(existing_file(file), spec)
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
    (text, spec), target = read_spec(file), session.target
    before = target.spec(model_name(model))
    changed, warnings = text != before, _not_deployed(spec)
    if changed:
        target.data.put(spec_key(model), text.encode(), "application/toml")
    warnings += _no_columns(spec, model, target)
    document = {
        "model": model,
        "uploaded": target.uri_of_spec(model),
        "changed": changed,
        "digest": spec.digest(),
        "warnings": warnings,
    }
    said = _HOLDS if changed else "is what it was: nothing has changed"
    return Result(document, [f"the spec of {model} {said}", *(f"warning: {one}" for one in warnings)])


def read_spec(file: Path) -> tuple[str, ModelSpec]:
    """The text and what it says."""
    try:
        text = read_file(file).decode()
    except UnicodeDecodeError:
        raise InvalidSpec(f"{file} is not UTF-8 text") from None
    return text, parse_spec(text)


def _not_deployed(spec: ModelSpec) -> list[str]:
    """No refusal: what is deployed may be newer than this checkout, and Train is told what is not."""
    if spec.train.estimator is None:
        return []
    # scikit-learn takes a second to import, and few specs name an estimator.
    from tidemill.stages import own  # noqa: PLC0415

    known = own.known_in([str(project_root() / own.FOLDER)])
    return [] if spec.train.estimator in known else [own.unknown(spec.train.estimator, known)]


def _no_columns(spec: ModelSpec, model: str, target: Target) -> list[str]:
    """Whoever drops a column by a wrong name has it captured, and who trusts one has it put in quarantine."""
    newest = target.registry.schema(model)
    if newest is None:
        return []
    schema = Schema.from_json(target.data.get_json(newest))
    known = {column.name for column in schema.columns}
    named = {"exclude": spec.exclude, "quality.trusted": spec.quality.trusted, "capture.drop": spec.capture.drop}
    unknown = [(key, name) for key, names in named.items() for name in names if name not in known]
    other = f"target is {spec.target!r}, and the first upload fixed {schema.target.name!r}: runs will be refused"
    return [
        *([other] if spec.target != schema.target.name else []),
        *(f"{key} names {name!r}, and the model has no such column" for key, name in unknown),
    ]


def _see(file: Path, spec: ModelSpec) -> _Seen:
    """Told in full even of a file with more bad rows than an upload may have."""
    tolerant = replace(spec, quality=Quality(max_rejected=1.0))
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = open_table(file, file.name)
        partition = make_partition(table, tolerant, None, folder / "partition", size=file.stat().st_size)
        if partition.invalid:
            raise InvalidUpload(partition.invalid)
        findings = [f"{entry['says']}: {entry['done']}" for entry in partition.account["findings"]]
        warnings = [*findings, *_bad_rows(partition, spec)]
        try:
            learned = assemble([partition.part("")], partition.schema, spec, folder / "index", new=True).schema
        except InvalidUpload as error:
            learned = partition.schema
            warnings.append(f"an upload of this file would be refused: {error}")
        metric = _metric(partition)
    columns = [_described(column, partition.profile.columns.get(column.name)) for column in learned.columns]
    ways = {c.name: suggestions(table.head.columns[c.name]) for c in learned.columns if _is_text(c, spec)}
    return _Seen(learned, metric, partition.rows, columns, ways, warnings)


def _is_text(column: Column, spec: ModelSpec) -> bool:
    """Whether it might be numbers or dates instead, if somebody said how they are written."""
    return column.kind == "categorical" and column.role not in ("id", "excluded") and column.name not in spec.columns


def _bad_rows(partition: Partition, spec: ModelSpec) -> list[str]:
    bad, rows = partition.account["quarantined"], partition.account["rows_read"]
    if not bad:
        return []
    verdict = "will be quarantined"
    if bad > spec.quality.max_rejected * rows:
        verdict = (
            f"cannot be used, more than the {spec.quality.max_rejected:.0%} allowed: an upload of this file will be "
            "refused unless it is corrected or quality.max_rejected is raised in the spec"
        )
    return [f"{bad:,} of {rows:,} rows {verdict} ({causes(partition.account['reasons'])})"]


def _metric(partition: Partition) -> str:
    share = None
    if partition.schema.task == "binary":
        target = np.load(partition.folder / "target.npy", allow_pickle=False)
        share = float(np.mean(target == 1))
    return default_metric(partition.schema.task, share).name


def _write(model: str, spec: ModelSpec, seen: _Seen, source: str) -> str:
    metrics = [metric.name for metric in METRICS.values() if seen.schema.task in metric.tasks]
    others = [name for name in metrics if name != seen.metric]
    text = specfile.write(
        model, spec, specfile.Inferred(seen.schema, seen.metric, others, source, seen.rows, seen.suggestions)
    )
    parse_spec(text)
    return text


def _replace(path: Path, text: str) -> None:
    """What somebody may have edited is kept beside it; the bucket keeps its own earlier versions."""
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        path.replace(path.with_name(f"{path.name}.bak"))
    path.write_text(text, encoding="utf-8")


def _described(column: Column, seen: ColumnProfile | None) -> dict[str, str]:
    facts = [column.note] if column.note else []
    if seen is not None and column.role != "unused":
        if isinstance(seen, NumericProfile) and seen.present:
            facts.append(f"{seen.min:.6g} to {seen.max:.6g}")
        if isinstance(seen, TimeProfile) and seen.present:
            facts.append(f"{str(seen.min)[:19]} to {str(seen.max)[:19]}")
        if column.vocabulary:
            facts.append(f"{len(column.vocabulary):,} categories")
        if seen.missing:
            facts.append(f"{seen.missing:,} missing")
    return {"name": column.name, "kind": column.kind, "role": column.role, "note": "; ".join(facts)}


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
