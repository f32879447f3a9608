"""Workers that keep copies of the partitions that they do not own: who takes one over reads only the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from streams.engine.image import Image
from streams.errors import TopicMismatch
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.topics import topic_names
from streams.worker.restore_progress import RestoreProgress
from streams.worker.standby import STALE
from streams.worker.topic_comparison import FRESH
from tests.simulator.copies import TOPICS, CopiedSite, check, copied, copies, restored, standby_of, with_copies
from tests.simulator.workers import ENOUGH, PARTITIONS, Worker, go_on


def test_who_takes_over_reads_only_the_rest(tmp_path: Path) -> None:
    """Its copies have all that was committed, so a restore reads no record; rows are what the log says."""
    there, _, second = with_copies(tmp_path, 60)
    there.read.clear()
    there.expire(0)
    restored(second)
    assert there.read["retold"] == 0
    there.hear(range(60, 120))
    go_on(there, second)
    check(there, second, 10)


def test_a_copy_that_is_behind_is_read_on(tmp_path: Path) -> None:
    """What was committed after the last look, and nothing before it, is read by the restore."""
    there, first, second = with_copies(tmp_path, 60)
    behind = {at: there.lengths(at) for at in first.partitions()}
    there.hear(range(60, 120))
    for _ in range(ENOUGH // 10):
        first.step()
    written = sum(sum(there.lengths(at).values()) - sum(before.values()) for at, before in behind.items())
    assert written > 0
    there.read.clear()
    there.expire(0)
    while not second.partitions() >= first.partitions():  # its copies see nothing of it before
        second.cycle.handle(second.cycle.poll())
    restored(second)
    assert 0 < there.read["retold"] <= written
    go_on(there, second)
    check(there, second, 10)


def test_a_copy_of_topics_that_were_cut_off_is_dropped(tmp_path: Path) -> None:
    """It has rows that Kafka does not have any more: everything is read again."""
    there = CopiedSite(tmp_path)
    first, second = Worker(there, 0), Worker(there, 1)
    there.hear(range(24))
    go_on(there, first, second)
    partition = min(first.partitions())
    before = there.lengths(partition)
    there.hear(range(24, 60))
    go_on(there, first, second)
    copied(there, first, second)
    there.cut(partition, before)
    there.broker.committed.clear()
    there.read.clear()
    image, folded = second.restore(partition), there.folded(partition)
    assert (image.rows, image.sequence) == (folded.rows, folded.sequence)
    assert there.read["retold"] > 0


def test_a_copy_of_a_table_that_was_made_again_is_dropped(tmp_path: Path) -> None:
    """Its offsets mean something else in the new one: everything is read."""
    there, first, second = with_copies(tmp_path, 24)
    partition = min(first.partitions())
    there.broker.ids[topic_names("", "echo").table] = "another"
    there.read.clear()
    second.restore(partition)
    assert there.read["retold"] == sum(1 for topic in TOPICS for _ in there.broker.partition((topic, partition)).committed())


def test_a_copy_that_was_not_followed_for_a_day_is_dropped(tmp_path: Path) -> None:
    """A machine slept: of what is over, Kafka keeps a tombstone for seven days only."""
    there, first, second = with_copies(tmp_path, 24)
    there.broker.clock.step(STALE / 1e6)
    there.read.clear()
    second.restore(min(first.partitions()))
    assert there.read["retold"] > 0
    for _ in range(4):
        second.step()
    assert there.read["retold-standby"] >= there.read["retold"], "it is not read again"


def test_a_copy_that_is_wrong_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Whatever it is wrong in: everything is read instead, and only that decides."""
    there, first, second = with_copies(tmp_path, 24)
    partition, standby = min(first.partitions()), standby_of(second)
    copy = standby.take(partition)
    assert copy is not None
    assert copy.reading.marker is not None
    copy.reading.marker = replace(copy.reading.marker, last=copy.reading.marker.last + 1)
    standby.put_back(copy)
    image, folded = second.restore(partition), there.folded(partition)
    assert (image.rows, image.sequence) == (folded.rows, folded.sequence)


def test_a_copy_that_was_taken_changes_no_more(tmp_path: Path) -> None:
    """Records that were read for it before come too late: its rows are those that are handled now."""
    there, first, second = with_copies(tmp_path, 24)
    images: dict[int, Image] = {}

    def take_over() -> None:
        there.hear(range(36, 48))
        while not there.handled():
            first.cycle.handle(first.cycle.poll())
            second.cycle.handle(second.cycle.poll())
        images.update((at, second.restore(at)) for at in sorted(first.partitions()))

    there.hear(range(24, 36))
    there.meanwhile.append(take_over)
    go_on(there, first, second)
    for _ in range(ENOUGH):
        if images:
            break
        second.step()
    assert images
    for at, image in images.items():
        assert image.rows == there.folded(at).rows


