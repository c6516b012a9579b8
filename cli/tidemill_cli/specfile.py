"""Writing a model spec: every key that there is, one a line, with what a person needs to change it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from tidemill.schema import Schema
from tidemill.spec import Capture, Gate, ModelSpec, Monitor, Quality, Retrain, Train, toml_key, toml_text

_SECTIONS: Mapping[str, type] = {
    "quality": Quality, "train": Train, "gate": Gate, "monitor": Monitor, "retrain": Retrain, "capture": Capture,
}  # fmt: skip
_MEANING: Mapping[tuple[str, str], str] = {
    (
        "quality",
        "max_rejected",
    ): "share of an upload's rows that may be quarantined before all of it is refused",
    ("quality", "trusted"): "columns whose scale may jump: no change of unit is suspected in them",
    ("train", "candidates"): "tried in every run; the best in cross-validation meets the champion",
    ("train", "estimator"): "one of your own beside them, see docs/estimators.md",
    ("train", "seconds"): "a candidate may take",
    ("train", "trials"): "settings tried for each candidate",
    ("train", "threshold"): "probability of the second of two classes from which on it is answered",
    ("train", "linear"): "between which values its parameters are searched",
    ("train", "forest"): "the same",
    ("train", "boosting"): "the same",
    ("gate", "mode"): 'better than the champion; or "non_inferior": not worse by more than margin',
    ("gate", "confidence"): "of the comparison, one-sided",
    ("gate", "margin"): 'the loss that you would accept; only with mode = "non_inferior"',
    ("gate", "floor"): "of the metric on held-out rows, whatever it is compared with; of a loss, the most",
    ("gate", "max_overfit_gap"): "(cross-validated - held out) / (cross-validated - dummy), at most",
    ("gate", "max_slice_loss"): "share of what the champion earned that may surely be lost in a part of the rows",
    ("gate", "max_latency_ms"): "for one row, in the graph alone",
    ("gate", "allowed_leaks"): "features that may give the target away, since they are known before the fact",
    ("monitor", "every"): "it is checked, at most as often as the stack's monitor_minutes",
    ("monitor", "window"): "that one check looks at: a time, or the newest so many predictions",
    ("monitor", "min_rows"): "fewer predictions say nothing about drift",
    ("monitor", "false_alarms"): "chance that a check finds drift where nothing changed",
    ("monitor", "patience"): "drift is acted on when 2 of 3 windows show it",
    ("monitor", "labels_within"): "after a window, labels that come so late still say how good it was",
    ("retrain", "cooldown"): "between two retrains; doubled after each one that brought nothing better",
    ("retrain", "per_month"): "retrains in 30 days, at most",
    ("retrain", "seconds_per_month"): "of training in 30 days, all candidates added up, before no more are started",
    ("retrain", "breaker"): "so many retrains in a row without a better model, and one a month is started",
    ("retrain", "min_new_labels"): "labels that must have come, since the last retrain, for another",
    ("capture", "drop"): "columns of a request that are never written down",
}

_EXAMPLES: Mapping[tuple[str, str], str] = {
    ("train", "estimator"): '"monotone"',
    ("train", "threshold"): "0.3",
    ("train", "linear"): "{ strength = [0.01, 10] }",
    ("train", "forest"): "{ min_samples_leaf = [5, 50] }",
    ("train", "boosting"): "{ learning_rate = 0.05, max_leaf_nodes = [15, 63] }",
    ("gate", "margin"): "0.01",
    ("gate", "floor"): "0.7",
}
"""Keys that nothing is said of by default → what could be, in TOML."""


@dataclass(frozen=True)
class Inferred:
    """What a file showed of a model: `metric` is what its candidates are compared by, among `metrics`. `suggestions`
    are ways to read a column's text as numbers or dates, which the data alone do not settle."""

    schema: Schema
    metric: str
    metrics: Sequence[str]
    source: str
    rows: int
    suggestions: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)


