"""What is stored beside events and rows: a worker reads what a newer one wrote, and what the first one did."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine import control, marker
from streams.engine.changes import ImportClock
from streams.engine.control import ClockCommand, DropCommand, OperatorCommand
from streams.engine.envelope import (
    DueHeader,
    LogHeader,
    ParkedHeader,
    due_header,
    log_header,
    pack,
    parked_header,
)
from streams.engine.generations import BuiltTo, decode_built_to
from streams.engine.marker import Marker
from streams.engine.records import Counters, DuplicateRecord
from streams.engine.step import CorrectionStep, DroppedTimer, StepTimer
from streams.errors import InvalidEvent, UndecodableRecord
from streams.history.correction.correction_calls import CorrectionCall
from streams.history.correction.correction_plan import (
    CorrectionPlan,
    PlannedCall,
    PlannedEvent,
    PlannedRow,
    StoredChange,
    StoredInsertion,
)
from streams.history.recorded_event import OrderKey
from streams.kafka.corrections_topic import CorrectionState
from streams.kafka.schemas_topic import PublishedSchema
from streams.kafka.task_reports import CopyReport, Report
from streams.localbroker import state
from streams.schemas.lock import LockedVersion
from tests.support.cases import cases

STREAMS = Path(__file__).parents[2] / "streams"


@dataclass(frozen=True)
class Kind:
    """`sample` has a value other than the default in each field. `asked` are the fields that the first writer wrote.

    `refusal` is what `decode` raises for what it cannot read.
    """

    sample: Any
    decode: Callable[[bytes], Any]
    asked: tuple[str, ...]
    refusal: type[Exception]


def header_of(name: str, read: Callable[[list[tuple[str, bytes]]], Any]) -> Callable[[bytes], Any]:
    return lambda value: read([(name, value)])


def read_clock(value: bytes) -> ClockCommand:
    """What is no clock is taken for an operator's command, and quarantined."""
    found = control.clock_command(control.PREFIX + value)
    return found or control.read(b"", control.PREFIX + value)  # type: ignore[return-value]  # it raises


def read_drop(value: bytes) -> DropCommand:
    """As a clock."""
    found = control.drop_command(control.PREFIX + value)
    return found or control.read(b"", control.PREFIX + value)  # type: ignore[return-value]  # it raises


