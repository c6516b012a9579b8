"""JSON of requests, replies and captures, read and written by orjson, several times as fast as by the standard library;
which still does what orjson refuses, or would do otherwise. Only infer has it: docs/decisions/0009.
"""

from typing import Any

import orjson

from tidemill.stages.captured import as_json

# Of a whole number beyond 64 bits orjson makes a float. With its sign it has 20 characters or more, and it begins after
# one of these; digits of a fraction or of a text do not.
_NUMBERS = bytes.maketrans(b"-123456789[,: \t\n\r", b"0000000000:::::::")
_LONG_WHOLE = b":" + b"0" * 20

# Text stays as it is, and some who read lines end one at these, too.
_ENDS_OF_LINES = {mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}


def read_object(data: bytes) -> dict[str, Any] | None:
    """What `json.loads` makes of it; None for what only that can tell, as what is no object or not right."""
    if _LONG_WHOLE in data.translate(_NUMBERS):
        return None
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def write(document: Any, nulls: int = 0) -> str:
    """What `as_json` makes of it, in fewer escapes; `nulls` is how many of its values are None. Raises ValueError for
    what is no number."""
    try:
        written = orjson.dumps(document)
    except TypeError:
        return as_json(document)
    # For what is no number it writes null.
    if written.count(b"null") != nulls:
        return as_json(document)
    text = written.decode()
    if not text.isascii():
        for mark, escape in _ENDS_OF_LINES.items():
            text = text.replace(mark, escape)
    return text
