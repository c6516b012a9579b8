import pandas as pd

from tests.unit.builders import dataset, observations
from tidemill.stages.judge import late_rows


def test_training_rows_of_a_class_that_only_came_late_are_no_overlap() -> None:
    frame = observations(1_000, task="binary")
    frame["t"] = pd.date_range("2024-01-01", periods=1_000, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame.loc[900:940, "y"] = "maybe"
    data = dataset(frame, 'target = "y"\ntime = "t"')
    assert data.moments is not None
    assert (data.moments[~data.held_out] > data.cutoff).sum() == 41
    assert late_rows(data.rows, data.schema, data.cutoff) == 0
    data.rows.held_out[:] = False
    assert late_rows(data.rows, data.schema, None) == 0
