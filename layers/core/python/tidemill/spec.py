"""The model spec: what a user says about a model, in TOML; everything optional but the target."""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from tidemill.errors import InvalidSpec
from tidemill.names import Kind
from tidemill.written import SPACES, problems_of_format

Ranges = Mapping[str, tuple[float, float]]
"""A candidate's parameters, each from its least to its greatest value; what the spec does not name is left to Train."""
CANDIDATES = ("linear", "forest", "boosting")
OWN = "own"
"""The candidate that an own estimator competes as."""
ESTIMATOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DURATION = re.compile(r"(\d+) (minute|hour|day|week)s?")
_LONGEST = timedelta(days=3650)
_MOST_ROWS = 10_000_000
"""Of a window by count: the answers to as many are what a check has room for."""
_WRITTEN: Mapping[Kind, tuple[str, ...]] = {"numeric": ("decimal", "thousands", "unit"), "datetime": ("format",)}


@dataclass(frozen=True)
class ColumnSpec:
    """What the user fixes about one column; None leaves it to the data.

    `decimal`, `thousands` and `unit` say how numbers are written as text ("1.234,5 EUR": decimal ",", thousands ".",
    unit "EUR"); `format` how dates are, in the letters of strftime ("%d/%m/%Y").
    """

    kind: Kind | None = None
    decimal: str | None = None
    thousands: str | None = None
    unit: str | None = None
    format: str | None = None


@dataclass(frozen=True)
class Quality:
    max_rejected: float = 0.05
    """Share of an upload's rows that may be quarantined before the whole upload is invalid."""
    trusted: tuple[str, ...] = ()
    """Columns whose scale may jump: a change of unit is not suspected in them."""


@dataclass(frozen=True)
class Train:
    candidates: tuple[str, ...] = CANDIDATES
    estimator: str | None = None
    """The module of an own estimator, which competes beside the candidates."""
    metric: str | None = None
    seconds: int = 600
    trials: int = 10
    threshold: float | None = None
    """Of a binary target: the probability of its second class from which on that one is answered; None: see Train."""
    linear: Ranges = field(default_factory=dict)
    forest: Ranges = field(default_factory=dict)
    boosting: Ranges = field(default_factory=dict)

    @property
    def competing(self) -> tuple[str, ...]:
        """All that a run trains."""
        return (*self.candidates, OWN) if self.estimator else self.candidates


@dataclass(frozen=True)
class Gate:
    mode: Literal["superior", "non_inferior"] = "superior"
    confidence: float = 0.975
    margin: float | None = None
    floor: float | None = None
    """What the metric must reach on held-out rows; of a loss, what it must not exceed."""
    max_overfit_gap: float = 0.25
    max_slice_loss: float = 0.1
    """Share of what the champion earned that may surely be lost in a part of the rows."""
    max_latency_ms: float = 50.0
    """For one row: a hundred times what most graphs take, so that only one that no endpoint should have is refused."""
    allowed_leaks: tuple[str, ...] = ()
    """Features that may give the target away, since they are known before the fact."""


@dataclass(frozen=True)
class Monitor:
    every: timedelta = timedelta(hours=1)
    window: timedelta | int = timedelta(days=1)
    """How far back a check looks: a time, or the newest so many predictions of the champion."""
    min_rows: int = 100
    false_alarms: float = 0.005
    patience: tuple[int, int] = (2, 3)
    labels_within: timedelta = timedelta(days=7)
    """How long after a window its labels may come and still change what is known of it."""


@dataclass(frozen=True)
class Retrain:
    cooldown: timedelta = timedelta(days=1)
    per_month: int = 10
    seconds_per_month: int = 36_000
    breaker: int = 3
    min_new_labels: int = 50


@dataclass(frozen=True)
class Capture:
    drop: tuple[str, ...] = ()
    """Columns that are answered and never written down: no log, bucket, check or retrain has them."""


