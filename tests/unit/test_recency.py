from collections.abc import Sequence

import numpy as np

from tidemill.stages.recency import counted, enough, newest, recency, spans


def found(
    *rows: int, share: float = 0.25, target: Sequence[float] | None = None, binary: bool = True
) -> tuple[int, ...]:
    """Of partitions with so many rows, every fourth held out, and two even classes."""
    partition = np.repeat(np.arange(len(rows), dtype=np.uint16), rows)
    held_out = np.arange(len(partition)) % 100 < 100 * share
    truth = np.arange(len(partition)) % 2 if target is None else target
    return spans(partition, held_out, np.asarray(truth, dtype=np.float64), binary=binary)


def test_a_single_partition_has_no_spans() -> None:
    assert found(50_000) == ()
    assert recency(np.zeros(3, dtype=np.uint16), ()).tolist() == [0, 0, 0]


def test_a_span_has_whole_partitions_and_a_thousand_training_rows() -> None:
    assert found(9_000, 1_200) == ()
    assert found(9_000, 800, 600) == (1,)


def test_each_span_is_twice_as_long_as_the_one_in_it_and_none_has_more_than_half() -> None:
    assert found(60_000, 6_000, 1_500, 1_500, 500) == (3, 1)
    assert found(70_000, *[1_400] * 20) == (20, 19, 17, 13, 5)
    assert found(1_200, 1_400) == ()
    assert found(3_000, 1_400) == (1,)
    assert found(0, 4_000) == ()


def test_a_span_can_judge_what_is_learned_from_it() -> None:
    assert found(40_000, 1_500, 1_500, share=0.1) == (1,)  # 150 held-out rows are too few, 300 are enough
    rare = np.arange(43_000) % 20 == 19
    assert found(40_000, 1_500, 1_500, target=rare) == (1,)  # 15 of a class are too few
    assert found(40_000, 1_500, 1_500, target=rare, binary=False) == (2, 1)


def test_enough_of_two_classes_is_enough_of_either() -> None:
    assert enough([200])
    assert not enough([199])
    assert enough([180, 20])
    assert not enough([181, 19])
    assert counted(np.ones(5), binary=True) == [0, 5]


def test_recency_counts_the_spans_that_have_a_row() -> None:
    partition = np.array([0, 0, 1, 2, 3, 3], dtype=np.uint16)
    assert recency(partition, (3, 1)).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_newest_rows_that_are_enough_are_taken() -> None:
    of = np.array([0, 0, 1, 1, 2], dtype=np.uint8)
    among = np.array([True, True, True, False, True])
    assert newest(of, among, lambda rows: rows.sum() >= 1).tolist() == [False] * 4 + [True]
    assert newest(of, among, lambda rows: rows.sum() >= 2).tolist() == [False, False, True, False, True]
    assert newest(of, among, lambda rows: rows.sum() >= 9).tolist() == among.tolist()
