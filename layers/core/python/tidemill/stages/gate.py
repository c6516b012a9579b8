"""The gate: may this candidate serve? Every check has a value, a threshold, a result and a sentence.

Ties keep the champion: a model must earn its place.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.schema import COPY_BITS
from tidemill.spec import Gate
from tidemill.stages.attempts import error_of
from tidemill.stages.bootstrap import Interval, PairedDifference, paired_difference
from tidemill.stages.leakage import CERTAIN, Leak
from tidemill.stages.metrics import Metric, or_nan, or_none
from tidemill.stages.parity import TOLERANCE, Parity
from tidemill.stages.performance import lost
from tidemill.stages.recency import FEWEST_RARE
from tidemill.stages.slices import Slice

SEED = 11
LARGEST_GRAPH_MB = 25.0
FALLEN = 0.5
"""Share of what a champion had earned: one that has surely lost more has failed."""
_OF_CHANCE = NormalDist().inv_cdf(0.95)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """`value` and `threshold` are what the sentence compares; None where there is nothing to compare. One that `warns`
    has passed, and should be looked at. `inputs`: what the value was computed from."""

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    sentence: str
    warns: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def decide(checks: Sequence[Check], champion: int | None) -> tuple[bool, list[str]]:
    """Promote only if every check passes; the reasons are the failed checks' sentences, or why it won, and what was
    warned of.

    With a champion, the overfit gap is shown but decides nothing: where the world became harder, cross-validation on
    older rows promised more than any model can keep, and the comparison on unseen rows is the stronger evidence.
    """
    shown = {"overfit_gap"} if champion is not None else set()
    failed = [check.sentence for check in checks if not check.passed and check.name not in shown]
    if failed:
        return False, failed
    won = [check.sentence for check in checks if check.name == "better_than_champion"]
    if champion is None:
        won = ["it is the first model, and it passed every absolute check"]
    return True, [*won, *(check.sentence for check in checks if check.warns)]


def beats_dummy(
    metric: Metric, truth: Array, candidate: Array, dummy: Array, gate: Gate, attempt: float = 1.0
) -> Check:
    """Paired bootstrap against a model without features (class shares, or the mean). It decides alone while there is
    no champion, so that attempts spend its error as well."""
    result = paired_difference(metric, truth, candidate, dummy, seed=SEED, confidence=confidence(gate, attempt))
    return dummy_check(result, "held-out")


def dummy_check(result: PairedDifference, rows: str, *, folds: bool = False) -> Check:
    """`rows` says which they are."""
    if not folds and (few := _too_few(result)):
        sentence = f"it cannot be compared with a model without features: {few}"
        return Check("beats_dummy", False, None, 0.0, sentence, inputs=result.to_json())
    passed = result.lower > 0
    verb = "beats" if passed else "does not surely beat"
    return Check(
        "beats_dummy",
        passed,
        or_none(result.lower),
        0.0,
        f"it {verb} a model without features: {result.metric} {result.candidate:.4g} against {result.champion:.4g} "
        f"on {result.rows:,} {rows} rows",
        inputs=result.to_json(),
    )


def _too_few(result: PairedDifference) -> str:
    """That the rarer of two classes has too few rows, or nothing."""
    if result.rarest is None or result.rarest >= FEWEST_RARE:
        return ""
    return f"the rarest class has {result.rarest} held-out rows, and {FEWEST_RARE} are needed: upload more rows"


def overfit_gap(metric: Metric, cross_validated: float, held_out: Interval, dummy: float, gate: Gate) -> Check:
    """(cross-validated - held-out) / (cross-validated - dummy), in gains.

    It fails only if the gap is too wide even at the favourable end of the held-out interval: on few rows
    the point estimate alone would refuse good models by chance.
    """
    earned = metric.gain(cross_validated) - metric.gain(dummy)
    favourable = held_out.high if metric.higher_is_better else held_out.low
    if not math.isfinite(favourable):
        return Check(
            "overfit_gap", False, None, gate.max_overfit_gap,
            f"the {held_out.rows:,} held-out rows have too few of some class to measure a gap: upload more rows",
        )  # fmt: skip
    if not math.isfinite(earned) or earned <= 0:
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


def floor(metric: Metric, held_out: Interval, gate: Gate) -> Check | None:
    """The spec's least acceptable value, or largest for a loss; None where it names none. What is promised to people is
    compared with the value itself, not with the end of its interval."""
    if gate.floor is None:
        return None
    passed = metric.gain(held_out.value) >= metric.gain(gate.floor)
    asked = "at least" if metric.higher_is_better else "at most"
    return Check(
        "floor",
        passed,
        or_none(held_out.value),
        gate.floor,
        f"its {metric.name} of {held_out.value:.4g} on held-out rows is {'' if passed else 'not '}{asked} "
        f"{gate.floor:g}, as the spec wants",
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
        f"its graph has {size:.3g} MB, {'within' if fits else 'more than'} the {LARGEST_GRAPH_MB:g} MB that the "
        "endpoint can load beside another",
    )


def latency(milliseconds: float, gate: Gate) -> Check:
    """Of one row in the graph alone, where the gate runs: what a caller waits for comes on top."""
    passed = milliseconds <= gate.max_latency_ms
    return Check(
        "latency",
        passed,
        milliseconds,
        gate.max_latency_ms,
        f"it answers one row in {milliseconds:.2g} ms, {'within' if passed else 'more than'} the "
        f"{gate.max_latency_ms:g} ms that the spec allows",
    )


def split(training: npt.NDArray[np.uint64], held_out: npt.NDArray[np.uint64], *, late: int) -> Check:
    """Nothing that it is judged on was learned from. `late`: training rows from after the cutoff."""
    copies = np.uint64(COPY_BITS)  # of one row; all of them belong on one side
    both = len(np.intersect1d(training >> copies, held_out >> copies))
    told = [f"{both:,} rows lie on both sides of the split"] if both else []
    told += [f"{late:,} training rows are from after the cutoff"] if late else []
    return Check(
        "split",
        not told,
        float(both + late),
        0.0,
        " and ".join(told) or f"none of the {len(held_out):,} held-out rows was trained on",
    )


def leakage(leaks: Sequence[Leak], gate: Gate) -> Check:
    """A feature that gives the target away was hardly known before the fact; one that almost does may be honest."""
    certain = [leak for leak in leaks if leak.score >= CERTAIN and leak.column not in gate.allowed_leaks]
    told = certain or leaks
    sentence = "no feature gives the target away"
    if told:
        sentence = "; ".join(leak.says for leak in told)
    if certain:
        sentence += (
            ": exclude what is known only after the fact, or add it to gate.allowed_leaks in the spec if it is right"
        )
    score = max((leak.score for leak in told), default=None)
    return Check(
        "leakage", not certain, score, CERTAIN, sentence, warns=bool(leaks) and not certain,
        inputs={"suspects": {leak.column: leak.score for leak in leaks}, "allowed": list(gate.allowed_leaks)},
    )  # fmt: skip


def spent(metric: Metric, evaluation: Mapping[str, Any], now: Interval, without: float) -> float:
    """The share of what the champion had earned in its own evaluation that it has lost on the rows that judge, less
    what chance may have taken: one-sided, 95 %, both standard errors together. `without`: a model without features on
    these rows. NaN where its metric was another."""
    if evaluation["metric"]["name"] != metric.name:
        return math.nan
    candidate = evaluation["candidate"]
    before, dummy = candidate["interval"], or_nan(candidate["dummy"])
    promised = or_nan(before["value"])
    earned = metric.gain(promised) - metric.gain(dummy)
    chance = _OF_CHANCE * math.hypot(or_nan(before["standard_error"]), now.standard_error)
    return (lost(metric, promised, dummy, now.value, without) - chance) / earned if earned > 0 else math.nan


def worst_slice(slices: Sequence[Slice], version: int, gate: Gate, spent: float) -> Check:
    """Where it loses most against the champion; it fails only if the loss is too large even at the favourable end of
    the slice's interval, which is corrected for how many slices there are. A champion that has `spent` half of what it
    had earned protects no slice: to keep it would cost more in all others."""
    threshold = gate.max_slice_loss
    if not slices:
        return Check("worst_slice", True, None, threshold, "there are no slices of enough rows to compare")
    worst = max(slices, key=lambda one: one.surely_lost)
    passed = worst.surely_lost <= threshold
    where = f"{worst.name} ({worst.rows:,} rows)"
    found = f"{worst.candidate:.4g} against {worst.champion:.4g}"
    if passed:
        sentence = f"in none of {len(slices)} slices it is surely worse than version {version} by over {threshold:.0%}"
        sentence += f" of what that one earned; nearest to it is {where}, {found}"
    else:
        sentence = (
            f"it is worse than version {version} where {where}: {found}, a loss of {worst.lost:.0%} of what that "
        )
        sentence += f"one earned, and surely of {worst.surely_lost:.0%}; at most {threshold:.0%} may be lost in a slice"
    fallen = not passed and spent > FALLEN
    if fallen:
        sentence += (
            f", but version {version} has itself surely lost {spent:.0%} of what it had earned in its evaluation"
        )
    inputs = {**worst.to_json(), "spent": or_none(spent)}
    return Check("worst_slice", passed or fallen, worst.surely_lost, threshold, sentence, warns=fallen, inputs=inputs)


def better_than_champion(
    metric: Metric, truth: Array, candidate: Array, champion: Array, version: int, gate: Gate, attempt: float
) -> tuple[Check, PairedDifference | None]:
    """One-sided paired bootstrap on rows that neither was trained on, at what is left of the error for this attempt."""
    if not len(truth):
        return Check(
            "better_than_champion", False, None, 0.0,
            f"there are no rows yet that neither it nor version {version} was trained on: upload newer rows",
        ), None  # fmt: skip
    result = paired_difference(metric, truth, candidate, champion, seed=SEED, confidence=confidence(gate, attempt))
    return champion_check(result, version, gate, attempt), result


def confidence(gate: Gate, attempt: float) -> float:
    return 1 - error_of(attempt, 1 - gate.confidence)


def champion_check(result: PairedDifference, version: int, gate: Gate, attempt: float, *, folds: bool = False) -> Check:
    """`folds`: recipes were compared by cross-validation, for want of held-out rows."""
    margin = gate.margin or 0.0
    few = "" if folds else _too_few(result)
    passed = result.lower > -margin and not few
    rows = f"in cross-validation of {result.rows:,} rows" if folds else f"on the same {result.rows:,} rows"
    numbers = f"{result.metric} {result.candidate:.4g} against {result.champion:.4g} {rows}"
    again = f", attempt {round(attempt, 1):g} on these rows" if attempt > 1 else ""
    bound = f"lower bound of the difference {result.lower:+.2g} at {result.confidence:.2%}{again}"
    surely_worse = 2 * result.difference - result.lower < 0  # the bound's mirror image is below 0
    if few:
        sentence = f"it cannot be compared with version {version}: {few}"
    elif passed:
        how = "no worse than the margin allows" if margin else "better"
        sentence = f"it is {how} than version {version}: {numbers} ({bound})"
    elif not math.isfinite(result.lower):
        sentence = f"it cannot be compared with version {version}: {numbers} have too few of some class"
    else:
        how = "worse than" if surely_worse else "not surely better than"
        sentence = f"it is {how} version {version}: {numbers} ({bound})"
    inputs = {"attempt": attempt, **result.to_json()}
    return Check("better_than_champion", passed, or_none(result.lower), -margin, sentence, inputs=inputs)
