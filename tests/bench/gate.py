"""How often the gate is wrong: `python -m tests.bench.gate [--trials N]`, by default 1,000 comparisons a row.

Two models' scores are drawn from the binormal model with a stated area under the ROC curve, correlated within each
class, and calibrated. The product's own functions judge them; shares come with exact (Clopper-Pearson) 95 % intervals.

What decides a comparison is its difference against z standard errors. Most differences are far from that by any
estimate of the error: the gate judges all the others, and some of the clear ones to see that nothing else comes out.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t
from sklearn.model_selection import RepeatedStratifiedKFold

from tests.bench.simulated import Simulation, added, head, interval, line, main, shown
from tidemill.spec import Gate
from tidemill.stages import attempts, bootstrap, gate
from tidemill.stages.attempts import Sketch
from tidemill.stages.metrics import METRICS, Metric
from tidemill.stages.repeated import FOLDS, REPEATS

SEED = 5
CHAMPION = 0.75
CANDIDATES = (0.73, 0.75, 0.77)
SMALL_SIZES = (200, 600)
SIZES = (500, 2_000, 10_000)
SHARES = (0.05, 0.1, 0.2, 0.5)
CORRELATIONS = (0.5, 0.9)
RETRAINS = 10
GROWTH = 1.1
GATE = Gate()
ERROR = 1 - GATE.confidence
DOUBT, DOUBT_OF_ONE = 0.05, 6.0
"""How far the bootstrap's standard error may be from the jackknife's: three times its Monte-Carlo error, and a part
that falls with the positives."""
CHECKED = 3
"""Of each row's comparisons, these are judged by the gate in any case, to see that the verdict is the same."""
PRACTICALLY_NEVER = 0.005
POWER = 0.8
Array = npt.NDArray[np.float64]
Redraws = Callable[[int, int, int, npt.ArrayLike | None], Iterator[npt.NDArray[Any]]]


@dataclass(frozen=True)
class Cell:
    """One row of a table: `auc` is the candidate's, the champion has `CHAMPION`."""

    metric: str
    rows: int
    share: float
    correlation: float
    auc: float


class Gap(NamedTuple):
    """The candidate's lead in gains, and its standard error."""

    difference: float
    error: float

    def wins(self, confidence: float) -> bool:
        return self.difference > NormalDist().inv_cdf(confidence) * self.error


class Tally(NamedTuple):
    trials: int = 0
    promoted: int = 0
    """By the gate, as the first candidate on these rows."""
    alone: int = 0
    """By one comparison at the stated confidence, none of its error kept for later; of equal candidates only."""
    plain: int = 0
    """By candidate >= champion."""
    checked: int = 0
    differ: int = 0


def models(
    rng: np.random.Generator, rows: int, share: float, correlation: float, aucs: Sequence[float]
) -> tuple[Array, list[Array]]:
    """Truth (rows,), positives first, and each model's calibrated probabilities (rows, 2).

    Scores are N(μ, 1) for positives and N(0, 1) for negatives, so that AUC = Φ(μ / √2); within a class every two
    models' scores have the correlation. The log odds of the binormal model are μx − μ²/2 + the prior's.
    """
    positives = round(rows * share)
    truth = (np.arange(rows) < positives).astype(np.float64)
    shared = math.sqrt(correlation) * rng.normal(size=rows)
    probabilities = []
    for auc in aucs:
        mean = math.sqrt(2) * NormalDist().inv_cdf(auc)
        score = mean * truth + shared + math.sqrt(1 - correlation) * rng.normal(size=rows)
        odds = np.exp(mean * score - mean**2 / 2) * positives / (rows - positives)
        probabilities.append(np.column_stack([1 / (1 + odds), odds / (1 + odds)]))
    return truth, probabilities


def judged(
    metric: Metric, truth: Array, candidate: Array, champion: Array, attempt: float
) -> tuple[gate.Check, bootstrap.PairedDifference]:
    check, result = gate.better_than_champion(metric, truth, candidate, champion, 1, GATE, attempt)
    assert result is not None
    return check, result


def slopes(metric: Metric, truth: Array, answer: Array) -> Array:
    """(rows,): what one more of each row would add to the value, were it small; scores have no ties."""
    order = np.argsort(-answer[:, 1])
    positive = truth[order]
    hits, flagged = np.cumsum(positive), np.arange(1, len(order) + 1)
    negatives = len(order) - hits[-1]
    slope = np.empty(len(order))
    if metric.name == "roc_auc":
        below = 1 - (flagged - hits) / negatives
        area = below @ positive / hits[-1]
        slope[order] = np.where(positive > 0, (below - area) / hits[-1], (hits / hits[-1] - area) / negatives)
    else:
        precision = hits / flagged
        gained = np.cumsum((positive / flagged)[::-1])[::-1]
        lost = np.cumsum((positive * precision / flagged)[::-1])[::-1]
        slope[order] = (positive * (precision - precision @ positive / hits[-1] + gained) - lost) / hits[-1]
    return slope


