"""Prepare: from one upload, or the labelled captures, to a data set of all that the model has accepted."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from tidemill.aws import datasets
from tidemill.aws.paths import dataset_prefix, partition_prefix, schema_key, spec_key
from tidemill.aws.registry import Item
from tidemill.aws.stores import Stores
from tidemill.contracts import Claimed, Prepared, Upload
from tidemill.encoding import read_datetime
from tidemill.errors import InvalidInput, InvalidSpec, InvalidUpload, NotFound, StoreUnavailable
from tidemill.flows.captures import Captures, Record
from tidemill.profile import profile
from tidemill.reports.prepare import render
from tidemill.schema import Schema, rows_digest
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages.assemble import Accepted, Dataset, assemble
from tidemill.stages.partition_file import from_parquet, to_parquet
from tidemill.stages.prepare import Partition, clean, first_schema, rejected_frame, same_model
from tidemill.stages.tables import RawTable, Rejected, read_table

LARGEST_DATA = 400_000_000
"""Bytes of all uploads that a model has accepted, the new one included: a prepare function has 4 GB, and the peak is
0.2 GB plus about 8 times the size (tests/bench/prepare_memory.py)."""
_TRIES = 8


@dataclass(frozen=True)
class _Source:
    """Where new rows come from: `content` names them whatever they are called."""

    name: str
    content: str
    table: RawTable
    size: int
    prediction_ids: tuple[str, ...] = ()


def prepare(claimed: Claimed, stores: Stores, now: datetime) -> Prepared:
    """What the sender must mend comes back as `invalid`, every problem named; then nothing has changed but the
    quarantine and the report that show it."""
    try:
        text, spec = read_spec(stores, claimed.model)
        source = _uploaded(claimed.upload, spec, stores) if claimed.upload else _labelled(claimed, spec, stores, now)
        if source is None:
            return _only_accepted(claimed, text, spec, stores)
    except InvalidInput as error:
        return Prepared("invalid", reasons=error.problems)
    owner = stores.registry.claim_partition(claimed.model, source.content, claimed.run, now)
    if owner:
        reason = f"{source.name} has the content that run {owner} was started with, under the same spec"
        return Prepared("duplicate", reasons=[reason])
    try:
        return _join(claimed, source, text, spec, stores, now)
    except InvalidInput as error:
        return Prepared("invalid", reasons=error.problems, report=_show_rejection(claimed.model, source, error, stores))


def read_spec(stores: Stores, model: str) -> tuple[str, ModelSpec]:
    """The spec's text and the spec; raises `InvalidUpload` with the command that writes one."""
    try:
        text = stores.data.get(spec_key(model)).decode()
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"the spec of {model!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except NotFound:
        remedy = f"write one with `tidemill init {model} FILE --target COLUMN`, then upload again"
        raise InvalidUpload(f"model {model!r} has no spec: {remedy}") from None
    return text, parse_spec(text)


def _uploaded(upload: Upload, spec: ModelSpec, stores: Stores) -> _Source:
    before = sum(int(item.get("size", 0)) for item in stores.registry.partitions(upload.model))
    _check_size(upload.name, upload.size, before)
    data = stores.data.get(upload.key, upload.version_id)
    table = read_table(upload.name, data)
    # A compressed file is larger than it looks.
    size = max(len(data), sum(int(column.nbytes) for column in table.columns.values()))
    _check_size(upload.name, size, before)
    return _Source(upload.name, _digest(data, spec.digest().encode()), table, size)


def _check_size(name: str, size: int, before: int) -> None:
    if before + size > LARGEST_DATA:
        raise InvalidUpload(
            f"{name} has {size:,} bytes and earlier uploads of this model {before:,}, together more than the "
            f"{LARGEST_DATA:,} that one function can prepare: upload a sample, or start a new model with newer data"
        )


