"""The gate: may this candidate serve? Every check has a value, a threshold, a result and a sentence.

Ties keep the champion: a model must earn its place.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.spec import Gate
from tidemill.stages.bootstrap import Interval, PairedDifference, paired_difference
from tidemill.stages.metrics import Metric
from tidemill.stages.parity import TOLERANCE, Parity

SEED = 11
LARGEST_GRAPH_MB = 25.0
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """`value` and `threshold` are what the sentence compares; None where there is nothing to compare."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def decide(checks: Sequence[Check], champion: int | None) -> tuple[bool, list[str]]:
    """Promote only if every check passes; the reasons are the failed checks' sentences, or why it won.

    With a champion, the overfit gap is shown but decides nothing: where the world became harder, cross-validation on
    older rows promised more than any model can keep, and the comparison on unseen rows is the stronger evidence.
    """
    shown = {"overfit_gap"} if champion is not None else set()
    failed = [check.sentence for check in checks if not check.passed and check.name not in shown]
    if failed:
        return False, failed
    if champion is None:
        return True, ["it is the first model, and it passed every absolute check"]
    return True, [check.sentence for check in checks if check.name == "better_than_champion"]


def beats_dummy(metric: Metric, truth: Array, candidate: Array, dummy: Array, gate: Gate) -> Check:
    """Paired bootstrap against a model without features (class shares, or the mean)."""
    result = paired_difference(metric, truth, candidate, dummy, seed=SEED, confidence=gate.confidence)
    passed = result.lower > 0
    verb = "beats" if passed else "does not surely beat"
    return Check(
        "beats_dummy",
        passed,
        _number(result.lower),
        0.0,
        f"it {verb} a model without features: {metric.name} {result.candidate:.4g} against {result.champion:.4g} "
        f"on {result.rows:,} held-out rows",
    )


def overfit_gap(metric: Metric, cross_validated: float, held_out: Interval, dummy: float, gate: Gate) -> Check:
    """(cross-validated - held-out) / (cross-validated - dummy), in gains.

    It fails only if the gap is too wide even at the favourable end of the held-out interval: on few rows
    the point estimate alone would refuse good models by chance.
    """
    earned = metric.gain(cross_validated) - metric.gain(dummy)
    favourable = held_out.high if metric.higher_is_better else held_out.low
    if not math.isfinite(earned) or earned <= 0 or not math.isfinite(favourable):
        return Check(
            "overfit_gap", False, None, gate.max_overfit_gap,
            "cross-validation found nothing beyond a model without features, so there is no gap to measure",
        )  # fmt: skip
    gap = (metric.gain(cross_validated) - metric.gain(held_out.value)) / earned
    surely = (metric.gain(cross_validated) - metric.gain(favourable)) / earned
    passed = surely <= gate.max_overfit_gap
    lost = f"{gap:.0%} of what it learned in cross-validation is lost" if gap > 0 else "nothing is lost"
    return Check(
        "overfit_gap",
        passed,
        gap,
        gate.max_overfit_gap,
        f"{lost} on held-out rows ({cross_validated:.4g} → {held_out.value:.4g}; "
        f"at most {gate.max_overfit_gap:.0%} may be)",
    )


def export_parity(parity: Parity) -> Check:
    return Check(
        "export_parity",
        parity.holds,
        parity.largest,
        TOLERANCE,
        f"the exported graph {'answers as' if parity.holds else 'differs from'} the trained model "
        f"(largest difference {parity.largest:.1e} on {parity.rows:,} rows, {parity.beyond} beyond {TOLERANCE:.0e})",
    )


def artifact_size(graph: bytes) -> Check:
    """A graph of 25 MB takes about 0.4 GB to load, and the endpoint has 1 GB for the old model and the new one."""
    size = len(graph) / 1e6
    fits = size <= LARGEST_GRAPH_MB
    return Check(
        "artifact_size",
        fits,
        size,
        LARGEST_GRAPH_MB,
        f"its graph has {size:.1f} MB, {'within' if fits else 'more than'} the {LARGEST_GRAPH_MB:g} MB that the "
        "endpoint can load beside another",
    )


def better_than_champion(
    metric: Metric, truth: Array, candidate: Array, champion: Array, version: int, gate: Gate, attempt: int
) -> tuple[Check, PairedDifference | None]:
    """One-sided paired bootstrap on rows that neither was trained on.

    Judging again on the same rows finds a winner by chance sooner or later. So the n-th attempt on one set of
    rows is judged at the spec's error * 6 / (pi * n)²: over any number of attempts that adds up to the error.
    """
    error = (1 - gate.confidence) * 6 / (math.pi * attempt) ** 2
    margin = gate.margin or 0.0
    if not len(truth):
        return Check(
            "better_than_champion", False, None, 0.0,
            f"there are no rows yet that neither it nor version {version} was trained on: upload newer rows",
        ), None  # fmt: skip
    result = paired_difference(metric, truth, candidate, champion, seed=SEED, confidence=1 - error)
    passed = result.lower > -margin
    return Check(
        "better_than_champion",
        passed,
        _number(result.lower),
        -margin,
        _comparison(metric, result, version, passed=passed, margin=margin, attempt=attempt),
    ), result


def _comparison(
    metric: Metric, result: PairedDifference, version: int, *, passed: bool, margin: float, attempt: int
) -> str:
    numbers = f"{metric.name} {result.candidate:.4g} against {result.champion:.4g} on the same {result.rows:,} rows"
    again = f", attempt {attempt} on these rows" if attempt > 1 else ""
    bound = f"lower bound of the difference {result.lower:+.2g} at {result.confidence:.2%}{again}"
    if passed:
        how = "no worse than the margin allows" if margin else "better"
        return f"it is {how} than version {version}: {numbers} ({bound})"
    if not math.isfinite(result.lower):
        return f"it cannot be compared with version {version}: {numbers} have too few of some class"
    surely_worse = 2 * result.difference - result.lower < 0  # the bound's mirror image is below 0
    how = "worse than" if surely_worse else "not surely better than"
    return f"it is {how} version {version}: {numbers} ({bound})"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
