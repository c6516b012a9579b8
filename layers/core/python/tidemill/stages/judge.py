"""Validate: the exported graph against the gate, and all that the verdict can be recomputed from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.schema import Levels, Schema, split_by_key
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import estimate, evaluate, gate, slices
from tidemill.stages.bootstrap import Interval, of_folds
from tidemill.stages.dataset import Rows
from tidemill.stages.evaluate import HeldOut
from tidemill.stages.gate import Check
from tidemill.stages.leakage import SAMPLE, Leak, decoded, find
from tidemill.stages.metrics import Metric, as_judged, dummy_prediction, metric, or_nan
from tidemill.stages.npy import spread
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.parity import Parity
from tidemill.stages.recency import counted, enough, newest

Document = Mapping[str, Any]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Champion:
    """The version that serves; `manifest` and `evaluation` as they were written with it."""

    version: int
    schema: Schema
    model: OnnxModel
    manifest: Document
    evaluation: Document


@dataclass(frozen=True)
class Case:
    """A candidate, and the data set that it was trained on, with the content that names each partition; `facts` is what
    training wrote down of it."""

    rows: Rows
    partitions: Sequence[str]
    schema: Schema
    names: tuple[str, ...]
    spec: ModelSpec
    cutoff: int | None
    facts: Document
    graph: bytes
    model: OnnxModel

    @cached_property
    def metric(self) -> Metric:
        return metric(self.facts["metric"], self.schema.task)

    @property
    def level(self) -> int:
        """Recency of the oldest rows that it learned from."""
        history = self.facts.get("history")
        return int(history["chosen"]) if history else 0

    @cached_property
    def learned(self) -> Mask:
        return np.asarray(~self.rows.held_out & (self.rows.recency >= self.level))

    @cached_property
    def unseen(self) -> Mask:
        """The held-out rows of the history that it learned from."""
        return np.asarray(self.rows.held_out & (self.rows.recency >= self.level))

    def _judges(self, rows: Mask) -> bool:
        return enough(counted(self.rows.target[rows], binary=self.schema.task == "binary"))

    @cached_property
    def answers(self) -> Array:
        """The graph's, to the rows that are `unseen`."""
        return evaluate.answer(self.model, self.schema, self.held_out(self.unseen))

    @property
    def folds(self) -> Document | None:
        """Scores of repeated cross-validation, which judge where there are too few held-out rows."""
        folds: Document | None = self.facts["repeated"]
        return folds

    def held_out(self, chosen: Mask) -> HeldOut:
        return HeldOut(self.schema, self.names, self.rows.matrix[chosen], self.rows.target[chosen])

    def dummy(self, rows: int) -> Array:
        return dummy_prediction(self.schema.task, self.rows.target[self.learned], rows, len(self.schema.classes))

    def judged_with(self, champion: Champion | None) -> Mask:
        """The rows that decide: those that both versions held out; all rows where cross-validation judges."""
        if self.folds is not None:
            return np.ones(len(self.rows.target), dtype=np.bool_)
        return self.newest_of(self.held_out_by_both(champion)) if champion else self.unseen

    def newest_of(self, common: Mask) -> Mask:
        """Of the rows that both versions held out, the newest that are enough. A time column has put the newest on that
        side anyway."""
        return newest(self.rows.recency, common, self._judges) if self.rows.moments is None else common

    def held_out_by_both(self, champion: Champion) -> Mask:
        """By their split rules: by key, under the smaller of the two shares, or after the later of the two cutoffs."""
        common = self.rows.held_out & ~self._learned_late(champion)
        if self.rows.moments is None:
            share = parse_spec(champion.manifest["spec"]).holdout
            return common & split_by_key(self.rows.keys, share, champion.schema.sides)
        if champion.manifest["cutoff"] is None:
            return common
        return np.asarray(common & (self.rows.moments > champion.manifest["cutoff"]))

    def _learned_late(self, champion: Champion) -> Mask:
        """The champion's training rows from its held-out side: of classes that it had nowhere else (see `assemble`)."""
        late = champion.manifest.get("late_classes", ())
        codes = [code for code, name in enumerate(self.schema.classes) if name in late]
        known = [at for at, content in enumerate(self.partitions) if content in champion.manifest["partitions"]]
        return np.asarray(np.isin(self.rows.target, codes) & np.isin(self.rows.partition, known))


