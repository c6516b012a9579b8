"""What a cell means, worked out one by one in plain Python: slow, and by nobody's code but its own."""

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock_time
from typing import Any

from tidemill.schema import Column

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"([T ]([0-9]{1,2})(:([0-9]{2})(:([0-9]{2})(\.([0-9]{1,9}))?)?)?(Z|([+-])([0-9]{2}):?([0-9]{2})?)?)?"
)
_MISSING = {"", "na", "n/a", "nan", "null", "none", "#n/a"}
_YES, _NO = {"true", "t", "yes", "y", "on"}, {"false", "f", "no", "n", "off"}
_LARGEST = 3.4028234663852886e38
BAD = object()


def meaning(cell: Any, column: Column) -> Any:
    """None where it is missing, `BAD` where it is not of the column's kind; a file's own types keep theirs."""
    if isinstance(cell, str):
        cell = cell.strip()
        if cell.lower() in _MISSING:
            return None
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if column.role == "id" or column.kind == "categorical":
        return _text(cell)
    reader = {"numeric": _number, "boolean": _boolean, "datetime": _moment}[column.kind]
    return reader(cell, column)


def _text(cell: Any) -> Any:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return str(cell) if isinstance(cell, int | str) else cell


def _number(cell: Any, _: Column) -> Any:
    if isinstance(cell, str):
        if not _NUMBER.fullmatch(cell):
            return BAD
    elif isinstance(cell, bool) or not isinstance(cell, int | float):
        return BAD
    return float(cell) if abs(float(cell)) <= _LARGEST else BAD


def _boolean(cell: Any, _: Column) -> Any:
    if isinstance(cell, str):
        return True if cell.lower() in _YES else False if cell.lower() in _NO else BAD
    return cell if isinstance(cell, bool) else BAD


def _moment(cell: Any, column: Column) -> Any:
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=cell.tzinfo or UTC).astimezone(UTC)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day, tzinfo=UTC)
    if not isinstance(cell, str):
        return BAD
    if column.format:
        order = re.sub("[^dmY]", "", column.format)
        assert order in ("dmY", "mdY"), "a way to write dates that the reference does not know"
        mark = re.escape(column.format[2])
        year_first = r"\3-\2-\1" if order == "dmY" else r"\3-\1-\2"
        cell = re.sub(f"^([0-9]{{1,2}}){mark}([0-9]{{1,2}}){mark}([0-9]{{4}})(?=$|[T ])", year_first, cell)
    found = _MOMENT.fullmatch(cell)
    return _utc(found) if found else BAD


def _utc(found: re.Match[str]) -> Any:
    year, month, day, _, hour, _, minute, _, second, _, fraction, zone, sign, east, more = found.groups()
    offset = timedelta()
    if zone and zone != "Z":
        offset = timedelta(hours=int(east), minutes=int(more or 0)) * (-1 if sign == "-" else 1)
    micro = int((fraction or "0").ljust(6, "0")[:6])
    try:
        days = date(int(year), int(month), int(day))
        clock = clock_time(int(hour or 0), int(minute or 0), int(second or 0), micro, timezone(offset))
        return datetime.combine(days, clock).astimezone(UTC) if int(more or 0) < 60 else BAD
    except (ValueError, OverflowError):
        return BAD
