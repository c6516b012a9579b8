"""Classes have names, as text, wherever they are kept; data, labels and answers have them in the target's own type."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import LARGEST, read_value
from tidemill.names import Kind
from tidemill.schema import Column, Levels, Schema
from tidemill.stages.rows import quoted
from tidemill.written import read_number

Values = npt.NDArray[Any] | Levels


def answered(shares: npt.NDArray[np.float64], threshold: float | None) -> npt.NDArray[np.int64]:
    """The place of the class that is answered: the most probable one; of two, the second from the threshold on."""
    if threshold is None:
        return np.asarray(shares.argmax(axis=1))
    return (shares[:, 1] >= threshold).astype(np.int64)


def class_texts(values: Values, kind: Kind) -> npt.NDArray[Any]:
    """A typed target's values as class names: 'true', '3', 'setosa'; None where missing."""
    names, places = _named(values, kind)
    return np.asarray(np.array([*names, None], dtype=object)[places])


def class_codes(values: Values, kind: Kind, classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """The place of each value among the class names, -1 where it is missing or none of them."""
    codes = {name: float(code) for code, name in enumerate(classes)}
    if kind == "numeric" and classes and not isinstance(values, Levels):
        return _codes_of_numbers(values, codes)
    return _coded(*_named(values, kind), codes)


def _codes_of_numbers(values: npt.NDArray[Any], codes: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Most values are exactly their class's number; sorting all of them to find their names would take ten times as
    long."""
    numbers = np.array([float(name) for name in codes])
    order = np.argsort(numbers)
    places = order[np.searchsorted(numbers[order], values).clip(max=len(order) - 1)]
    exact = numbers[places] == values
    found = np.where(exact, places, -1.0)
    if not exact.all():
        found[~exact] = _coded(*_named(values[~exact], "numeric"), codes)
    return found


def _coded(
    names: Sequence[str], places: npt.NDArray[np.integer[Any]], codes: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    return np.asarray(np.array([*(codes.get(name, -1.0) for name in names), -1.0])[places])


def _named(values: Values, kind: Kind) -> tuple[Sequence[str], npt.NDArray[np.integer[Any]]]:
    """The names of the different values, and each row's place among them, -1 where missing."""
    if isinstance(values, Levels):
        return values.names, values.codes
    if kind == "categorical":
        names = [name for name in dict.fromkeys(values) if name is not None]
        places: dict[str | None, int] = {name: place for place, name in enumerate(names)} | {None: -1}
        return names, np.array([places[value] for value in values], dtype=np.int32)
    if kind == "boolean":
        return ("false", "true"), np.where(np.isnan(values), -1, values).astype(np.int8)
    found, at = np.unique(values, return_inverse=True)
    missing = np.isnat(found) if kind == "datetime" else np.isnan(found)
    present = found[~missing]
    # Missing values are sorted behind all others.
    places_of = np.where(missing, -1, np.arange(len(found)))
    return [str(value) if kind == "datetime" else _number(value) for value in present], places_of[at]


def _number(value: float) -> str:
    """Of at most 15 digits, so that 0.1 + 0.2 is 0.3; and 0 has no sign."""
    return f"{value + 0.0:.15g}"


def class_value(name: str, target: Column) -> str | float | bool:
    """A class as the target column had it: true, 3, 'setosa'."""
    if target.kind == "boolean":
        return name == "true"
    if target.kind == "numeric":
        number = float(name)
        return int(number) if number == int(number) else number
    return name


def class_name(label: object, target: Column) -> str | None:
    """The class that a label means, None when it can mean none; the inverse of `class_value`, and text is taken
    as a file has it."""
    try:
        if target.kind == "numeric" and isinstance(label, str):
            label = read_number(label.strip(), target.decimal, target.thousands, target.unit)
        value = read_value(target, label)
    except ValueError:
        return None
    if value is None:
        return None
    if target.kind == "boolean":
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    return _number(value) if isinstance(value, float) else str(value)


def label_problem(label: object, schema: Schema) -> str | None:
    """What a label of the model must be and is not; None where it is."""
    if schema.task == "regression":
        number = isinstance(label, int | float) and not isinstance(label, bool)
        if not number or not -LARGEST <= label <= LARGEST:  # type: ignore[operator]
            return f"must be a number, as {schema.target.name!r} is"
    elif class_name(label, schema.target) not in schema.classes:
        return f"must be one of {', '.join(schema.classes[:10])}, not {quoted(label)}"
    return None
