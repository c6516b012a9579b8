from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import csv
from tests.unit.builders import Data, assembled, dataset, observations, prepare
from tidemill.errors import InvalidUpload
from tidemill.profile import NumericProfile, Profile
from tidemill.schema import split_by_key
from tidemill.spec import parse_spec
from tidemill.stages import npy
from tidemill.stages.assemble import _cutoff
from tidemill.stages.dataset import Part
from tidemill.stages.model_schema import same_model
from tidemill.stages.rows import Notes, RowReader

TIMED = 'target = "y"\ntime = "when"\nid = "key"'


def timed(rows: int, *, start: int = 0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    hours = start + rng.permutation(rows)
    return pd.DataFrame(
        {
            "key": [f"k{hour}" for hour in hours],
            "when": (pd.Timestamp("1969-12-01") + pd.to_timedelta(hours, unit="h")).strftime("%Y-%m-%d %H:%M"),
            "x": rng.normal(size=rows).round(4),
            "y": rng.choice(["a", "b"], rows),
        }
    )


def grown(first: pd.DataFrame, second: pd.DataFrame, text: str) -> Data:
    spec = parse_spec(text)
    one = prepare(csv(first), spec)
    return assembled([one, prepare(csv(second), spec, one)], spec)


def held_out_keys(data: Data) -> set[int]:
    return set(data.keys[data.held_out].tolist())


def test_of_a_year_and_a_month_by_time_the_last_weeks_are_held_out_and_the_month_is_learned_from() -> None:
    old, new = timed(16_000), timed(4_000, start=16_000, seed=1)
    year, grew = dataset(old, TIMED), grown(old, new, TIMED)
    assert year.held_out.sum() == 3_200
    assert grew.held_out.sum() == 2_000  # and not 4,000, all that is new
    assert not grew.held_out[:16_000].any()


def test_by_time_spans_are_of_the_newest_rows_whatever_partition_brought_them() -> None:
    old, new = timed(16_000), timed(4_000, start=16_000, seed=1)
    assert not dataset(old, TIMED).rows.recency.any()  # a first upload has none
    rows = grown(old, new, TIMED).rows
    assert rows.moments is not None
    training = ~rows.held_out
    assert [int((training & (rows.recency >= level)).sum()) for level in (4, 3, 2, 1)] == [1_000, 2_000, 4_000, 8_000]
    assert rows.moments[rows.recency >= 4].min() > rows.moments[training & (rows.recency < 4)].max()
    assert (rows.recency[rows.held_out] == 4).all()


def test_of_days_that_come_whole_the_last_one_is_held_out() -> None:
    old, new = timed(16_000), timed(4_000, start=16_000, seed=1)
    new["when"] = "1972-03-01"
    assert grown(old, new, TIMED).held_out.sum() == 4_000


def test_by_time_enough_of_the_rarer_class_is_held_out() -> None:
    old, new = timed(16_000), timed(4_000, start=16_000, seed=1)
    for frame in (old, new):
        frame["y"] = np.where(np.arange(len(frame)) % 100 == 0, "b", "a")
    data = grown(old, new, TIMED)
    assert data.held_out.sum() == 4_000  # the spec's fifth, with 40 of them
    assert grown(old, new, TIMED.replace('"y"', '"y"\nholdout = 0.4')).target[data.held_out].sum() == 40


def test_a_row_never_changes_side_when_data_grows() -> None:
    first, more = observations(300, task="binary"), observations(500, task="binary", seed=1)
    small, large = dataset(first), grown(first, more, 'target = "y"')
    old = set(small.keys.tolist())
    assert held_out_keys(small) == held_out_keys(large) & old
    assert len(large.keys) > len(old)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.2, 0.5]))
def test_the_share_held_out_by_key_is_the_share_asked_for(seed: int, share: float) -> None:
    keys = np.random.default_rng(seed).integers(0, 2**64, 5_000, dtype=np.uint64)
    assert split_by_key(keys, share).mean() == pytest.approx(share, abs=0.03)
    assert split_by_key(np.arange(5_000, dtype=np.uint64) * np.uint64(2**20), share).mean() == pytest.approx(
        share, abs=0.03
    )


