"""In which order the past of several logs is read, and how much of it waits in memory."""

from __future__ import annotations

from streams.server.readmodel.merge import ArrivedRecord, LogMerger

A, B = ("account", 0), ("account", 1)


def logged(partition: tuple[str, int], sequence: int, second: int) -> ArrivedRecord:
    return second, *partition, sequence, 2 * sequence, (), None


def test_the_past_is_read_in_the_order_of_its_time() -> None:
    """An event waits until every other partition has shown a later one or its end."""
    merge = LogMerger([A, B])
    for sequence, second in ((1, 1), (2, 5)):
        merge.add(A, logged(A, sequence, second))
    assert merge.ready() == ([], [])
    merge.add(B, logged(B, 1, 3))
    found, ends = merge.ready()
    assert ([it[0] for it in found], sorted(it[:4] for it in ends)) == ([1, 3], [(1, *A, 1), (3, *B, 1)])
    merge.ended(B)
    assert [it[0] for it in merge.ready()[0]] == [5]


def test_no_partition_runs_far_ahead() -> None:
    """Memory is bounded: a partition that is full waits for the others, and goes on when they have caught up."""
    merge = LogMerger([A, B], in_memory=200)
    for n in range(100):
        merge.add(A, logged(A, n + 1, n))
    assert (merge.full(A), merge.full(B), merge.low(A)) == (True, False, False)
    merge.ended(B)
    assert len(merge.ready()[0]) == 100
    assert (merge.full(A), merge.low(A)) == (False, True)