def gap(metric: Metric, truth: Array, candidate: Array, champion: Array, attempt: float, *others: float) -> Gap:
    """The infinitesimal jackknife says what the bootstrap's error would be with endless resamples and rows (Efron
    1982). Where that leaves doubt at the attempt's confidence or at one of the others, the gate judges."""
    of_candidate, of_champion = (metric.gain(metric.bind(truth, answer)(None)) for answer in (candidate, champion))
    near = float(np.linalg.norm(slopes(metric, truth, candidate) - slopes(metric, truth, champion)))
    lead = Gap(of_candidate - of_champion, near)
    needed = [NormalDist().inv_cdf(confidence) for confidence in (gate.confidence(GATE, attempt), *others)]
    doubt = DOUBT + DOUBT_OF_ONE / truth.sum()
    if not any(z * (1 - doubt) <= lead.difference / near <= z * (1 + doubt) for z in needed):
        return lead
    check, result = judged(metric, truth, candidate, champion, attempt)
    lead = Gap(result.difference, result.standard_error)
    assert check.passed == lead.wins(result.confidence)
    return lead


def compare(cell: Cell, chunk: int, trials: int) -> Tally:
    rng = np.random.default_rng([SEED, chunk, *_entropy(cell)])
    metric = METRICS[cell.metric]
    alone = [GATE.confidence] if cell.auc == CHAMPION else []
    found = []
    for trial in range(trials):
        truth, (candidate, champion) = models(rng, cell.rows, cell.share, cell.correlation, (cell.auc, CHAMPION))
        lead = gap(metric, truth, candidate, champion, 1, *alone)
        promoted = lead.wins(gate.confidence(GATE, 1))
        checked = chunk == 0 and trial < CHECKED
        differ = checked and judged(metric, truth, candidate, champion, 1)[0].passed != promoted
        found.append(Tally(1, promoted, lead.wins(GATE.confidence), lead.difference >= 0, checked, differ))
    return added(found)


def _entropy(cell: Cell) -> list[int]:
    numbers = (cell.rows, 100 * cell.share, 100 * cell.correlation, 100 * cell.auc)
    return [list(METRICS).index(cell.metric), *(round(number) for number in numbers)]


class Wins(NamedTuple):
    """Series of retrains in which at least one candidate, each as good as the champion, was promoted."""

    series: int = 0
    spent: int = 0
    """By the gate, which spends its error over the attempts."""
    unspent: int = 0
    """By one comparison at the stated confidence each time."""
    plain: int = 0
    """By candidate >= champion each time."""


@dataclass(frozen=True)
class Retrains:
    rows: int
    share: float
    correlation: float
    growth: float


def retrain(plan: Retrains, chunk: int, trials: int) -> Wins:
    """Ten candidates, one after another; whichever is promoted is the next one's champion."""
    rng = np.random.default_rng([SEED, chunk, plan.rows, *(round(100 * x) for x in (plan.correlation, plan.growth))])
    sizes = [round(plan.rows * plan.growth**n) for n in range(RETRAINS)]
    keys = rng.integers(0, 2**64, sizes[-1], dtype=np.uint64)
    sketches = [Sketch.of(keys[:size]) for size in sizes]
    metric = METRICS["roc_auc"]
    counted = [attempts.attempt(sketch, sketches[:number]) for number, sketch in enumerate(sketches)]
    found = []
    for _ in range(trials):
        truth, answers = models(rng, sizes[-1], plan.share, plan.correlation, [CHAMPION] * (RETRAINS + 1))
        positives = int(truth.sum())
        champions, won = [0, 0, 0], [False, False, False]
        for number, (size, attempt) in enumerate(zip(sizes, counted, strict=True), start=1):
            present = round(size * plan.share)
            rows = np.r_[:present, positives : positives + size - present]
            here, own = truth[rows], answers[number][rows]
            gaps = {
                champion: gap(metric, here, own, answers[champion][rows], attempt, GATE.confidence)
                for champion in set(champions)
            }
            for place, champion in enumerate(champions):
                lead = gaps[champion]
                wins = lead.wins(gate.confidence(GATE, attempt)), lead.wins(GATE.confidence), lead.difference >= 0
                if wins[place]:
                    champions[place], won[place] = number, True
        found.append(Wins(1, *won))
    return added(found)


