"""What the command says: results on stdout, as text or as one JSON document; all the rest on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console as Terminal
from rich.table import Table as RichTable
from rich.text import Text

Update = Callable[[str], None]

_WIDE = 160
"""Columns of text that goes to a file or a pipe, where no window says how many there are."""


@dataclass(frozen=True)
class Table:
    """Cells may be anything; None is shown as a dash. Without columns: names and their values."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""


@dataclass(frozen=True)
class Result:
    """What a command found out: `document` for programs, `text` for people.

    `problem` goes to stderr: why the exit code is not 0 although there is a result.
    """

    document: Mapping[str, Any]
    text: Sequence[str | Table] = ()
    exit_code: int = 0
    problem: str = ""


class Console:
    """Text of users may hold brackets, which are no markup here."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._stdout = _terminal(stderr=False)
        self._stderr = _terminal(stderr=True)

    def show(self, result: Result) -> None:
        if self.as_json:
            self._document(result.document)
        else:
            for part in result.text:
                self._stdout.print(_rich(part) if isinstance(part, Table) else Text(part), soft_wrap=True)
        if result.problem:
            self.say(result.problem)

    def fail(self, sentence: str, details: Mapping[str, Any]) -> None:
        """An error is one sentence for people, and a document with `error` for programs."""
        if self.as_json:
            self._document({"error": sentence, **details})
        self.say(f"tidemill: {sentence}")

    def say(self, sentence: str) -> None:
        self._stderr.print(Text(sentence), soft_wrap=True)

    @contextmanager
    def progress(self, first: str) -> Iterator[Update]:
        """A line that changes in place, or a line a change where stderr is no terminal."""
        if self._stderr.is_terminal:
            with self._stderr.status(Text(first)) as status:
                yield lambda text: status.update(Text(text))
            return
        said = first
        self.say(first)

        def update(text: str) -> None:
            nonlocal said
            if text != said:
                said = text
                self.say(text)

        yield update

    def _document(self, document: Mapping[str, Any]) -> None:
        indent = 2 if self._stdout.is_terminal else None
        sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
        sys.stdout.flush()


def _terminal(*, stderr: bool) -> Terminal:
    terminal = Terminal(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not terminal.is_terminal and "COLUMNS" not in os.environ:
        terminal.width = _WIDE
    return terminal


def _rich(table: Table) -> RichTable:
    drawn = RichTable(
        title=Text(table.title) if table.title else None,
        title_justify="left",
        show_header=bool(table.columns),
        box=box.SIMPLE_HEAD,
    )
    for column in table.columns:
        drawn.add_column(Text(column), overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    return drawn


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
