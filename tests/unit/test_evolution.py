"""An upload against earlier ones: every case of docs/data.md has its outcome, and a clean next month has none."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.names import Kind, Task
from tidemill.profile import Profile, merge, profile
from tidemill.schema import Column, Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import evolution, leakage, partition
from tidemill.stages.evolution import Finding, Misread, compare_header, compare_profiles, heaviest_first

Array = npt.NDArray[Any]
SPEC = ModelSpec("late")
MONTHS = int(os.environ.get("EVOLUTION_MONTHS", "100"))
CARRIERS = np.array(["UA", "AA", "DL", "B6"], dtype=object)
DAY = np.timedelta64(86_400_000_000, "us")
JANUARY = np.datetime64("2013-01-01T00:00:00", "us")


def month(seed: int, rows: int = 2_000, start: np.datetime64 = JANUARY) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "distance": rng.choice(np.arange(90.0, 2_600.0, 7.0), rows),
        "temp": rng.normal(36, 8, rows),
        "delay": rng.exponential(30, rows) - 12,
        "seats": np.rint(rng.gamma(4, 40, rows)),
        "gust": np.where(rng.random(rows) < 0.6, np.nan, rng.normal(20, 4, rows)),
        "carrier": CARRIERS[rng.integers(0, 4, rows)],
        "night": (rng.random(rows) < 0.2) * 1.0,
        "departure": start + rng.integers(0, 28 * 86_400, rows) * 1_000_000,
        "late": np.where(rng.random(rows) < 0.25, "yes", "no").astype(object),
    }


def world(seed: int, rows: int) -> dict[str, Array]:
    """What makes rules fire by mistake: heavy tails, two peaks far apart, sparse and rare values, many categories."""
    rng = np.random.default_rng(seed)
    columns = month(seed, rows)
    columns |= {f"wide{i}": np.exp((i + 1) * rng.normal(size=rows)) for i in range(3)}
    columns["cauchy"] = rng.standard_cauchy(rows)
    columns["peaks"] = np.where(rng.random(rows) < 0.5, 1.0, 1_000.0)
    columns["sparse"] = np.where(rng.random(rows) < 0.97, 0.0, np.exp(3 * rng.normal(size=rows)))
    columns["count"] = rng.poisson(0.3, rows) * 1.0
    columns["tiny"] = rng.normal(0, 1e-9, rows)
    columns["rare"] = (rng.random(rows) < 0.003) * 1.0
    columns["gaps"] = np.where(rng.random(rows) < 0.006, np.nan, rng.normal(size=rows))
    columns["mostly gaps"] = np.where(rng.random(rows) < 0.98, np.nan, rng.normal(size=rows))
    columns["zipf"] = np.char.mod("z%d", rng.zipf(1.3, rows)).astype(object)
    columns["plane"] = np.char.mod("N%d", rng.integers(0, 4_000, rows)).astype(object)
    return columns


def kind_of(name: str, values: Array) -> Kind:
    if values.dtype.kind == "M":
        return "datetime"
    return "categorical" if values.dtype.kind == "O" else "boolean" if name in ("night", "rare") else "numeric"


def profiled(columns: Mapping[str, Array]) -> Profile:
    return profile(columns, {name: kind_of(name, values) for name, values in columns.items()})


def schema_of(columns: Mapping[str, Array], task: Task = "binary", **roles: Any) -> Schema:
    given = {"late": "target", "departure": "time", **roles}
    described = []
    for name, values in columns.items():
        kind = kind_of(name, values)
        known = tuple(sorted({v for v in values.tolist() if v})[:1_000]) if kind == "categorical" else ()
        role = given.get(name, "feature")
        described.append(Column(name, kind, role, vocabulary=known if role == "feature" else ()))
    return Schema(tuple(described), task, () if task == "regression" else ("no", "yes"))


JAN = month(1)
SCHEMA = schema_of(JAN)


def february(**changed: Array | None) -> dict[str, Array]:
    """The next month, with columns changed, added, or (None) taken away."""
    columns: dict[str, Array | None] = {**month(2, start=JANUARY + 31 * DAY), **changed}
    return {name: values for name, values in columns.items() if values is not None}


FEB = february()


def changes(now: Mapping[str, Array], spec: ModelSpec = SPEC, schema: Schema = SCHEMA, **more: Any) -> list[Finding]:
    return compare_profiles(profiled(JAN), profiled(now), schema, spec, **more)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def header(names: list[str], spec: ModelSpec = SPEC, **more: Any) -> list[Finding]:
    return compare_header(SCHEMA, names, spec, **more)


def weights(findings: list[Finding]) -> list[tuple[str, str, str | None]]:
    return [(finding.weight, finding.kind, finding.column) for finding in findings]


# The header


def test_the_same_header_has_no_finding() -> None:
    assert header(list(JAN)) == []


@pytest.mark.parametrize(
    ("column", "role"), [("temp", "a feature"), ("late", "the target"), ("departure", "the time column")]
)
def test_a_removed_column_that_a_model_needs_fails(column: str, role: str) -> None:
    finding = only(header([name for name in JAN if name != column]))
    assert weights([finding]) == [("fail", "removed", column)]
    assert finding.says == f"column {column!r}, {role} of the model, is missing"
    assert ("exclude" in finding.done) == (column == "temp")


def test_an_id_that_the_spec_names_anew_must_be_there() -> None:
    assert weights(header(list(JAN), replace(SPEC, id="flight"))) == [("fail", "removed", "flight")]


def test_an_added_column_is_noted() -> None:
    finding = only(header([*JAN, "wind"]))
    assert weights([finding]) == [("note", "added", "wind")]
    assert finding.sentence == "column 'wind' is new: it is missing in all earlier rows"
    assert "not used" in only(header([*JAN, "wind"], replace(SPEC, exclude=("wind",)))).done


def test_a_column_renamed_alike_is_suspected_by_its_name() -> None:
    names = ["departure_delay" if name == "delay" else name for name in JAN]
    schema = replace(
        SCHEMA, columns=tuple(replace(c, name="dep_delay") if c.name == "delay" else c for c in SCHEMA.columns)
    )
    finding = only(compare_header(schema, names, SPEC))
    assert weights([finding]) == [("fail", "renamed", "dep_delay")]
    assert "the new column 'departure_delay' looks like it (names 73% alike)" in finding.says
    assert finding.done == "rename it back, or add it to exclude in the spec"


@pytest.mark.parametrize("column", ["temp", "carrier"])
def test_a_column_renamed_beyond_recognition_is_suspected_by_its_values(column: str) -> None:
    names = ["zz9" if name == column else name for name in JAN]
    found = header(names, before=profiled(JAN), head=profiled({"zz9": FEB[column]}))
    assert weights(found) == [("fail", "renamed", column)]
    assert re.search(r"'zz9' looks like it \(names \d+% alike, values 9\d%\)", found[0].says)


def test_a_new_column_of_another_kind_or_shape_is_no_renamed_one() -> None:
    for values in (FEB["carrier"], FEB["seats"], np.full(2_000, 36.0)):
        found = header(["zz9" if n == "temp" else n for n in JAN], before=profiled(JAN), head=profiled({"zz9": values}))
        assert weights(found) == [("fail", "removed", "temp"), ("note", "added", "zz9")]
    found = header(
        ["temp_" if n == "temp" else n for n in JAN], before=profiled(JAN), head=profiled({"temp_": FEB["carrier"]})
    )
    assert weights(found) == [("fail", "removed", "temp"), ("note", "added", "temp_")]


def test_a_column_of_few_values_or_of_a_shape_only_near_is_not_known_again() -> None:
    for was, now in ((FEB["temp"], FEB["temp"] + 4), (JAN["seats"] % 3, FEB["seats"] % 3)):
        before = {**JAN, "x": was}
        found = compare_header(schema_of(before), [*JAN, "zz9"], SPEC, profiled(before), profiled({"zz9": now}))
        assert weights(found) == [("fail", "removed", "x"), ("note", "added", "zz9")]


def test_a_new_column_is_the_renamed_one_of_one_missing_column_only() -> None:
    found = header([*(name for name in JAN if name not in ("temp", "carrier")), "temp2", "tem"])
    assert weights(found) == [("fail", "renamed", "temp"), ("fail", "removed", "carrier"), ("note", "added", "tem")]
    schema = schema_of({"temp_a": JAN["temp"], "temp_b": JAN["temp"], "late": JAN["late"]})
    found = compare_header(schema, ["temp_ab", "late"], SPEC)
    assert weights(found) == [("fail", "renamed", "temp_a"), ("fail", "removed", "temp_b")]


def test_an_id_that_comes_with_this_file_is_no_mere_addition() -> None:
    assert header([*JAN, "flight"], replace(SPEC, id="flight")) == []


def test_renamed_columns_are_told_apart() -> None:
    names = {"temp": "temp_f", "delay": "delay_min", "distance": "distance_mi"}
    found = header(
        [names.get(name, name) for name in JAN], before=profiled(JAN), head=profiled({names[n]: FEB[n] for n in names})
    )
    assert {(f.kind, f.column) for f in found} == {("renamed", name) for name in names}
    assert all(f"'{names[str(f.column)]}'" in f.says for f in found)


def test_reordered_columns_are_noted_and_nothing_else() -> None:
    assert weights(header(list(reversed(JAN)))) == [("note", "reordered", None)]


def test_a_column_that_no_model_uses_may_go() -> None:
    schema = schema_of(JAN, gust="excluded")
    assert weights(compare_header(schema, [n for n in JAN if n != "gust"], SPEC)) == [
        ("note", "unused_removed", "gust")
    ]


@pytest.mark.parametrize(
    "said", ['exclude = ["temps"]', '[quality]\ntrusted = ["temps"]', '[columns.temps]\nkind = "numeric"']
)
def test_a_name_of_the_spec_that_is_no_column_fails(said: str) -> None:
    assert weights(header(list(JAN), parse_spec(f'target = "late"\n{said}'))) == [("fail", "unknown_name", "temps")]


def test_all_that_is_wrong_with_a_header_is_told_the_heaviest_first() -> None:
    names = ["new", *reversed([name for name in JAN if name not in ("temp", "late", "carrier")])]
    found = header(names, replace(SPEC, exclude=("nothing",)))
    assert weights(found) == [
        ("fail", "unknown_name", "nothing"),
        ("fail", "removed", "late"),
        ("fail", "removed", "temp"),
        ("fail", "removed", "carrier"),
        ("note", "added", "new"),
        ("note", "reordered", None),
    ]


# The rows


def test_a_next_month_like_the_last_has_no_finding() -> None:
    assert changes(FEB, moment=datetime(2013, 3, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize("rows", [(30, 30), (4_000, 40), (4_000, 4_000)])
def test_a_clean_month_neither_fails_nor_warns(rows: tuple[int, int]) -> None:
    for seed in range(MONTHS):
        before, now = world(2 * seed, rows[0]), world(2 * seed + 1, rows[1])
        found = compare_profiles(profiled(before), profiled(now), schema_of(before), SPEC)
        assert [finding for finding in found if finding.weight != "note"] == [], seed


def test_the_first_upload_names_columns_that_say_nothing() -> None:
    first = {
        **JAN,
        "gone": np.full(2_000, np.nan),
        "same": np.full(2_000, 7.0),
        "word": np.full(2_000, "x", dtype=object),
    }
    found = compare_profiles(None, profiled(first), schema_of(first), SPEC)
    assert weights(found) == [
        ("note", "all_missing", "gone"),
        ("note", "constant", "same"),
        ("note", "constant", "word"),
    ]
    assert found[1].says == "column 'same' is 7 in all 2,000 rows that have it"


def test_a_broken_type_fails_beyond_what_the_spec_allows() -> None:
    temp = Misread(1_000, 60, "a number", "warm")
    finding = only(changes(FEB, misread={"temp": temp}))
    assert weights([finding]) == [("fail", "type_broken", "temp")]
    assert finding.says == "6.0% of the values of column 'temp' are not a number, such as 'warm'"
    assert changes(FEB, misread={"temp": temp._replace(bad=50)}) == []


def test_whole_numbers_that_became_decimals_are_noted() -> None:
    finding = only(changes(february(seats=FEB["seats"] + 0.25)))
    assert weights([finding]) == [("note", "widened", "seats")]
    heavy = np.where(np.arange(2_000) % 3 == 0, 500.0, JAN["seats"])
    merged = merge(profiled({**JAN, "seats": heavy}), profiled(FEB))
    assert any(edge != round(edge) for edge in merged.columns["seats"].edges)  # type: ignore[union-attr]
    assert "widened" not in [f.kind for f in compare_profiles(merged, profiled(month(3)), SCHEMA, SPEC)]
    found = compare_profiles(merged, profiled({**month(3), "seats": FEB["seats"] + 0.25}), SCHEMA, SPEC)
    assert "widened" in [f.kind for f in found]


@pytest.mark.parametrize(
    ("column", "factor", "named"),
    [
        ("distance", 1_000, "as if thousands had become single units"),
        ("distance", 1 / 1_000, "as if single units had become thousands"),
        ("delay", 60, "as if hours had become minutes, or minutes seconds"),
        ("temp", 10, "as if centimetres had become millimetres"),
        ("temp", -100, "as if shares had become percentages"),
        ("seats", 17, "as if in another unit"),
        ("gust", 1 / 39.3701, "as if inches had become metres"),
    ],
)
def test_a_unit_jump_fails_and_says_which_unit_it_may_be(column: str, factor: float, named: str) -> None:
    finding = changes(february(**{column: FEB[column] * factor}))[0]
    assert weights([finding]) == [("fail", "unit_jump", column)]
    assert named in finding.says
    assert "quality.trusted" in finding.done


def test_a_column_that_the_spec_trusts_may_change_its_unit() -> None:
    spec = parse_spec('target = "late"\n[quality]\ntrusted = ["distance"]')
    for factor in (1_000, 1.609344):
        found = [f.weight for f in changes(february(distance=FEB["distance"] * factor), spec)]
        assert set(found) <= {"note"}


@pytest.mark.parametrize("factor", [8.5, 1 / 8.5])
def test_a_scale_that_changes_less_than_tenfold_is_no_jump(factor: float) -> None:
    assert "unit_jump" not in [f.kind for f in changes(february(distance=FEB["distance"] * factor))]


def test_a_meter_that_counts_on_has_no_other_unit() -> None:
    before, now = {**JAN, "meter": 1_000 + np.arange(2_000.0)}, february(meter=40_000 + np.arange(2_000.0))
    found = compare_profiles(profiled(before), profiled(now), schema_of(before), SPEC)
    assert weights(found) == [("warn", "range", "meter")]


def test_a_column_that_spans_decades_may_move_within_them() -> None:
    wide = [np.exp(4 * np.random.default_rng(seed).normal(size=2_000)) for seed in (1, 2)]
    before = {**JAN, "wide": wide[0]}
    for factor, kinds in ((10, []), (1e6, ["unit_jump"])):
        found = compare_profiles(profiled(before), profiled(february(wide=factor * wide[1])), schema_of(before), SPEC)
        assert [f.kind for f in found if f.weight == "fail"] == kinds


def test_one_size_among_zeros_may_change_its_unit() -> None:
    fee = np.where(np.arange(2_000) % 3, 0.0, 5.0)
    before = {**JAN, "fee": fee}
    found = compare_profiles(profiled(before), profiled(february(fee=100 * fee)), schema_of(before), SPEC)
    assert ("fail", "unit_jump", "fee") in weights(found)


def test_few_or_zero_values_have_no_scale() -> None:
    zeros = np.zeros(2_000)
    few = zeros.copy()
    few[:20] = 5_000.0
    before = {**JAN, "few": zeros + (few > 0)}
    found = compare_profiles(profiled(before), profiled(february(few=few)), schema_of(before), SPEC)
    assert "unit_jump" not in [f.kind for f in found]


@pytest.mark.parametrize(
    ("column", "change", "says"),
    [
        ("distance", lambda x: np.round(x * 1.609344, 1), "looks as if miles had become kilometres"),
        ("distance", lambda x: np.round(x / 1.609344, 2), "looks as if kilometres had become miles"),
        ("temp", lambda x: (x - 32) / 1.8, "looks as if degrees Fahrenheit had become Celsius"),
        ("temp", lambda x: x * 1.8 + 32, "looks as if degrees Celsius had become Fahrenheit"),
        ("seats", lambda x: x / 2.20462, "looks as if pounds had become kilograms"),
        ("seats", lambda x: x * 0.3048, "looks as if feet had become metres"),
    ],
)
def test_a_smaller_change_that_another_unit_explains_is_suspected(column: str, change: Any, says: str) -> None:
    finding = changes(february(**{column: change(FEB[column])}))[0]
    assert weights([finding]) == [("warn", "unit_suspected", column)]
    assert says in finding.says


def test_a_season_is_no_unit() -> None:
    assert changes(february(temp=FEB["temp"] + 20)) == []


def test_a_category_never_seen_is_noted_and_many_rows_of_such_warn() -> None:
    some, many = FEB["carrier"].copy(), FEB["carrier"].copy()
    some[:40], many[:500] = "HA", "HA"
    many[500:520] = "OO"
    few = only(changes(february(carrier=some)))
    assert weights([few]) == [("note", "new_categories", "carrier")]
    assert few.says == "column 'carrier' has 1 new category in 2.0% of rows, such as 'HA'"
    most = only(changes(february(carrier=many)))
    assert weights([most]) == [("warn", "new_categories", "carrier")]
    assert most.says == "column 'carrier' has 2 new categories in 26.0% of rows, such as 'HA'"


def test_a_category_of_the_vocabulary_is_not_new() -> None:
    schema = replace(
        SCHEMA,
        columns=tuple(
            replace(c, vocabulary=(*c.vocabulary, "HA")) if c.name == "carrier" else c for c in SCHEMA.columns
        ),
    )
    carrier = FEB["carrier"].copy()
    carrier[:900] = "HA"
    assert changes(february(carrier=carrier), schema=schema) == []


def test_a_category_that_the_vocabulary_had_no_room_for_is_not_new() -> None:
    columns = tuple(replace(c, vocabulary=()) if c.name == "carrier" else c for c in SCHEMA.columns)
    assert changes(FEB, schema=replace(SCHEMA, columns=columns)) == []


def test_rare_categories_are_not_said_to_be_gone() -> None:
    for seed in range(20):
        before, now = world(2 * seed, 3_000), world(2 * seed + 1, 3_000)
        found = compare_profiles(profiled(before), profiled(now), schema_of(before), SPEC)
        assert "gone_categories" not in [finding.kind for finding in found]


def test_categories_too_many_for_a_profile_to_name_are_not_said_to_be_gone() -> None:
    planes = [np.char.mod("N%d", np.random.default_rng(i).integers(0, 250, 20_000)).astype(object) for i in (1, 2)]
    before, now = ({**month(i, 20_000), "plane": plane} for i, plane in enumerate(planes))
    found = compare_profiles(profiled(before), profiled(now), schema_of(before), SPEC)
    assert weights(found) == [("note", "overlap", "departure")]


def test_categories_that_are_gone_are_noted() -> None:
    carrier = np.where(FEB["carrier"] == "DL", "UA", FEB["carrier"])
    finding = only(changes(february(carrier=carrier.astype(object))))
    assert weights([finding]) == [("note", "gone_categories", "carrier")]
    assert finding.says.startswith("column 'carrier' has lost a category of earlier rows, such as 'DL' (2")


def test_values_newly_missing_warn_and_a_column_without_any_fails() -> None:
    gaps = FEB["temp"].copy()
    gaps[:200] = np.nan
    finding = only(changes(february(temp=gaps)))
    assert weights([finding]) == [("warn", "newly_missing", "temp")]
    assert finding.says == "column 'temp' is missing in 10.0% of rows, 0.0% before"
    for name in ("temp", "carrier", "night"):
        gone = np.full(2_000, None if name == "carrier" else np.nan)
        assert weights(changes(february(**{name: gone}))) == [("fail", "all_missing", name)]


def test_what_is_often_missing_may_be_missing_more_often() -> None:
    gust = np.where(np.random.default_rng(8).random(2_000) < 0.25, np.nan, FEB["gust"])
    assert changes(february(gust=gust)) == []
    most = np.where(np.arange(2_000) % 40 == 0, np.nan_to_num(FEB["gust"], nan=20.0), np.nan)
    assert weights(changes(february(gust=most))) == [("warn", "newly_missing", "gust")]


def test_a_row_without_a_value_is_not_a_column_without_one() -> None:
    row = {name: values[:1].copy() for name, values in FEB.items()}
    row["temp"][:] = np.nan
    assert {f.weight for f in changes(row)} == {"note"}


@pytest.mark.parametrize(("column", "value"), [("temp", 36.0), ("carrier", "UA"), ("night", 0.0)])
def test_a_column_that_stopped_varying_warns(column: str, value: Any) -> None:
    still = np.full(2_000, value, dtype=FEB[column].dtype)
    found = changes(february(**{column: still}))
    assert ("warn", "constant", column) in weights(found)
    assert "in all 2000 rows" in found[0].says


def test_values_far_outside_of_all_before_warn() -> None:
    temp = FEB["temp"].copy()
    temp[:60] = 999.0
    finding = only(changes(february(temp=temp)))
    assert weights([finding]) == [("warn", "range", "temp")]
    assert "at least 3.0% of rows lie far outside" in finding.says
    temp = FEB["temp"].copy()
    temp[0] = -9_999.0
    assert weights(changes(february(temp=temp))) == [("note", "range", "temp")]


def test_classes_of_the_target_that_are_new_gone_or_of_another_share_warn() -> None:
    schema = replace(SCHEMA, task="multiclass", classes=("no", "yes", "maybe"))
    late = FEB["late"].copy()
    late[:100] = "cancelled"
    finding = only(changes(february(late=late), schema=schema))
    assert weights([finding]) == [("warn", "new_classes", "late")]
    assert finding.says == "target 'late' has new classes in 5.0% of rows: 'cancelled'"
    gone = only(changes(february(late=np.full(2_000, "no", dtype=object)))[:1])
    assert gone.weight == "warn"
    kinds = {f.kind for f in changes(february(late=np.full(2_000, "no", dtype=object)))}
    assert kinds == {"gone_classes", "constant"}
    often = np.where(np.arange(2_000) % 2, "yes", "no").astype(object)
    moved = only(changes(february(late=often)))
    assert weights([moved]) == [("warn", "class_shares", "late")]
    assert re.fullmatch(r"target 'late' is '(yes|no)' in 50.0% of rows, \d+\.\d% before", moved.says)


def test_a_class_that_the_model_knows_is_not_new() -> None:
    schema = replace(SCHEMA, task="multiclass", classes=("no", "yes", "cancelled"))
    late = FEB["late"].copy()
    late[:100] = "cancelled"
    assert changes(february(late=late), schema=schema) == []


def test_classes_too_many_for_a_profile_to_count_are_left_alone() -> None:
    codes = [np.random.default_rng(seed).integers(0, 150, 2_000) * 1.0 for seed in (1, 2)]
    schema = replace(schema_of({**JAN, "late": codes[0]}), classes=("0", "1"), task="multiclass")
    assert compare_profiles(profiled({**JAN, "late": codes[0]}), profiled(february(late=codes[1])), schema, SPEC) == []


def test_a_rare_class_that_a_small_upload_lacks_is_only_noted() -> None:
    late = np.full(30, "no", dtype=object)
    found = changes({**{name: values[:30] for name, values in FEB.items()}, "late": late})
    assert ("note", "gone_classes", "late") in weights(found)
    assert "warn" not in {f.weight for f in found}


def test_classes_that_are_numbers_are_told_by_their_names() -> None:
    codes = {name: np.where(table["late"] == "yes", 1.0, 0.0) for name, table in (("jan", JAN), ("feb", FEB))}
    schema = replace(schema_of({**JAN, "late": codes["jan"]}), classes=("0", "1"), task="multiclass")
    now = codes["feb"].copy()
    now[:50] = 2.0
    found = compare_profiles(profiled({**JAN, "late": codes["jan"]}), profiled(february(late=now)), schema, SPEC)
    assert [f.says for f in found] == ["target 'late' has new classes in 2.5% of rows: '2'"]


def test_the_time_column_tells_overlap_and_future() -> None:
    moment = datetime(2013, 1, 20, tzinfo=UTC)
    found = changes(month(2, start=JANUARY + 10 * DAY), moment=moment)
    assert weights(found) == [("note", "overlap", "departure"), ("note", "future", "departure")]


def test_dates_that_are_features_may_lie_anywhere() -> None:
    schema = schema_of(JAN, departure="feature")
    assert changes(month(2), schema=schema, moment=datetime(2012, 1, 1, tzinfo=UTC)) == []


def test_an_upload_of_another_size_is_noted() -> None:
    small = month(2, 150, JANUARY + 31 * DAY)
    assert weights(changes(small)) == [("note", "volume", None)]
    assert changes(small, uploads=10) == []
    assert weights(changes(month(2, 30_000, JANUARY + 31 * DAY))) == [("note", "volume", None)]


def test_all_findings_come_together_the_heaviest_and_most_frequent_first() -> None:
    gaps, carrier, late = FEB["temp"].copy(), FEB["carrier"].copy(), FEB["late"].copy()
    gaps[:300] = np.nan
    carrier[:1_000], carrier[1_000:] = "HA", FEB["carrier"][1_000:]
    late[::2] = "yes"
    now = february(temp=gaps, carrier=carrier, late=late, distance=FEB["distance"] * 1_000, seats=FEB["seats"] + 0.5)
    assert weights(changes(now, misread={"gust": Misread(100, 30, "a number")})) == [
        ("fail", "unit_jump", "distance"),
        ("fail", "type_broken", "gust"),
        ("warn", "class_shares", "late"),
        ("warn", "new_categories", "carrier"),
        ("warn", "newly_missing", "temp"),
        ("note", "widened", "seats"),
    ]


def test_columns_that_no_model_uses_are_not_compared() -> None:
    schema = schema_of(JAN, temp="excluded")
    assert changes(february(temp=FEB["temp"] * 1_000), schema=schema) == []


def test_findings_keep_their_order_within_a_weight() -> None:
    a, b, c = (Finding(w, "k", n, "", "") for w, n in (("note", "a"), ("fail", "b"), ("note", "c")))  # type: ignore[arg-type]
    assert heaviest_first([a, b, c]) == [b, a, c]


# Odd data, and the documentation

NUMBERS = st.sampled_from([0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1.7e308, -1.7e308, 5e-324, 3.0, 0.1])
WORDS = st.sampled_from([None, "", "a", "b", "\x00", "ü" * 50])
DAYS = st.sampled_from(["NaT", "2024-01-01", "1700-01-01"])


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Array]:
    rows = draw(st.integers(0, 50))
    times = draw(st.sampled_from([1, 40]))
    drawn = {
        "x": np.array(draw(st.lists(NUMBERS, min_size=rows, max_size=rows)), dtype=np.float64),
        "w": np.array(draw(st.lists(WORDS, min_size=rows, max_size=rows)), dtype=object),
        "departure": np.array(draw(st.lists(DAYS, min_size=rows, max_size=rows)), dtype="datetime64[us]"),
        "night": np.array(draw(st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=rows, max_size=rows))),
        "late": np.array(
            draw(st.lists(st.sampled_from(["no", "yes", "huh", None]), min_size=rows, max_size=rows)), dtype=object
        ),
    }
    return {name: np.tile(values, times) for name, values in drawn.items()}


@settings(max_examples=100, deadline=None)
@given(tables(), tables(), st.sampled_from(["binary", "multiclass", "regression"]))
def test_odd_data_gives_findings_and_never_an_error(
    before: dict[str, Array], now: dict[str, Array], task: Task
) -> None:
    schema = schema_of(before, task)
    if task == "regression":
        before, now = ({**table, "late": table["x"]} for table in (before, now))
        schema = schema_of(before, task)
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    current = profiled(now)
    with np.errstate(all="ignore"):  # the smallest and the largest numbers in one profile
        both = merge(profiled(before), current)
    for earlier in (None, profiled(before), both):
        found = compare_profiles(earlier, current, schema, SPEC, moment=moment, misread={"x": Misread(0, 0, "")})
        assert [f.weight for f in found] == sorted((f.weight for f in found), key=["fail", "warn", "note"].index)
        assert all("nan" not in f.sentence for f in found)
        compare_header(schema, ["X", "w"], SPEC, before=earlier, head=profiled({"X": now["x"]}))


def test_every_kind_of_finding_is_documented_and_no_other() -> None:
    root = Path(__file__).parents[2]
    documented = re.findall(r"^\| `(\w+)` \|", (root / "docs" / "data.md").read_text(encoding="utf-8"), re.MULTILINE)
    sources = "".join(
        Path(module.__file__).read_text(encoding="utf-8")
        for module in (evolution, leakage, partition)
        if module.__file__
    )
    sources += Path(evolution.__file__).parents[1].joinpath("flows", "prepare.py").read_text(encoding="utf-8")
    made = {
        *re.findall(r'Finding\([^()]*?,\s+"(\w+)"', sources),
        *re.findall(r'says, kind = .*, "(\w+)"$', sources, re.MULTILINE),
    }
    assert sorted(documented) == sorted(made)