KINDS = (
    Kind(
        Marker(
            first=3, last=5, inbox_next=9, recorded=17, application="shop", topic_ids={"order": "x1"}, partitions=2,
            generation=2, complete={1: 4}, dropped=[3], corrections={1: 6}, code="c0de", code_since=4,
            transactional_id="t", counters=Counters(*range(1, 12)),
            duplicates=[DuplicateRecord(4, 2, "accepted"), DuplicateRecord(5, 0, "parked")], calls=1, timers=2,
            producers_replaced=3, imports={"signups.tsv-1a2b3c": ImportClock(5, "ada", 6)},
        ),
        marker.decode,
        (
            "first", "last", "inbox_next", "recorded", "application", "topic_ids", "partitions", "transactional_id",
            "counters",
        ),
        UndecodableRecord,
    ),
    Kind(
        BuiltTo(generation=2, sequence=5, offset=9, code="c0de", corrections=6, whole=False), decode_built_to,
        ("generation", "sequence", "offset", "code"),
        UndecodableRecord,
    ),
    Kind(
        LogHeader(1, 2, 3, "rejected", "f00", "sold out", "id", 4, True, "operator", True),
        header_of("retold", log_header),
        ("sequence", "recorded", "offset", "outcome", "fingerprint"),
        UndecodableRecord,
    ),
    Kind(
        ParkedHeader("parked", "r", "d", "k", "order", 1, 2, 3, 4, "id", 5, 6),
        header_of("retold_parked", parked_header),
        ("status", "reason", "detail", "key", "topic", "partition", "offset", "recorded"),
        UndecodableRecord,
    ),
    Kind(
        DueHeader("call", 1, "payment", "k", 2, 3, 4, "id", 5, "owner", True, True),
        header_of("retold_due", due_header),
        ("kind", "at", "namespace", "key"),
        UndecodableRecord,
    ),
    Kind(
        OperatorCommand("answer", "k", 7, "ada", "because", b"\0\1", 1),
        lambda value: control.read(b"k", control.PREFIX + value),
        ("command", "key", "offset", "who"),
        InvalidEvent,
    ),
    Kind(
        ClockCommand("clock", "signups.tsv-1a2b3c", 5, "ada"), read_clock, ("command", "name", "at"), InvalidEvent,
    ),
    Kind(
        DropCommand("drop", 2, "ada"), read_drop, ("command", "generation"), InvalidEvent,
    ),
    Kind(
        CorrectionStep(
            command="step", namespace="order", entity="o1", correction="c1", number=1, expected=2, row=b"\0\1",
            added=(StepTimer("e1", 5, "order", "o1", b"\0\2", (("ce_id", b"e1"),), own=True),),
            dropped=(DroppedTimer("e2", "e0", "test"),), generation=2, after=8, who="ada", why="typo",
        ),
        lambda value: msgspec.json.decode(value, type=CorrectionStep),
        ("command", "namespace", "entity", "correction", "number", "expected", "row"),
        msgspec.MsgspecError,
    ),
    Kind(
        CorrectionPlan(
            "shop", "c1", "ada", "typo",
            StoredChange(
                (StoredInsertion(b"\0\1", 5, "e1", "test", "r1", OrderKey(1, "order", 0, 2, 0, 3)),), ("r2",), {"r3": b"\0\2"},
                OrderKey(9, "order", 0, 7), ("r4",), {"r5": b"\0\3"},
            ),
            "r0", (PlannedRow("order", "o1", 2, {}, {"a": 1}, 1, 2),), (PlannedEvent("a.b", "k", "e", "a-0:1", "accepted"),),
            (
                PlannedEvent(
                    "a.b", "k", "e", "a-0:1", "accepted", ("data",), {"a": 1}, datetime(2026, 1, 1, tzinfo=UTC), "a.c k", {"a": 2}
                ),
            ),
            (PlannedEvent("a.b", "k", "e", "n", "o"),),
            (PlannedCall("would call", "a.b", "k", "e", "a.c"),), 1, ("p",), "f00", 4,
        ),
        lambda value: msgspec.json.decode(value, type=CorrectionPlan),
        ("application", "correction", "by", "why", "change"),
        msgspec.MsgspecError,
    ),
    Kind(
        CorrectionState(
            "shop", "c1", 2, "ada", "typo", StoredChange((), ("r2",)), "applying", 5, 6, "host-7", 3, 4, "e1@a-0:1",
            "undo", True, "d1", ("order",), "its process was stopped",
        ),
        lambda value: msgspec.json.decode(value, type=CorrectionState),
        ("application", "correction", "number", "by", "why", "change", "state", "begun", "seen"),
        msgspec.MsgspecError,
    ),
    Kind(
        CorrectionCall(
            "shop", "c1", "r1", "would not call", "a.b", "k", "e", "open", "a.c", "e2", "ada", "no answer", 5, "0f",
            CorrectionCall("shop", "c0", "r1", "would call", "a.b", "k", "e", "closed"),
        ),
        lambda value: msgspec.json.decode(value, type=CorrectionCall),
        ("application", "correction", "reference", "kind", "type", "key", "id", "state"),
        msgspec.MsgspecError,
    ),
    Kind(
        PublishedSchema("order.place", '{"type":"record"}'),
        lambda value: msgspec.json.decode(value, type=PublishedSchema),
        ("name", "schema"),
        msgspec.MsgspecError,
    ),
    Kind(
        Report("restoring", 5, "p.retold.shop.order.host.0", "it waits", 3, 9, "Traceback", "slow", 4, [CopyReport(1, True, 7, 7)]),
        lambda value: msgspec.json.decode(value, type=Report),
        ("state", "since", "worker"),
        msgspec.MsgspecError,
    ),
    Kind(
        LockedVersion(1, 2, "f00", True, {"type": "record"}),
        lambda value: msgspec.json.decode(value, type=LockedVersion),
        ("version", "id", "fingerprint", "released", "schema"),
        msgspec.MsgspecError,
    ),
    Kind(
        state.BrokerRecord("127.0.0.1:9", 7, "2026-01-01T00:00:00+00:00"),
        lambda value: msgspec.json.decode(value, type=state.BrokerRecord),
        ("address", "pid", "started"),
        msgspec.MsgspecError,
    ),
)  # fmt: skip
INSIDE = ((b"{}", Counters()), (b'[1,2,"accepted"]', DuplicateRecord(1, 2, "accepted")), (b'{"at":5}', ImportClock(5)))
"""Those that are kept in a marker: the least that a writer wrote of each, and what it reads as."""
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[type(kind.sample).__name__ for kind in KINDS])


