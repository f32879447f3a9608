"""The door: what happens to a record before, and instead of, its handler (rules 10 to 16)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from processors import app
from processors.events import FolderCreate, UserRename, UserSignup
from streams.codec import codec_of
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.envelope import log_header
from streams.engine.event_handlers import Inbox, Limits
from streams.engine.identity import emitted_id
from streams.engine.image import Image
from streams.engine.records import InboxRecord
from streams.engine.stored import log_record
from streams.event import reference_of

APP = app()
CODEC = codec_of(APP)
NOW = 1_800_000_000_000_000


def engine(partition_of: Callable[[bytes], int] | None = None, **limits: int) -> Engine:
    return Engine(APP, "user", CODEC, limits=Limits(**limits), inbox=Inbox("user", "topic-1", partition_of))


def signup(user: str = "u1", email: str = "u1@example.org") -> UserSignup:
    return UserSignup(
        user=user,
        email=email,
        plan="free",
        created=None,
        last_seen=None,
        reputation=0,
        views=0,
        up_votes=0,
        down_votes=0,
    )


def record(
    offset: int = 0,
    data: UserSignup | UserRename | FolderCreate | None = None,
    key: bytes | None = b"u1",
    **headers: str,
) -> InboxRecord:
    value = CODEC.encode(data or signup())
    return (offset, key, value, [(name, text.encode()) for name, text in headers.items()], 1_700_000_000_000)


def handle(*records: InboxRecord, image: Image | None = None, using: Engine | None = None) -> Changes:
    using = using or engine()
    return using.handle(image or using.image(), records, NOW)


def reason_of(changes: Changes) -> str:
    [aside] = changes.set_aside
    return aside.header.reason


def test_a_good_event_is_logged_with_its_bytes_and_folded() -> None:
    """The log holds the inbox's bytes under `<key>@<sequence>`, and the row is at that version."""
    changes = handle(record(ce_id="a", ce_time="2026-01-01T00:00:00Z"))
    [logged] = changes.log
    key, value, headers = log_record(logged)
    assert (key, value) == (b"u1@1", record()[2])
    assert (log_header(headers).sequence, log_header(headers).outcome) == (1, "accepted")
    assert changes.rows["u1"][1] == 1
    assert changes.inbox_next == 1


def test_handling_leaves_the_image_alone_until_it_is_applied() -> None:
    """An abort drops the changes, and nothing has happened."""
    using = engine()
    image = using.image()
    changes = handle(record(), image=image, using=using)
    assert (image.rows, image.sequence, image.inbox_next) == ({}, 0, 0)
    image.apply(changes)
    assert (list(image.rows), image.sequence, image.inbox_next) == (["u1"], 1, 1)


def test_a_rejected_event_is_logged_and_changes_no_row() -> None:
    """The reason is in the log, and the row keeps its version."""
    changes = handle(record(0, ce_id="a"), record(1, ce_id="b"))
    assert [(logged.outcome, logged.reason) for logged in changes.log] == [
        ("accepted", None),
        ("rejected", "this user has already signed up"),
    ]
    assert changes.rows["u1"][1] == 1


def test_only_retold_may_write_its_own_headers() -> None:
    """A forged sequence, recorded time, outcome or packed header never reaches the log."""
    forged = record(ce_id="a", ce_sequence="99", ce_recordedtime="x", ce_outcome="accepted", retold="[9]", retold_x="y")
    [logged] = handle(forged).log
    assert [name for name, _ in log_record(logged).headers] == ["ce_id", "retold"]
    assert logged.sequence == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ((0, b"u1", None, None, 0), "no value"),
        ((0, b"u1", CODEC.encode(signup())[:9], None, 0), "user.signup"),
        ((0, b"u1", b"\x02\x00\x00\x00\x00x", None, 0), "expected"),
        (record(ce_type="user.close"), "ce_type"),
        (record(data=FolderCreate(folder="u1", owner="u1")), "another namespace"),
        ((0, b"u1", CODEC.encode(signup()), [("ce_id", b"\xff")], 0), "not UTF-8"),
        ((0, b"u1", CODEC.encode(signup()), [("ce_any", b"\xff")], 0), "not UTF-8"),
        (record(ce_time="2026-01-01T00:00:00"), "zone"),
        (record(ce_time="yesterday"), "yesterday"),
        (record(ce_hops="-1"), "whole number"),
        (record(mine="x" * 33_000), "at most 32768"),
    ],
)
def test_what_cannot_be_read_is_quarantined_and_blocks_nobody(bad: InboxRecord, words: str) -> None:
    """It is kept with the reason, and the same key's next event is handled."""
    changes = handle(bad, record(1))
    assert words in reason_of(changes)
    assert (changes.counters.quarantined, changes.counters.accepted) == (1, 1)
    assert changes.set_aside[0].entity is None