def _labelled(claimed: Claimed, spec: ModelSpec, stores: Stores, now: datetime) -> _Source | None:
    """Predictions whose labels came and that no earlier retrain has learned from; None when there are none."""
    captures, model = Captures(stores.captures), claimed.model
    used = {
        prediction
        for item in stores.registry.partitions(model)
        if item.get("kind") == "captures"
        for prediction in stores.data.get_json(f"{partition_prefix(model, _content(item))}predictions.json")
    }
    labels = captures.labels(model, None, now)
    records = {
        record["id"]: record
        for record in captures.read("predictions", model, None, now)
        if record["id"] in labels and record["id"] not in used
    }
    if not records:
        return None
    ids = tuple(sorted(records))
    newest = stores.registry.schema(model)
    known = Schema.from_json(stores.data.get_json(newest)).features if newest else ()
    table = _table([_row(records[i], labels[i], spec) for i in ids], [column.name for column in known])
    check = claimed.order.check if claimed.order else claimed.run
    content = _digest(json.dumps([[i, labels[i]] for i in ids]).encode(), spec.digest().encode())
    size = sum(int(column.nbytes) for column in table.columns.values())
    return _Source(f"labelled predictions of check {check}", content, table, size, ids)


def _row(record: Record, label: Any, spec: ModelSpec) -> dict[str, Any]:
    row = {**record["row"], spec.target: label}
    if spec.id:
        row[spec.id] = record["id"]
    if spec.time:
        row[spec.time] = _moment(record["row"].get(spec.time)) or record["time"]
    return row


def _moment(raw: Any) -> str | None:
    """The row's own time if it is one; the endpoint takes the field as it comes, since no model sees it."""
    try:
        return str(raw) if isinstance(raw, str) and read_datetime(raw.strip()) else None
    except ValueError:
        return None


def _table(rows: list[dict[str, Any]], features: list[str]) -> RawTable:
    """JSON rows as text columns, which are then typed and checked as an upload's are. A feature that no request sent,
    since it came with a later upload or may be missing, is missing throughout."""
    names = list(dict.fromkeys([*features, *(name for row in rows for name in row)]))
    columns = {
        name: pa.chunked_array([pa.array([_text(row.get(name)) for row in rows], pa.string())]) for name in names
    }
    return RawTable(columns, range(1, len(rows) + 1), rows_read=len(rows))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _join(claimed: Claimed, source: _Source, text: str, spec: ModelSpec, stores: Stores, now: datetime) -> Prepared:
    """Clean the new rows, put them beside what was accepted before, and accept them once all of it holds.

    Another run of the model may do the same at this moment. Whoever moves the schema or accepts later sees
    the other's work and takes it in, so that no upload is lost and no code is given out twice.
    """
    model, registry = claimed.model, stores.registry
    for _ in range(_TRIES):
        newest = registry.schema(model)
        known = Schema.from_json(stores.data.get_json(newest)) if newest else None
        base = same_model(known, spec) if known else first_schema(source.table, spec)
        partition, schema = clean(source.table, spec, base, source=source.name)
        others = [item for item in registry.partitions(model) if _content(item) != source.content]
        accepted = [*_load(model, others, schema, stores), Accepted(partition.columns, partition.keys)]
        dataset = assemble(accepted, schema, spec)
        _write_partition(model, source, partition, schema, stores)
        new_key = _write_schema(model, schema, stores)
        if new_key != newest and not registry.move_schema(model, newest, new_key):
            continue
        registry.accept_partition(
            model,
            source.content,
            claimed.run,
            now,
            kind="captures" if source.prediction_ids else "upload",
            source=source.name,
            size=source.size,
            rows=len(partition.keys),
        )
        contents = [*map(_content, others), source.content]
        if {_content(item) for item in registry.partitions(model)} == set(contents):
            report = f"{partition_prefix(model, source.content)}report.html"
            return _store(claimed, dataset, contents, text, spec, stores, report=report)
    raise StoreUnavailable(f"other runs of {model} kept changing its training data")


def _only_accepted(claimed: Claimed, text: str, spec: ModelSpec, stores: Stores) -> Prepared:
    """A retrain without new labels: on the uploads that were accepted since the champion was trained."""
    model = claimed.model
    newest = stores.registry.schema(model)
    items = stores.registry.partitions(model)
    if newest is None or not items:
        raise InvalidUpload(f"model {model!r} has no accepted data to train on: upload a file first")
    schema = same_model(Schema.from_json(stores.data.get_json(newest)), spec)
    dataset = assemble(_load(model, items, schema, stores), schema, spec)
    return _store(claimed, dataset, [_content(item) for item in items], text, spec, stores, report="")


