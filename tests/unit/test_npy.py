from pathlib import Path

import numpy as np
import pytest

from tidemill.stages import npy


@pytest.mark.parametrize("width", [None, 1, 17])
@pytest.mark.parametrize("pieces", [[], [0], [3], [5, 0, 1, 400]])
def test_what_was_added_in_pieces_is_read_back_by_numpy_in_windows_and_from_bytes(
    tmp_path: Path, width: int | None, pieces: list[int]
) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n,) if width is None else (n, width)).astype(np.float32) for n in pieces]
    path = tmp_path / "rows.npy"
    with npy.Writer(path, np.float32, width) as writer:
        for some in rows:
            writer.add(some)
    whole = np.concatenate([np.zeros((0,) if width is None else (0, width), np.float32), *rows])
    assert np.array_equal(np.load(path, allow_pickle=False), whole)
    assert np.array_equal(npy.parsed(path.read_bytes()), whole)
    assert np.array_equal(np.concatenate([whole[:0], *npy.windows(path, 7)]), whole)


def test_rows_are_left_out_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    whole = np.arange(30, dtype=np.uint64)
    with npy.Writer(path, np.uint64) as writer:
        writer.add(whole)
    npy.filtered(path, whole % 3 == 0)
    assert np.load(path).tolist() == list(range(0, 30, 3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.npy"]
