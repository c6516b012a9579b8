"""Classes have names, as text, wherever they are kept; data, labels and answers have them in the target's own type."""

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import read_value
from tidemill.schema import Column
from tidemill.spec import Kind


def class_texts(values: npt.NDArray[Any], kind: Kind) -> npt.NDArray[Any]:
    """A typed target's values as class names: 'true', '3', 'setosa'; None where missing."""
    if kind == "boolean":
        return np.array([None if v != v else ("true" if v else "false") for v in values], dtype=object)
    if kind == "numeric":
        return np.array([None if v != v else f"{v:.15g}" for v in values], dtype=object)
    if kind == "datetime":
        return np.array([None if np.isnat(v) else str(v) for v in values], dtype=object)
    return values


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
    as CSV has it."""
    try:
        value = read_value(target, float(label) if target.kind == "numeric" and isinstance(label, str) else label)
    except ValueError:
        return None
    if value is None:
        return None
    if target.kind == "boolean":
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{value:.15g}" if isinstance(value, float) else str(value)