def _load(model: str, items: list[Item], schema: Schema, stores: Stores) -> list[Accepted]:
    return [
        from_parquet(stores.data.get(f"{partition_prefix(model, _content(item))}part-0.parquet"), schema)
        for item in items
    ]


def _write_partition(model: str, source: _Source, partition: Partition, schema: Schema, stores: Stores) -> None:
    prefix = partition_prefix(model, source.content)
    used = {c.name: c.kind for c in schema.columns if c.role in ("feature", "target") and c.name in partition.columns}
    described = profile({name: partition.columns[name] for name in used}, used)
    stores.data.put(f"{prefix}part-0.parquet", to_parquet(partition.columns, partition.keys, schema))
    stores.data.put_json(f"{prefix}profile.json", described.to_json())
    stores.data.put_json(f"{prefix}account.json", partition.account)
    if source.prediction_ids:
        stores.data.put_json(f"{prefix}predictions.json", source.prediction_ids)
    _write_quarantine(prefix, partition.rejected, source.name, stores)
    page = render(partition.account, described.to_json(), quarantine=_shown(partition.rejected))
    stores.data.put_html(f"{prefix}report.html", page)


def _show_rejection(model: str, source: _Source, error: InvalidInput, stores: Stores) -> str:
    """Write the account, the quarantine and the report of what was not accepted; the report's key."""
    prefix = partition_prefix(model, source.content)
    rejected: tuple[Rejected, ...] = error.rejected if isinstance(error, InvalidUpload) else ()
    account = {
        "source": source.name,
        "rows_read": source.table.rows_read,
        "accepted": 0,
        "quarantined": len({entry.row for entry in rejected}),
        "duplicates": 0,
        "invalid": error.problems,
        "warnings": list(source.table.warnings),
    }
    stores.data.put_json(f"{prefix}account.json", account)
    _write_quarantine(prefix, rejected, source.name, stores)
    stores.data.put_html(f"{prefix}report.html", render(account, None, quarantine=_shown(rejected)))
    return f"{prefix}report.html"


def _write_quarantine(prefix: str, rejected: tuple[Rejected, ...], name: str, stores: Stores) -> None:
    if rejected:
        data = rejected_frame(rejected, name).to_parquet(index=False)
        stores.data.put(f"{prefix}quarantine/part-0.parquet", data)


def _shown(rejected: tuple[Rejected, ...], most: int = 200) -> list[dict[str, Any]]:
    first = sorted(rejected, key=lambda entry: entry.row)[:most]
    return [{"row": e.row, "column": e.column, "value": e.value, "reason": e.reason} for e in first]


def _write_schema(model: str, schema: Schema, stores: Stores) -> str:
    document = schema.to_json()
    key = schema_key(model, _digest(json.dumps(document, sort_keys=True).encode()))
    stores.data.put_json(key, document)
    return key


def _store(
    claimed: Claimed,
    dataset: Dataset,
    contents: list[str],
    text: str,
    spec: ModelSpec,
    stores: Stores,
    *,
    report: str,
) -> Prepared:
    """Under a name made from all that decides its bytes, so that a repeated run writes the same again."""
    name = _digest(json.dumps([contents, dataset.schema.to_json()]).encode(), spec.digest().encode())
    prefix = dataset_prefix(claimed.model, name)
    facts: Mapping[str, Any] = {
        "dataset": name,
        "model": claimed.model,
        "spec": text,
        "schema": dataset.schema.to_json(),
        "names": list(dataset.names),
        "partitions": contents,
        "rows": len(dataset.keys),
        "held_out": int(dataset.held_out.sum()),
        "held_out_digest": rows_digest(dataset.keys[dataset.held_out]),
        "cutoff": dataset.cutoff,
        "has_moments": dataset.moments is not None,
        "examples": [{"at": at, "row": row} for at, row in dataset.examples],
    }
    datasets.save(
        stores.data,
        prefix,
        facts=dict(facts),
        profile=dataset.training_profile.to_json(),
        arrays={
            "matrix": dataset.matrix,
            "target": dataset.target,
            "held_out": dataset.held_out,
            "keys": dataset.keys,
            "moments": dataset.moments,
        },
    )
    return Prepared("ready", name, spec.train.candidates, len(dataset.keys), int(dataset.held_out.sum()), report)


def _content(item: Item) -> str:
    return str(item["sk"]).removeprefix("PARTITION#")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
