import math

import numpy as np
import numpy.typing as npt
import pytest

from tidemill.schema import mixed
from tidemill.stages.attempts import SIZE, Sketch, attempt, error_of, overlap

Keys = npt.NDArray[np.uint64]
ALL = np.random.default_rng(0).integers(0, 2**64, 60_000, dtype=np.uint64)


def sketch(keys: Keys) -> Sketch:
    return Sketch.of(keys)


def test_the_same_rows_overlap_wholly_whatever_their_order() -> None:
    assert overlap(sketch(ALL), sketch(ALL[::-1])) == 1.0


def test_rows_that_nobody_was_judged_on_are_fresh() -> None:
    assert overlap(sketch(ALL[:20_000]), sketch(ALL[20_000:])) == 0.0
    assert attempt(sketch(ALL[:20_000]), [sketch(ALL[20_000:40_000]), sketch(ALL[40_000:])]) == 1.0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rows", [800, 30_000])
def test_the_share_is_exact_for_few_rows_and_within_its_error_for_many(share: float, rows: int) -> None:
    known = int(share * rows)
    before = np.concatenate([ALL[:known], ALL[rows : 2 * rows - known]])
    found = overlap(sketch(ALL[:rows]), sketch(before))
    assert found == pytest.approx(share, abs=1e-9 if rows <= SIZE else 5 * math.sqrt(share * (1 - share) / SIZE))


def test_a_set_that_grew_knows_which_share_of_it_is_old() -> None:
    assert overlap(sketch(ALL[:40_000]), sketch(ALL[:20_000])) == pytest.approx(0.5, abs=0.08)
    assert overlap(sketch(ALL[:5_000]), sketch(ALL)) == 1.0


def test_where_nothing_is_known_all_rows_count_as_judged() -> None:
    ordered = ALL[np.argsort(mixed(ALL))]
    assert overlap(sketch(ordered[-10:]), sketch(ordered[:-10])) == 1.0


def test_one_more_row_does_not_make_a_fresh_set() -> None:
    assert attempt(sketch(ALL[:10_001]), [sketch(ALL[:10_000])]) == pytest.approx(2.0, abs=0.01)


def test_attempts_on_the_same_rows_never_spend_more_than_the_error() -> None:
    today = sketch(ALL)
    numbers = [attempt(today, [today] * earlier) for earlier in range(50)]
    assert numbers == pytest.approx(range(1, 51))
    assert sum(error_of(float(n), 0.025) for n in range(1, 100_000)) < 0.025


def test_a_sketch_survives_being_stored() -> None:
    whole = sketch(ALL)
    stored = Sketch.unpacked(whole.rows, whole.packed())
    assert stored.rows == 60_000
    assert len(stored.packed()) == 8 * SIZE
    assert overlap(whole, stored) == 1.0
