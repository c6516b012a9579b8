"""What a model's JSON Schema accepts, the endpoint answers; what it refuses, the endpoint refuses."""

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.builders import Alone, dataset, served
from tidemill.stages import contract
from tidemill.stages.contract import Contract

SPEC = """
target = "y"
id = "key"
time = "seen"
[columns.price]
decimal = ","
thousands = "."
unit = "€"
[columns.born]
format = "%d.%m.%Y"
"""
CANNOT_BE_SAID = ("a date that the calendar has", "a finite number of at most 3.4e+38 in size")


def sales(rows: int = 400) -> pd.DataFrame:
    """Each kind once with gaps and once without, and two columns that are written in a way of their own."""
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366, rows), unit="D")
    size = rng.normal(50, 12, rows).round(2)
    gaps = rng.random(rows) < 0.1
    return pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(rows)],
            "seen": day.strftime("%Y-%m-%d"),
            "size": size,
            "gap": pd.Series(size * 2).mask(gaps),
            "price": pd.Series([f"{1000 + i}.500,5 €" for i in rng.integers(0, 9, rows)]).mask(gaps).str.slice(1),
            "flag": rng.choice(["yes", "no"], rows),
            "maybe": pd.Series(rng.choice(["yes", "no"], rows)).mask(gaps),
            "plan": rng.choice(["basic", "plus"], rows),
            "town": pd.Series(rng.choice(["Ulm", "Bonn", "Köln"], rows)).mask(gaps),
            "born": day.strftime("%d.%m.%Y"),
            "left": pd.Series(day.strftime("%Y-%m-%dT%H:%M:%SZ")).mask(gaps),
            "y": np.where(size + rng.normal(0, 5, rows) > 50, "a", "b"),
        }
    )


@cache
def alone() -> Alone:
    return Alone(served(dataset(sales(), SPEC)))


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(alone().call("GET", "/models/demo/schema").body)
    return found


WORDS = ("a", " a ", "na", "NaN", "#N/A", "", " \t", "None", "nonee", "yes", " TRUE", "truee", "x\n", "\n", "ＮＡ", "K")
NUMBERS = ("0", "1", "1.5", "1,5", "1.234,5 €", "€ 7", "-€7", "€-7", "12.34,5", "1.234,5 $", "1e5", "9,9e99")
DATES = (
    "31.07.2024", "31.02.2024", "31.7.2024 18:30", "2024-07-31", "2024-02-30", "2024-7-1T9", "20240731",
    "2024-07-31T18:30:00.5+02:00", "2024-07-31 25:00",
)  # fmt: skip
values = st.one_of(
    st.sampled_from([*WORDS, *NUMBERS, *DATES]),
    st.text(max_size=4),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -0.0, 3.5e38, -3.5e38, 3.4e38, -3.4e38, 10**400]),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.just("k"), st.none(), max_size=1),
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """The example, with a few fields that are left out, odd, or made by the schema's own pattern."""
    row = dict(schema()["examples"][0])
    for name in draw(st.lists(st.sampled_from([*schema()["properties"], "unheard of"]), max_size=3)):
        pattern = schema()["properties"].get(name, {}).get("pattern")
        choices = [values, st.just(...), *([st.from_regex(pattern)] if pattern else [])]
        row[name] = draw(st.one_of(choices))
    return {name: value for name, value in row.items() if value is not ...}


@settings(max_examples=1_500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(rows())
def test_the_schema_accepts_a_row_where_the_endpoint_answers_it(row: dict[str, Any]) -> None:
    accepted = Draft202012Validator(schema()).is_valid(json.loads(json.dumps(row)))
    response = alone().call("POST", "/models/demo/predict", {"rows": [row]})
    assert response.status in (200, 400)
    if accepted and response.status == 400:
        assert isinstance(response.document, dict)
        problems = response.document["errors"]
        assert {problem["expected"] for problem in problems} <= set(CANNOT_BE_SAID)
        assert all(problem["got"].startswith('"') for problem in problems), "of text alone"
    else:
        assert accepted == (response.status == 200), (row, response.body)


def test_the_schema_is_one_by_the_dialect_that_it_names() -> None:
    assert schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema())


