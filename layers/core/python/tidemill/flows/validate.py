"""Validate: the best candidate becomes a version, and the gate says whether it may serve."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidemill.aws import datasets
from tidemill.aws.datasets import StoredDataset
from tidemill.aws.paths import dataset_prefix, version_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Candidate, Judged, ValidateRequest
from tidemill.errors import ModelIncompatible, NothingTrained
from tidemill.reports.evaluation import render
from tidemill.schema import Schema, rows_digest, split_by_key
from tidemill.spec import parse_spec
from tidemill.stages import evaluate, gate
from tidemill.stages.bootstrap import Interval
from tidemill.stages.evaluate import HeldOut
from tidemill.stages.metrics import dummy_prediction, metric
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.parity import Parity

Document = dict[str, Any]


@dataclass(frozen=True)
class _Champion:
    version: int
    schema: Schema
    model: OnnxModel
    manifest: Document


def run(request: ValidateRequest, stores: Stores) -> Judged:
    """Judges again, against the new champion, when the state machine comes back after `ChampionMoved`."""
    data = datasets.load(stores.data, request.model, request.prepared.dataset)
    best = _best(request.candidates)
    facts = stores.models.get_json(f"{best.prefix}candidate.json")
    graph = _graph(best.prefix, facts, f"candidate {best.candidate} of run {request.run}", stores)
    champion = _champion(request.model, stores)
    version = stores.registry.version_for(request.model, request.run)
    model = OnnxModel(graph)
    evaluation = _judge(request, data, facts, graph, model, champion, version, stores)
    prefix = version_prefix(request.model, version)
    _write_version(request, data, best, facts, graph, model, evaluation, prefix, stores)
    stores.registry.put_version(
        request.model,
        version,
        run=request.run,
        promote=evaluation["promote"],
        candidate=best.candidate,
        metric=evaluation["metric"]["name"],
        value=evaluation["candidate"]["interval"]["value"],
        dataset=request.prepared.dataset,
        rows=request.prepared.rows,
        compared_with=champion.version if champion else 0,
    )
    return Judged(
        version,
        evaluation["promote"],
        champion.version if champion else None,
        f"{prefix}report.html",
        evaluation["reasons"],
    )


def _best(candidates: Any) -> Candidate:
    """Highest cross-validated gain; the first named wins a tie."""
    usable = [candidate for candidate in candidates if candidate.score is not None]
    if not usable:
        why = "; ".join(f"{c.candidate}: {c.failed or 'no fold could be judged'}" for c in candidates)
        raise NothingTrained(f"no candidate could be trained ({why})")
    best: Candidate = max(usable, key=lambda candidate: candidate.score)
    return best


def _champion(model: str, stores: Stores) -> _Champion | None:
    current = stores.registry.champion(model)
    if current is None:
        return None
    prefix = version_prefix(model, current.version)
    manifest = stores.models.get_json(f"{prefix}manifest.json")
    return _Champion(
        current.version,
        Schema.from_json(manifest["schema"]),
        OnnxModel(_graph(prefix, manifest, f"version {current.version} of {model}", stores)),
        manifest,
    )


def _graph(prefix: str, document: Document, whose: str, stores: Stores) -> bytes:
    """Not opened before it is known to be the one that the document beside it was written for: a candidate that was
    trained twice may be half of each, and would be promoted to an endpoint that refuses it."""
    graph = stores.models.get(f"{prefix}model.onnx")
    if hashlib.sha256(graph).hexdigest() != document["digests"]["model.onnx"]:
        raise ModelIncompatible(f"model.onnx of {whose} is not what its document says")
    return graph


def _judge(
    request: ValidateRequest,
    data: StoredDataset,
    facts: Document,
    graph: bytes,
    model: OnnxModel,
    champion: _Champion | None,
    version: int,
    stores: Stores,
) -> Document:
    measure = metric(facts["metric"], data.schema.task)
    rows = _held_out(data, data.held_out)
    answers = evaluate.answer(model, data.schema, rows)
    dummy = dummy_prediction(data.schema.task, data.target[~data.held_out], len(rows.truth), len(data.schema.classes))
    described = evaluate.describe(measure, data.schema.task, rows.truth, answers)
    held_out = Interval.from_json(described["interval"])
    checks = [
        gate.export_parity(Parity(**facts["parity"])),
        gate.artifact_size(graph),
        gate.beats_dummy(measure, rows.truth, answers, dummy, data.spec.gate),
        gate.overfit_gap(measure, _float(facts["cross_validated"]), held_out, _float(facts["dummy"]), data.spec.gate),
    ]
    comparison: Document | None = None
    if champion:
        check, comparison = _compare(request, data, model, champion, facts["metric"], stores)
        checks.append(check)
    promote, reasons = gate.decide(checks, champion.version if champion else None)
    reasons = [*reasons, *(_blinded(champion, data) if champion else [])]
    return {
        "model": request.model,
        "run": request.run,
        "version": version,
        "task": data.schema.task,
        "target": data.schema.target.name,
        "metric": {
            "name": measure.name,
            "label": measure.label,
            "higher_is_better": measure.higher_is_better,
        },
        "promote": promote,
        "reasons": reasons,
        "checks": [check.to_json() for check in checks],
        "candidate": {**facts, **described},
        "comparison": comparison,
        "candidates": [candidate.to_event() for candidate in request.candidates],
        "rows": {
            "all": len(data.target),
            "training": int((~data.held_out).sum()),
            "held_out": len(rows.truth),
        },
        "partitions": data.partitions,
        "importance": evaluate.importance(model, rows, measure),
        "curves": evaluate.curves(data.schema.task, rows.truth, answers, data.schema.classes),
    }


def _compare(
    request: ValidateRequest,
    data: StoredDataset,
    model: OnnxModel,
    champion: _Champion,
    metric_name: str,
    stores: Stores,
) -> tuple[gate.Check, Document | None]:
    """On the rows that both versions' split rules held out: by key, under the smaller of the two shares, or after
    the later of the two cutoffs."""
    common = data.held_out
    if data.moments is not None and champion.manifest["cutoff"] is not None:
        common = common & (data.moments > champion.manifest["cutoff"])
    elif data.moments is None:
        common = common & split_by_key(data.keys, parse_spec(champion.manifest["spec"]).holdout, champion.schema.sides)
    rows = _held_out(data, common)
    attempt = stores.registry.attempt_on(request.model, rows_digest(data.keys[common]), request.run)
    measure = metric(metric_name, data.schema.task)
    answers = evaluate.answer(model, data.schema, rows)
    answers_of_champion = evaluate.answer(champion.model, champion.schema, rows)
    check, difference = gate.better_than_champion(
        measure, rows.truth, answers, answers_of_champion, champion.version, data.spec.gate, attempt
    )
    if difference is None:
        return check, None
    return check, {
        "champion": champion.version,
        "attempt": attempt,
        "difference": difference.to_json(),
        "candidate": evaluate.describe(measure, data.schema.task, rows.truth, answers),
        "champion_described": evaluate.describe(measure, data.schema.task, rows.truth, answers_of_champion),
    }


def _blinded(champion: _Champion, data: StoredDataset) -> list[str]:
    """A champion is judged without what the spec has excluded since, and whoever reads the verdict must know."""
    present = {column.name for column in data.schema.features}
    lost = [column.name for column in champion.schema.features if column.name not in present]
    if not lost:
        return []
    return [f"version {champion.version} was judged without {', '.join(lost)}, which the data set has no more"]


def _held_out(data: StoredDataset, chosen: Any) -> HeldOut:
    return HeldOut(data.schema, data.names, data.matrix[chosen], data.target[chosen])


def _write_version(
    request: ValidateRequest,
    data: StoredDataset,
    best: Candidate,
    facts: Document,
    graph: bytes,
    model: OnnxModel,
    evaluation: Document,
    prefix: str,
    stores: Stores,
) -> None:
    """manifest.json is written last: a version that has one is whole."""
    models = stores.models
    examples = {entry["at"]: entry["row"] for entry in data.facts["examples"]}
    golden = json.dumps(evaluate.golden_rows(model, data.matrix, examples)).encode()
    profile = stores.data.get(f"{dataset_prefix(request.model, request.prepared.dataset)}profile.json")
    models.put(f"{prefix}model.onnx", graph)
    models.copy(f"{best.prefix}model.joblib", f"{prefix}model.joblib")
    models.put(f"{prefix}golden.json", golden, "application/json")
    models.put(f"{prefix}profile.json", profile, "application/json")
    models.put_json(f"{prefix}evaluation.json", evaluation)
    models.put_html(f"{prefix}report.html", render(evaluation))
    models.put_json(
        f"{prefix}manifest.json",
        {
            "model": request.model,
            "version": evaluation["version"],
            "run": request.run,
            "dataset": request.prepared.dataset,
            "partitions": data.partitions,
            "candidate": best.candidate,
            "params": facts["params"],
            "metric": facts["metric"],
            "schema": data.schema.to_json(),
            "spec": data.facts["spec"],
            "cutoff": data.facts["cutoff"],
            "libraries": facts["libraries"],
            "digests": {**facts["digests"], "golden.json": hashlib.sha256(golden).hexdigest()},
        },
    )


def _float(value: float | None) -> float:
    return np.nan if value is None else value