@dataclass(frozen=True)
class ModelSpec:
    """A parsed spec. `task` is None when it is to be told from the target's values."""

    target: str
    task: Literal["classification", "regression"] | None = None
    id: str | None = None
    time: str | None = None
    exclude: tuple[str, ...] = ()
    holdout: float = 0.2
    history: int | timedelta | None = None
    """How far back uploads are learned from: rows, or the time since they were accepted; None for all of them."""
    columns: Mapping[str, ColumnSpec] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    train: Train = field(default_factory=Train)
    gate: Gate = field(default_factory=Gate)
    monitor: Monitor = field(default_factory=Monitor)
    retrain: Retrain = field(default_factory=Retrain)
    capture: Capture = field(default_factory=Capture)

    def not_features(self) -> frozenset[str]:
        """Columns that a prediction request may carry but no model ever sees."""
        return frozenset({self.target, *self.exclude} | {c for c in (self.id, self.time) if c})

    def digest(self) -> str:
        """Changes whenever anything that a run depends on changes."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()


def column_key(name: str) -> str:
    """Where the spec says something about a column, as TOML wants it: `columns.price`, `columns."unit price"`."""
    return f"columns.{toml_key(name)}"


def toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_text(name)


def toml_text(text: str) -> str:
    # TOML takes JSON's escapes, except that it wants one for DEL as well and no surrogate pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_spec(text: str) -> ModelSpec:
    """Raises `InvalidSpec` with every mistake at once."""
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:  # deep nesting, or a number of thousands of digits
        raise InvalidSpec(f"the spec is not valid TOML: {error}") from None
    problems: list[str] = []
    spec = _Reader(problems).model(document)
    if not problems:
        problems.extend(_contradictions(spec))
    if problems:
        raise InvalidSpec(problems)
    return spec


def parse_duration(text: object) -> timedelta:
    """`"1 day"`, `"90 minutes"`; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as '90 minutes', '1 hour', '2 days'")
    try:
        duration = timedelta(**{f"{match[2]}s": int(match[1])})
    except OverflowError:
        duration = timedelta.max
    if duration > _LONGEST:
        raise ValueError(f"{text!r} is longer than {_LONGEST.days:,} days")
    return duration


