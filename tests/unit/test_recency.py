import numpy as np

from tidemill.stages.recency import newest, recency, spans


def test_a_single_partition_has_no_spans() -> None:
    assert spans([50_000]) == ()
    assert recency((), [3]).tolist() == [0, 0, 0]


def test_a_span_has_whole_partitions_and_a_thousand_training_rows() -> None:
    assert spans([9_000, 999]) == ()
    assert spans([9_000, 600, 400]) == (1,)


def test_each_span_is_four_times_as_long_as_the_one_in_it() -> None:
    assert spans([50_000, 6_000, 2_000, 1_500, 500]) == (3, 1)
    assert spans([5_000, *[1_000] * 20]) == (20, 17, 5)


def test_recency_counts_the_spans_that_have_a_row() -> None:
    found = recency((3, 1), [2, 1, 1, 2])
    assert found.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_newest_rows_that_are_enough_are_taken() -> None:
    of = np.array([0, 0, 1, 1, 2], dtype=np.uint8)
    among = np.array([True, True, True, False, True])
    assert newest(of, among, lambda rows: rows.sum() >= 1).tolist() == [False] * 4 + [True]
    assert newest(of, among, lambda rows: rows.sum() >= 2).tolist() == [False, False, True, False, True]
    assert newest(of, among, lambda rows: rows.sum() >= 9).tolist() == among.tolist()
