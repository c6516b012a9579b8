"""Bounds that several places hold to."""

import json
from collections.abc import Sequence
from datetime import timedelta

MOST_SHARES = 60_000
"""Probabilities in one HTTP reply, rows × classes."""
MOST_OF_IDS, MOST_OF_ANSWERS, MOST_OF_EXPLANATIONS = 3_000_000, 2_000_000, 900_000
"""Bytes of a reply as Lambda has it, which may answer 6,291,556: JSON in a text of JSON, where one character takes up
to 14."""
MOST_EVALUATIONS = 150_000
"""Rows that the graph answers for one call's explanations. Of the largest that the gate lets through, 25 MB of forest,
it takes 65 µs each: 10 s."""
MOST_EXPLAINED = 100
REFERENCE_ROWS = 100
LONGEST_RUN = timedelta(hours=2)
"""The pipeline's own timeout: a run that is older and still running was ended from outside."""


def answered_rows(classes: Sequence[str]) -> int:
    """How many rows one call may have for the size of its reply; `classes` is empty for regression."""
    longest_number = -1.2345678901234567e-100
    answer = {
        "id": "",
        "prediction": max(map(str, classes), key=written_size, default=longest_number),
        "probabilities": dict.fromkeys(classes, 0.123456789),
    }
    return max(1, min(MOST_SHARES // max(1, len(classes)), MOST_OF_ANSWERS // written_size([answer])))


def reference_rows(columns: int) -> int:
    """How many of a version's reference rows an explanation takes."""
    return max(2, min(REFERENCE_ROWS, MOST_EVALUATIONS // (2 * columns)))


def explained_rows(columns: int, references: int) -> int:
    """How many rows one call may explain."""
    return max(1, min(MOST_EXPLAINED, MOST_EVALUATIONS // (2 * columns * references)))


def written_size(document: object) -> int:
    """Bytes of a reply that it takes at most, which is with all escapes."""
    return len(json.dumps(json.dumps(document, separators=(",", ":"))))