def test_a_restore_that_is_given_up_is_not_lost(tmp_path: Path) -> None:
    """The next one, here or after a while, reads on from where it was."""
    there = CopiedSite(tmp_path)
    first = Worker(there, 0)
    there.hear(range(60))
    go_on(there, first)
    second = Worker(there, 1)
    standby = standby_of(second)
    steps = second.cycle.tasks._restorer.restore(0, never_cancelled, RestoreProgress(0))
    next(steps)
    steps.close()
    copy = standby.take(0)
    assert copy is not None
    assert len(copy.reading.rows) > 0


def test_a_new_worker_reads_its_copies_before_it_joins(tmp_path: Path) -> None:
    """So what moves to it, and what it gets when the old one leaves, is not read while nobody handles it."""
    there = CopiedSite(tmp_path)
    there.broker.tells_members = True
    first = Worker(there, 0)
    there.hear(range(60))
    go_on(there, first)
    there.read.clear()
    second = Worker(there, 1)
    assert not second.cycle.tasks.joined
    for _ in range(ENOUGH):
        if second.cycle.tasks.joined:
            break
        first.step()
        second.step()
    assert [it.ready for it in copies(second)] == [True] * PARTITIONS
    for _ in range(ENOUGH // 10):
        first.step()
        second.step()
    assert (len(first.cycle.tasks.running()), len(second.cycle.tasks.running())) == (2, 2)
    assert there.read["retold"] == 0
    there.hear(range(60, 120))
    go_on(there, first, second)
    copied(there, first, second)
    first.stop()
    restored(second)
    assert there.read["retold"] == 0
    check(there, second, 10)


def test_a_broker_that_is_away_ends_no_worker_that_reads_its_copies(tmp_path: Path) -> None:
    """It has not joined, so there is no partition that it could pause until the broker is back."""
    there = CopiedSite(tmp_path)
    there.broker.tells_members = True
    first = Worker(there, 0)
    there.hear(range(60))
    go_on(there, first)
    second = Worker(there, 1)
    there.broker.describes_nothing = there.broker.lists_nothing = True
    there.broker.clock.sleep(FRESH + 1)
    second.step()
    second.step()
    assert not second.cycle.members.topics.fresh
    assert not second.cycle.tasks.joined
    there.broker.describes_nothing = there.broker.lists_nothing = False
    for _ in range(ENOUGH):
        first.step()
        second.step()
    assert (len(first.cycle.tasks.running()), len(second.cycle.tasks.running())) == (2, 2)


def test_a_worker_joins_at_once_where_a_partition_has_no_owner(tmp_path: Path) -> None:
    """Its events wait meanwhile: also when the only other worker dies while copies are read."""
    there = CopiedSite(tmp_path)
    there.broker.tells_members = True
    there.hear(range(60))
    assert Worker(there, 0).cycle.tasks.joined
    there.expire(0)
    assert Worker(there, 1).cycle.tasks.joined


def test_of_three_workers_each_has_what_the_other_two_own(tmp_path: Path) -> None:
    """Whichever of the two that are left gets a partition has a copy of it, up to date; and then copies what the other got."""
    there = CopiedSite(tmp_path)
    _, second, third = workers = [Worker(there, number) for number in range(3)]
    there.hear(range(60))
    go_on(there, *workers)
    copied(there, *workers)
    assert [len(copies(it)) + len(it.partitions()) for it in workers] == [PARTITIONS] * 3
    there.read.clear()
    there.expire(0)
    for _ in range(ENOUGH):
        if len(second.partitions() | third.partitions()) == PARTITIONS:
            break
        second.step()
        third.step()
    there.hear(range(60, 120))
    go_on(there, second, third)
    assert second.partitions().isdisjoint(third.partitions())
    assert there.read["retold"] == 0
    copied(there, second, third)
    there.expire(0)
    restored(third)
    check(there, third, 10)


def test_without_the_setting_no_copies_are_kept(tmp_path: Path) -> None:
    """They take as much memory as the rows of the other workers."""
    there = CopiedSite(tmp_path, standbys="0")
    first, second = Worker(there, 0), Worker(there, 1)
    there.hear(range(24))
    go_on(there, first, second)
    assert (first.cycle.members.standby, there.read["retold-standby"]) == (None, 0)


def test_a_log_that_ends_before_its_marker_is_refused_with_a_copy_too(tmp_path: Path) -> None:
    """A copy has no say in what is refused (rule 32): everything is read again, and that is refused."""
    there, first, second = with_copies(tmp_path, 24)
    partition = min(first.partitions())
    there.cut(partition, {topic_names("", "echo").log: 0})
    with pytest.raises(TopicMismatch, match="ends at sequence 0"):
        second.restore(partition)