def test_an_event_too_large_is_quarantined_by_reference() -> None:
    """2 MB do not fit the parked topic either: the inbox keeps the bytes."""
    changes = handle(record(data=signup(email="x" * 200_000)), using=engine(event_bytes=100_000))
    assert "an event may hold 100000" in reason_of(changes)
    assert changes.set_aside[0].value == b""


def test_an_unknown_schema_stops_its_partition_and_loses_nothing() -> None:
    """What is behind it waits too, and handling goes on at its offset."""
    unknown = (1, b"u1", b"\x00\x00\x00\x00\x07rest", None, 0)
    changes = handle(record(0), unknown, record(2, signup("u2"), b"u2"))
    assert changes.blocked is not None
    assert changes.blocked.offset == 1
    assert "7" in changes.blocked.reason
    assert (changes.inbox_next, changes.handled, len(changes.log)) == (1, 1, 1)


@pytest.mark.parametrize("key", [None, b"", b"someone else"])
def test_a_wrong_record_key_moves_the_event_to_its_datas_key(key: bytes | None) -> None:
    """It is published again under the right key, with an id and a time it keeps, and is not handled here."""
    changes = handle(record(key=key))
    [moved] = changes.emitted
    assert (moved.namespace, moved.key, changes.counters.moved, changes.log) == ("user", b"u1", 1, [])
    assert {name for name, _ in moved.headers} == {"ce_id", "ce_time"}


def test_a_record_in_the_wrong_partition_is_moved() -> None:
    """Another producer's partitioner does not split a key's order."""
    changes = handle(record(), using=engine(partition_of=lambda key: 3))
    assert (changes.counters.moved, changes.counters.accepted) == (1, 0)


def test_a_duplicate_is_counted_and_answered_with_the_first_outcome() -> None:
    """Also a rejection is final for its id; within a batch and after it."""
    using = engine()
    image = using.image()
    image.apply(handle(record(0, ce_id="a"), record(1, ce_id="b"), record(2, ce_id="a"), image=image, using=using))
    changes = handle(record(3, ce_id="b"), image=image, using=using)
    assert [(it.offset, it.sequence, it.outcome) for it in changes.duplicates] == [(3, 2, "rejected")]
    assert (changes.log, changes.inbox_next, image.counters.duplicates) == ([], 4, 1)


def test_the_same_id_from_another_source_is_another_event() -> None:
    """CloudEvents are unique by source and id."""
    changes = handle(record(0, ce_id="a", ce_source="x"), record(1, ce_id="a", ce_source="y"))
    assert len(changes.log) == 2


def test_the_same_id_with_another_body_is_a_conflict() -> None:
    """It is quarantined: neither handled nor silently dropped."""
    changes = handle(record(0, ce_id="a"), record(1, signup(email="other@example.org"), ce_id="a"))
    assert "with another body" in reason_of(changes)


def test_the_window_forgets_ids_beyond_its_size_and_none_before() -> None:
    """Exactly the last N log records of the partition count."""
    using = engine(window=3)
    image = using.image()
    for offset in range(4):
        image.apply(
            handle(record(offset, signup(f"u{offset}"), b"u%d" % offset, ce_id=str(offset)), image=image, using=using)
        )
    changes = handle(
        record(4, signup("u1"), b"u1", ce_id="1"), record(5, signup("u0"), b"u0", ce_id="0"), image=image, using=using
    )
    assert [duplicate.offset for duplicate in changes.duplicates] == [4]
    assert changes.counters.rejected == 1


@pytest.mark.parametrize(("expected", "outcome"), [("0", "accepted"), ("1", "rejected"), ("7", "rejected")])
def test_an_expected_version_of_a_missing_row_is_0(expected: str, outcome: str) -> None:
    """Version 0 means: must not exist."""
    [logged] = handle(record(ce_expectedversion=expected)).log
    assert logged.outcome == outcome


