"""Train: search one candidate by cross-validation on the training side, fit it, export it, prove the export."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tidemill.encoding import Matrix
from tidemill.errors import TrainingFailed
from tidemill.schema import Schema
from tidemill.spec import OWN, ModelSpec, Ranges
from tidemill.stages import history, spaces
from tidemill.stages.calibration import Answers, ThresholdBy, calibrate, threshold
from tidemill.stages.estimators import most_trees
from tidemill.stages.export import parity, predict, to_onnx
from tidemill.stages.finish import Calibrated
from tidemill.stages.folds import FEWEST_ROWS, SEED, TrainingSide
from tidemill.stages.history import History
from tidemill.stages.metrics import RARE_SHARE, Metric, default_metric, dummy_prediction, metric
from tidemill.stages.parity import Parity
from tidemill.stages.recipes import Recipe, fit
from tidemill.stages.search import Clock, Found, Judged, Trial, kept_for_export, mean_score, search
from tidemill.stages.spaces import Params

_SHOWN_ROWS = 20_000
"""The export is proved, and the training score is taken, on at most so many rows."""
_WORTH_THREADS = 50_000
"""Below so many rows, boosting's threads spend more time waiting for each other than working."""
_SKEWED = 1.0
"""From this skewness on a regression target may be taken on a log scale."""


@dataclass(frozen=True)
class Trained:
    """A fitted and exported candidate. `scores`: cross-validation of the chosen settings, calibrated if it is, on the
    training rows of the chosen `history` (on fewer where time ran out, which `complete` and `stopped` tell); `rows`
    went into the fit."""

    candidate: str
    metric: str
    params: Params
    scores: tuple[float, ...]
    dummy_score: float
    training_score: float
    trials: tuple[Trial, ...]
    planned: int
    rungs: tuple[int, ...]
    stopped: str
    rows: int
    calibration: Mapping[str, Any] | None
    threshold: float | None
    threshold_by: ThresholdBy | None
    history: History | None
    parity: Parity
    timings: Mapping[str, float]
    onnx: bytes
    joblib: bytes

    @property
    def complete(self) -> bool:
        return not self.stopped

    @property
    def score(self) -> float:
        """By which candidates are compared: of the newest rows, where some are newer than others."""
        return self.history.chosen.score if self.history else mean_score(self.scores)


def choose_metric(spec: ModelSpec, schema: Schema, target: npt.NDArray[np.float64]) -> Metric:
    """The spec's metric, or the task's default; raises `TrainingFailed` for one that the task does not know."""
    try:
        if spec.train.metric:
            return metric(spec.train.metric, schema.task)
    except ValueError as error:
        raise TrainingFailed(f"train.metric in the spec: {error}") from None
    share = float(np.mean(target == 1)) if schema.task == "binary" else None
    return default_metric(schema.task, share)


def train(candidate: str, side: TrainingSide, spec: ModelSpec, unseen: Matrix, seconds_left: Clock) -> Trained:
    """Search, fit and export within the time: the best so far is fitted when `seconds_left` runs low.

    `unseen` are held-out rows, used only to prove that the exported graph answers as the pipeline does.
    Raises `TrainingFailed` where the rows hold nothing to learn.
    """
    _check(side)
    with threadpool_limits(None if len(side) > _WORTH_THREADS else 1):
        return _train(candidate, side, spec, unseen, seconds_left)


def _train(candidate: str, side: TrainingSide, spec: ModelSpec, unseen: Matrix, seconds_left: Clock) -> Trained:
    measure = choose_metric(spec, side.schema, side.target)
    recipes = _recipes(candidate, side, spec)
    started = seconds_left()
    kept = history.SHARE * started if side.spans else 0.0
    found = search(recipes, side, measure, lambda: seconds_left() - kept)
    best, learned = found.best, side
    searched = seconds_left()
    spare = kept_for_export(started) + best.seconds_to_fit(len(side))
    outcome = history.compete(best, recipes, side, measure, lambda: seconds_left() - spare)
    if outcome and outcome.chosen.level:
        best, learned = outcome.judged, side.since(outcome.chosen.level)
    judged_on = learned.sample(best.drawn)
    calibration = None if side.schema.task == "regression" else calibrate(best.answers, judged_on.target)
    decided = seconds_left()
    rows = _rows_in_time(best, len(learned), decided - kept_for_export(started))
    model = fit(best.grown, learned.sample(rows))
    fitted = seconds_left()
    if calibration and calibration.sigmoid:
        model = Calibrated(model, calibration.sigmoid)
    graph = to_onnx(model, side.matrix.shape[1], classifier=side.schema.task != "regression")
    answers = calibration.answers if calibration else best.answers
    line, line_by = threshold(answers, judged_on.target, side.schema.task, spec.train.threshold)
    shown = learned.sample(_SHOWN_ROWS)
    proof = parity(model, graph, unseen[-_SHOWN_ROWS:], float(learned.target.std()))
    if not proof.holds:
        # Another candidate may be sound: this one must not win by its score, only to be refused by the gate.
        raise TrainingFailed(
            f"its exported graph differs from the trained model on {proof.beyond:,} of {proof.rows:,} held-out rows, "
            f"by up to {proof.largest:.1e}: leave {candidate!r} out, or use steps that export without loss"
        )
    return Trained(
        candidate=candidate,
        metric=measure.name,
        params=best.grown.params,
        scores=_scores(best, answers, judged_on, measure),
        dummy_score=_dummy_score(learned, measure),
        training_score=measure.bind(shown.target, predict(model, shown.matrix))(None),
        trials=found.trials,
        planned=len(recipes),
        rungs=found.rungs,
        stopped=_stopped(found, rows, len(learned)),
        rows=rows,
        calibration=calibration.to_json() if calibration else None,
        threshold=line,
        threshold_by=line_by,
        history=outcome,
        parity=proof,
        timings={
            "search": started - searched,
            "history": searched - decided,
            "fit": decided - fitted,
            "export": fitted - seconds_left(),
        },
        onnx=graph,
        joblib=_dump(model),
    )