class _Reader:
    """Reads tables into dataclasses, collecting problems instead of stopping at the first."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems

    def model(self, document: Mapping[str, Any]) -> ModelSpec:
        columns = document.get("columns", {})
        if not isinstance(columns, dict) or not all(isinstance(entry, dict) for entry in columns.values()):
            self.problems.append("columns: write one table a column, such as [columns.carrier]")
            columns = {}
        values = {"columns": {name: self.column(entry, f"columns.{name}.") for name, entry in columns.items()}}
        sections: Mapping[str, type] = {
            "quality": Quality, "train": Train, "gate": Gate, "monitor": Monitor, "retrain": Retrain,
            "capture": Capture,
        }  # fmt: skip
        for name, section in sections.items():
            entry = document.get(name, {})
            if isinstance(entry, dict):
                values[name] = self.table(section, entry, f"{name}.")
            else:
                self.problems.append(f"{name}: write it as a table, [{name}]")
        plain = {key: value for key, value in document.items() if key not in sections and key != "columns"}
        return cast("ModelSpec", self.table(ModelSpec, plain, "", **values))

    def column(self, entry: Mapping[str, Any], prefix: str) -> ColumnSpec:
        """How text is written says its kind as well."""
        column: ColumnSpec = self.table(ColumnSpec, entry, prefix)
        for kind, keys in _WRITTEN.items():
            said = [key for key in keys if getattr(column, key)]
            if said and column.kind not in (kind, None):
                self.problems.append(f"{prefix}{said[0]} is said of a {kind} column, not of a {column.kind} one")
            elif said:
                column = replace(column, kind=kind)
        if column.decimal == column.thousands and column.decimal:
            self.problems.append(f"{prefix}decimal and {prefix}thousands cannot both be {column.decimal!r}")
        if column.thousands == "." and not column.decimal:
            self.problems.append(f'{prefix}thousands is the decimal point: say {prefix}decimal = "," as well')
        return column

    def table(self, section: type, entry: Mapping[str, Any], prefix: str, **given: Any) -> Any:
        known = {f.name: f for f in fields(section)}
        values: dict[str, Any] = dict(given)
        for key, raw in entry.items():
            if key not in known or key in given:
                self.problems.append(f"{prefix}{key} is not a known key; did you mean {_nearest(key, prefix, known)}?")
                continue
            try:
                values[key] = _READERS[section, key](raw)
            except (ValueError, TypeError) as error:
                self.problems.append(f"{prefix}{key}: {error}")
        for name, f in known.items():
            if name not in values and f.default is MISSING and f.default_factory is MISSING:
                if name not in entry:
                    self.problems.append(f"{prefix}{name} is missing: say which column is to be predicted")
                values[name] = ""
        return section(**values)


def _nearest(key: str, prefix: str, known: Iterable[str]) -> str:
    """A key of the same name in another table, else the one of this table that is spelled most alike."""
    for section, name in _READERS:
        elsewhere = f"{section.__name__.lower()}.{key}"
        if name == key and section not in (ModelSpec, ColumnSpec) and elsewhere != f"{prefix}{key}":
            return elsewhere
    return prefix + get_close_matches(key, known, n=1, cutoff=0.0)[0]


def _contradictions(spec: ModelSpec) -> Iterator[str]:
    if spec.target in spec.exclude or spec.target in (spec.id, spec.time):
        yield f"target {spec.target!r} cannot be excluded, the id or the time as well"
    if spec.id and spec.id == spec.time:
        yield f"column {spec.id!r} cannot be the id and the time at once"
    if spec.id in spec.capture.drop:
        yield f"capture.drop cannot name the id {spec.id!r}: labels find their predictions by it"
    if spec.gate.mode == "non_inferior" and spec.gate.margin is None:
        yield "gate.mode = 'non_inferior' needs gate.margin, the loss that you would accept"
    if spec.gate.mode == "superior" and spec.gate.margin is not None:
        yield "gate.margin only has a meaning with gate.mode = 'non_inferior'"
    if isinstance(spec.monitor.window, int) and spec.monitor.window < spec.monitor.min_rows:
        yield (
            f"monitor.window = {spec.monitor.window} has fewer predictions than monitor.min_rows = "
            f"{spec.monitor.min_rows}, the fewest that say anything"
        )
    unknown = [name for name in spec.train.candidates if name not in CANDIDATES]
    if unknown or not spec.train.competing:
        yield f"train.candidates {unknown} are not known; choose among {', '.join(CANDIDATES)}"
    if spec.task == "regression" and spec.train.threshold is not None:
        yield "train.threshold only has a meaning for classification"
    repeated = sorted({name for name in spec.train.candidates if spec.train.candidates.count(name) > 1})
    if repeated:
        yield f"train.candidates names {', '.join(repeated)} more than once"


def _text(raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError(f"{raw!r} is not a name")
    return raw


def _texts(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise TypeError(f"{raw!r} is not a list of names")
    return tuple(_text(item) for item in raw)


def _estimator(raw: object) -> str:
    if not isinstance(raw, str) or not ESTIMATOR_NAME.fullmatch(raw):
        raise ValueError(
            f"{raw!r} is not an estimator's name: use 1 to 40 lower-case letters, digits or '_', starting with a letter"
        )
    return raw


class _Number:
    """A number within bounds; whole numbers only when `whole`."""

    def __init__(self, low: float, high: float, *, whole: bool = False) -> None:
        self.low, self.high, self.whole = low, high, whole

    def __call__(self, raw: object) -> Any:
        right = isinstance(raw, int) if self.whole else isinstance(raw, int | float)
        if not right or isinstance(raw, bool) or not self.low <= cast("float", raw) <= self.high:
            kind = "whole number" if self.whole else "number"
            raise ValueError(f"{raw!r} is not a {kind} from {self.low:g} to {self.high:g}")
        return raw


def _mark(raw: object) -> str:
    if (
        not isinstance(raw, str)
        or len(raw) != 1
        or raw.isalnum()
        or raw in "+-_"
        or not (raw.isprintable() or raw in SPACES)
    ):
        raise ValueError(f"{raw!r} is not a mark of one character such as ',' or '.'")
    return raw


def _unit(raw: object) -> str:
    unit = raw.strip() if isinstance(raw, str) else ""
    if not unit or not unit.isprintable() or unit[0] in "+-.," or unit[0].isdigit() or unit[-1] in "+-":
        raise ValueError(f"{raw!r} is not a unit such as 'EUR', 'kg' or '%'")
    return unit


def _format(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"{raw!r} is not text")
    problems = "; ".join(problems_of_format(raw))
    if problems:
        raise ValueError(f"{raw!r} {problems}")
    return raw.strip()


class _Choice:
    def __init__(self, *known: str) -> None:
        self.known = known

    def __call__(self, raw: object) -> str:
        if raw not in self.known:
            raise ValueError(f"{raw!r} is not one of {', '.join(self.known)}")
        return str(raw)


class _Ranges:
    """A candidate's table: `name = [low, high]` searches between the two, `name = value` fixes it."""

    def __init__(self, **known: _Number) -> None:
        self.known = known

    def __call__(self, raw: object) -> Ranges:
        if not isinstance(raw, dict):
            raise TypeError(f"{raw!r} is not a table of parameters such as {next(iter(self.known))} = [low, high]")
        ranges: dict[str, tuple[float, float]] = {}
        problems: list[str] = []
        for name, value in raw.items():
            try:
                ranges[name] = self._range(name, value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        return ranges

    def _range(self, name: str, raw: object) -> tuple[float, float]:
        if name not in self.known:
            raise ValueError(f"not a known parameter; choose among {', '.join(self.known)}")
        match raw:
            case [low, high]:
                ends = self.known[name](low), self.known[name](high)
            case list():
                raise ValueError(f"{raw!r} is not a range of two numbers such as [low, high]")
            case _:
                ends = self.known[name](raw), self.known[name](raw)
        if ends[0] > ends[1]:
            raise ValueError(f"{raw!r} begins above its end")
        return ends


_EVERY_CANDIDATE = {"balance": _Number(0, 1), "log_target": _Number(0, 1, whole=True)}


def _span(raw: object) -> timedelta:
    span = parse_duration(raw)
    if not span:
        raise ValueError(f"{raw!r} is no time at all: at least 1 minute is needed")
    return span


def _history(raw: object) -> int | timedelta:
    if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0:
        return raw
    try:
        return _span(raw)
    except ValueError:
        raise ValueError(f"{raw!r} is neither a number of rows nor a time such as '365 days'") from None


def _window(raw: object) -> timedelta | int:
    if isinstance(raw, str):
        return _span(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw <= _MOST_ROWS:
        return raw
    raise ValueError(f"{raw!r} is neither a time such as '1 day' nor a number of predictions up to {_MOST_ROWS:,}")


def _patience(raw: object) -> tuple[int, int]:
    match raw:
        case [int(needed), int(windows)] if 1 <= needed <= windows <= 10:
            return needed, windows
    raise ValueError(f"{raw!r} is not [needed, windows], such as [2, 3]")


_READERS: Mapping[tuple[type, str], Any] = {
    (ModelSpec, "target"): _text,
    (ModelSpec, "task"): _Choice("classification", "regression"),
    (ModelSpec, "id"): _text,
    (ModelSpec, "time"): _text,
    (ModelSpec, "exclude"): _texts,
    (ModelSpec, "holdout"): _Number(0.05, 0.5),
    (ModelSpec, "history"): _history,
    (ColumnSpec, "kind"): _Choice(*get_args(Kind)),
    (ColumnSpec, "decimal"): _mark,
    (ColumnSpec, "thousands"): _mark,
    (ColumnSpec, "unit"): _unit,
    (ColumnSpec, "format"): _format,
    (Quality, "max_rejected"): _Number(0, 1),
    (Quality, "trusted"): _texts,
    (Train, "candidates"): _texts,
    (Train, "estimator"): _estimator,
    (Train, "metric"): _text,
    (Train, "seconds"): _Number(5, 840, whole=True),
    (Train, "trials"): _Number(1, 100, whole=True),
    (Train, "threshold"): _Number(0, 1),
    (Train, "linear"): _Ranges(strength=_Number(1e-6, 1e6), **_EVERY_CANDIDATE),
    (Train, "forest"): _Ranges(
        trees=_Number(1, 500, whole=True),
        min_samples_leaf=_Number(1, 100_000, whole=True),
        max_features=_Number(0.01, 1),
        **_EVERY_CANDIDATE,
    ),
    (Train, "boosting"): _Ranges(
        learning_rate=_Number(0.001, 1),
        max_leaf_nodes=_Number(2, 1_000, whole=True),
        min_samples_leaf=_Number(1, 100_000, whole=True),
        max_features=_Number(0.01, 1),
        l2_regularization=_Number(0, 1e6),
        max_iter=_Number(1, 2_000, whole=True),
        **_EVERY_CANDIDATE,
    ),
    (Gate, "mode"): _Choice("superior", "non_inferior"),
    (Gate, "confidence"): _Number(0.5, 0.9999),
    (Gate, "margin"): _Number(0, 1e12),
    (Gate, "max_overfit_gap"): _Number(0, 10),
    (Gate, "max_slice_loss"): _Number(0, 10),
    (Gate, "floor"): _Number(-1e12, 1e12),
    (Gate, "allowed_leaks"): _texts,
    (Gate, "max_latency_ms"): _Number(0.1, 10_000),
    (Monitor, "every"): _span,
    (Monitor, "window"): _window,
    (Monitor, "min_rows"): _Number(30, 10**9, whole=True),
    (Monitor, "false_alarms"): _Number(1e-9, 0.5),
    (Monitor, "patience"): _patience,
    (Monitor, "labels_within"): parse_duration,
    (Retrain, "cooldown"): parse_duration,
    (Retrain, "per_month"): _Number(0, 1000, whole=True),
    (Retrain, "seconds_per_month"): _Number(0, 10_000_000, whole=True),
    (Retrain, "breaker"): _Number(1, 100, whole=True),
    (Retrain, "min_new_labels"): _Number(1, 10**9, whole=True),
    (Capture, "drop"): _texts,
}
