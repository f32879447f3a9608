"""What `retold status` says below its tables: what a person should look at, and the command for it."""

from __future__ import annotations

import pytest

from streams.cli.status import tell
from streams.engine.marker import Marker, producers_replaced
from streams.engine.records import Counters
from streams.kafka.status import NamespaceStatus, PartitionStatus

OWNED, ALONE = (PartitionStatus(0, owner, 9, 8, 1, 5, 1) for owner in ("somebody", None))


@pytest.mark.parametrize(
    ("parked", "quarantined", "said"),
    [
        (0, 0, ""),
        (1, 0, "1 event of item is parked: `retold parked list item`.\n"),
        (2, 0, "2 events of item are parked: `retold parked list item`.\n"),
        (0, 1, "1 event of item is quarantined: `retold parked list item`.\n"),
        (1234, 1, "1,234 events of item are parked, and 1 is quarantined: `retold parked list item`.\n"),
    ],
)
def test_what_is_set_aside_is_told_with_its_command(
    parked: int, quarantined: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number in a table is easily overlooked; where there is nothing, nothing is said."""
    tell(NamespaceStatus("item", "shop", (OWNED,), parked=parked, quarantined=quarantined))
    assert capsys.readouterr().out == said


def test_one_event_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Sentences are right for a single event too."""
    tell(NamespaceStatus("item", "shop", (ALONE,), Counters(derived_rejected=1)))
    assert capsys.readouterr().out.splitlines() == [
        "Nobody handles all of item, and 1 event waits: start a worker with `retold worker item`.",
        "1 rejected event of item had a cause; nobody else heard of it.",
    ]


def test_producers_that_were_replaced_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is lost by it, but somebody should look at the network if it goes on."""
    tell(NamespaceStatus("item", "shop", (OWNED,), producers_replaced=1))
    assert capsys.readouterr().out.startswith("Workers of item replaced their Kafka producer 1 time since they started")


def test_producers_are_counted_once_a_worker() -> None:
    """Each partition's marker names its writer and says how many it replaced: the latest is right."""
    markers = [marker(0, "a", 5, 1), marker(1, "a", 7, 2), marker(2, "b", 6, 3)]
    assert producers_replaced(markers) == {"a": 2, "b": 3}


def marker(partition: int, writer: str, recorded: int, replaced: int) -> Marker:
    return Marker(
        first=1,
        last=partition,
        inbox_next=1,
        recorded=recorded,
        application="shop",
        topic_ids={},
        partitions=3,
        transactional_id=writer,
        counters=Counters(),
        producers_replaced=replaced,
    )
