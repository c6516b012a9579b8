"""Prepare: from one upload, or the labelled captures, to a data set of all that the model has accepted."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tidemill.aws import datasets
from tidemill.aws.paths import partition_prefix, schema_key
from tidemill.aws.registry import Item, content_of, quarantined
from tidemill.aws.stores import Stores
from tidemill.contracts import Claimed, Prepared, Upload
from tidemill.encoding import read_value, write_text
from tidemill.errors import InvalidInput, InvalidUpload, StoreUnavailable
from tidemill.flows.captures import FARTHEST, Captures
from tidemill.flows.labels import read_labels
from tidemill.flows.specs import read_spec
from tidemill.profile import Profile, merge
from tidemill.reports.prepare import render
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec
from tidemill.stages.assemble import assemble
from tidemill.stages.captured import Record
from tidemill.stages.dataset import Dataset, Part
from tidemill.stages.evolution import Finding
from tidemill.stages.model_schema import same_model
from tidemill.stages.partition import Before, Partition, make_partition
from tidemill.stages.quarantine import Quarantine
from tidemill.stages.tables import open_table

LARGEST_UPLOAD = 4_000_000_000
"""Bytes of one upload: with all that is made of it, it has to fit the 10 GB of a function's own disk."""
LARGEST_MATRIX = 400_000_000
"""Bytes of a data set's matrix: a train function has 4 GB, and needs several times the matrix."""
_TRIES = 8


@dataclass(frozen=True)
class _Source:
    """Where new rows come from: `content` names them whatever they are called, and `broken` counts labelled predictions
    that were left out, since a check found the feed of their time broken."""

    name: str
    path: Path
    content: str
    prediction_ids: tuple[str, ...] = ()
    broken: int = 0


def prepare(claimed: Claimed, stores: Stores, now: datetime) -> Prepared:
    """What the sender must mend comes back as `invalid`, every problem named; then nothing has changed but the
    quarantine and the report that show it."""
    with TemporaryDirectory() as folder:
        return _prepare(claimed, stores, now, Path(folder))


def _prepare(claimed: Claimed, stores: Stores, now: datetime, folder: Path) -> Prepared:
    try:
        text, spec = read_spec(claimed.model, stores.data)
        if claimed.upload:
            source = _uploaded(claimed.upload, spec, stores, folder)
        elif (labelled := _labelled(claimed, spec, stores, now, folder)) is None:
            return _only_accepted(claimed, text, spec, stores, now, folder)
        else:
            source = labelled
    except InvalidInput as error:
        return Prepared("invalid", reasons=error.problems)
    owner = stores.registry.claim_partition(claimed.model, source.content, claimed.run, now)
    if owner:
        reason = f"{source.name} has the content that run {owner} was started with, under the same spec"
        return Prepared("duplicate", reasons=[reason])
    return _join(claimed, source, text, spec, stores, now, folder)


def _uploaded(upload: Upload, spec: ModelSpec, stores: Stores, folder: Path) -> _Source:
    if upload.size > LARGEST_UPLOAD:
        raise InvalidUpload(
            f"{upload.name} has {upload.size:,} bytes, more than the {LARGEST_UPLOAD:,} that one function can prepare: "
            "upload it in parts, one after the other; a model learns from all of them"
        )
    path = folder / "upload"
    stores.data.download(upload.key, path, upload.version_id)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(spec.digest().encode())
    return _Source(upload.name, path, digest.hexdigest()[:16])