def is_positional(value: Any) -> bool:
    return bool(getattr(getattr(type(value), "__struct_config__", None), "array_like", False))


def names_of(value: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(value)) if is_dataclass(value) else value.__struct_fields__


def grown(value: Any, more: Any) -> Any:
    """As a newer writer may write it: each struct in it with one field more, each positional one with one place more."""
    match value:
        case list() | tuple():
            return [grown(part, more) for part in value]
        case dict():
            return {name: grown(part, more) for name, part in value.items()}
        case msgspec.Struct() if is_positional(value):
            return [*(grown(getattr(value, name), more) for name in names_of(value)), more]
        case msgspec.Struct() | Counters() | state.BrokerRecord():
            written = [name for name in names_of(value) if getattr(value, name) is not msgspec.UNSET]
            return {"a later field": more, **{name: grown(getattr(value, name), more) for name in written}}
    return value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@each_kind
@settings(max_examples=cases(10))  # of each kind: what cannot pass over a field refuses most values
@given(more=json_values)
def test_what_a_newer_writer_added_is_passed_over(kind: Kind, more: Any) -> None:
    """Or a worker that was rolled back could not read what the newer one wrote."""
    assert kind.decode(msgspec.json.encode(grown(kind.sample, more))) == kind.sample


@each_kind
def test_what_was_written_reads_back(kind: Kind) -> None:
    """The sample has no default in any field, so that each is looked at."""
    assert kind.decode(msgspec.json.encode(kind.sample)) == kind.sample
    if isinstance(kind.sample, LogHeader | ParkedHeader | DueHeader):
        assert kind.decode(pack(kind.sample)[1]) == kind.sample
    if isinstance(kind.sample, msgspec.Struct):
        for field in msgspec.structs.fields(kind.sample):
            assert field.required or getattr(kind.sample, field.name) != field.default


@each_kind
def test_what_the_first_writer_did_not_write_has_a_default(kind: Kind) -> None:
    """A field that comes later may be missing from what is stored."""
    sample = kind.sample
    if is_positional(sample):
        assert names_of(sample)[: len(kind.asked)] == kind.asked
        first: Any = [getattr(sample, name) for name in kind.asked]
    else:
        first = {name: getattr(sample, name) for name in kind.asked}
    read = kind.decode(msgspec.json.encode(first))
    assert [getattr(read, name) for name in kind.asked] == [getattr(sample, name) for name in kind.asked]


@pytest.mark.parametrize(("least", "expected"), INSIDE, ids=["Counters", "Duplicate", "ImportClock"])
def test_what_is_kept_inside_a_marker_has_defaults_too(least: bytes, expected: Any) -> None:
    """A counter that came later is 0 where it was not counted."""
    assert msgspec.json.decode(least, type=type(expected)) == expected


def test_counters_of_an_earlier_marker_count_on() -> None:
    """What comes to a counter that the marker did not have is not lost."""
    earlier = msgspec.json.decode(b'{"accepted":3}', type=Counters)
    assert earlier.plus(Counters(accepted=1, fired=2)) == Counters(accepted=4, fired=2)