def judge(case: Case, champion: Champion | None, attempt: float, clock: Callable[[], float]) -> dict[str, Any]:
    """The verdict with its checks, and what the report draws. `attempt`: see `stages.attempts`."""
    measure, threshold = case.metric, case.facts["threshold"]
    rows, answers = case.held_out(case.unseen), case.answers
    described = evaluate.describe(measure, case.schema.task, rows.truth, answers, threshold)
    importance = evaluate.importance(case.model, rows, measure, threshold)
    judged = as_judged(measure, answers, threshold)
    checks = _absolute(case, rows, judged, Interval.from_json(described["interval"]), attempt, clock)
    comparison: dict[str, Any] | None = None
    if champion:
        found, comparison = _compare(case, champion, attempt, [*importance])
        checks += found
    promote, reasons = gate.decide(checks, champion.version if champion else None)
    return {
        "promote": promote,
        "reasons": [*reasons, *(_blinded(champion, case.schema) if champion else [])],
        "checks": [check.to_json() for check in checks],
        "metric": {"name": measure.name, "label": measure.label, "higher_is_better": measure.higher_is_better},
        "candidate": {**case.facts, **described},
        "comparison": comparison,
        "slices": slices.values(measure, *_sliced(rows, [*importance], [rows.truth, judged])),
        "rows": {
            "all": len(case.rows.target),
            "training": int(case.learned.sum()),
            "held_out": len(rows.truth),
        },
        "importance": importance,
        "curves": evaluate.curves(case.schema.task, rows.truth, answers, case.schema.classes, threshold),
    }


def believed(case: Case) -> dict[str, Any]:
    """What the version's answers say of its metric, for windows without labels: see `estimate`."""
    truth = case.rows.target[case.unseen]
    return estimate.learn(case.metric, case.schema.task, truth, case.answers, case.facts["threshold"])


def _absolute(
    case: Case, rows: HeldOut, judged: Array, held_out: Interval, attempt: float, clock: Callable[[], float]
) -> list[Check]:
    """What a candidate must pass whatever serves today."""
    spec, facts, training = case.spec.gate, case.facts, ~case.rows.held_out
    checks = [
        gate.export_parity(Parity(**facts["parity"])),
        gate.artifact_size(case.graph),
        gate.latency(evaluate.latency(case.model, rows.matrix, clock), spec),
        gate.split(
            case.rows.keys[training], case.rows.keys[~training], late=late_rows(case.rows, case.schema, case.cutoff)
        ),
        gate.leakage(_leaks(case), spec),
        _beats_dummy(case, rows.truth, judged, attempt),
        gate.overfit_gap(case.metric, or_nan(facts["cross_validated"]), held_out, or_nan(facts["dummy"]), spec),
    ]
    asked = gate.floor(case.metric, held_out, spec)
    return [*checks, asked] if asked else checks


def late_rows(rows: Rows, schema: Schema, cutoff: int | None) -> int:
    """Training rows from after the cutoff. A class that came only then is learned from all the same (see `assemble`),
    and no row of it is held out."""
    if rows.moments is None or cutoff is None:
        return 0
    late = ~rows.held_out & (rows.moments > cutoff)
    if schema.classes:
        late &= np.isin(rows.target, np.unique(rows.target[rows.held_out]))
    return int(late.sum())


def _leaks(case: Case) -> list[Leak]:
    """By rows of both sides: of few, an honest feature orders all by chance (an AUC of 0.975 in 40 rows: one time in
    seven)."""
    at = spread(len(case.rows.target), SAMPLE)
    columns, truth = decoded(case.schema, case.rows.matrix[at], case.names), case.rows.target[at]
    classes = case.schema.classes
    columns[case.schema.target.name] = Levels(truth.astype(np.int32), classes) if classes else truth
    return find(columns, case.schema)