def test_a_row_held_out_at_a_small_share_is_held_out_at_a_larger_one() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 2_000, dtype=np.uint64)
    assert not (split_by_key(keys, 0.1) & ~split_by_key(keys, 0.3)).any()


def test_with_a_time_nothing_held_out_is_older_than_the_cutoff() -> None:
    data = dataset(timed(400), TIMED)
    assert data.moments is not None
    assert data.cutoff is not None
    assert data.cutoff < 0
    assert data.moments[data.held_out].min() > data.cutoff >= data.moments[~data.held_out].max()
    assert data.held_out.mean() == pytest.approx(0.2, abs=0.01)


def test_rows_of_one_moment_are_never_on_both_sides() -> None:
    frame = timed(400)
    frame["when"] = frame["when"].str.slice(0, 10)
    data = dataset(frame, TIMED)
    assert data.moments is not None
    assert not set(data.moments[data.held_out].tolist()) & set(data.moments[~data.held_out].tolist())


def test_the_newer_row_of_an_id_wins_over_uploads() -> None:
    corrected = timed(50).assign(x=7.25)
    data = grown(timed(400), corrected, TIMED)
    assert len(data.keys) == 400
    assert (data.matrix[:, data.names.index("numeric:x")] == 7.25).sum() == 50


def test_a_column_that_came_later_is_missing_in_earlier_rows() -> None:
    first, second = observations(200, task="binary"), observations(200, task="binary", seed=1)
    for values, missing in ((np.arange(200.0), np.isnan), (["p", "q"] * 100, lambda codes: codes == -2)):
        data = grown(first, second.assign(new=values), 'target = "y"')
        place = next(place for place, name in enumerate(data.names) if name.endswith(":new"))
        absent = missing(data.matrix[:, place])
        assert absent[:150].all()
        assert not absent[-150:].any()
        column = data.schema.column("new")
        assert column is not None
        assert column.nullable


def test_classes_are_those_that_have_rows_in_code_order() -> None:
    data = dataset(observations(600, task="multiclass"))
    assert data.schema.classes == ("high", "low", "rare")
    assert sorted(np.unique(data.target)) == [0, 1, 2]


def test_a_class_only_among_the_held_out_goes_to_the_training_side() -> None:
    frame = timed(400)
    frame["y"] = np.select([frame["when"] == frame["when"].max(), frame["x"] > 0], ["new", "a"], "b")
    data = dataset(frame, TIMED)
    code = data.schema.classes.index("new")
    assert not data.held_out[data.target == code].any()
    assert (data.target == code).sum() == 1
    assert data.held_out.sum() > 70


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(
        InvalidUpload, match=r"20 usable rows leave \d on the held-out side, and at least 10 are needed"
    ):
        dataset(timed(20), TIMED)


def test_one_value_of_the_target_on_a_side_is_refused_by_name() -> None:
    frame = timed(400).sort_values("when", ignore_index=True)
    frame["y"] = np.where(frame.index < 300, np.where(frame.index % 2, "a", "b"), "a")
    with pytest.raises(InvalidUpload, match="the held-out side has only one value of the target 'y'"):
        dataset(frame, TIMED)


def test_columns_that_say_nothing_are_left_out_with_the_reason() -> None:
    frame = observations(300, task="binary").assign(same="always", never=None)
    data = dataset(frame)
    notes = {column.name: column.note for column in data.schema.columns if column.role == "unused"}
    assert notes == {"same": "the same value in every row: always", "never": "every value is missing"}
    assert not [name for name in data.names if "same" in name or "never" in name]


def test_without_a_feature_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(InvalidUpload, match="no column is left to learn from: all are excluded, constant or missing"):
        dataset(timed(400)[["key", "when", "y"]], TIMED)


