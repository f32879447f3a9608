"""What a namespace that waits looks at: whether its table has something new of the rows that its code has."""

from __future__ import annotations

from typing import Any

from streams.engine.generations import BuiltTo
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.worker.rows_wait import FoundRows


def marked(generation: int, last: int, **others: Any) -> Marker:
    return Marker(
        first=1, last=last, inbox_next=last, recorded=last, application="a", topic_ids={}, partitions=2, transactional_id="t",
        counters=Counters(), generation=generation, **others,
    )  # fmt: skip


def built(sequence: int, generation: int = 2, corrections: int = 0) -> BuiltTo:
    return BuiltTo(generation=generation, sequence=sequence, offset=sequence, code="c", corrections=corrections)


def test_rows_are_there_once_they_are_in_each_partition() -> None:
    """What is handled meanwhile is nothing new of them, and neither are other rows."""
    found = FoundRows(2)
    for partition in range(2):
        found.take(partition, marked(1, 5))
    before = found.news
    found.take(0, built(5))
    assert (found.is_lacking, found.news != before) == (True, True)
    found.take(1, built(5))
    assert not found.is_lacking
    before = found.news
    found.take(0, marked(1, 9))
    found.take(0, built(9, generation=3))
    assert (found.is_lacking, found.news == before) == (False, True)


def test_rows_that_are_built_again_are_news() -> None:
    """From a past that was corrected since: up to the same event, with another correction. So are those that a worker keeps."""
    found = FoundRows(2)
    found.take(0, marked(1, 5))
    found.take(0, built(5))
    first = found.news
    found.take(0, built(5, corrections=1))
    second = found.news
    found.take(0, marked(2, 6))
    assert (first != second, found.news != second, found.is_lacking) == (True, True, False)
