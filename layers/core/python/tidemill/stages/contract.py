"""A model's contract as JSON Schema (draft 2020-12): what the endpoint takes as a row, and what it answers.

The schema of a row accepts what the endpoint accepts, and refuses what it refuses. Three things no schema can say: that
a date is one which the calendar has, that a number written as text is within float32, and the limits of a whole call.
A number outside of training's range and a category that training never saw are answered with a warning, so they are
told in words and examples, and never by `minimum` or `enum`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill import written
from tidemill.encoding import FALSE_WORDS, LARGEST, NULL_WORDS, TRUE_WORDS
from tidemill.limits import answered_rows, explained_rows, reference_rows
from tidemill.schema import Column, Schema
from tidemill.stages.classes import class_value
from tidemill.stages.serve import MOST_ROWS, written_as

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_EXAMPLES = 100
_ROLES = {
    "id": "Names the row: its answer has it, and labels are joined by it. Text, or a whole number; without it the "
    "server makes one.",
    "time": "When the row was. Accepted, never used to predict.",
}
_SHOWN_DATE = "2013-07-04T18:30:00Z"

Node = dict[str, Any]


@dataclass(frozen=True)
class Contract:
    """A version as its callers know it."""

    model: str
    version: int
    schema: Schema

    @property
    def classes(self) -> Sequence[str | float | bool]:
        """As replies have them, in the order of the shares; none for regression."""
        return [class_value(name, self.schema.target) for name in self.schema.classes]

    @property
    def most_rows(self) -> int:
        """Of one call; more is 413."""
        return min(MOST_ROWS, answered_rows(self.schema.classes))

    @property
    def most_explained(self) -> int:
        """Of one call; for a version that was trained on few rows it may be more."""
        columns = len(self.schema.features)
        return min(self.most_rows, explained_rows(columns, reference_rows(columns)))


def row_document(contract: Contract) -> Node:
    """One row's schema, as it stands alone."""
    title = f"A row for {contract.model}, version {contract.version}"
    return {"$schema": DIALECT, "title": title, **row(contract.schema)}


def row(schema: Schema) -> Node:
    return {
        "type": "object",
        "description": "A field that is not listed is ignored, with a warning unless the data had it.",
        "properties": {
            column.name: _field(column) for column in schema.columns if column.role in ("feature", "id", "time")
        },
        "required": [column.name for column in schema.features if not column.nullable],
        "additionalProperties": True,
        "examples": [example(schema)],
    }


def request(contract: Contract, rows: Node) -> Node:
    """The body of a call; `rows` is the schema of a row, or a reference to it."""
    return {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": rows, "minItems": 1, "maxItems": contract.most_rows},
            "explain": {
                "type": "boolean",
                "default": False,
                "description": "Tell of each prediction which fields moved it; for at most "
                f"{contract.most_explained} rows a call.",
            },
        },
        "required": ["rows"],
        "examples": [{"rows": [example(contract.schema)]}],
    }


def reply(contract: Contract) -> Node:
    prediction: Node = {"type": "object", "properties": {"id": {"type": "string"}, "prediction": {"type": "number"}}}
    if contract.classes:
        names, share = list(contract.schema.classes), {"type": "number", "minimum": 0, "maximum": 1}
        prediction["properties"] |= {
            "prediction": {"enum": contract.classes},
            "probabilities": {"type": "object", "properties": dict.fromkeys(names, share), "required": names},
        }
    prediction["required"] = list(prediction["properties"])
    prediction["properties"]["explanation"] = _explanation(contract)
    return {
        "type": "object",
        "properties": {
            "model": {"const": contract.model},
            "version": {"type": "integer", "description": "The one version that all of the predictions come from."},
            "predictions": {"type": "array", "items": prediction},
            "warnings": {"type": "array", "items": {"type": "string"}},
            "degraded": {"type": "string", "description": "Why the version may not be the newest champion."},
        },
        "required": ["model", "version", "predictions"],
    }


def _explanation(contract: Contract) -> Node:
    number: Node = {"type": "number"}
    moved = {
        "type": "object",
        "properties": {
            "field": {"enum": [column.name for column in contract.schema.features]},
            "value": {"description": "As it was sent; a long text is cut."},
            "contribution": number,
            "error": {"type": "number", "minimum": 0, "description": "A standard error."},
        },
        "required": ["field", "value", "contribution", "error"],
    }
    of_class = {"class": {"enum": list(contract.schema.classes)}} if contract.classes else {}
    properties: Node = {
        **of_class,
        "base": {"type": "number", "description": "The mean over rows of the training."},
        "contributions": {"type": "array", "items": moved, "description": "Of the strongest fields."},
        "others": {"type": "number", "description": "The contributions of all other fields together."},
    }
    return {
        "type": "object",
        "description": "There where it was asked for. base, the contributions and others add up to the "
        f"{'probability of the class' if contract.classes else 'prediction'}.",
        "properties": properties,
        "required": list(properties),
    }


