"""Prepare, first half: one upload in; typed rows, quarantined rows and an account of both out.

accepted + quarantined + duplicates = rows read, always.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from tidemill.errors import InvalidSpec, InvalidUpload
from tidemill.schema import COPY_BITS, Column, Columns, Role, Schema, extend, mixed
from tidemill.spec import ModelSpec, Task
from tidemill.stages.classes import class_texts
from tidemill.stages.columns import Parsed, infer_kind, infer_target_kind, parse
from tidemill.stages.metrics import metric
from tidemill.stages.tables import RawTable, Rejected

MAX_CATEGORIES = 1_000
"""A column's vocabulary; rarer categories count as unknown."""
MAX_CLASSES = 100
_FEW_CLASSES = 10
_HASH_KEY = "tidemill-row-key"  # pandas wants 16 characters


@dataclass(frozen=True)
class Partition:
    """One upload's accepted rows. `keys` tell rows apart: by the id where there is one, else by content."""

    columns: Columns
    keys: npt.NDArray[np.uint64]
    rejected: tuple[Rejected, ...]
    account: Mapping[str, Any]


@dataclass(frozen=True)
class _Typed:
    """Usable columns of the upload's rows, before any row is left out."""

    columns: Mapping[str, npt.NDArray[Any]]
    rejected: list[Rejected]
    bad_rows: npt.NDArray[np.bool_]


def first_schema(raw: RawTable, spec: ModelSpec) -> Schema:
    """Kinds, roles and classes as the first upload shows them; raises for a spec that does not fit it."""
    _check_named_columns(raw.columns, spec)
    columns = [_new_column(name, values, spec) for name, values in raw.columns.items()]
    columns = [replace(column, key=column.role in ("feature", "target", "time")) for column in columns]
    schema = Schema(tuple(columns), "regression")
    target = next((column for column in columns if column.name == spec.target), None)
    if target is None or target.role == "unused":
        raise InvalidUpload(f"target {spec.target!r} has no usable value: {target.note if target else 'missing'}")
    _check_time(schema, spec)
    return _with_task(schema, raw, spec)


def check_metric(spec: ModelSpec, task: Task) -> None:
    """Raises `InvalidSpec` for a metric that the task does not know, before any time is spent on training."""
    if spec.train.metric:
        try:
            metric(spec.train.metric, task)
        except ValueError as error:
            raise InvalidSpec(f"train.metric: {error}") from None


def _new_column(name: str, values: pa.ChunkedArray, spec: ModelSpec) -> Column:
    fixed = spec.columns[name].kind if name in spec.columns else None
    infer = infer_target_kind if name == spec.target else infer_kind
    kind, note = (fixed, "set in the spec") if fixed else infer(values)
    if name == spec.id:
        kind, note = "categorical", ""
    return Column(name, kind or "categorical", _role(name, spec) if kind else "unused", note=note)


def same_model(schema: Schema, spec: ModelSpec) -> Schema:
    """The stored schema under a newer spec: roles may change, kinds, the target and the task may not."""
    problems = []
    if schema.target.name != spec.target:
        problems.append(
            f"the target of this model is {schema.target.name!r}, not {spec.target!r}: use another model name"
        )
    for role, wanted in (("id", spec.id), ("time", spec.time)):
        had = next((column.name for column in schema.columns if column.role == role), None)
        if had != wanted:
            problems.append(
                f"the {role} column of this model is {had or 'none'} and cannot become {wanted or 'none'}, since rows "
                "would change sides of the split: use another model name"
            )
    for column in schema.columns:
        fixed = spec.columns[column.name].kind if column.name in spec.columns else None
        if fixed and fixed != column.kind and column.name != spec.id:
            problems.append(
                f"column {column.name!r} was {column.kind} in earlier uploads and cannot become {fixed}: "
                "use another model name"
            )
    if spec.task and (spec.task == "regression") != (schema.task == "regression"):
        problems.append(f"the task of this model is {schema.task}, not {spec.task}: use another model name")
    if problems:
        raise InvalidSpec(problems)
    schema = replace(schema, columns=tuple(_under(column, spec) for column in schema.columns))
    _check_time(schema, spec)
    return schema


