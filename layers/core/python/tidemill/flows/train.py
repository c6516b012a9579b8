"""Train: one candidate of one run, from the stored data set to stored artifacts."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import tidemill
import tidemill_estimators
from tidemill.aws import datasets
from tidemill.aws.datasets import StoredDataset
from tidemill.aws.paths import candidate_prefix, version_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Candidate, TrainRequest
from tidemill.errors import TrainingFailed
from tidemill.schema import Schema
from tidemill.spec import CANDIDATES, OWN
from tidemill.stages import own, repeated, spaces
from tidemill.stages.folds import SEED, TrainingSide
from tidemill.stages.metrics import metric, or_none
from tidemill.stages.recency import ENOUGH_HELD_OUT
from tidemill.stages.recipes import Recipe
from tidemill.stages.repeated import Incumbent, Repeated
from tidemill.stages.search import mean_score
from tidemill.stages.train import Trained, train

_RESERVE = 60.0
"""Seconds of the function's own time kept for reading and writing."""
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "skl2onnx", "onnx", "onnxruntime")


def run(request: TrainRequest, stores: Stores, remaining: Callable[[], float]) -> Candidate:
    """`remaining`: seconds until the function is stopped. The spec's seconds count from now."""
    begun = remaining()
    data = datasets.load(stores.data, request.model, request.dataset)
    side = TrainingSide.of(data.schema, data)
    budget = min(float(data.spec.train.seconds), remaining() - _RESERVE)
    stop_at = remaining() - budget
    small = int(data.held_out.sum()) < ENOUGH_HELD_OUT
    if small:
        side = replace(side, recency=None)
    # Of a small table, half the time is for comparing recipes.
    kept = budget / 2 if small else 0.0
    unseen = data.matrix[data.held_out]
    trained = train(request.candidate, side, data.spec, unseen, lambda: remaining() - stop_at - kept)
    compared = _compare(request, data, trained, stores, lambda: remaining() - stop_at) if small else None
    prefix = candidate_prefix(request.model, request.run, request.candidate)
    stores.models.put(f"{prefix}model.onnx", trained.onnx)
    stores.models.put(f"{prefix}model.joblib", trained.joblib)
    stores.models.put_json(f"{prefix}candidate.json", _document(trained, compared, _estimator(trained, data)))
    gain = metric(trained.metric, data.schema.task).gain(trained.score)
    return Candidate(request.candidate, prefix, or_none(gain), seconds=round(begun - remaining(), 1))


def _compare(
    request: TrainRequest, data: StoredDataset, trained: Trained, stores: Stores, seconds_left: Callable[[], float]
) -> Repeated | None:
    recipe = Recipe(trained.candidate, data.schema, trained.params, estimator=_estimator(trained, data))
    everything = TrainingSide(data.schema, data.matrix, data.target, None)
    measure = metric(trained.metric, data.schema.task)
    incumbent = _incumbent(request, data, stores)
    try:
        return repeated.compare(recipe, everything, data.names, measure, incumbent, seconds_left)
    except TrainingFailed:
        # The champion's own estimator does not learn any more, which is no fault of this candidate.
        return repeated.compare(recipe, everything, data.names, measure, None, seconds_left)


def _incumbent(request: TrainRequest, data: StoredDataset, stores: Stores) -> Incumbent | None:
    """None without a champion, or with one whose recipe this deployment does not know."""
    champion = stores.registry.champion(request.model)
    if champion is None:
        return None
    manifest = stores.models.get_json(f"{version_prefix(request.model, champion.version)}manifest.json")
    candidate, estimator = manifest["candidate"], manifest.get("estimator") or ""
    if candidate not in CANDIDATES and estimator not in own.known_in(tidemill_estimators.__path__):
        return None
    params = {**spaces.defaults(candidate), **manifest["params"]}
    # Of the champion's columns, and of the classes that there are now.
    schema = replace(Schema.from_json(manifest["schema"]), classes=data.schema.classes)
    # A version of before there was a choice learned from all.
    learned = manifest.get("learned_from", manifest["partitions"])
    known = [place for place, content in enumerate(data.partitions) if content in learned]
    return Incumbent(
        champion.version,
        Recipe(candidate, schema, params, estimator=estimator),
        np.isin(data.partition, known),
    )


def _estimator(trained: Trained, data: StoredDataset) -> str:
    return (data.spec.train.estimator or "") if trained.candidate == OWN else ""


def _document(trained: Trained, compared: Repeated | None, estimator: str) -> dict[str, Any]:
    """candidate.json."""
    return {
        "candidate": trained.candidate,
        "estimator": estimator or None,
        "metric": trained.metric,
        "params": dict(trained.params),
        "cross_validated": or_none(mean_score(trained.scores)),
        "scores": [or_none(value) for value in trained.scores],
        "dummy": or_none(trained.dummy_score),
        "training": or_none(trained.training_score),
        "trials": [
            {
                "params": dict(trial.params),
                "scores": [or_none(value) for value in trial.scores],
                "rows": trial.rows,
            }
            for trial in trained.trials
        ],
        "search": {
            "planned": trained.planned,
            "tried": sum(trial.rows == trained.rungs[0] for trial in trained.trials),
            "rows": list(trained.rungs),
            "stopped": trained.stopped,
        },
        "complete": trained.complete,
        "rows": trained.rows,
        "history": trained.history.to_json() if trained.history else None,
        "threshold": trained.threshold,
        "threshold_by": trained.threshold_by,
        "calibration": trained.calibration,
        "repeated": compared.to_json() if compared else None,
        "parity": asdict(trained.parity),
        "digests": {
            "model.onnx": hashlib.sha256(trained.onnx).hexdigest(),
            "model.joblib": hashlib.sha256(trained.joblib).hexdigest(),
        },
        "seed": SEED,
        "code": _code(),
        "timings": dict(trained.timings),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


@cache
def _code() -> str:
    """Digest of the sources that a version was trained by, own estimators among them."""
    digest = hashlib.sha256()
    for package in (tidemill, tidemill_estimators):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