def labels(contract: Contract) -> Node:
    label: Node = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    if contract.classes:
        label = {
            "description": "A class, as the data had it.",
            "anyOf": [{"enum": contract.classes}, {"type": "string"}],
        }
    entry = {
        "type": "object",
        "properties": {"id": {"type": ["string", "integer"], "description": "Of a prediction."}, "label": label},
        "required": ["id", "label"],
    }
    listed = {"type": "array", "items": entry, "minItems": 1, "maxItems": MOST_ROWS}
    return {"type": "object", "properties": {"labels": listed}, "required": ["labels"]}


def example(schema: Schema) -> dict[str, Any]:
    """A row in the middle of what training saw: it is answered without a warning."""
    return {column.name: _EXAMPLES[column.kind](column) for column in schema.features}


def _field(column: Column) -> Node:
    facts: Node = {"kind": column.kind, "role": column.role}
    if column.role != "feature":
        return {"description": _ROLES[column.role], "x-tidemill": facts | written_as(column)}
    node: Node = {"type": _types(column), "description": " ".join(_SENTENCES[column.kind](column))}
    if column.kind == "numeric":
        node |= {"minimum": -LARGEST, "maximum": LARGEST}
    if column.low is not None:
        facts |= {"low": column.low, "high": column.high}
    if column.kind == "categorical":
        facts |= {"categories": len(column.vocabulary)}
        node |= {"examples": list(column.vocabulary[:MOST_EXAMPLES])}
        node |= {} if column.nullable else {"not": {"pattern": _whole([_NULL])}}
    elif texts := _texts(column):
        node["pattern"] = _whole(texts)
    if column.nullable:
        node["description"] += " It may be missing: no field, null, or a word such as NA."
    return node | {"x-tidemill": facts | written_as(column)}


def _types(column: Column) -> str | list[str]:
    """`pattern` speaks of text alone, and `minimum` of numbers, so that one list of types is enough."""
    types = {"numeric": ["number"], "boolean": ["boolean"]}.get(column.kind, [])
    if column.kind == "categorical" or _texts(column):
        types.append("string")
    if column.nullable:
        types.append("null")
    return types if len(types) > 1 else types[0]


def _texts(column: Column) -> list[str]:
    """The patterns of what may be sent as text, but for a category, which may be any."""
    texts = list(_TEXTS[column.kind](column))
    return [*texts, _NULL] if column.nullable else texts


def _number_texts(column: Column) -> Iterator[str]:
    marks = column.decimal, column.thousands, column.unit
    if any(marks):
        yield _portable(written.number_pattern(*marks).pattern)


def _date_texts(column: Column) -> Iterator[str]:
    for pattern in written.date_patterns(column.format):
        yield _portable(pattern.pattern)


def _words(words: Sequence[str]) -> str:
    """In any case, which JSON Schema has no flag for."""
    return "|".join("".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in word) for word in words)


def _whole(texts: Sequence[str]) -> str:
    return f"^\\s*(?:{'|'.join(texts)})\\s*$"


def _portable(pattern: str) -> str:
    """As ECMA-262 writes it: without Python's names of groups, and nothing escaped that means itself."""
    return re.sub(r"\\([-&~# ])", r"\1", re.sub(r"\(\?P<\w+>", "(?:", pattern))


_NULL = _words(sorted(NULL_WORDS))
_BOOLEAN_TEXT = _words(sorted(TRUE_WORDS | FALSE_WORDS))
_TEXTS: Mapping[str, Callable[[Column], Iterator[str]]] = {
    "numeric": _number_texts,
    "boolean": lambda _: iter([_BOOLEAN_TEXT]),
    "categorical": lambda _: iter([]),
    "datetime": _date_texts,
}


def _of_number(column: Column) -> Iterator[str]:
    yield "A number."
    if column.low is not None and column.high is not None:
        yield f"Training saw {column.low:.6g} to {column.high:.6g}; one outside is answered with a warning."
    marks = column.decimal, column.thousands, column.unit
    if any(marks):
        yield f"As text too: {written.expected_number(*marks)}."


def _of_category(column: Column) -> Iterator[str]:
    yield f"Text. Training knew {len(column.vocabulary):,} categories; another is answered with a warning."


def _of_date(column: Column) -> Iterator[str]:
    yield f"Text: {written.expected_date(column.format)}; without a zone it is UTC."
    if column.format:
        yield "ISO 8601 is read too."


_SENTENCES: Mapping[str, Callable[[Column], Iterator[str]]] = {
    "numeric": _of_number,
    "boolean": lambda _: iter(["true or false, or as text: yes, no, true, false, y, n, t, f, on, off."]),
    "categorical": _of_category,
    "datetime": _of_date,
}


def _example_number(column: Column) -> float:
    if column.low is None or column.high is None:
        return 1
    middle = column.low / 2 + column.high / 2
    short = float(f"{middle:.4g}")
    number = short if column.low <= short <= column.high else middle
    return int(number) if number.is_integer() else number


def _example_category(column: Column) -> str:
    known = (word for word in column.vocabulary if word.strip().lower() not in NULL_WORDS)
    return next(known, "some text")


_EXAMPLES: Mapping[str, Callable[[Column], Any]] = {
    "numeric": _example_number,
    "boolean": lambda _: True,
    "categorical": _example_category,
    "datetime": lambda _: _SHOWN_DATE,
}
