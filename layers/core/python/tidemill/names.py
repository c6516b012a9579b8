"""What models, columns and tasks may be called; apart from the spec, which whoever only serves does not load."""

import re
from typing import Literal

from tidemill.errors import InvalidSpec

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["numeric", "boolean", "categorical", "datetime"]

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def model_name(name: str) -> str:
    """The name itself if a model may have it: it becomes part of keys, URLs and execution names."""
    if not MODEL_NAME.fullmatch(name):
        raise InvalidSpec(
            f"model name {name!r} is not allowed: use 1 to 40 lower-case letters, digits, '-' or '_', "
            "starting with a letter or digit"
        )
    return name