def _labelled(claimed: Claimed, spec: ModelSpec, stores: Stores, now: datetime, folder: Path) -> _Source | None:
    """Predictions whose labels came and that no earlier retrain has learned from, as far back as `_reach` says; None
    when there are none, or when what was captured of them is not all that the model learns from."""
    captures, model = Captures(stores.captures), claimed.model
    taken = [item for item in stores.registry.partitions(model) if item.get("kind") == "captures"]
    since = _reach(taken, spec, now)
    used = {
        prediction
        for item in taken
        for prediction in stores.data.get_json(f"{partition_prefix(model, content_of(item))}predictions.json")
    }
    newest = stores.registry.schema(model)
    if newest is None:
        return None
    schema = Schema.from_json(stores.data.get_json(newest))
    if any(column.name in spec.capture.drop for column in schema.features):
        return None
    labels = read_labels(model, schema, since, now, stores.captures).labels.by_id
    quarantine = Quarantine.of(quarantined(stores.registry.checks(model, since=since.isoformat())))
    records: dict[str, Record] = {}
    broken = set()
    for record in captures.read("predictions", model, since, now):
        if record["id"] not in labels or record["id"] in used:
            continue
        if quarantine.has(record["time"]):
            broken.add(record["id"])
        else:
            records[record["id"]] = record
    if not records:
        return None
    ids = tuple(sorted(records))
    path = folder / "captures.csv"
    _write_rows(path, [_row(records[i], labels[i], spec, schema.of_role("time")) for i in ids], schema)
    content = _digest(json.dumps([[i, labels[i]] for i in ids]).encode(), spec.digest().encode())
    whose = claimed.order.source if claimed.order else claimed.run
    return _Source(f"labelled predictions, {whose}", path, content, ids, len(broken - records.keys()))


def _reach(taken: Sequence[Item], spec: ModelSpec, now: datetime) -> datetime:
    """A label that came after the last retrain that took labels up is of a prediction from at most `labels_within`
    before; `FARTHEST` where there was none."""
    if not taken:
        return now - FARTHEST
    accepted = datetime.fromisoformat(str(taken[-1]["accepted"]))
    return max(accepted - spec.monitor.labels_within, now - FARTHEST)


def _row(record: Record, label: Any, spec: ModelSpec, time: Column | None) -> dict[str, Any]:
    row = {**record["row"], spec.target: label}
    if spec.id:
        row[spec.id] = record["id"]
    if time and not _is_moment(row.get(time.name), time):
        row[time.name] = record["time"]
    return row


def _is_moment(raw: object, time: Column) -> bool:
    """The endpoint takes the field as it comes, since no model sees it."""
    try:
        return read_value(time, raw) is not None
    except ValueError:
        return False


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]], schema: Schema) -> None:
    """JSON rows as text, which is then typed and checked as an upload's is. A feature that no request sent, since it
    came with a later upload or may be missing, is missing throughout."""
    known = {column.name: column for column in schema.columns}
    names = list(dict.fromkeys([*(c.name for c in schema.features), *(name for row in rows for name in row)]))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        for row in rows:
            writer.writerow(
                write_text(known.get(name, Column(name, "categorical", "feature")), row.get(name)) for name in names
            )


def _join(
    claimed: Claimed, source: _Source, text: str, spec: ModelSpec, stores: Stores, now: datetime, folder: Path
) -> Prepared:
    """Clean the new rows, put them beside what was accepted before, and accept them once all of it holds.

    Another run of the model may do the same at this moment. Whoever moves the schema or accepts later sees
    the other's work and takes it in, so that no upload is lost and no code is given out twice.
    """
    model, registry = claimed.model, stores.registry
    made: tuple[str | None, Partition] | None = None
    for attempt in range(_TRIES):
        newest = registry.schema(model)
        others = [item for item in registry.partitions(model) if content_of(item) != source.content]
        profiles = _profiles(model, others, stores)
        before = _before(newest, others, profiles, stores)
        previous = profiles[before.previous].to_json() if before and before.previous else None
        try:
            if made is None or made[0] != newest:
                table = open_table(source.path, source.name)
                size, requests = source.path.stat().st_size, bool(source.prediction_ids)
                partition = make_partition(table, spec, before, folder / "partition", size=size, requests=requests)
                partition = _with_broken(partition, source.broken)
                made = newest, partition
            partition = made[1]
            if partition.invalid:
                return _refuse(model, source, partition, partition.invalid, previous, stores)
            parts = [
                *_parts(model, _within(others, spec, now), profiles, stores, folder),
                partition.part(source.content),
            ]
            dataset = _assembled(parts, partition.schema, spec, folder / f"index-{attempt}", new=True)
        except InvalidInput as error:
            return _refuse(model, source, made[1] if made else None, error.problems, previous, stores)
        _write_partition(model, source, partition, previous, stores)
        new_key = _write_schema(model, dataset.model_schema, stores)
        if new_key != newest and not registry.move_schema(model, newest, new_key):
            continue
        registry.accept_partition(
            model,
            source.content,
            claimed.run,
            now,
            kind="captures" if source.prediction_ids else "upload",
            source=source.name,
            size=source.path.stat().st_size,
            rows=partition.rows,
        )
        if {content_of(item) for item in registry.partitions(model)} == {*map(content_of, others), source.content}:
            report = f"{partition_prefix(model, source.content)}report.html"
            return _store(claimed, dataset, parts, text, spec, stores, report=report)
    raise StoreUnavailable(f"other runs of {model} kept changing its training data")


