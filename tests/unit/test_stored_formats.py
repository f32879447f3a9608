"""What a worker of an earlier commit stored, read by the code of today."""

from __future__ import annotations

import pytest

from tests.applications import combined
from tests.support.stored import FILES, Stored, described

KEPT = [Stored.read(path) for path in FILES]
PLACES = [(kept, place) for kept in KEPT for place in kept.images]
of_each_partition = pytest.mark.parametrize(
    ("kept", "place"), PLACES, ids=[f"{kept.commit}:{place}" for kept, place in PLACES]
)


def test_something_of_every_kind_is_kept() -> None:
    """Or the tests below would hold of nothing."""
    for kept in KEPT:
        images = kept.images.values()
        for part in ("rows", "parked", "parked_ids", "quarantined", "timers", "calls", "known"):
            assert any(image[part] for image in images), part
        assert all(any(image["counters"][name] for image in images) for name in next(iter(images))["counters"])
        statuses = {status for image in images for queue in image["parked"].values() for _, status in queue}
        assert statuses == {"parked", "unanswered"}
        assert any(row is None for image in images for _, row in image["rows"].values())
    assert KEPT


@of_each_partition
def test_a_restore_gives_what_the_writer_had_in_memory(kept: Stored, place: str) -> None:
    """Rows, versions, positions, parked queues, timers, calls, known ids and counters."""
    expected = kept.images[place]
    assert described(kept.restored(combined.app(), place), list(expected["known"])) == expected


@of_each_partition
def test_the_log_folds_into_the_table(kept: Stored, place: str) -> None:
    """By today's handlers, to the same rows, versions and position."""
    folded, restored = kept.folded(combined.app(), place), kept.restored(combined.app(), place)
    assert folded.rows == restored.rows
    assert (folded.sequence, folded.recorded) == (restored.sequence, restored.recorded)