def _beats_dummy(case: Case, truth: Array, judged: Array, attempt: float) -> Check:
    if case.folds is None:
        return gate.beats_dummy(case.metric, truth, judged, case.dummy(len(truth)), case.spec.gate, attempt)
    result = of_folds(
        case.metric, _scores(case.folds["candidate"]), _scores(case.folds["dummy"]),
        folds=case.folds["folds"], rows=case.folds["rows"], confidence=gate.confidence(case.spec.gate, attempt),
    )  # fmt: skip
    return gate.dummy_check(result, "cross-validated", folds=True)


def _compare(
    case: Case, champion: Champion, attempt: float, order: Sequence[str]
) -> tuple[list[Check], dict[str, Any] | None]:
    common = case.held_out_by_both(champion)
    measure, spec, rows = case.metric, case.spec.gate, case.held_out(case.newest_of(common))
    own = evaluate.answer(case.model, case.schema, rows)
    other = evaluate.answer(champion.model, champion.schema, rows)
    # A version of before there were thresholds answers the most probable class.
    thresholds = case.facts["threshold"], champion.manifest.get("threshold")
    described = {
        "candidate": evaluate.describe(measure, case.schema.task, rows.truth, own, thresholds[0]),
        "champion_described": evaluate.describe(measure, case.schema.task, rows.truth, other, thresholds[1]),
    }
    if case.folds is not None:
        check, comparison = _compare_recipes(case, case.folds, champion.version, attempt)
        return [check], {**comparison, **described} if comparison else None
    judged, judged_other = (
        as_judged(measure, answers, threshold) for answers, threshold in zip((own, other), thresholds, strict=True)
    )
    check, difference = gate.better_than_champion(
        measure, rows.truth, judged, judged_other, champion.version, spec, attempt
    )
    if difference is None:
        return [check], None
    dummy = case.dummy(len(rows.truth))
    sides = [rows.truth, judged, judged_other, dummy]
    found = slices.compare(measure, *_sliced(rows, order, sides), confidence=spec.confidence)
    now = Interval.from_json(described["champion_described"]["interval"])
    spent = gate.spent(measure, champion.evaluation, now, measure.bind(rows.truth, dummy)(None))
    return [check, gate.worst_slice(found, champion.version, spec, spent)], {
        "champion": champion.version,
        "attempt": attempt,
        "held_out_by_both": int(common.sum()),
        "difference": difference.to_json(),
        **described,
        "slices": [one.to_json() for one in found],
    }


def _compare_recipes(case: Case, folds: Document, champion: int, attempt: float) -> tuple[Check, dict[str, Any] | None]:
    other = folds["champion"]
    if other is None or other["version"] != champion:
        why = f"version {champion} became champion while this one was trained, and they were not compared: upload again"
        return Check("better_than_champion", False, None, 0.0, why), None
    spec = case.spec.gate
    result = of_folds(
        case.metric, _scores(folds["candidate"]), _scores(other["scores"]),
        folds=folds["folds"], rows=folds["rows"], confidence=gate.confidence(spec, attempt),
    )  # fmt: skip
    check = gate.champion_check(result, champion, spec, attempt, folds=True)
    return check, {"champion": champion, "attempt": attempt, "difference": result.to_json(), "slices": []}


def _sliced(rows: HeldOut, order: Sequence[str], sides: Sequence[Array]) -> tuple[Any, ...]:
    """Slices, and the same rows of each array."""
    at = slices.chosen(len(rows.truth))
    return (slices.slices(rows.schema, rows.names, rows.matrix[at], order), *(side[at] for side in sides))


def _blinded(champion: Champion, schema: Schema) -> list[str]:
    """A champion is judged without what the spec has excluded since, and whoever reads the verdict must know."""
    present = {column.name for column in schema.features}
    lost = [column.name for column in champion.schema.features if column.name not in present]
    if not lost:
        return []
    return [f"version {champion.version} was judged without {', '.join(lost)}, which the data set has no more"]


def _scores(values: Sequence[float | None]) -> Array:
    return np.array([or_nan(value) for value in values])
