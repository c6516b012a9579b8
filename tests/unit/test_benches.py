"""What the benches' numbers rest on."""

import subprocess
import sys
from typing import NamedTuple

import numpy as np

from tests.bench.simulated import added


def test_the_peak_of_a_process_is_its_own_and_not_that_of_who_started_it() -> None:
    held = np.ones(40_000_000)
    command = [sys.executable, "-c", "from tests.bench import quiet; print(quiet.peak())"]
    found = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    assert 1_000_000 < found < held.nbytes / 2


def test_counts_are_added_place_by_place_however_deep_they_lie() -> None:
    class Tally(NamedTuple):
        trials: int
        hits: int

    assert added([Tally(1, 0), Tally(1, 1)]) == Tally(2, 1)
    assert added([(Tally(1, 0), Tally(2, 1)), (Tally(1, 1), Tally(2, 0))]) == (Tally(2, 1), Tally(4, 1))
