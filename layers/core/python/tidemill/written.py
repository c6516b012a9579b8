"""How numbers and dates are written as text. Each way is one pattern, which Arrow's RE2 reads for whole columns and
`re` for single values, so that a file and a request mean the same by the same text."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ISO = "%Y-%m-%d"

SPACES = " \u00a0\u202f"
_ZONE = "Z|[+-][0-9]{2}(?::?[0-9]{2})?"
_TIME = (
    "(?:[T ](?P<H>[0-9]{1,2})(?::(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.](?P<f>[0-9]{1,9}))?)?)?"
    f"(?P<z>{_ZONE})?)?"
)
_LETTERS: Mapping[str, str] = {
    "Y": "[0-9]{4}", "y": "[0-9]{2}", "b": "[A-Za-z]{3}", "m": "[0-9]{1,2}", "d": "[0-9]{1,2}",
    "H": "[0-9]{1,2}", "I": "[0-9]{1,2}", "p": "[AaPp][Mm]", "M": "[0-9]{1,2}", "S": "[0-9]{1,2}",
    "f": "[0-9]{1,9}", "z": _ZONE,
}  # fmt: skip
_OF_TIME = "HIpMSfz"
_TOKENS = re.compile(r"%(.?)|([^%]+)", re.DOTALL)
_SHOWN = datetime(2013, 7, 31, 18, 30, tzinfo=UTC)


@cache
def number_pattern(decimal: str = "", thousands: str = "", unit: str = "") -> re.Pattern[str]:
    """Groups 1, 2 and 3 are sign and digits; the unit stands before or after, or is left out.

    A space as the thousands separator stands for the unbreakable ones too, which look the same.
    """
    point = re.escape(decimal or ".")
    whole = "[0-9]+"
    if thousands:
        group = f"[{SPACES}]" if thousands in SPACES else re.escape(thousands)
        whole = f"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    number = f"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    if not unit:
        return re.compile(f"([+-]?)()({number})")
    mark, gap = re.escape(unit), f"[{SPACES}]*"
    return re.compile(f"(?:([+-]?)(?:{mark}{gap})?|{mark}{gap}([+-]))({number})(?:{gap}{mark})?")


def plain_number(decimal: str, thousands: str) -> Iterator[tuple[str, str]]:
    """What to replace by what in the groups of `number_pattern`, one after another, for a number that `float` reads."""
    for mark in SPACES if thousands and thousands in SPACES else thousands:
        yield mark, ""
    if decimal:
        yield decimal, "."


def read_number(text: str, decimal: str = "", thousands: str = "", unit: str = "") -> float:
    """May be infinite, for a number beyond float64; raises ValueError with what was expected."""
    match = number_pattern(decimal, thousands, unit).fullmatch(text)
    if not match:
        raise ValueError(expected_number(decimal, thousands, unit))
    number = "".join(part or "" for part in match.groups())
    for mark, by in plain_number(decimal, thousands):
        number = number.replace(mark, by)
    return float(number)


def expected_number(decimal: str = "", thousands: str = "", unit: str = "") -> str:
    if not (decimal or thousands or unit):
        return "a number"
    return f"a number such as 1{thousands}234{decimal or '.'}5{' ' if unit else ''}{unit}"


def problems_of_format(written: str) -> Iterator[str]:
    """Why no date could be read by these letters."""
    letters = [letter for letter, literal in _TOKENS.findall(written) if not literal and letter != "%"]
    had = set(letters)
    unknown = sorted(had - set(_LETTERS))
    if unknown:
        yield f"has {', '.join(f'%{each}' for each in unknown)}, and known are {' '.join(f'%{k}' for k in _LETTERS)}"
    if len(had) < len(letters):
        yield "has a letter twice"
    if len(had & {"Y", "y"}) != 1 or len(had & {"m", "b"}) != 1 or "d" not in had:
        yield "needs a year (%Y or %y), a month (%m or %b) and a day (%d)"
    if {"H", "I"} <= had or ("I" in had) != ("p" in had):
        yield "has no clear hour: use %H, or %I with %p"
    larger = {"M": "HI", "S": "M", "f": "S", "z": "HI"}
    if any(part in had and not had & set(needed) for part, needed in larger.items()):
        yield "has a part of the time without the larger ones"
    if "%Y-%d-%m" in written:
        yield "would read ISO dates such as 2013-07-04 with month and day exchanged"


@cache
def date_patterns(written: str = "") -> tuple[re.Pattern[str], ...]:
    """What to try, in this order: the column's own format, then ISO 8601, which no format can contradict.

    The groups are called by the letters of strftime. A time may follow a format that has none. Leading zeros may be
    left out where another digit does not follow.
    """
    formats = (written, ISO) if written and written != ISO else (ISO,)
    return tuple(_date_pattern(each) for each in formats)


def read_date(text: str, written: str = "") -> datetime:
    """In UTC, to the microsecond; without a zone it is taken as UTC. Raises ValueError with what was expected."""
    for pattern in date_patterns(written):
        if match := pattern.fullmatch(text):
            try:
                return _moment(match.groupdict())
            except (ValueError, OverflowError):
                raise ValueError("a date that the calendar has") from None
    raise ValueError(expected_date(written))


def expected_date(written: str = "") -> str:
    example = _SHOWN.strftime(written) if written and written != ISO else "2013-07-04T18:30:00Z"
    return f"a date such as {example}"


def _date_pattern(written: str) -> re.Pattern[str]:
    tokens = [(letter, literal) for letter, literal in _TOKENS.findall(written)]
    digits = [bool(letter) and _LETTERS.get(letter, "").startswith("[0-9]") for letter, _ in tokens]
    pattern = ""
    for place, (letter, literal) in enumerate(tokens):
        if literal or letter == "%":
            pattern += re.escape(literal or "%")
            continue
        beside = any(digits[max(0, place - 1) : place]) or any(digits[place + 1 : place + 2])
        pattern += f"(?P<{letter}>{_LETTERS[letter].replace('{1,2}', '{2}') if beside else _LETTERS[letter]})"
    has_time = any(letter and letter in _OF_TIME for letter, _ in tokens)
    return re.compile(pattern if has_time else pattern + _TIME)


def _moment(parts: Mapping[str, str | None]) -> datetime:
    def whole(letter: str) -> int:
        return int(parts.get(letter) or 0)

    year, month, hour = whole("Y"), whole("m"), whole("H")
    if "y" in parts:
        year = whole("y") + (2000 if whole("y") < 69 else 1900)
    if "b" in parts:
        month = MONTHS.index((parts["b"] or "").lower()) + 1
    if "I" in parts:
        if not 1 <= whole("I") <= 12:
            raise ValueError
        hour = whole("I") % 12 + 12 * ((parts["p"] or "").lower() == "pm")
    fraction = int((parts.get("f") or "").ljust(6, "0")[:6])
    local = datetime(year, month, whole("d"), hour, whole("M"), whole("S"), fraction, tzinfo=UTC)
    return local - _offset(parts.get("z") or "Z")


def _offset(zone: str) -> timedelta:
    if zone == "Z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[3:].replace(":", "") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