def _under(column: Column, spec: ModelSpec) -> Column:
    """Text that no model can use may still become the id; an id that becomes a feature is a category."""
    role = _role(column.name, spec)
    return column if column.role == "unused" and role == "feature" else replace(column, role=role)


def _check_time(schema: Schema, spec: ModelSpec) -> None:
    """A column that the schema does not know yet is not its to judge."""
    time = schema.column(spec.time) if spec.time else None
    if time and time.kind != "datetime":
        raise InvalidUpload(f"time column {time.name!r} holds no dates such as 2013-07-04T18:30:00Z")


def clean(raw: RawTable, spec: ModelSpec, schema: Schema, *, source: str) -> tuple[Partition, Schema]:
    """Type, check and deduplicate an upload; the schema comes back with its new columns and categories.

    Raises `InvalidUpload` when columns are missing or more rows than the spec allows cannot be used.
    """
    check_metric(spec, schema.task)
    schema, warnings = _match_columns(raw, spec, schema)
    warnings = [*raw.warnings, *warnings]
    typed = _type_columns(raw, schema)
    rejected = [*raw.rejected, *typed.rejected]
    usable = ~typed.bad_rows
    _check_rejected(raw, spec, rejected, int(usable.sum()), source)
    columns = {name: values[usable] for name, values in typed.columns.items()}
    keys = row_keys(columns, schema)
    last = ~pd.Series(keys).duplicated(keep="last").to_numpy()
    columns = {name: values[last] for name, values in columns.items()}
    duplicates = int(len(last) - last.sum())
    schema, more = _learn_categories(schema, columns)
    warnings += more
    if duplicates:
        warnings.append(f"{duplicates:,} rows have the id of a later row of this file, which counts instead")
    copies = 0 if schema.of_role("id") else int(pd.DataFrame(columns).duplicated().sum())
    if copies:
        advice = "they may be separate events; name an id in the spec to have each event count once"
        warnings.append(f"{copies:,} rows are exact copies of others and are kept: without an id {advice}")
    account = {
        "source": source,
        "rows_read": raw.rows_read,
        "accepted": int(last.sum()),
        "quarantined": raw.rows_read - len(last),
        "duplicates": duplicates,
        "reasons": _count_reasons(rejected),
        "warnings": warnings,
    }
    return Partition(columns, keys[last], tuple(rejected), account), schema


def row_keys(columns: Columns, schema: Schema) -> npt.NDArray[np.uint64]:
    """A 64-bit key a row: the hash of its id where the model has one, else of all its values.

    Without an id, equal rows may be separate events, so all are kept, and known again when the file comes again. The
    first `2**COPY_BITS` of an upload may as well be copies of one event: they share a side of the split. Where there
    are more, the table has few distinct rows, and each further one is drawn on its own.
    """
    identity = schema.of_role("id")
    names = [identity.name] if identity and identity.name in columns else _key_columns(columns, schema)
    frame = pd.DataFrame({name: columns[name] for name in names})
    hashes: npt.NDArray[np.uint64] = np.asarray(pd.util.hash_pandas_object(frame, index=False, hash_key=_HASH_KEY))
    if identity and identity.name in columns:
        return hashes
    copies = pd.Series(hashes).groupby(hashes, sort=False).cumcount().to_numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        further = mixed(hashes + copies * np.uint64(0xBF58476D1CE4E5B9))
    return np.where(copies < 2**COPY_BITS, hashes ^ copies, further)


def _key_columns(columns: Columns, schema: Schema) -> list[str]:
    """In an order of their own; all columns where the schema says nothing of keys."""
    return sorted(c.name for c in schema.columns if c.key and c.name in columns) or sorted(columns)


def _role(name: str, spec: ModelSpec) -> Role:
    roles: Mapping[str | None, Role] = {spec.target: "target", spec.id: "id", spec.time: "time"}
    return roles.get(name, "excluded" if name in spec.exclude else "feature")


