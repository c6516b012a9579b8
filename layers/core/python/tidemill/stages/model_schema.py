"""A model's schema: as its first upload shows it, as a newer spec sees it, and as a later upload extends it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tidemill.errors import InvalidSpec, InvalidUpload
from tidemill.names import Task
from tidemill.profile import level_counts
from tidemill.schema import Column, Levels, Role, Schema, extend
from tidemill.spec import ColumnSpec, ModelSpec
from tidemill.stages.classes import class_texts
from tidemill.stages.columns import infer_kind, infer_target_kind, read
from tidemill.stages.metrics import metric
from tidemill.stages.tables import Table

MAX_CATEGORIES = 1_000
"""A column's vocabulary; later and rarer categories count as unknown."""
MAX_CLASSES = 100
_FEW_CLASSES = 10
_FREE_TEXT = 0.5
"""More different values than this share of the rows are an id or free text."""


def first_schema(table: Table, spec: ModelSpec, widened: Collection[str] = ()) -> Schema:
    """Kinds and roles as the head of the first upload shows them; raises for a spec that does not fit the file.

    `widened` columns are text: rows after the head have shown that they are not what the head made of them. The task
    and its classes are not known before all rows are: see `settled`.
    """
    _check_named_columns(table, spec)
    columns = [_new_column(name, table, spec, widened) for name in table.names]
    columns = [replace(column, key=column.role in ("feature", "target", "time")) for column in columns]
    target = next(column for column in columns if column.name == spec.target)
    if target.role == "unused":
        raise InvalidUpload(f"target {spec.target!r} has no usable value: {target.note}")
    if target.kind == "datetime":
        raise InvalidUpload(f"target {spec.target!r} holds dates: predict a number or a class made from them")
    time = next((column for column in columns if column.role == "time"), None)
    if time and time.kind != "datetime":
        note = f" ({time.note})" if time.note else ""
        raise InvalidUpload(f"time column {time.name!r} holds no dates such as 2013-07-04T18:30:00Z{note}")
    return with_categories(Schema(tuple(columns), "regression"), table)


def later_schema(schema: Schema, table: Table, spec: ModelSpec) -> Schema:
    """The model's schema with the columns that this file has for the first time."""
    new = [_new_column(name, table, spec, ()) for name in table.names if not schema.column(name)]
    return with_categories(replace(schema, columns=(*schema.columns, *new)), table)


def same_model(schema: Schema, spec: ModelSpec) -> Schema:
    """The stored schema under a newer spec: roles may change, kinds, the target and the task may not."""
    problems = []
    if schema.target.name != spec.target:
        problems.append(
            f"the target of this model is {schema.target.name!r}, not {spec.target!r}: use another model name"
        )
    wanted: Sequence[tuple[Role, str | None]] = (("id", spec.id), ("time", spec.time))
    for role, name in wanted:
        had = schema.of_role(role)
        if (had.name if had else None) != name:
            problems.append(
                f"the {role} column of this model is {had.name if had else 'none'} and cannot become {name or 'none'}, "
                "since rows would change sides of the split: use another model name"
            )
    for column in schema.columns:
        said = spec.columns.get(column.name, ColumnSpec())
        if said.kind and said.kind != column.kind and column.name != spec.id:
            problems.append(
                f"column {column.name!r} was {column.kind} in earlier uploads and cannot become {said.kind}: "
                "use another model name"
            )
    if spec.task and (spec.task == "regression") != (schema.task == "regression"):
        problems.append(f"the task of this model is {schema.task}, not {spec.task}: use another model name")
    if problems:
        raise InvalidSpec(problems)
    return replace(schema, columns=tuple(_under(column, spec) for column in schema.columns))


def settled(schema: Schema, spec: ModelSpec, target: Collection[Any]) -> Schema:
    """The task and the classes, from all different values of the target: numbers as they are, all else as class names.

    Of numbers it is enough to know a few more than there may be classes. Earlier classes keep their places.
    """
    column = schema.target
    numeric = column.kind == "numeric"
    names: set[str] = set(class_texts(np.array(list(target), dtype=np.float64), "numeric")) if numeric else set(target)
    few = len(names) <= _FEW_CLASSES and all(float(value).is_integer() for value in target) if numeric else True
    task = spec.task or ("classification" if few else "regression")
    if schema.classes:
        fresh = sorted(names - set(schema.classes), key=_class_order)
        classes = (*schema.classes, *fresh) if schema.task == "multiclass" else schema.classes
        _check_classes(len(classes), column)
        return replace(schema, classes=classes)
    if task == "regression":
        if not numeric:
            raise InvalidUpload(f"target {column.name!r} is {column.kind}, and a regression needs numbers")
        if len(names) < 2:
            raise InvalidUpload(f"target {column.name!r} has the same value in every row: nothing to predict")
        return replace(schema, task="regression")
    if len(names) < 2:
        only = f"only the class {next(iter(names))!r}" if names else "no value"
        raise InvalidUpload(f"target {column.name!r} has {only}: a classifier needs at least two")
    _check_classes(len(names), column)
    return replace(schema, task=_task(len(names)), classes=tuple(sorted(names, key=_class_order)))


