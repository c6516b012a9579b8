"""How far each column was from its reference, window by window: what one report hands on to the next."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.stages.drift import ColumnDrift

MOST_WINDOWS = 30
_DIGITS = 4
Document = Mapping[str, Any]


def extended(before: Document | None, end: str, columns: Sequence[ColumnDrift]) -> Document:
    """{"ends": [of windows, the oldest first], "columns": {part: {name: {test: [effect a window, or None]}}}}, with the
    window that ended at `end` behind those `before` that share no time with it; one without any test adds nothing."""
    before = before or {"ends": [], "columns": {}}
    tests = {(column.of, column.name, test.name): test.effect for column in columns for test in column.tests}
    if not tests:
        return before
    known = {
        (part, name, test): effects
        for part, named in before["columns"].items()
        for name, tested in named.items()
        for test, effects in tested.items()
    }
    found: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    for key in dict.fromkeys([*tests, *known]):
        part, name, test = key
        now = round(tests[key], _DIGITS) if key in tests else None
        effects = [*known.get(key, [None] * len(before["ends"])), now][-MOST_WINDOWS:]
        if any(effect is not None for effect in effects):
            found.setdefault(part, {}).setdefault(name, {})[test] = effects
    return {"ends": [*before["ends"], end][-MOST_WINDOWS:], "columns": found}
