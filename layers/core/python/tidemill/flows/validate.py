"""Validate: the best candidate becomes a version, and the gate says whether it may serve."""

import hashlib
import json
from collections.abc import Sequence
from functools import reduce
from time import perf_counter
from typing import Any

from tidemill.aws import datasets
from tidemill.aws.datasets import StoredDataset
from tidemill.aws.objects import as_json
from tidemill.aws.paths import dataset_prefix, partition_prefix, version_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Candidate, Judged, ValidateRequest
from tidemill.errors import ModelIncompatible, NothingTrained
from tidemill.profile import Profile, merge
from tidemill.reports.evaluation import render
from tidemill.schema import Schema
from tidemill.stages import attempts, evaluate
from tidemill.stages.answers import answer_columns, profile_answers
from tidemill.stages.attempts import Sketch
from tidemill.stages.classes import answered
from tidemill.stages.explain import BACKGROUND, draw
from tidemill.stages.judge import Case, Champion, believed, judge
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.reference import NOTHING, Reference, learn_together

Document = dict[str, Any]

_OF_TRAINING = (
    "params", "metric", "threshold", "threshold_by", "calibration", "estimator", "seed", "code", "search", "trials",
    "history", "timings", "libraries",
)  # fmt: skip
"""What the manifest repeats of candidate.json."""


def run(request: ValidateRequest, stores: Stores) -> Judged:
    """Judges again, against the new champion, when the state machine comes back after `ChampionMoved`."""
    data = datasets.load(stores.data, request.model, request.prepared.dataset)
    best = _best(request.candidates)
    facts = stores.models.get_json(f"{best.prefix}candidate.json")
    graph = _graph(best.prefix, facts, f"candidate {best.candidate} of run {request.run}", stores)
    case = Case(
        data, data.partitions, data.schema, data.names, data.spec, data.facts["cutoff"], facts, graph, OnnxModel(graph)
    )
    champion = _champion(request.model, stores)
    version = stores.registry.version_for(request.model, request.run)
    attempt = _attempt(request.model, version, case, champion, stores)
    evaluation = {
        "model": request.model,
        "run": request.run,
        "version": version,
        "task": data.schema.task,
        "target": data.schema.target.name,
        **judge(case, champion, attempt, perf_counter),
        "candidates": [candidate.to_event() for candidate in request.candidates],
        "partitions": data.partitions,
    }
    prefix = version_prefix(request.model, version)
    _write_version(request, data, best, case, evaluation, prefix, stores)
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
        check_every=data.spec.monitor.every.total_seconds(),
    )
    return Judged(
        version,
        evaluation["promote"],
        champion.version if champion else None,
        f"{prefix}report.html",
        evaluation["reasons"],
    )


def _best(candidates: Sequence[Candidate]) -> Candidate:
    """Highest cross-validated gain; the first named wins a tie."""
    usable = [(candidate.score, candidate) for candidate in candidates if candidate.score is not None]
    if not usable:
        why = "; ".join(f"{c.candidate}: {c.failed or 'no fold could be judged'}" for c in candidates)
        raise NothingTrained(f"no candidate could be trained ({why})")
    return max(usable, key=lambda each: each[0])[1]


def _champion(model: str, stores: Stores) -> Champion | None:
    current = stores.registry.champion(model)
    if current is None:
        return None
    prefix = version_prefix(model, current.version)
    manifest = stores.models.get_json(f"{prefix}manifest.json")
    return Champion(
        current.version,
        Schema.from_json(manifest["schema"]),
        OnnxModel(_graph(prefix, manifest, f"version {current.version} of {model}", stores)),
        manifest,
        stores.models.get_json(f"{prefix}evaluation.json"),
    )


def _graph(prefix: str, document: Document, whose: str, stores: Stores) -> bytes:
    """Not opened before it is known to be the one that the document beside it was written for: a candidate that was
    trained twice may be half of each, and would be promoted to an endpoint that refuses it."""
    graph = stores.models.get(f"{prefix}model.onnx")
    if hashlib.sha256(graph).hexdigest() != document["digests"]["model.onnx"]:
        raise ModelIncompatible(f"model.onnx of {whose} is not what its document says")
    return graph


