import numpy as np
import pytest

from tidemill.stages.labels import Joined
from tidemill.stages.outcomes import MOST, Outcomes

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("answers", [RNG.normal(size=60), RNG.dirichlet(np.ones(3), 60), RNG.normal(size=(60, 2))])
def test_what_is_kept_comes_back_as_it_was(answers: np.ndarray) -> None:
    kept = Outcomes.unpacked(Outcomes.of(Joined(RNG.normal(size=60), answers, 90)).packed())
    assert kept.answers.shape == answers.shape
    np.testing.assert_array_equal(kept.answers, answers)


def test_of_many_rows_an_even_part_is_kept() -> None:
    rows = 20 * MOST
    kept = Outcomes.of(Joined(np.arange(rows, dtype=float), np.arange(rows, dtype=float), rows))
    assert len(kept.truth) == len(kept.answers) == MOST
    assert kept.truth.mean() == pytest.approx(rows / 2, rel=0.01)
    assert len(kept.packed()) < 100_000
