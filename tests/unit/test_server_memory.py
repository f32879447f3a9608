"""In which order the past of several logs is read, and how much of it waits in memory."""

from __future__ import annotations

from streams.engine.envelope import LogHeader
from streams.kafka.messages import LogFacts
from streams.server.readmodel.merge import ArrivedRecord, LogMerger

A, B = ("account", 0), ("account", 1)


def logged(partition: tuple[str, int], sequence: int, second: int) -> ArrivedRecord:
    header = LogHeader(sequence, second, sequence - 1, "accepted", "f")
    facts = LogFacts(sequence, second, 0, "a", "id", "", 1, None, "root", 0, header, None, b"", [])
    return ArrivedRecord(second, *partition, sequence, 2 * sequence, "account.open", facts, None)


def test_the_past_is_read_in_the_order_of_its_time() -> None:
    """An event waits until every other partition has shown a later one or its end."""
    merge = LogMerger([A, B])
    for sequence, second in ((1, 1), (2, 5)):
        merge.add(A, logged(A, sequence, second))
    assert list(merge.ready()) == []
    merge.add(B, logged(B, 1, 3))
    assert [arrived.recorded for arrived in merge.ready()] == [1, 3]
    merge.ended(B)
    assert [arrived.recorded for arrived in merge.ready()] == [5]


def test_no_partition_runs_far_ahead() -> None:
    """Memory is bounded: a partition that is full waits for the others, and goes on when they have caught up."""
    merge = LogMerger([A, B], in_memory=200)
    for n in range(100):
        merge.add(A, logged(A, n + 1, n))
    assert (merge.full(A), merge.full(B), merge.low(A)) == (True, False, False)
    merge.ended(B)
    assert len(list(merge.ready())) == 100
    assert (merge.full(A), merge.low(A)) == (False, True)