def test_the_schema_shows_what_training_rows_had_and_not_what_was_held_out() -> None:
    frame = timed(400).sort_values("when", ignore_index=True)
    frame["x"] = np.where(frame.index < 320, frame.index % 50, 1e6)
    frame.loc[399, "x"] = np.nan
    column = dataset(frame, TIMED).schema.column("x")
    assert column is not None
    assert (column.low, column.high, column.nullable) == (0.0, 49.0, False)


def test_examples_are_rows_as_a_request_has_them_and_encode_to_the_matrix() -> None:
    data = dataset(observations(300, task="regression"))
    assert len(data.examples) == 16
    _, matrix = RowReader(data.schema)([row for _, row in data.examples], Notes())
    np.testing.assert_array_equal(matrix, data.matrix[[place for place, _ in data.examples]])


def test_the_training_profile_describes_training_rows_alone_where_the_sides_differ() -> None:
    data = dataset(timed(400), TIMED)
    assert data.training_profile.rows == int((~data.held_out).sum())
    assert set(data.training_profile.columns) == {column.name for column in data.schema.features}
    x = data.training_profile.columns["x"]
    assert isinstance(x, NumericProfile)
    assert x.mean == pytest.approx(data.matrix[~data.held_out, data.names.index("numeric:x")].mean(), rel=1e-6)


def test_the_training_profile_counts_a_row_once_that_came_twice() -> None:
    first = observations(300, task="binary")
    assert grown(first, first.iloc[:100], 'target = "y"').training_profile.rows < 300


def test_spec_roles_apply_to_rows_accepted_before() -> None:
    text = "x,z,y\n" + "".join(f"{i * 7 % 101},{i * 9 % 101},{i % 2}\n" for i in range(100))
    partition = prepare(text, parse_spec('target = "y"\nexclude = ["x"]'))
    spec = parse_spec('target = "y"\nexclude = ["z"]')
    later = replace(partition, schema=same_model(partition.schema, spec))
    data = assembled([later], spec, new=False)
    assert data.names == ("numeric:x",)
    assert data.matrix[:, 0].tolist() == [i * 7 % 101 for i in range(100)]


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_has_rows_on_both_sides_that_never_change(seed: int) -> None:
    frame = observations(400, task="binary", seed=seed)
    frame.loc[:5, "y"] = "rare"
    spec = parse_spec('target = "y"')
    one = prepare(csv(frame), spec)
    first = assembled([one], spec)
    two = prepare(
        csv(observations(400, task="binary", seed=seed + 100).assign(new=1)),
        spec,
        replace(one, schema=first.dataset.model_schema),
    )
    for data in (first, assembled([one, two], spec)):
        rare = data.target == data.schema.classes.index("rare")
        assert rare.sum() == 6
        assert 0 < (data.held_out & rare).sum() < 6
    again = assembled([one, two], spec)
    assert held_out_keys(first) == held_out_keys(again) & set(first.keys.tolist())
    assert np.array_equal(again.held_out, split_by_key(again.keys, 0.2, again.dataset.model_schema.sides))


def test_copies_of_a_rare_row_share_its_side() -> None:
    frame = pd.DataFrame({"x": [*range(300), *[1_000] * 5, 1_001], "y": [*["a", "b"] * 150, *["rare"] * 6]})
    data = dataset(frame)
    rare = data.matrix[:, 0] == 1_000
    assert rare.sum() == 5
    assert len(set(data.held_out[rare].tolist())) == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 5), min_size=1, max_size=50), st.floats(0, 1))
def test_the_cutoff_is_the_quantile_of_the_moments(moments: list[int], share: float) -> None:
    folder = Path(mkdtemp())
    with npy.Writer(folder / "moments.npy", np.int64) as writer:
        writer.add(np.array(moments))
    state = np.ones(len(moments), dtype=np.uint8)
    only = Part("p", (), len(moments), Profile(0, {}), (), lambda name: folder / name)
    found = sorted(moments)[int(np.floor(share * (len(moments) - 1)))]
    after, before = sum(moment > found for moment in moments), [moment for moment in moments if moment < found]
    expected = found if 2 * after >= (1 - share) * len(moments) else max(before, default=found)
    assert _cutoff([only], state, share) == expected