def _attempt(model: str, version: int, case: Case, champion: Champion | None, stores: Stores) -> float:
    """Which judgement on these rows it is; to judge the same again is the same attempt.

    The rows are told before the others' are asked for, so that of two runs at one moment one at least sees the other.
    """
    registry, against = stores.registry, champion.version if champion else None
    known = registry.judgement(model, version)
    if known and known["champion"] == against and known["attempt"]:
        return float(known["attempt"])
    today = Sketch.of(case.rows.keys[case.judged_with(champion)])
    facts = {"champion": against, "rows": today.rows, "keys": today.packed()}
    registry.put_judgement(model, version, **facts, attempt=None)
    # Those that came before the first champion met no other model, and spend an error of their own.
    earlier = [
        Sketch.unpacked(item["rows"], item["keys"])
        for item in registry.judgements(model)
        if item["version"] != version and (item["champion"] is None) == (against is None)
    ]
    attempt = attempts.attempt(today, earlier)
    registry.put_judgement(model, version, **facts, attempt=attempt)
    return attempt


def _profile(request: ValidateRequest, data: StoredDataset, level: int, stores: Stores) -> bytes:
    """Of what it learned from. Where that is not all, of the whole partitions that most of it fills, with their
    held-out rows."""
    if not level:
        return stores.data.get(f"{dataset_prefix(request.model, request.prepared.dataset)}profile.json")
    keys = [f"{partition_prefix(request.model, content)}profile.json" for content in data.mostly_since(level)]
    profile = reduce(merge, (Profile.from_json(json.loads(document)) for document in stores.data.get_many(keys)))
    features = {c.name: profile.columns[c.name] for c in data.schema.features if c.name in profile.columns}
    return as_json(Profile(profile.rows, features).to_json())


def _reference(case: Case, importance: Sequence[str]) -> Reference:
    """What windows are judged against, besides the features' own profile."""
    rows, schema = case.rows, case.schema
    places = None if schema.task == "regression" else answered(case.answers, case.facts["threshold"])
    together = learn_together(rows.matrix, case.learned, schema, importance, case.spec.capture.drop)
    return Reference(NOTHING, profile_answers(answer_columns(schema, case.answers, places)), together)


def _write_version(
    request: ValidateRequest,
    data: StoredDataset,
    best: Candidate,
    case: Case,
    evaluation: Document,
    prefix: str,
    stores: Stores,
) -> None:
    """manifest.json is written last: a version that has one is whole."""
    models, facts = stores.models, case.facts
    examples = {entry["at"]: entry["row"] for entry in data.facts["examples"]}
    made = {
        BACKGROUND: draw(data.matrix, case.learned),
        "golden.json": json.dumps(evaluate.golden_rows(case.model, data.matrix, examples)).encode(),
        "profile.json": _profile(request, data, case.level, stores),
        "reference.json": as_json(_reference(case, [*evaluation["importance"]]).to_json()),
        "evaluation.json": as_json(evaluation),
        "estimate.json": as_json(believed(case)),
    }
    report = render(evaluation)
    models.put(f"{prefix}model.onnx", case.graph)
    models.copy(f"{best.prefix}model.joblib", f"{prefix}model.joblib")
    for name, content in made.items():
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        models.put(f"{prefix}{name}", content, kind)
    models.put_html(f"{prefix}report.html", report)
    made["report.html"] = report.encode()
    models.put_json(
        f"{prefix}manifest.json",
        {
            "model": request.model,
            "version": evaluation["version"],
            "run": request.run,
            "dataset": request.prepared.dataset,
            "partitions": data.partitions,
            "learned_from": data.since(case.level),
            "late_classes": data.facts.get("late_classes", []),
            "candidate": best.candidate,
            **{key: facts.get(key) for key in _OF_TRAINING},
            "schema": data.schema.to_json(),
            "spec": data.facts["spec"],
            "not_captured": list(data.spec.capture.drop),
            "cutoff": data.facts["cutoff"],
            "digests": {
                **facts["digests"],
                **{name: hashlib.sha256(content).hexdigest() for name, content in made.items()},
            },
        },
    )