class Folds(NamedTuple):
    tables: int = 0
    beaten: int = 0
    """The model without features, in the gate's view."""
    better: int = 0
    """Than the champion, in the gate's view."""
    both: int = 0
    """Without which there is no promotion."""
    naive: int = 0
    """By the t-test that takes the scores of overlapping folds for independent ones."""


@dataclass(frozen=True)
class Small:
    """Two views of one latent cause, five columns each; `signal`: how much of the cause is in them."""

    what: str
    signal: float
    candidate: tuple[int, ...]
    """The views it sees; the champion sees the first."""
    rows: int = 0


SMALL = (
    Small("noise, as the champion", 0.0, (1,)),
    Small("an equal recipe", 0.5, (1,)),
    Small("one with twice the columns that tell", 0.5, (0, 1)),
)


def cross_validated(small: Small, chunk: int, trials: int) -> Folds:
    """Least squares on the class: a linear discriminant."""
    rng = np.random.default_rng([SEED, chunk, small.rows, SMALL.index(replace(small, rows=0))])
    found = []
    for _ in range(trials):
        latent = rng.normal(size=small.rows)
        views = small.signal * latent[:, None, None] + rng.normal(size=(small.rows, 5, 2))
        truth = (latent + rng.normal(size=small.rows) > 0).astype(np.float64)
        tables = [
            np.column_stack([np.ones(small.rows), *(views[:, :, view] for view in seen)])
            for seen in (small.candidate, (0,), ())
        ]
        scores = np.array([_fold(tables, truth, *fold) for fold in _folds(truth)])
        beaten, better = (
            bootstrap.of_folds(
                METRICS["roc_auc"], scores[:, 0], scores[:, other], folds=FOLDS, rows=small.rows, confidence=confidence
            )
            for other, confidence in ((2, GATE.confidence), (1, gate.confidence(GATE, 1)))
        )
        checks = gate.dummy_check(beaten, "").passed, gate.champion_check(better, 1, GATE, 1, folds=True).passed
        lead = scores[:, 0] - scores[:, 1]
        naive = lead.mean() > t.ppf(GATE.confidence, lead.size - 1) * lead.std(ddof=1) / math.sqrt(lead.size)
        found.append(Folds(1, *checks, all(checks), bool(naive)))
    return added(found)


def _folds(truth: Array) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    splitter = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=SEED)
    yield from splitter.split(truth, truth)


def _fold(
    tables: Sequence[Array], truth: Array, fit: npt.NDArray[np.int64], judge: npt.NDArray[np.int64]
) -> list[float]:
    scores = []
    for table in tables:
        answer = table[judge] @ np.linalg.lstsq(table[fit], truth[fit], rcond=None)[0]
        scores.append(METRICS["roc_auc"].bind(truth[judge], np.column_stack([1 - answer, answer]))(None))
    return scores


def once(redraws: Redraws) -> Redraws:
    """The gate's seed never changes, nor do a cell's classes, so its redrawn rows are the same in every comparison."""
    kept: dict[tuple[int, int, int, bytes], npt.NDArray[np.uint8]] = {}

    def drawn(rows: int, resamples: int, seed: int, strata: npt.ArrayLike | None) -> Iterator[npt.NDArray[Any]]:
        key = rows, resamples, seed, b"" if strata is None else np.asarray(strata).tobytes()
        if key not in kept:
            kept[key] = np.array([weights.astype(np.uint8) for weights in redraws(rows, resamples, seed, strata)])
        return iter(kept[key])

    return drawn


def keep_redraws() -> None:
    vars(bootstrap)["_redraws"] = once(bootstrap._redraws)


