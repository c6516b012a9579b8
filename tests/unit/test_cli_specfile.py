"""The spec that `tidemill init` writes is one that the spec's parser reads, whatever the columns are called."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.schema import Column, Schema
from tidemill.spec import ColumnSpec, Gate, ModelSpec, Monitor, Quality, Retrain, Train, parse_spec
from tidemill_cli.specfile import Inferred, minimal, write

Ways = Mapping[str, Sequence[Mapping[str, str]]]

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def written(spec: ModelSpec, *columns: Column, suggestions: Ways | None = None) -> str:
    schema = Schema((Column(spec.target, "boolean", "target"), *columns), "binary", ("false", "true"))
    return write("m", spec, Inferred(schema, "roc_auc", ["brier"], "a.csv", 10, suggestions or {}))


def test_written_spec_says_what_was_asked_and_defaults_elsewhere() -> None:
    spec = parse_spec(minimal("late", id_="flight", time="departs", exclude=["arrives", "delay"]))
    read = parse_spec(written(spec))
    assert (read.target, read.id, read.time, read.exclude) == (
        "late",
        "flight",
        "departs",
        ("arrives", "delay"),
    )
    assert read.task == "classification"
    assert read.train == Train(metric="roc_auc")
    assert (read.gate, read.monitor, read.retrain) == (Gate(), Monitor(), Retrain())


def test_what_was_not_asked_is_shown_as_a_comment() -> None:
    text = written(parse_spec(minimal("late")))
    assert '# id = "COLUMN"' in text
    assert parse_spec(text).id is None


@pytest.mark.parametrize("section", [ModelSpec, Quality, Train, Gate, Monitor, Retrain])
def test_every_key_that_a_spec_may_have_is_in_the_file(section: type) -> None:
    text = written(parse_spec(minimal("late")))
    plain = [f.name for f in fields(section) if f.default is not MISSING and f.name != "columns"]
    assert [name for name in plain if not re.search(rf"^(# )?{name} = ", text, re.MULTILINE)] == []


@given(target=NAMES, other=NAMES, feature=NAMES)
def test_any_column_name_survives_the_file(target: str, other: str, feature: str) -> None:
    if target == other:
        return
    spec = parse_spec(minimal(target, exclude=[other]))
    text = written(spec, Column(feature, "numeric", "feature", note="odd\x00note\nline"))
    assert parse_spec(text).target == target
    assert parse_spec(text).exclude == (other,)
    kinds = tomllib.loads(re.sub(r"^# (.*\.kind = )", r"\1", text, flags=re.MULTILINE))["columns"]
    assert kinds == {feature: {"kind": "numeric"}}


def test_a_kind_without_its_comment_sign_fixes_the_column() -> None:
    text = written(parse_spec(minimal("late")), Column("zip code", "numeric", "feature"))
    fixed = text.replace('# "zip code".kind = "numeric"', '"zip code".kind = "categorical"')
    assert parse_spec(fixed).columns["zip code"].kind == "categorical"


def test_how_dates_were_read_is_written_down_for_files_to_come() -> None:
    text = written(parse_spec(minimal("late")), Column("a day", "datetime", "feature", format="%d.%m.%Y"))
    assert parse_spec(text).columns == {"a day": ColumnSpec("datetime", format="%d.%m.%Y")}


def test_what_was_not_guessed_is_suggested_in_lines_that_hold_without_their_comment_sign() -> None:
    ways = {"price": [{"decimal": ",", "unit": '"'}], "day": [{"format": "%d/%m/%Y"}, {"format": "%m/%d/%Y"}]}
    columns = [Column(name, "categorical", "feature") for name in ways]
    spec = parse_spec(minimal("late"))
    text = written(spec, *columns, suggestions=ways)
    assert parse_spec(text).columns == {}
    said = '# day.kind = "categorical"\n# or\n# day.format = "%d/%m/%Y"\n# or\n# day.format = "%m/%d/%Y"\n'
    assert said in text
    lines = re.sub(r"^# (price\.(decimal|unit) = )", r"\1", text, flags=re.MULTILINE)
    assert parse_spec(lines).columns == {"price": ColumnSpec("numeric", decimal=",", unit='"')}


def test_every_line_that_is_shown_as_a_comment_holds_without_its_sign() -> None:
    text = written(parse_spec(minimal("late")))
    shown = re.findall(r"^# (\w+ = .*)$", text.partition("[train]")[2].partition("[gate]")[0], re.MULTILINE)
    assert {line.split()[0] for line in shown} == {"estimator", "threshold", "linear", "forest", "boosting"}
    for line in shown:
        assert parse_spec(text.replace(f"# {line}", line)).train != parse_spec(text).train