def _check_named_columns(columns: Mapping[str, Any], spec: ModelSpec) -> None:
    named: Mapping[str, list[str | None]] = {
        "target": [spec.target],
        "id": [spec.id],
        "time": [spec.time],
        "columns": list(spec.columns),
    }
    problems = [
        f"{key} {name!r} of the spec is not a column of the file, which has {_listed(columns)}"
        for key, names in named.items()
        for name in names
        if name and name not in columns
    ]
    if problems:
        raise InvalidUpload(problems)


def _with_task(schema: Schema, raw: RawTable, spec: ModelSpec) -> Schema:
    """Decide the task from the spec or the target's values, and fix the classes' order."""
    target = schema.target
    parsed = parse(raw.columns[target.name], target.kind)
    texts = class_texts(parsed.values, target.kind)
    names = {text for text in texts if text is not None}
    if target.kind == "numeric":
        present = parsed.values[~np.isnan(parsed.values)]
        few = len(names) <= _FEW_CLASSES and bool(np.all(present == np.round(present)))
        task = spec.task or ("classification" if few else "regression")
    else:
        task = spec.task or "classification"
    if task == "regression":
        if target.kind != "numeric":
            raise InvalidUpload(f"target {target.name!r} is {target.kind}, and a regression needs numbers")
        if len(names) < 2:
            raise InvalidUpload(f"target {target.name!r} has the same value in every row: nothing to predict")
        return schema
    if len(names) < 2:
        only = f"only the class {next(iter(names))!r}" if names else "no value"
        raise InvalidUpload(f"target {target.name!r} has {only}: a classifier needs at least two")
    _check_classes(len(names), target)
    return replace(schema, task=_task(len(names)), classes=tuple(sorted(names, key=_class_order)))


def _check_classes(classes: int, target: Column) -> None:
    if classes > MAX_CLASSES:
        raise InvalidUpload(
            f"target {target.name!r} has {classes:,} different values, more than {MAX_CLASSES} classes: "
            'if it is a quantity, say task = "regression" in the spec'
        )


def _task(classes: int) -> Task:
    return "binary" if classes == 2 else "multiclass"


