import json

from tidemill.schema import Column, Schema, extend

SCHEMA = Schema(
    (
        Column("id", "categorical", "id"),
        Column("size", "numeric", "feature", nullable=True, low=0.0, high=9.5),
        Column("town", "categorical", "feature", vocabulary=("Zürich", "")),
        Column("blob", "categorical", "unused", note="every value is missing"),
        Column("y", "boolean", "target"),
    ),
    "binary",
    ("false", "true"),
)


def test_a_schema_survives_json() -> None:
    assert Schema.from_json(json.loads(json.dumps(SCHEMA.to_json()))) == SCHEMA


def test_a_lowest_value_of_zero_is_not_taken_for_none() -> None:
    column = Schema.from_json(SCHEMA.to_json()).column("size")
    assert column is not None
    assert column.low == 0.0


def test_a_vocabulary_is_append_only() -> None:
    column = Column("town", "categorical", "feature", vocabulary=("b", "a"))
    longer = extend(column, ["c", "a", "c", "d"])
    assert longer.vocabulary == ("b", "a", "c", "d")
    assert extend(longer, ["d", "b"]) is longer
