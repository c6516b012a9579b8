from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.schema import COPY_BITS, mixed, split_by_key
from tidemill.stages import spill
from tidemill.stages.spill import RowIndex, copy_keys


def repeats(folder: Path, pieces: list[list[int]]) -> dict[int, tuple[int, bool]]:
    """Row → (how many equal rows came before, whether none comes after), of the rows that repeat."""
    index = RowIndex(folder)
    for piece in pieces:
        index.add(mixed(np.array(piece, dtype=np.uint64)))
    found: dict[int, tuple[int, bool]] = {}
    for some in index.repeats():
        assert some.rows.tolist() == sorted(some.rows.tolist())
        assert len(set((some.rows // spill.WINDOW).tolist())) == 1
        found |= {
            row: (place, last)
            for row, place, last in zip(some.rows.tolist(), some.places.tolist(), some.last.tolist(), strict=True)
        }
    return found


@pytest.mark.parametrize("window_bits", [2, 20])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.lists(st.integers(0, 12), max_size=20), max_size=5))
def test_rows_that_repeat_know_their_place_and_the_last_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_bits: int, pieces: list[list[int]]
) -> None:
    monkeypatch.setattr(spill, "_WINDOW_BITS", window_bits)
    monkeypatch.setattr(spill, "WINDOW", 1 << window_bits)
    rows = [value for piece in pieces for value in piece]
    times, before = Counter(rows), defaultdict[int, int](int)
    expected = {}
    for row, value in enumerate(rows):
        if times[value] > 1:
            expected[row] = (before[value], before[value] == times[value] - 1)
        before[value] += 1
    assert repeats(tmp_path, pieces) == expected


def test_the_files_are_gone_once_they_are_read(tmp_path: Path) -> None:
    repeats(tmp_path, [[1, 2, 3, 1], [2, 2]])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_copies_have_keys_of_their_own_and_the_first_ones_share_a_side() -> None:
    hashes = mixed(np.arange(2_000, dtype=np.uint64)) & ~np.uint64(2**COPY_BITS - 1)
    first = [copy_keys(hashes, np.full(len(hashes), place)) for place in range(2**COPY_BITS)]
    further = [copy_keys(hashes, np.full(len(hashes), place)) for place in range(2**COPY_BITS, 2**COPY_BITS + 4)]
    assert len(np.unique(np.concatenate(first + further))) == len(hashes) * (len(first) + len(further))
    assert all((split_by_key(keys, 0.2) == split_by_key(hashes, 0.2)).all() for keys in first)
    assert all(0.5 < (split_by_key(keys, 0.2) == split_by_key(hashes, 0.2)).mean() < 0.85 for keys in further)