def minimal(
    target: str,
    task: str | None = None,
    id_: str | None = None,
    time: str | None = None,
    exclude: Sequence[str] = (),
) -> str:
    """Only what was said."""
    named = {"target": target, "task": task, "id": id_, "time": time, "exclude": list(exclude)}
    return "".join(f"{key} = {_value(value)}\n" for key, value in named.items() if value)


def write(model: str, spec: ModelSpec, inferred: Inferred) -> str:
    return "\n".join([*_head(model, spec, inferred), *_columns(inferred), *_sections(inferred)]) + "\n"


def _head(model: str, spec: ModelSpec, inferred: Inferred) -> Iterator[str]:
    schema = inferred.schema
    classes = f"; classes: {', '.join(schema.classes[:10])}" if schema.classes else ""
    source = json.dumps(inferred.source, ensure_ascii=False)
    yield f"# What Tidemill is told about the model {model}."
    yield f"# Begun by `tidemill init` from {source}, {inferred.rows:,} rows."
    yield f"# After a change: tidemill spec {model} {model}.toml"
    yield ""
    yield f"target = {_value(spec.target)}  # the column to predict"
    task = "regression" if schema.task == "regression" else "classification"
    yield f"task = {_value(task)}  # {_comment(schema.task + classes)}"
    yield _named("id", spec.id, "names a row: never a feature, joins labels to predictions")
    yield _named("time", spec.time, "when a row happened: the newest rows are held out, instead of random ones")
    yield f"exclude = {_value(list(spec.exclude))}  # never features: what is known only after the fact"
    yield f"holdout = {_value(spec.holdout)}  # share of the rows kept from training, for the gate"
    history = f"history = {_value(spec.history)}" if spec.history else '# history = "365 days"'
    yield f"{history}  # how far back uploads are learned from: rows, or a time; without it all of them"


def _named(key: str, column: str | None, meaning: str) -> str:
    return f"{key} = {_value(column)}  # {meaning}" if column else f'# {key} = "COLUMN"  # {meaning}'


def _columns(inferred: Inferred) -> Iterator[str]:
    """Commented out: a kind that is written down is fixed, and the data shows it as well. A way to write dates is
    written down, since another file may not show it."""
    yield ""
    yield "[columns]"
    yield "# The kinds that the file shows: numeric, boolean, categorical, datetime."
    yield '# Take a "#" away to fix or change one; later uploads cannot change it any more.'
    for column in inferred.schema.columns:
        key = toml_key(column.name)
        if column.format:
            yield f"{key}.format = {_value(column.format)}"
        elif column.role == "feature" or column.name in inferred.suggestions:
            note = f"  # {_comment(column.note)}" if column.note else ""
            yield f"# {key}.kind = {_value(column.kind)}{note}"
        for way in inferred.suggestions.get(column.name, ()):
            yield "# or"
            yield from (f"# {key}.{name} = {_value(mark)}" for name, mark in way.items())


def _sections(inferred: Inferred) -> Iterator[str]:
    for name, section in _SECTIONS.items():
        yield ""
        yield f"[{name}]"
        defaults = section()
        for key in fields(section):
            if key.name == "metric":
                yield f"metric = {_value(inferred.metric)}  # or {', '.join(inferred.metrics)}"
                continue
            example = _EXAMPLES.get((name, key.name))
            line = f"# {key.name} = {example}" if example else f"{key.name} = {_value(getattr(defaults, key.name))}"
            yield f"{line}  # {_MEANING[name, key.name]}"


def _value(value: Any) -> str:
    if isinstance(value, timedelta):
        return _value(_duration(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return toml_text(value) if isinstance(value, str) else json.dumps(value)


def _duration(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    for unit, size in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes % size == 0:
            count = minutes // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError(span)


def _comment(text: str) -> str:
    """On one line, without the control characters that TOML allows nowhere."""
    return "".join(c if c.isprintable() else "?" for c in text)