def check_metric(spec: ModelSpec, task: Task) -> None:
    """Raises `InvalidSpec` for a metric that the task does not know, before any time is spent on training."""
    if spec.train.metric:
        try:
            metric(spec.train.metric, task)
        except ValueError as error:
            raise InvalidSpec(f"train.metric: {error}") from None


def with_categories(schema: Schema, table: Table) -> Schema:
    """Vocabularies of the head's categories, the most frequent first where there is no room for all; a column that
    has almost as many values as rows is none of categories."""
    return replace(schema, columns=tuple(_with_categories(column, table) for column in schema.columns))


def _with_categories(column: Column, table: Table) -> Column:
    if column.kind != "categorical" or column.role not in ("feature", "excluded") or column.name not in table.names:
        return column
    values: Levels = read(table.head.columns[column.name], column).values
    counts = level_counts(values, column.kind)
    rows = counts.total()
    if not column.vocabulary and len(counts) > max(20, _FREE_TEXT * rows):
        note = f"{len(counts):,} different values in {rows:,} rows are an id or free text"
        return replace(column, role="unused", note=f"{column.note}; {note}" if column.note else note)
    known = set(column.vocabulary)
    fresh = sorted((name for name in counts if name not in known), key=lambda name: (-counts[name], name))
    return extend(column, sorted(fresh[: MAX_CATEGORIES - len(known)]))


def _new_column(name: str, table: Table, spec: ModelSpec, widened: Collection[str]) -> Column:
    if name == spec.id:
        return Column(name, "categorical", "id")
    said = spec.columns.get(name, ColumnSpec())
    infer = infer_target_kind if name == spec.target else infer_kind
    kind, note, format_ = infer(table.head.columns[name], name)
    if name in widened:
        kind, note = "categorical", f"{kind} at first, but more than a twentieth of all rows are not"
    if said.kind:
        kind, note = said.kind, "set in the spec"
    column = Column(name, kind or "categorical", _role(name, spec) if kind else "unused", note=note)
    return _written(replace(column, format=format_ if kind == "datetime" else ""), said)


def _written(column: Column, said: ColumnSpec) -> Column:
    """With the ways of writing that the spec names; another one than before means that files are written anew."""
    return replace(
        column,
        decimal=said.decimal or column.decimal,
        thousands=said.thousands or column.thousands,
        unit=said.unit or column.unit,
        format=said.format or column.format,
    )


def _under(column: Column, spec: ModelSpec) -> Column:
    """Text that no model can use stays unused, whatever the spec says of it."""
    role = _role(column.name, spec)
    column = _written(column, spec.columns.get(column.name, ColumnSpec()))
    return column if column.role == "unused" and role == "feature" else replace(column, role=role)


def _role(name: str, spec: ModelSpec) -> Role:
    roles: Mapping[str | None, Role] = {spec.target: "target", spec.id: "id", spec.time: "time"}
    return roles.get(name, "excluded" if name in spec.exclude else "feature")


def _check_named_columns(table: Table, spec: ModelSpec) -> None:
    named: Mapping[str, list[str | None]] = {
        "target": [spec.target],
        "id": [spec.id],
        "time": [spec.time],
        "columns": list(spec.columns),
        "exclude": list(spec.exclude),
    }
    problems = [
        f"{key} {name!r} of the spec is not a column of the file, which has {listed(table.names)}"
        for key, names in named.items()
        for name in names
        if name and name not in table.names
    ]
    if problems:
        raise InvalidUpload(problems)


def _check_classes(classes: int, target: Column) -> None:
    if classes > MAX_CLASSES:
        raise InvalidUpload(
            f"target {target.name!r} has more than {MAX_CLASSES} different values, too many for classes: "
            'if it is a quantity, say task = "regression" in the spec'
        )


def _task(classes: int) -> Task:
    return "binary" if classes == 2 else "multiclass"


def _class_order(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    shown = [repr(name) for name in list(names)[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