def _only_accepted(
    claimed: Claimed, text: str, spec: ModelSpec, stores: Stores, now: datetime, folder: Path
) -> Prepared:
    """A retrain without new labels: on what was accepted. A check's order for what was judged before is a duplicate,
    since the same data give the same model; a person may have reasons, such as newer code."""
    model = claimed.model
    newest = stores.registry.schema(model)
    items = stores.registry.partitions(model)
    if newest is None or not items:
        raise InvalidUpload(f"model {model!r} has no accepted data to train on: upload a file first")
    schema = same_model(Schema.from_json(stores.data.get_json(newest)), spec)
    kept = _within(items, spec, now)
    parts = _parts(model, kept, _profiles(model, kept, stores), stores, folder)
    dataset = _assembled(parts, schema, spec, folder / "index", new=False)
    name = _name_of(dataset, parts, spec)
    judged = [item["version"] for item in stores.registry.versions(model) if item["dataset"] == name]
    if judged and claimed.order and not claimed.order.who:
        reason = f"there is nothing to learn from that version {judged[-1]} has not learned from"
        return Prepared("duplicate", reasons=[reason])
    return _store(claimed, dataset, parts, text, spec, stores, report="")


def _assembled(parts: Sequence[Part], schema: Schema, spec: ModelSpec, folder: Path, *, new: bool) -> Dataset:
    dataset = assemble(parts, schema, spec, folder, new=new)
    size = dataset.rows * len(dataset.names) * 4
    if size > LARGEST_MATRIX:
        raise InvalidUpload(
            f"{dataset.rows:,} rows of {len(dataset.names):,} encoded columns take {size:,} bytes, more than the "
            f"{LARGEST_MATRIX:,} that one function can train on: exclude columns, or say in the "
            "spec how much history it has"
        )
    return dataset


def _before(
    newest: str | None, items: Sequence[Item], profiles: Mapping[str, Profile], stores: Stores
) -> Before | None:
    """What is known of the rows that were accepted, from their sketches alone."""
    if newest is None:
        return None
    uploads = [content_of(item) for item in items if item.get("kind") == "upload"]
    return Before(
        Schema.from_json(stores.data.get_json(newest)),
        reduce(merge, profiles.values(), Profile(0, {})),
        uploads[-1] if uploads else None,
        len(items),
    )


def _profiles(model: str, items: Sequence[Item], stores: Stores) -> dict[str, Profile]:
    """By the content that names the partition."""
    contents = [content_of(item) for item in items]
    documents = stores.data.get_many(f"{partition_prefix(model, content)}profile.json" for content in contents)
    return {
        content: Profile.from_json(json.loads(document)) for content, document in zip(contents, documents, strict=True)
    }


def _within(items: Sequence[Item], spec: ModelSpec, now: datetime) -> list[Item]:
    """Whole partitions, the newest first, as far as the spec's history reaches; the newest always."""
    kept: list[Item] = []
    rows = 0
    for item in reversed(items):
        rows += int(item["rows"])
        age = now - datetime.fromisoformat(str(item["accepted"]))
        within = age <= spec.history if isinstance(spec.history, timedelta) else rows <= (spec.history or rows)
        if kept and not within:
            break
        kept.append(item)
    return kept[::-1]


def _parts(
    model: str, items: Sequence[Item], profiles: Mapping[str, Profile], stores: Stores, folder: Path
) -> list[Part]:
    contents = map(content_of, items)
    return [_stored_part(model, one, profiles[one], stores, folder / "parts" / one) for one in contents]