def _class_order(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def _match_columns(raw: RawTable, spec: ModelSpec, schema: Schema) -> tuple[Schema, list[str]]:
    needed = [column.name for column in schema.columns if column.role in ("feature", "target", "id", "time")]
    unknown = [name for name in spec.exclude if name not in raw.columns and not schema.column(name)]
    if unknown:
        raise InvalidSpec(f"exclude names {_listed(unknown)}, which is no column: the file has {_listed(raw.columns)}")
    missing = [name for name in needed if name not in raw.columns]
    missing += [name for name in (spec.id, spec.time) if name and not schema.column(name) and name not in raw.columns]
    known = {column.name for column in schema.columns}
    new = [name for name in raw.columns if name not in known]
    if missing:
        hint = f" (new in this file: {_listed(new)}; was one renamed?)" if new else ""
        raise InvalidUpload(
            f"column {_listed(missing)} is missing, which the spec names or earlier uploads had{hint}: "
            "put it back, or add it to exclude in the spec"
        )
    warnings = [f"column {c.name!r} is not used: {c.note}" for c in schema.columns if c.role == "unused"]
    for name in new:
        schema = replace(schema, columns=(*schema.columns, _new_column(name, raw.columns[name], spec)))
        warnings.append(f"column {name!r} is new; it is missing in all earlier rows")
    _check_time(schema, spec)
    return schema, warnings


def _type_columns(raw: RawTable, schema: Schema) -> _Typed:
    rows = len(raw.numbers)
    columns: dict[str, npt.NDArray[Any]] = {}
    rejected: list[Rejected] = []
    bad_rows = np.zeros(rows, dtype=bool)
    for column in schema.columns:
        if column.name not in raw.columns or column.role == "unused":
            continue
        parsed = parse(raw.columns[column.name], column.kind)
        columns[column.name] = parsed.values
        if column.role == "excluded":
            continue
        for reason, mask in _faults(column, parsed, schema):
            bad_rows |= mask
            rejected += [
                Rejected(raw.numbers[row], column.name, parsed.text(row), reason)
                for row in np.flatnonzero(mask).tolist()
            ]
    return _Typed(columns, rejected, bad_rows)


def _faults(column: Column, parsed: Parsed, schema: Schema) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    faults = [(f"is not {parsed.expected}", parsed.bad)]
    if column.role in ("target", "id", "time"):
        faults.append((f"the {column.role} is missing", _missing(parsed.values) & ~parsed.bad))
    if column.role == "target" and schema.task == "binary":
        texts = class_texts(parsed.values, column.kind)
        known = np.isin(texts, np.array([*schema.classes, None], dtype=object))
        faults.append((f"is not one of the model's classes {_listed(schema.classes)}", ~known))
    return [(reason, mask) for reason, mask in faults if mask.any()]


def _missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(pd.isna(values), dtype=bool)


def _check_rejected(raw: RawTable, spec: ModelSpec, rejected: Sequence[Rejected], usable: int, source: str) -> None:
    unusable = raw.rows_read - usable
    if usable and unusable <= spec.quality.max_rejected * raw.rows_read:
        return
    reasons = [f"{count:,} × {reason}" for reason, count in list(_count_reasons(rejected).items())[:5]]
    first = min(rejected, key=lambda entry: entry.row)
    where = f"row {first.row}" + (f", column {first.column!r}, value {first.value!r}" if first.column else "")
    raise InvalidUpload(
        f"{source}: {unusable:,} of {raw.rows_read:,} rows cannot be used, more than the "
        f"{spec.quality.max_rejected:.1%} that the spec allows ({'; '.join(reasons)}; first at {where}): "
        "correct the file, or raise quality.max_rejected",
        rejected,
    )


def _count_reasons(rejected: Sequence[Rejected]) -> dict[str, int]:
    """`column 'dep' is not a number` → how many times, the most frequent first."""
    counts = Counter(f"column {e.column!r} {e.reason}" if e.column else f"line {e.reason}" for e in rejected)
    return dict(counts.most_common())


def _learn_categories(schema: Schema, columns: Columns) -> tuple[Schema, list[str]]:
    """Append the upload's categories and classes, and find which columns are text rather than categories."""
    warnings, learned = [], []
    for column in schema.columns:
        if column.role != "feature" or column.kind != "categorical" or column.name not in columns:
            learned.append(column)
            continue
        counts = Counter(value for value in columns[column.name] if value is not None)
        room = MAX_CATEGORIES - len(column.vocabulary)
        fresh = {value: count for value, count in counts.items() if value not in set(column.vocabulary)}
        if not column.vocabulary and len(counts) > max(20, 0.5 * sum(counts.values())):
            note = f"{len(counts):,} different values in {sum(counts.values()):,} rows are an id or free text"
            warnings.append(f"column {column.name!r} is not used: {note}")
            learned.append(replace(column, role="unused", note=note))
            continue
        if len(fresh) > room:
            warnings.append(
                f"column {column.name!r} has more than {MAX_CATEGORIES:,} categories; the rarest count as unknown"
            )
        chosen = sorted(fresh, key=lambda value: (-fresh[value], value))[:room]
        learned.append(extend(column, sorted(chosen)))
    schema = replace(schema, columns=tuple(learned))
    if schema.task == "multiclass":
        texts = class_texts(columns[schema.target.name], schema.target.kind)
        fresh_classes = sorted(set(texts) - set(schema.classes), key=_class_order)
        if fresh_classes:
            warnings.append(f"the target has new classes: {_listed(fresh_classes)}")
            schema = replace(schema, classes=(*schema.classes, *fresh_classes))
            _check_classes(len(schema.classes), schema.target)
    return schema, warnings


def rejected_frame(rejected: Sequence[Rejected], source: str) -> pd.DataFrame:
    """The quarantine as a table: file, row, column, value, reason."""
    fields = ["row", "column", "value", "reason"]
    frame = pd.DataFrame([asdict(entry) for entry in rejected], columns=fields)
    frame.insert(0, "file", source)
    return frame.sort_values("row", kind="stable", ignore_index=True)


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = [repr(name) for name in list(names)[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