@each_kind
@pytest.mark.parametrize("garbage", [b"", b"null", b"7", b'"text"', b"{}", b"[]", b"[{}]", b"{", b"\xff", b"not JSON"])
def test_garbage_is_refused(kind: Kind, garbage: bytes) -> None:
    """What lacks a field that every writer wrote was written by none."""
    with pytest.raises(kind.refusal):
        kind.decode(garbage)


@each_kind
def test_a_field_of_another_kind_is_refused(kind: Kind) -> None:
    """Fields are added; the type of one that is there never changes."""
    for number, name in enumerate(names_of(kind.sample)):
        plain = msgspec.to_builtins(kind.sample)
        plain[number if is_positional(kind.sample) else name] = [[{}]]
        with pytest.raises(kind.refusal):
            kind.decode(json.dumps(plain).encode())


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (LogHeader(1, 2, 3, "postponed", "f00"), "outcome 'postponed'; accepted, rejected or corrected was expected"),
        (
            ParkedHeader("held", "r", "d", "k", "order", 1, 2, 3),
            "status 'held'; parked, unanswered or quarantined was expected",
        ),
        (DueHeader("reminder", 1, "payment", "k"), "kind 'reminder'; timer or call was expected"),
        (DueHeader("\x1b[2J" * 100, 1, "payment", "k"), r"kind '\x1b[2J"),
    ],
    ids=["outcome", "status", "kind", "long kind"],
)
def test_a_record_of_a_kind_that_came_later_is_refused(header: Any, asked: str) -> None:
    """Else it would be taken for one of the kinds of before; the message says what to do."""
    read = {LogHeader: log_header, ParkedHeader: parked_header, DueHeader: due_header}[type(header)]
    with pytest.raises(UndecodableRecord, match="run the version that wrote it") as raised:
        read([pack(header)])
    assert asked in str(raised.value)
    assert len(str(raised.value)) < 300


def test_an_unknown_operator_command_is_refused() -> None:
    """Its record is quarantined: what it says cannot be passed over."""
    with pytest.raises(InvalidEvent, match="cannot be read"):
        control.read(b"k", control.PREFIX + b'{"command":"skip","key":"k","offset":1,"who":"ada"}')


def test_a_brokers_record_of_a_newer_version_is_believed(tmp_path: Path) -> None:
    """Else a command of the older version would find no broker while one runs."""
    lock = state.take(tmp_path)
    record = {"address": "127.0.0.1:9", "pid": 7, "started": "2026-01-01T00:00:00+00:00", "version": "9"}
    (tmp_path / "broker.json").write_text(json.dumps(record))
    found = state.running(tmp_path)
    os.close(lock)
    assert found == state.BrokerRecord("127.0.0.1:9", 7, "2026-01-01T00:00:00+00:00")


def test_every_struct_that_is_read_back_is_in_the_table() -> None:
    """A new one is added to KINDS, or to those below that are never stored."""
    pattern = re.compile(r"json\.Decoder\((\w+)|json\.decode\([^\n]*type=(\w+)")
    found = {a or b for path in STREAMS.rglob("*.py") for a, b in pattern.findall(path.read_text())}
    page_links = {"tuple"}
    lock_file, client_statistics = {"Lock"}, {"_Statistics"}
    notes_of_this_machine = {"self"}  # one that does not read is as one that is missing
    # As above: it is read again from Kafka.
    servers_file = {"FollowerReport", "NotedFolds", "RowsThere", "StoreIdentity", "Topics", "dict", "row_type"}
    requests = {"ChangeDocument", "CorrectionDocument", "DecisionDocument", "SocketRequest", "LIST", "kind", "kinds", "types"}
    own_answers = {"RowBody", "EventBody", "ListBody", "ToldCorrection"}  # of this very process, and of those that it has forked
    kept_files = {"list", "VerificationNote", "_AnyNote"}  # accepted origins and noted logs: people are told to write them again
    others = requests | own_answers | kept_files | notes_of_this_machine | page_links | lock_file | client_statistics | servers_file
    assert found - others == {type(kind.sample).__name__ for kind in KINDS} - {"LockedVersion"}
