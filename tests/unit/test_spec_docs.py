"""docs/spec.md says of every key what the spec's parser takes, and what holds where nothing is said."""

import re
import tomllib
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest

from tidemill.spec import _READERS, ColumnSpec, ModelSpec, _Number

Key = tuple[type, str]

PAGE = Path(__file__).parents[2] / "docs" / "spec.md"
ROW = re.compile(r"^\| `(?P<key>\w+)` \| (?P<default>[^|]+) \| (?P<allowed>[^|]+) \| [^|]+ \|$", re.MULTILINE)
BOUNDS = re.compile(r"(-?[\d,.]+) to (-?[\d,.]+)")
TITLES = {
    **{f"`[{section.__name__.lower()}]`": section for section, _ in _READERS},
    "The model": ModelSpec,
    "`[columns.NAME]`": ColumnSpec,
}


def written() -> dict[Key, re.Match[str]]:
    """The rows of the tables below the sections' headings."""
    sections = (section.partition("\n") for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:])
    return {(TITLES[title], row["key"]): row for title, _, body in sections for row in ROW.finditer(body)}


WRITTEN = written()


def default_of(key: Key) -> Any:
    found: Field[Any] = next(one for one in fields(key[0]) if one.name == key[1])
    return found.default if found.default_factory is MISSING else found.default_factory()


def said(key: Key, cell: str) -> Any:
    """A default as the page has it, read as a spec would be."""
    if cell in ("none", "required"):
        return {"none": None, "required": MISSING}[cell]
    return _READERS[key](tomllib.loads(f"said = {cell.strip('`')}")["said"])


def test_the_page_has_every_key_of_the_spec_and_no_other() -> None:
    assert set(WRITTEN) == set(_READERS)


@pytest.mark.parametrize("key", _READERS, ids=lambda key: f"{key[0].__name__}.{key[1]}")
def test_the_default_on_the_page_is_the_one_that_holds(key: Key) -> None:
    assert said(key, WRITTEN[key]["default"]) == default_of(key)


@pytest.mark.parametrize(
    "key",
    [key for key, reader in _READERS.items() if isinstance(reader, _Number)],
    ids=lambda key: f"{key[0].__name__}.{key[1]}",
)
def test_the_bounds_on_the_page_are_those_of_the_parser(key: Key) -> None:
    bounds = BOUNDS.fullmatch(WRITTEN[key]["allowed"])
    assert bounds
    assert [float(bound.replace(",", "")) for bound in bounds.groups()] == [_READERS[key].low, _READERS[key].high]
