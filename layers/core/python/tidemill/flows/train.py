"""Train: one candidate of one run, from the stored data set to stored artifacts."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version

from tidemill.aws import datasets
from tidemill.aws.paths import candidate_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Candidate, TrainRequest
from tidemill.stages.metrics import metric
from tidemill.stages.train import TrainingSide, mean_score, train

_RESERVE = 60.0
"""Seconds of the function's own time kept for reading and writing."""


def run(request: TrainRequest, stores: Stores, remaining: Callable[[], float]) -> Candidate:
    """`remaining`: seconds until the function is stopped. The spec's seconds count from now."""
    data = datasets.load(stores.data, request.model, request.dataset)
    training = ~data.held_out
    side = TrainingSide(
        data.schema,
        data.matrix[training],
        data.target[training],
        None if data.moments is None else data.moments[training],
    )
    budget = min(float(data.spec.train.seconds), remaining() - _RESERVE)
    stop_at = remaining() - budget
    trained = train(request.candidate, side, data.spec, data.matrix[data.held_out], lambda: remaining() - stop_at)
    prefix = candidate_prefix(request.model, request.run, request.candidate)
    stores.models.put(f"{prefix}model.onnx", trained.onnx)
    stores.models.put(f"{prefix}model.joblib", trained.joblib)
    score = mean_score(trained.scores)
    stores.models.put_json(
        f"{prefix}candidate.json",
        {
            "candidate": trained.candidate,
            "metric": trained.metric,
            "params": dict(trained.params),
            "cross_validated": _number(score),
            "scores": [_number(value) for value in trained.scores],
            "dummy": _number(trained.dummy_score),
            "training": _number(trained.training_score),
            "trials": [
                {"params": dict(trial.params), "scores": [_number(value) for value in trial.scores]}
                for trial in trained.trials
            ],
            "complete": trained.complete,
            "rows": int(training.sum()),
            "parity": {
                "rows": trained.parity.rows,
                "largest": trained.parity.largest,
                "beyond": trained.parity.beyond,
            },
            "digests": {
                "model.onnx": hashlib.sha256(trained.onnx).hexdigest(),
                "model.joblib": hashlib.sha256(trained.joblib).hexdigest(),
            },
            "libraries": {name: version(name) for name in ("numpy", "scikit-learn", "skl2onnx", "onnxruntime")},
        },
    )
    gain = metric(trained.metric, data.schema.task).gain(score)
    return Candidate(request.candidate, prefix, _number(gain))


def _number(value: float) -> float | None:
    return value if value == value else None
