"""What happened in a year, day by day, as a table: each event, and between them how many days had none."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from textwrap import shorten

from tests.bench.year_loop import Checkup
from tidemill.contracts import Outcome
from tidemill.flows.performance import SPAN
from tidemill.stages.feed import silence

_LONGEST = 600


@dataclass(frozen=True)
class Entry:
    """`what` is empty for days without an event."""

    first: date
    last: date
    what: str
    words: str

    def cells(self) -> tuple[str, str, str]:
        dates = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return dates, self.what, shorten(self.words, _LONGEST, placeholder=" …").replace("|", "/")


def story(checkups: Sequence[Checkup]) -> list[Entry]:
    """Days in a row without an event are one entry, and so are those on which the same went on."""
    usual = [checkup.predictions for checkup in checkups]
    entries = [
        _entry(checkup, silence(checkup.predictions, usual[max(0, place - SPAN) : place]))
        for place, checkup in enumerate(checkups)
    ]
    return [_together(list(days)) for _, days in groupby(_numbered(entries), key=lambda each: each[0])]


def _entry(checkup: Checkup, silent: str) -> Entry:
    checked, day = checkup.checked, checkup.day
    told = ", told" if checked.notice else ""
    if checkup.outcome:
        return Entry(day, day, f"retrain: {checkup.outcome.status}", f"{checked.reason} → {_ended(checkup.outcome)}")
    if checkup.refused:
        return Entry(day, day, f"held back{told}", checked.reason if told else checkup.refused)
    if checked.action == "quarantine":
        return Entry(day, day, f"quarantine{told}", checked.reason)
    if told:
        return Entry(day, day, "notice", checked.notice.partition(". Report: ")[0])
    if silent:
        return Entry(day, day, "silence", silent)
    return Entry(day, day, "", checked.action)


def _ended(outcome: Outcome) -> str:
    version = f"version {outcome.version}: " if outcome.version else ""
    return f"{version}{'; '.join(outcome.reasons)} ({outcome.seconds:.0f} s)"


def _numbered(entries: Iterable[Entry]) -> Iterable[tuple[int, Entry]]:
    """With the number of the group that each belongs to. What a person heard of, and a retrain, stand alone."""
    number, before = 0, None
    for entry in entries:
        alone = entry.what.startswith(("retrain", "notice")) or entry.what.endswith("told")
        number += alone or entry.what != before
        before = entry.what
        yield number, entry


def _together(numbered: Sequence[tuple[int, Entry]]) -> Entry:
    entries = [entry for _, entry in numbered]
    first, last = entries[0], entries[-1]
    if first.what:
        return Entry(first.first, last.last, first.what, first.words)
    counts = Counter(entry.words for entry in entries)
    return Entry(first.first, last.last, "", ", ".join(f"{days} {action}" for action, days in counts.items()))