class Bench(Simulation):
    def comparisons(self, metric: str, shares: Sequence[float]) -> None:
        print(f"\n{metric}; the champion's AUC is {CHAMPION}. Promoted, in % (95 % interval)\n")
        head("rows", "positives", "correlation", "0.73", "0.75", "alone", "plain ≥", "0.77")
        rows = list(product(SIZES, shares, CORRELATIONS))
        running = {(row, auc): self.start(compare, Cell(metric, *row, auc)) for row in rows for auc in CANDIDATES}
        found: dict[tuple[tuple[int, float, float], float], Tally] = {}
        for row in rows:
            worse, equal, better = (found.setdefault((row, auc), running[row, auc]()) for auc in CANDIDATES)
            line(
                f"{row[0]:,}", f"{row[1]:.0%}", f"{row[2]}",
                shown(worse.promoted, worse.trials),
                *(shown(hits, equal.trials) for hits in (equal.promoted, equal.alone, equal.plain)),
                shown(better.promoted, better.trials),
            )  # fmt: skip
        self._judge_comparisons(metric, found)

    def _judge_comparisons(self, metric: str, found: Mapping[tuple[tuple[int, float, float], float], Tally]) -> None:
        equal = {row: tally for (row, auc), tally in found.items() if auc == CHAMPION}
        print()
        self.claim(
            f"{metric}: an equal candidate is promoted in {ERROR:.1%} of comparisons or fewer",
            *(f"{named(row)} {shown(e.promoted, e.trials)}" for row, e in equal.items() if above(e.promoted, e.trials)),
        )
        for size in SIZES:
            pooled = added([tally for row, tally in equal.items() if row[0] == size])
            self.claim(
                f"{metric}: and by one comparison alone at {GATE.confidence:.1%}, over all rows of {size:,}: "
                f"{shown(pooled.alone, pooled.trials)} %",
                *(["that is more"] if above(pooled.alone, pooled.trials) else []),
            )
        if metric == "roc_auc":
            self.claim(
                f"{metric}: the better one is promoted in {POWER:.0%} or more, at 10,000 rows, 20 % positives or more",
                *(
                    f"{named(row)} {shown(tally.promoted, tally.trials)}"
                    for (row, auc), tally in found.items()
                    if auc > CHAMPION and row[0] == SIZES[-1] and row[1] >= 0.2
                    and interval(tally.promoted, tally.trials)[0] < POWER
                ),
            )  # fmt: skip
        self.claim(
            f"{metric}: the worse one is promoted in {PRACTICALLY_NEVER:.1%} or fewer, practically never, at 10,000",
            *(
                f"{named(row)} {shown(tally.promoted, tally.trials)}"
                for (row, auc), tally in found.items()
                if auc < CHAMPION and row[0] == SIZES[-1] and tally.promoted > PRACTICALLY_NEVER * tally.trials
            ),
        )
        total = added(list(found.values()))
        self.claim(
            f"{metric}: {total.checked} verdicts of the gate itself are the same",
            *([f"{total.differ} are not"] if total.differ else []),
        )

    def retrains(self) -> None:
        print(f"\n{RETRAINS} retrains, each candidate as good as the champion: series with a false win, in %\n")
        head("rows", "grow by", "correlation", "promoted", f"at {GATE.confidence:.1%} each time", "plain ≥")
        plans = [Retrains(*row) for row in product(SIZES[:2], (0.2,), CORRELATIONS, (1.0, GROWTH))]
        running = [(plan, self.start(retrain, plan)) for plan in plans]
        broken = []
        for plan, wins in running:
            found = wins()
            line(
                f"{plan.rows:,}", f"{plan.growth - 1:.0%}", f"{plan.correlation}",
                *(shown(hits, found.series) for hits in (found.spent, found.unspent, found.plain)),
            )  # fmt: skip
            if above(found.spent, found.series):
                broken.append(f"{plan.rows:,} rows growing by {plan.growth - 1:.0%} {shown(found.spent, found.series)}")
        print()
        self.claim(f"over {RETRAINS} retrains a false win comes in {ERROR:.1%} of series or fewer", *broken)

    def small_tables(self) -> None:
        print(f"\nTables judged by {REPEATS} × {FOLDS}-fold cross-validation, in % of candidates\n")
        head("rows", "the candidate is", "beats no features", "beats the champion", "both", "uncorrected t-test")
        plans = [replace(small, rows=rows) for rows in SMALL_SIZES for small in SMALL]
        running = [(plan, self.start(cross_validated, plan)) for plan in plans]
        promoted, beaten = [], []
        for plan, wins in running:
            found = wins()
            line(f"{plan.rows:,}", plan.what, *(shown(hits, found.tables) for hits in found[1:]))
            if len(plan.candidate) == 1 and above(found.both, found.tables):
                promoted.append(f"{plan.rows:,} rows, {plan.what} {shown(found.both, found.tables)}")
            if not plan.signal and above(found.beaten, found.tables):
                beaten.append(f"{plan.rows:,} rows {shown(found.beaten, found.tables)}")
        print()
        self.claim(f"on small tables what is no better than the champion wins in {ERROR:.1%} or fewer", *promoted)
        self.claim(f"on small tables noise beats a model without features in {ERROR:.1%} or fewer", *beaten)


def named(row: tuple[int, float, float]) -> str:
    return f"{row[0]:,} rows, {row[1]:.0%} positives, correlation {row[2]}:"


def above(hits: int, trials: int) -> bool:
    """Surely more often than the stated error."""
    return interval(hits, trials)[0] > ERROR


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "roc_auc": lambda bench: bench.comparisons("roc_auc", SHARES),
    "average_precision": lambda bench: bench.comparisons("average_precision", SHARES[:1]),
    "retrains": Bench.retrains,
    "small_tables": Bench.small_tables,
}


if __name__ == "__main__":
    main(Bench, PARTS, keep_redraws, __doc__ or "", "comparisons a row")