def test_the_example_is_answered_without_a_warning() -> None:
    response = alone().call("POST", "/models/demo/predict", {"rows": schema()["examples"]})
    assert response.status == 200
    assert "warnings" not in response.document


def test_what_training_saw_is_told_and_is_no_limit() -> None:
    fields = schema()["properties"]
    size, town = fields["size"], fields["town"]
    assert size["x-tidemill"]["low"] < 50 < size["x-tidemill"]["high"]
    assert "answered with a warning" in size["description"]
    assert size["maximum"] > 3e38
    assert (town["examples"], "enum" in town) == (["Bonn", "Köln", "Ulm"], False)


def test_a_field_that_every_row_had_is_required() -> None:
    assert schema()["required"] == ["size", "flag", "plan", "born"]


def test_the_ways_of_writing_numbers_and_dates_are_said() -> None:
    fields = schema()["properties"]
    assert fields["price"]["x-tidemill"] | {"low": 0, "high": 0} == {
        "kind": "numeric", "role": "feature", "low": 0, "high": 0, "decimal": ",", "thousands": ".", "unit": "€",
    }  # fmt: skip
    assert "1.234,5 €" in fields["price"]["description"]
    assert "31.07.2013" in fields["born"]["description"]


def test_id_and_time_are_described_and_take_anything() -> None:
    fields = schema()["properties"]
    assert {fields[name]["x-tidemill"]["role"] for name in ("key", "seen")} == {"id", "time"}
    assert "y" not in fields


def test_patterns_are_those_of_ecmascript() -> None:
    """Which knows no named groups of Python's kind, and with the flag u no escape of what means itself."""
    patterns = [field["pattern"] for field in schema()["properties"].values() if "pattern" in field]
    assert len(patterns) == 6
    assert not any(odd in pattern for pattern in patterns for odd in ("?P<", "\\-", "\\ ", "\\#"))


@pytest.mark.parametrize("body", [{"rows": []}, {"rows": [{}] * 30_001}, {"row": [{}]}, {"rows": [1]}])
def test_the_bounds_of_a_call_are_in_the_schema_of_its_body(body: dict[str, Any]) -> None:
    known = alone().contract("demo")
    node = contract.request(known, contract.row(known.schema))
    assert node["properties"]["rows"]["maxItems"] == known.most_rows == 10_000
    assert not Draft202012Validator(node).is_valid(body)
    assert alone().call("POST", "/models/demo/predict", body).status in (400, 413)


@pytest.mark.parametrize("explain", ["yes", 1, None, [], True, False])
def test_to_explain_is_true_or_false_by_the_schema_as_by_the_endpoint(explain: Any) -> None:
    known = alone().contract("demo")
    body = {"rows": schema()["examples"], "explain": explain}
    accepted = Draft202012Validator(contract.request(known, contract.row(known.schema))).is_valid(body)
    assert accepted == isinstance(explain, bool) == (alone().call("POST", "/models/demo/predict", body).status == 200)


def test_replies_are_what_their_schema_says() -> None:
    response = alone().call("POST", "/models/demo/predict", {"rows": [{**schema()["examples"][0], "town": "Mainz"}]})
    reply = contract.reply(alone().contract("demo"))
    Draft202012Validator(reply).validate(response.document)
    assert reply["properties"]["predictions"]["items"]["properties"]["prediction"] == {"enum": ["a", "b"]}


def test_a_model_of_many_classes_takes_fewer_rows() -> None:
    known = alone().contract("demo")
    many = Contract("demo", 1, type(known.schema)(known.schema.columns, "multiclass", tuple(map(str, range(100)))))
    assert many.most_rows == 600
