"""Performance: the champion's metric on captured rows whose labels came, against what its evaluation promised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill.stages.bootstrap import interval
from tidemill.stages.metrics import Metric, dummy_prediction, or_nan

SEED = 13
CONFIDENCE = 0.995
"""One-sided, over all looks that a window's time gets: a drop by chance must stay rare."""
FLOOR = 0.05
"""The share of what the champion earned over a model without features that must be lost to matter."""
FEW_WINDOWS = 5
"""Of fewer nothing is known of how windows differ."""
_LIMITS = 2 * NormalDist().inv_cdf(0.975)
"""Standard errors from one limit of an interval to the other."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Performance:
    """`status` is a value: without enough labels nothing is said about the model. `loss` is a share, see `FLOOR`;
    `between` what windows differ by, see `spread`."""

    status: Literal["insufficient_labels", "fine", "dropped"]
    metric: str
    predictions: int
    labelled: int
    needed: int
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    loss: float | None = None
    between: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    metric: Metric,
    truth: Array,
    prediction: Array,
    *,
    predictions: int,
    needed: int,
    baseline: Mapping[str, Any],
    dummy: float,
    confidence: float = CONFIDENCE,
    between: float = 0.0,
) -> Performance:
    """`baseline` is the evaluation's interval of the champion, with its standard error; `dummy` its score without
    features; `confidence` that of this one look; `between` see `spread`.

    What a model earns is its gain over a model without features on the same rows: `dummy` for the evaluation, this
    window's own class shares or mean for the window. The loss is the smaller of the metric's own and of the
    earnings'. It counts when z = loss / sqrt(all variances) is beyond the one-sided `confidence` and it is at least
    `FLOOR` of what the model had earned. Both samples' errors count, the evaluation being an estimate too, and what
    windows differ by anyway.
    """
    labelled = len(truth)

    def unsaid(why: str) -> Performance:
        return Performance("insufficient_labels", metric.name, predictions, labelled, needed, why)

    if labelled < needed:
        return unsaid(f"{labelled:,} of {predictions:,} predictions have labels, and {needed:,} are needed to judge")
    now = interval(metric, truth, prediction, seed=SEED)
    error = math.hypot(now.standard_error, or_nan(baseline["standard_error"]), between)
    earned = metric.gain(or_nan(baseline["value"])) - metric.gain(dummy)
    dummies = (
        dummy_prediction("binary", truth, labelled, prediction.shape[1])
        if prediction.ndim == 2
        else dummy_prediction("regression", truth, labelled, 0)
    )
    without = metric.bind(truth, dummies)(None)
    loss = lost(metric, or_nan(baseline["value"]), dummy, now.value, without)
    if not all(map(math.isfinite, (error, earned, loss))) or earned <= 0:
        return unsaid(f"{metric.name} cannot be computed on the {labelled:,} labelled rows")
    dropped = is_drop(loss, error, earned, confidence)
    return Performance(
        "dropped" if dropped else "fine",
        metric.name,
        predictions,
        labelled,
        needed,
        f"{metric.name} is {now.value:.4g} ({now.low:.4g} to {now.high:.4g}) on {labelled:,} labelled rows of "
        f"{predictions:,}; its evaluation had {baseline['value']:.4g}"
        + (f": {loss / earned:.0%} of what it had learned is lost" if dropped else ": no drop that matters"),
        now.value,
        now.low,
        now.high,
        baseline["value"],
        loss / earned,
        between,
    )


def spread(past: Sequence[Performance]) -> float:
    """Standard deviation of the metric between windows, beyond what their own errors explain: the rows of a day share
    its weather, of which an interval of independent rows knows nothing. 0 for fewer than `FEW_WINDOWS`.

    From successive differences (von Neumann 1941, as in control charts of single values), so that `past` is in the
    order of time: a drop that stays is one difference, and does not hide itself as its windows become many."""
    known = [
        (one.value, (one.high - one.low) / _LIMITS)
        for one in past
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if len(known) < FEW_WINDOWS:
        return 0.0
    values, errors = np.array(known).T
    explained = errors[1:] ** 2 + errors[:-1] ** 2
    return math.sqrt(max(0.0, float(np.mean(np.diff(values) ** 2 - explained)) / 2))


def lost(metric: Metric, before: float, dummy: float, now: float, without: float) -> float:
    """Of the gain: by how much less there is now, or less of it than a model without features has, which had `dummy`
    before and has `without` now. A window that is harder for any model, and one in which there is less to explain, are
    no fault of this one, so that both must hold."""
    worse = metric.gain(before) - metric.gain(now)
    earned = metric.gain(before) - metric.gain(dummy)
    return min(worse, earned - (metric.gain(now) - metric.gain(without)))


def is_drop(loss: float, error: float, earned: float, confidence: float) -> bool:
    """Beyond chance, and by as much as matters."""
    return loss > NormalDist().inv_cdf(confidence) * error and loss / earned >= FLOOR


def confidence_of_a_look(every: timedelta, window: timedelta, looks: int) -> float:
    """`CONFIDENCE` over all: each moment is in `window / every` windows, and each of these gets so many `looks`, by
    itself and together with others. They share the error evenly (Bonferroni), whatever they have in common."""
    return 1 - (1 - CONFIDENCE) / looks * min(1.0, every / window)


@dataclass(frozen=True)
class Measured:
    """One window's performance; nothing is concluded from one whose feed was `broken`."""

    start: datetime
    end: datetime
    performance: Performance
    broken: bool = False


@dataclass(frozen=True)
class Together:
    """The newest windows with labels, judged as one: what a day's rows are too few to show, several days' may. Counts
    are of the rows that were kept of each, see `outcomes`."""

    windows: int
    start: datetime
    end: datetime
    performance: Performance

    @property
    def dropped(self) -> bool:
        return self.performance.status == "dropped"

    @property
    def sentence(self) -> str:
        where = f"over the {self.windows} newest windows with labels, {_span(self.start, self.end)}"
        return f"{where}, {self.performance.sentence}"

    def to_json(self) -> dict[str, Any]:
        span = {"windows": self.windows, "start": self.start.isoformat(), "end": self.end.isoformat()}
        return {**self.performance.to_json(), **span}


def deciding(current: Performance, past: Sequence[Measured]) -> Performance:
    """What is known of the version: this window's performance, or where too few of its labels came that of the newest
    window with enough of them, if it dropped there. That it was fine then says nothing of now. `past` has the newest
    first."""
    if current.status != "insufficient_labels":
        return current
    labelled = [one for one in past if one.performance.status != "insufficient_labels" and not one.broken]
    if not labelled or labelled[0].performance.status != "dropped":
        return current
    where = f"in the window of {_span(labelled[0].start, labelled[0].end)}, whose labels came late"
    return replace(labelled[0].performance, sentence=f"{where}, {labelled[0].performance.sentence}")


def _span(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
