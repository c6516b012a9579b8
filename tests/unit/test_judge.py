from typing import Any, cast

import pandas as pd

from tests.tables import csv
from tests.unit.builders import assembled, dataset, observations, prepare
from tidemill.spec import parse_spec
from tidemill.stages.judge import Case, Champion, late_rows
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.partition import Partition


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


def case(chosen: int, *, candidate_rows: int = 1_600) -> Case:
    """Of 8,000 old rows and so many new ones, with a graph that is never asked."""
    spec = parse_spec('target = "y"\nid = "key"')
    frames = [observations(8_000, task="binary"), observations(candidate_rows, task="binary", seed=1)]
    parts: list[Partition] = []
    for place, frame in enumerate(frames):
        frame["key"] = [f"{place}-{row}" for row in range(len(frame))]
        parts.append(prepare(csv(frame), spec, *parts))
    data = assembled(parts, spec)
    facts = {"history": {"chosen": chosen}, "repeated": None}
    return Case(data.rows, ("a", "b"), data.schema, data.names, spec, None, facts, b"", cast("OnnxModel", None))


def champion(**manifest: Any) -> Champion:
    document = {"spec": 'target = "y"\nid = "key"', "partitions": ["a"], "cutoff": None, **manifest}
    return Champion(1, case(0).schema, cast("OnnxModel", None), document, {})


def test_a_version_is_told_of_by_the_history_that_it_learned_from() -> None:
    whole, newest = case(0), case(1)
    assert whole.learned.sum() + whole.unseen.sum() == 9_600
    assert newest.learned.sum() + newest.unseen.sum() == 1_600
    assert newest.rows.partition[newest.learned].min() == 1


def test_whatever_it_learned_from_the_newest_rows_compare_it_with_the_champion() -> None:
    for one in (case(0), case(1)):
        judged = one.judged_with(champion())
        assert 200 < judged.sum() < 400
        assert one.rows.partition[judged].min() == 1
        assert one.held_out_by_both(champion()).sum() == one.rows.held_out.sum()


def test_rows_that_the_champion_learned_late_do_not_judge_it() -> None:
    one = case(0)
    rows = one.held_out_by_both(champion(late_classes=[one.schema.classes[1]]))
    of_the_class = one.rows.target == 1
    assert not (rows & of_the_class & (one.rows.partition == 0)).any()
    assert (rows & of_the_class & (one.rows.partition == 1)).any()