def test_an_expected_version_is_decided_by_the_owner() -> None:
    """The row is at the version of its last accepted event; another expectation is rejected, with both numbers."""
    rename = UserRename(user="u1", name="Ada")
    changes = handle(record(0), record(1, rename, ce_expectedversion="1"), record(2, rename, ce_expectedversion="1"))
    assert [logged.outcome for logged in changes.log] == ["accepted", "accepted", "rejected"]
    assert changes.log[2].wrong_version
    assert changes.log[2].reason == "wrong version: expected 1, the row is at 2"


def test_an_emission_has_an_id_derived_from_its_cause_and_its_causes_time() -> None:
    """Handling it again anywhere gives the same id."""
    changes = handle(record(ce_id="a", ce_time="2026-01-01T00:00:00Z", ce_hops="4", traceparent="00-1-2-00"))
    [headers] = [dict(emitted.headers) for emitted in changes.emitted if emitted.namespace == "folder"]
    assert headers["ce_id"].decode() == emitted_id(reference_of("", "a"), "folder.create", "u1", 0)
    assert (headers["ce_time"], headers["ce_causationid"]) == (b"2026-01-01T00:00:00+00:00", b"a")
    assert (headers["ce_hops"], headers["traceparent"]) == (b"5", b"00-1-2-00")


def test_a_cause_is_believed_only_if_the_id_derives_from_it() -> None:
    """Anybody can write a ce_causationid."""
    derived = emitted_id(reference_of("", "c"), "user.signup", "u1", 0)
    changes = handle(
        record(0, ce_id=derived, ce_causationid="c"), record(1, signup("u2"), b"u2", ce_id="x", ce_causationid="c")
    )
    assert [event.cause for event in changes.accepted] == ["c", None]


def test_a_workers_source_is_believed_only_if_the_id_derives_from_a_cause() -> None:
    """Else the record is quarantined, and takes nobody's place: the event that it forges is handled when it comes."""
    derived = emitted_id(reference_of("", "c"), "user.signup", "u1", 0)
    source = "retold/processors/user"
    forged = handle(record(0, ce_id=derived, ce_source=source), record(1, ce_source=source), record(2, ce_source=f"{source}/x"))
    assert [aside.header.reason.partition(",")[0] for aside in forged.set_aside] == [
        f"its ce_source is '{name}'" for name in (source, source, f"{source}/x")
    ]
    using = engine()
    changes = handle(
        record(0, signup(email="forged@example.org"), ce_id=derived, ce_source=source),
        record(1, ce_id=derived, ce_source=source, ce_causationid="c"),
        using=using,
    )
    assert [event.cause for event in changes.accepted] == ["c"]


@pytest.mark.parametrize("source", ["retold/client", "retold/server", "retold/publish", "retold", "", "retolds/a/b"])
def test_other_sources_are_publishers(source: str) -> None:
    """Those of retold's own publishers, and those of everybody else."""
    assert len(handle(record(ce_id="a", ce_source=source)).accepted) == 1


def test_recorded_time_is_after_the_cause_and_after_the_last_but_not_after_a_forged_one() -> None:
    """A cause may be up to an hour ahead of our clock; a claim beyond that is not believed."""
    derived = emitted_id(reference_of("", "c"), "user.signup", "u1", 0)
    ahead, forged = "2027-01-15T08:30:00Z", "2030-01-01T00:00:00Z"  # NOW is 2027-01-15T08:00:00Z
    near = handle(record(ce_id=derived, ce_causationid="c", ce_causetime=ahead))
    far = handle(record(ce_id=derived, ce_causationid="c", ce_causetime=forged))
    two = handle(record(0, ce_id="a"), record(1, signup("u2"), b"u2", ce_id="b"))
    assert (near.recorded - NOW, far.recorded, two.recorded) == (1_800_000_001, NOW, NOW + 1)


def test_more_than_100_hops_park_an_event() -> None:
    """A loop of emissions ends."""
    changes = handle(record(ce_hops="101"))
    assert "101 events away" in reason_of(changes)
    assert changes.counters.parked == 1


def test_an_event_without_an_id_gets_one_from_its_inbox_offset() -> None:
    """The topic's id, partition and offset name it, and the log says which id that is."""
    [first, second] = handle(record(0), record(1)).log
    ids = [logged.own_id for logged in (first, second)]
    assert None not in ids
    assert ids[0] != ids[1]
