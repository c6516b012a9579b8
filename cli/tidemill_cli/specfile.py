"""Writing a model spec: every key that there is, one a line, with what a person needs to change it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from tidemill.schema import Schema
from tidemill.spec import Gate, ModelSpec, Monitor, Quality, Retrain, Train

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECTIONS: Mapping[str, type] = {
    "quality": Quality, "train": Train, "gate": Gate, "monitor": Monitor, "retrain": Retrain,
}  # fmt: skip
_MEANING: Mapping[tuple[str, str], str] = {
    (
        "quality",
        "max_rejected",
    ): "share of an upload's rows that may be quarantined before all of it is refused",
    ("train", "candidates"): "tried in every run; the best in cross-validation meets the champion",
    ("train", "seconds"): "a candidate may take",
    ("train", "trials"): "settings tried for each candidate",
    ("gate", "mode"): 'better than the champion; or "non_inferior": not worse by more than margin',
    ("gate", "confidence"): "of the comparison, one-sided",
    ("gate", "margin"): 'the loss that you would accept; only with mode = "non_inferior"',
    ("gate", "max_overfit_gap"): "(cross-validated - held out) / (cross-validated - dummy), at most",
    ("monitor", "window"): "of predictions that one check looks at",
    ("monitor", "min_rows"): "fewer predictions say nothing about drift",
    ("monitor", "false_alarms"): "chance that a check finds drift where nothing changed",
    ("monitor", "patience"): "drift is acted on when 2 of 3 windows show it",
    ("retrain", "cooldown"): "between two retrains; doubled after each one that brought nothing better",
    ("retrain", "per_month"): "retrains in 30 days, at most",
    ("retrain", "breaker"): "so many retrains in a row without a better model, and no more are started",
    ("retrain", "min_new_labels"): "labels that must have come for drift alone to retrain",
}


@dataclass(frozen=True)
class Inferred:
    """What a file showed of a model: `metric` is what its candidates are compared by, among `metrics`."""

    schema: Schema
    metric: str
    metrics: Sequence[str]
    source: str
    rows: int


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
    return "\n".join([*_head(model, spec, inferred), *_columns(inferred.schema), *_sections(inferred)]) + "\n"


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


def _named(key: str, column: str | None, meaning: str) -> str:
    return f"{key} = {_value(column)}  # {meaning}" if column else f'# {key} = "COLUMN"  # {meaning}'


def _columns(schema: Schema) -> Iterator[str]:
    """Commented out: a kind that is written down is fixed, and the data shows it as well."""
    yield ""
    yield "[columns]"
    yield "# The kinds that the file shows: numeric, boolean, categorical, datetime."
    yield '# Take a "#" away to fix or change one; later uploads cannot change it any more.'
    for column in schema.columns:
        if column.role == "feature":
            note = f"  # {_comment(column.note)}" if column.note else ""
            yield f"# {_key(column.name)}.kind = {_value(column.kind)}{note}"


def _sections(inferred: Inferred) -> Iterator[str]:
    for name, section in _SECTIONS.items():
        yield ""
        yield f"[{name}]"
        defaults = section()
        for field in fields(section):
            if field.name == "metric":
                yield f"metric = {_value(inferred.metric)}  # or {', '.join(inferred.metrics)}"
                continue
            value = getattr(defaults, field.name)
            line = f"{field.name} = {_value(value)}" if value is not None else f"# {field.name} = 0.01"
            yield f"{line}  # {_MEANING[name, field.name]}"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, timedelta):
        return _value(_duration(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # TOML takes JSON's escapes, except that it wants one for DEL as well and no surrogate pairs.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


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