def _stored_part(model: str, content: str, profile: Profile, stores: Stores, folder: Path) -> Part:
    """Its files are fetched when they are needed, once."""
    prefix = partition_prefix(model, content)
    facts = stores.data.get_json(f"{prefix}part.json")

    def fetch(name: str) -> Path:
        path = folder / name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            stores.data.download(f"{prefix}{name}", path)
        return path

    return Part(content, tuple(facts["names"]), facts["rows"], profile, facts["examples"], fetch)


def _write_partition(
    model: str, source: _Source, partition: Partition, previous: Mapping[str, Any] | None, stores: Stores
) -> None:
    """part.json is written last: a partition that has one is whole."""
    prefix = partition_prefix(model, source.content)
    for name in partition.files:
        stores.data.upload(partition.folder / name, f"{prefix}{name}")
    stores.data.put_json(f"{prefix}profile.json", partition.profile.to_json())
    if source.prediction_ids:
        stores.data.put_json(f"{prefix}predictions.json", source.prediction_ids)
    _write_report(prefix, partition.account, partition.profile.to_json(), partition.shown, previous, stores)
    stores.data.put_json(
        f"{prefix}part.json",
        {"names": list(partition.names), "rows": partition.rows, "examples": list(partition.examples)},
    )


def _with_broken(partition: Partition, predictions: int) -> Partition:
    """Its account tells of what was left out."""
    if not predictions:
        return partition
    finding = Finding(
        "note",
        "broken_feed",
        None,
        f"{predictions:,} labelled predictions were answered while the feed was broken",
        "left out, since nothing is learned from a window that a check put in quarantine",
    )
    account = {**partition.account, "findings": [*partition.account["findings"], asdict(finding)]}
    return replace(partition, account=account)


def _refuse(
    model: str,
    source: _Source,
    partition: Partition | None,
    problems: Sequence[str],
    previous: Mapping[str, Any] | None,
    stores: Stores,
) -> Prepared:
    """Write the account, the quarantine and the report of what was not accepted."""
    prefix = partition_prefix(model, source.content)
    account: dict[str, Any] = {
        "source": source.name,
        "bytes": source.path.stat().st_size,
        "rows_read": 0,
        "accepted": 0,
        "quarantined": 0,
        "duplicates": 0,
        "reasons": [],
        "findings": [],
        "columns": [],
        "previous": None,
    }
    shown: Sequence[Mapping[str, Any]] = ()
    profile = None
    if partition:
        account |= partition.account
        shown, profile = partition.shown, partition.profile.to_json()
        quarantine = "quarantine/part-0.parquet"
        if quarantine in partition.files:
            stores.data.upload(partition.folder / quarantine, f"{prefix}{quarantine}")
    account |= {"accepted": 0, "invalid": list(problems)}
    _write_report(prefix, account, profile, shown, previous, stores)
    return Prepared("invalid", reasons=list(problems), report=f"{prefix}report.html")


def _write_report(
    prefix: str,
    account: Mapping[str, Any],
    profile: Mapping[str, Any] | None,
    shown: Sequence[Mapping[str, Any]],
    previous: Mapping[str, Any] | None,
    stores: Stores,
) -> None:
    stores.data.put_json(f"{prefix}account.json", account)
    stores.data.put_html(f"{prefix}report.html", render(account, profile, quarantine=shown, previous=previous))


def _write_schema(model: str, schema: Schema, stores: Stores) -> str:
    document = schema.to_json()
    key = schema_key(model, _digest(json.dumps(document, sort_keys=True).encode()))
    stores.data.put_json(key, document)
    return key


def _store(
    claimed: Claimed,
    dataset: Dataset,
    parts: Sequence[Part],
    text: str,
    spec: ModelSpec,
    stores: Stores,
    *,
    report: str,
) -> Prepared:
    name = _name_of(dataset, parts, spec)
    datasets.save(stores.data, claimed.model, name, dataset, parts, text)
    return Prepared("ready", name, spec.train.competing, dataset.rows, dataset.held_out, report)


def _name_of(dataset: Dataset, parts: Sequence[Part], spec: ModelSpec) -> str:
    """Made from all that decides its bytes, so that a repeated run writes the same again."""
    contents = [part.content for part in parts]
    return _digest(json.dumps([contents, dataset.schema.to_json()]).encode(), spec.digest().encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
