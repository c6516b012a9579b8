import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.schema import Column, Schema
from tidemill.stages.partition_file import KEY, from_parquet, to_parquet

SCHEMA = Schema(
    (
        Column("size", "numeric", "feature"),
        Column("flag", "boolean", "feature"),
        Column("town", "categorical", "feature"),
        Column("day", "datetime", "feature"),
        Column("_key", "numeric", "target"),
    ),
    "regression",
)
rows = st.lists(
    st.tuples(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, min_value=-3e38, max_value=3e38),
        st.sampled_from([None, 0.0, 1.0]),
        st.none() | st.sampled_from(["Zürich", "日本", "a,b", '"', "00501"]),
        st.none() | st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
        st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows)
def test_a_partition_is_read_back_as_it_was_written(
    batch: list[tuple[float | None, float | None, str | None, int | None, int]],
) -> None:
    size, flag, town, day, keys = zip(*batch, strict=True)
    words = np.empty(len(town), dtype=object)
    words[:] = town
    columns = {
        "size": np.array(size, dtype=float),
        "flag": np.array(flag, dtype=float),
        "town": words,
        "day": np.array(["NaT" if at is None else at for at in day], dtype="datetime64[us]"),
        "_key": np.arange(len(keys), dtype=float),
    }
    back = from_parquet(to_parquet(columns, np.array(keys, dtype=np.uint64), SCHEMA), SCHEMA)
    assert back.keys.tolist() == list(keys)
    assert set(back.columns) == set(columns)
    for name, values in columns.items():
        assert back.columns[name].dtype == values.dtype
        np.testing.assert_array_equal(back.columns[name], values)


def test_columns_that_the_schema_no_longer_has_stay_behind_and_people_can_read_the_rest() -> None:
    columns = {"size": np.array([1.5]), "flag": np.array([1.0])}
    data = to_parquet(columns, np.array([7], dtype=np.uint64), SCHEMA)
    assert pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist() == [{"size": 1.5, "flag": True, KEY: 7}]
    shorter = replace(SCHEMA, columns=SCHEMA.columns[:1])
    assert set(from_parquet(data, shorter).columns) == {"size"}
