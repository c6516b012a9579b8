from collections.abc import Sequence

import numpy as np

from tidemill.stages.recency import alone, counted, enough, newest, recency, spans_in_time, spans_of_partitions


def found(
    *rows: int, share: float = 0.25, target: Sequence[float] | None = None, binary: bool = True
) -> tuple[int, ...]:
    """Of partitions with so many rows, every fourth held out, and two even classes."""
    partition = np.repeat(np.arange(len(rows), dtype=np.uint16), rows)
    held_out = np.arange(len(partition)) % 100 < 100 * share
    truth = np.arange(len(partition)) % 2 if target is None else target
    return spans_of_partitions(partition, held_out, np.asarray(truth, dtype=np.float64), binary=binary)


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


def in_time(*moments: int, held_out: int = 0, target: Sequence[float] | None = None) -> tuple[int, ...]:
    """The last ones are held out."""
    later = np.arange(len(moments)) >= len(moments) - held_out
    truth = np.arange(len(moments)) % 2 if target is None else target
    return spans_in_time(np.array(moments), later, np.asarray(truth, dtype=np.float64), binary=True)


def test_in_time_a_span_is_of_the_newest_training_rows_up_to_half_of_all() -> None:
    assert in_time(*range(1_999)) == ()
    assert in_time(*range(2_000)) == (1_000,)
    assert in_time(*range(9_000), held_out=1_000) == (7_000, 6_000, 4_000)
    shuffled = np.random.default_rng(0).permutation(8_000).tolist()
    assert in_time(*shuffled) == (7_000, 6_000, 4_000)


def test_rows_of_one_moment_are_in_the_same_spans() -> None:
    days = [day for day in range(20) for _ in range(600)]
    assert in_time(*days) == (18, 16, 12)
    assert in_time(*[0] * 5_000, *[1] * 6_000) == ()


def test_a_span_in_time_has_enough_rows_to_judge_by() -> None:
    rare = np.arange(16_000) % 100 == 99
    assert in_time(*range(16_000), target=rare) == (14_000, 12_000, 8_000)


def test_new_rows_judge_by_themselves_from_so_many_on() -> None:
    assert alone(0.2, timed=True) == alone(0.5, timed=True) == 2_000
    assert alone(0.2, timed=False) == 1_250
    assert alone(0.05, timed=False) == 4_000
    assert alone(0.25, timed=False) == 1_334
    assert (found(50_000, 1_400), found(50_000, 1_300)) == ((1,), ())
