import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.schema import Levels
from tidemill.stages.rowhash import hash_rows, hash_text

TEXTS = st.lists(st.none() | st.text(max_size=40), min_size=1, max_size=30)


@given(TEXTS)
def test_texts_have_one_hash_exactly_when_they_are_equal(texts: list[str | None]) -> None:
    hashes = hash_text(pa.array(texts, pa.string())).tolist()
    assert len(set(hashes)) == len(set(texts))
    assert all((hashes[i] == hashes[0]) == (text == texts[0]) for i, text in enumerate(texts))


@given(TEXTS)
def test_a_text_has_the_same_hash_alone_as_among_others(texts: list[str | None]) -> None:
    together = hash_text(pa.array(texts, pa.string()))
    sliced = pa.concat_arrays([pa.array(["before"]), pa.array(texts, pa.string())])[1:]
    alone = [hash_text(pa.array([text], pa.string()))[0] for text in texts]
    assert together.tolist() == alone == hash_text(sliced).tolist()


@given(TEXTS)
def test_a_category_has_the_hash_of_its_text_whatever_its_code(texts: list[str | None]) -> None:
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    names = tuple(encoded.dictionary.to_pylist())
    levels = Levels(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), names)
    assert hash_rows([levels]).tolist() == hash_rows([pa.array(texts, pa.string())]).tolist()


def test_zero_has_no_sign_and_missing_is_one_value() -> None:
    numbers = np.array([0.0, -0.0, np.nan, np.float64(np.array([0x7FF8000000000123]).view(np.float64)[0]), 1.0])
    first, second, third, fourth, fifth = hash_rows([numbers]).tolist()
    assert first == second
    assert third == fourth
    assert len({first, third, fifth}) == 3


def test_the_order_of_columns_counts() -> None:
    a, b = np.array([1.0]), np.array([2.0])
    assert hash_rows([a, b]) != hash_rows([b, a])
    assert hash_rows([a, b]) == hash_rows([a, b])


def test_moments_are_told_apart_to_the_microsecond_whatever_their_unit() -> None:
    seconds = np.array(["2024-01-01T00:00:00", "NaT"], dtype="datetime64[s]")
    micro = np.array(["2024-01-01T00:00:00.000000", "2024-01-01T00:00:00.000001"], dtype="datetime64[us]")
    assert hash_rows([seconds])[0] == hash_rows([micro])[0]
    assert hash_rows([micro])[0] != hash_rows([micro])[1]


def test_hashes_of_a_million_numbers_do_not_collide() -> None:
    numbers = np.arange(1_000_000, dtype=np.float64)
    assert len(np.unique(hash_rows([numbers]))) == len(numbers)


def test_rows_without_a_column_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="no column"):
        hash_rows([])


def test_long_texts_are_told_apart_by_every_byte() -> None:
    long = "x" * 5_000
    texts = [long, long[:-1], long[:-1] + "y", "y" + long[1:], long[:1_024], long[:1_025], long[:1_023] + "yx"]
    assert len(set(hash_text(pa.array(texts)).tolist())) == len(texts)
    assert hash_text(pa.array([None, "a", long])).tolist()[2] == hash_text(pa.array([long])).tolist()[0]