def _rows_in_time(best: Judged, rows: int, seconds: float) -> int:
    """As many as there is time for, and no fewer than the setting was judged on."""
    share = max(seconds, 0) / max(best.seconds_to_fit(rows), 1e-9)
    return rows if share >= 1 else max(best.rows_to_fit(share, rows), best.rows)


def _check(side: TrainingSide) -> None:
    """What Prepare lets through and no candidate can learn from."""
    rows, classes = len(side), np.unique(side.target)
    if rows < FEWEST_ROWS:
        raise TrainingFailed(f"there are {rows} training rows, and at least {FEWEST_ROWS} are needed: upload more")
    if not np.isfinite(side.target).all():
        bad = int((~np.isfinite(side.target)).sum())
        raise TrainingFailed(f"{bad} of {rows:,} training rows have no finite target: upload these rows with one")
    if len(classes) > 1:
        return
    if side.schema.task == "regression":
        raise TrainingFailed(
            f"the target is {classes[0]:g} in all {rows:,} training rows, so that there is nothing to learn: "
            "upload rows with other values, or name another target"
        )
    raise TrainingFailed(
        f"all {rows:,} training rows are of class {side.schema.classes[int(classes[0])]!r}, so that there is nothing "
        "to learn: upload rows of another class"
    )


def _recipes(candidate: str, side: TrainingSide, spec: ModelSpec) -> list[Recipe]:
    """Nothing of an own estimator is searched."""
    if candidate == OWN:
        return [Recipe(OWN, side.schema, {}, estimator=spec.train.estimator or "")]
    ranges: Ranges = getattr(spec.train, candidate)
    searched = spaces.space(candidate, ranges, rows=len(side), rare=_has_rare_class(side), skewed=_is_skewed(side))
    found = []
    for params in spaces.settings(searched, spec.train.trials, SEED):
        trees = None
        if spaces.STOPPED in searched:
            ends = searched[spaces.STOPPED]
            most = min(int(ends.high), most_trees(side.schema, params))
            trees = min(int(ends.low), most), most
        found.append(Recipe(candidate, side.schema, params, trees))
    return found


def _has_rare_class(side: TrainingSide) -> bool:
    """Of many classes, each may well have few of the rows: one is rare that has less than half of an even share."""
    if side.schema.task == "regression":
        return False
    counts = np.unique(side.target, return_counts=True)[1]
    return bool(counts.min() < min(RARE_SHARE, 0.5 / len(counts)) * len(side))


def _is_skewed(side: TrainingSide) -> bool:
    if side.schema.task != "regression":
        return False
    standard = (side.target - side.target.mean()) / side.target.std()
    return bool(abs((standard**3).mean()) > _SKEWED)


def _stopped(found: Found, rows: int, all_rows: int) -> str:
    if rows == all_rows:
        return found.stopped
    return "; ".join(filter(None, [found.stopped, f"time was left to fit {rows:,} of {all_rows:,} rows"]))


def _scores(best: Judged, answers: Answers, side: TrainingSide, measure: Metric) -> tuple[float, ...]:
    """A fold that could not be judged stays so; the others are judged again, since calibration moves probabilities."""
    judged = iter([measure.bind(side.target[places], said)(None) for places, said in answers])
    return tuple(next(judged) if score == score else score for score in best.scores)


def _dummy_score(side: TrainingSide, measure: Metric) -> float:
    dummy = dummy_prediction(side.schema.task, side.target, len(side), len(side.schema.classes))
    return measure.bind(side.target, dummy)(None)


def _dump(model: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    return buffer.getvalue()
