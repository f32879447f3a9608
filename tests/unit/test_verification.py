"""`retold verify`: a healthy past gives nothing, and whatever is altered in one is found and named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from streams import App, Event, Namespace, Outcome
from streams.codec import codec_of, prefix_of
from streams.engine import marker
from streams.engine.attributes import time_text
from streams.engine.envelope import VERSION_HEADER
from streams.engine.times import from_micros, to_micros
from streams.history.verification.verification import PartitionStart
from streams.history.verification.verification_findings import FOLDS, ROW, VerificationReport
from streams.history.verification.verification_records import StoredRecord
from streams.testing.world_io import headers_of
from tests.applications import bank
from tests.applications.bank.events import AccountCredit, AccountOpen
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, made
from tests.support.stored import FILES
from tests.support.stored_topics import DUE, INBOX, LOG, MARKER, PARKED, TABLE, StoredTopics, Where, kept_topics, places

some = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10**6)
any_past = given(st.sampled_from(KINDS), seeds)


def a_past(kind: str, seed: int) -> tuple[random.Random, StoredTopics]:
    chosen, there = made(kind, seed)
    return chosen, StoredTopics.of(there)


def assert_healthy(report: VerificationReport) -> None:
    assert [(it.where, it.kind.name, it.expected, it.found) for it in report.findings] == []
    assert report.counts == {}
    assert list(report.not_checked) == []


def of_one(topics: StoredTopics, kind: str, chosen: random.Random) -> tuple[Where, int]:
    found = topics.of_kind(kind)
    assume(found)
    return chosen.choice(found)


@some
@any_past
def test_a_healthy_past_gives_nothing(kind: str, seed: int) -> None:
    """Of whichever application, with timers, gateways, late events and rejections."""
    _, topics = a_past(kind, seed)
    if seed % 2:
        topics.read_last = (INBOX, LOG)
    assert_healthy(topics.verified())


@some
@given(seeds)
def test_a_past_that_is_not_over_gives_nothing(seed: int) -> None:
    """Events that wait in inboxes, timers that are pending, calls without an answer."""
    chosen, there = made("shop", seed)
    there.publish(StockReceive(sku="n", quantity=9, price=1), "more", there.now)
    for number in range(9):
        lines = (Line(sku="n", quantity=1), Line(sku="x", quantity=1))
        there.publish(OrderPlace(order=f"n{number}", customer="c", lines=lines), f"now-{number}", there.now)
        for _ in range(chosen.randint(0, 3)):
            there.step()
    assert_healthy(StoredTopics.of(there).verified())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_earlier_versions_stored_gives_nothing(file: Any) -> None:
    """With parked, quarantined, repeated and moved events, operators' decisions, and calls that were given up."""
    assert_healthy(kept_topics(file).verified())


@some
@any_past
def test_a_deleted_record_is_named(kind: str, seed: int) -> None:
    """A gap in the log, or a log that ends before its marker."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    name = topics.name(where, index)
    del topics.topics[where][index]
    found = places(topics.verified())
    assert {"missing record", "torn transaction"} & {*found[name]}


@some
@any_past
def test_two_records_that_are_swapped_are_named(kind: str, seed: int) -> None:
    """The one that stands too late."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    log = topics.topics[where]
    assume(index > 0)
    name = topics.name(where, index - 1)
    log[index - 1], log[index] = log[index], log[index - 1]
    report = topics.verified()
    assert "wrong order" in places(report)[name]
    assert report.damage >= 1


@some
@any_past
def test_a_doubled_record_is_named(kind: str, seed: int) -> None:
    """Right behind itself or at the end of the log."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    log = topics.topics[where]
    log.insert(chosen.choice([index + 1, len(log)]), log[index])
    report = topics.verified()
    assert "repeated record" in places(report)[topics.name(where, index)]
    assert report.damage == 1


def flipped(chosen: random.Random, text: bytes) -> bytes:
    at = chosen.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << chosen.randrange(8))]) + text[at + 1 :]


def altered(chosen: random.Random, record: StoredRecord, parts: Callable[[StoredRecord], list[str]]) -> StoredRecord:
    """The record with one bit flipped in its key, its value or a header."""
    part = chosen.choice(parts(record))
    if part == "key":
        return record._replace(key=flipped(chosen, record.key or b""))
    if part == "value":
        return record._replace(value=flipped(chosen, record.value or b""))
    headers = [(name, flipped(chosen, text) if name == part else text) for name, text in record.headers]
    return record._replace(headers=headers)


def everywhere(record: StoredRecord) -> list[str]:
    """But in what only the engine knew, such as the recorded time."""
    return ["key", "value", *(name for name, text in record.headers if name != "retold" and text)]


@some
@any_past
def test_a_flipped_bit_in_a_log_is_named(kind: str, seed: int) -> None:
    """Wherever it is in a key, a value or a header."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    name, log = topics.name(where, index), topics.topics[where]
    log[index] = altered(chosen, log[index], everywhere)
    assert places(topics.verified())[name]


@some
@any_past
@example("timed", 40)  # then it looks like an operator's command
def test_a_flipped_bit_in_an_inbox_is_named(kind: str, seed: int) -> None:
    """By the log record that is not the same."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, INBOX, chosen)
    inbox = topics.topics[where]
    inbox[index] = altered(chosen, inbox[index], everywhere)
    report = topics.verified()
    named = [it for it in report.findings if it.kind.name == "altered record" and f"@{index}," in it.expected]
    assert [(it.namespace, it.partition) for it in named] == [where.place]


@pytest.mark.parametrize("name", ["ce_correlationid", "ce_time", "value"])
def test_an_emission_that_was_altered_in_log_and_inbox_alike_is_found(name: str) -> None:
    """Its cause says otherwise: whether that is read before it or after it."""
    _, topics = a_past("bank", 4)
    derived = [it for it in topics.of_kind(LOG) if "ce_causationid" in dict(topics.topics[it[0]][it[1]].headers)]
    for where, index in derived[::3]:
        log, inbox = topics.topics[where], topics.topics[Where(INBOX, where.place)]
        record, at = log[index], json.loads(log[index].headers[-1][1])[2]
        kept = inbox[at]
        log[index], inbox[at] = (with_another(name, it) for it in (record, kept))
        assert {"emits otherwise"} & {*places(topics.verified())[topics.name(where, index)]}
        log[index], inbox[at] = record, kept


def with_another(name: str, record: StoredRecord) -> StoredRecord:
    """Another amount, step or reason, another time, or another correlation."""
    if name == "value":
        return record._replace(value=(record.value or b"")[:-1] + bytes([(record.value or b"\0")[-1] ^ 2]))
    others = {"ce_correlationid": b"another", "ce_time": b"2026-01-01T00:00:00.5+00:00"}
    return record._replace(headers=[(it, others[name] if it == name else text) for it, text in record.headers])


HEADER_FIELDS = {0: "sequence", 2: "offset", 3: "outcome", 4: "fingerprint", 5: "reason"}


@some
@given(st.sampled_from(KINDS), seeds, st.sampled_from([*HEADER_FIELDS]))
def test_an_altered_header_of_a_log_record_is_named(kind: str, seed: int, field: int) -> None:
    """Sequence, offset, outcome, fingerprint or reason."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    record = topics.topics[where][index]
    *others, (_, text) = record.headers
    values = json.loads(text)
    if field == 0:
        values[0] += chosen.choice([-1, 1, 1_000_000])
    elif field == 2:
        values[2] += 1_000
    elif field == 3:
        values[3] = "rejected" if values[3] == "accepted" else "accepted"
    else:
        values[field] = f"{values[field]}!" if field == 5 else "0" * 64
        assume(field == 4 or values[3] == "rejected")
    topics.topics[where][index] = record._replace(headers=[*others, ("retold", json.dumps(values).encode())])
    report = topics.verified()
    name = f"{where.place[0]}-{where.place[1]}:"
    assert any(it.where in (topics.name(where, index), f"{name}{values[0]}") for it in report.findings)


@some
@any_past
def test_a_recorded_time_that_goes_back_is_named(kind: str, seed: int) -> None:
    """Before the record in front of it, or before its cause (rule 18)."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    record = topics.topics[where][index]
    *others, (_, text) = record.headers
    values = json.loads(text)
    caused = dict(others).get("ce_causetime")
    assume(index or caused is not None)
    values[1] = 5 if index or caused is None else to_micros(datetime.fromisoformat(caused.decode()))
    topics.topics[where][index] = record._replace(headers=[*others, ("retold", json.dumps(values).encode())])
    assert "time goes back" in places(topics.verified())[topics.name(where, index)]


@pytest.mark.parametrize(("ahead", "named"), [(timedelta(minutes=50), True), (timedelta(hours=2), False)])
def test_a_cause_is_believed_as_far_as_a_worker_believes_it(ahead: timedelta, named: bool) -> None:
    """A clock that was set back by hours is no damage; nor are the records behind, whose times go on from one to the next."""
    _, topics = a_past("bank", 3)
    log = topics.topics[Where(LOG, ("account", 0))]
    index = next(at for at, it in enumerate(log) if "ce_causetime" in dict(it.headers))
    *others, (_, text) = log[index].headers
    values = json.loads(text)
    caused = from_micros(values[1]) + ahead
    others = [(name, time_text(caused) if name == "ce_causetime" else value) for name, value in others]
    log[index] = log[index]._replace(headers=[*others, ("retold", text)])
    report, name = topics.verified(), topics.name(Where(LOG, ("account", 0)), index)
    assert ("time goes back" in places(report)[name]) is named
    assert [(it.count, it.first) for it in report.not_checked if "before their causes" in it.what] == ([] if named else [(1, name)])


def last_rows(topics: StoredTopics) -> list[tuple[Where, int]]:
    """The table records that count, by key the last one."""
    found: dict[tuple[Where, bytes | None], int] = {}
    for where, index in topics.of_kind(TABLE):
        if topics.topics[where][index].key != MARKER:
            found[where, topics.topics[where][index].key] = index
    return [(where, index) for (where, _), index in found.items()]


@some
@any_past
def test_an_altered_row_is_named(kind: str, seed: int) -> None:
    """By the sequence of the event that made it: another value, another version, one too few, one too many."""
    chosen, topics = a_past(kind, seed)
    rows = last_rows(topics)
    assume(rows)
    where, index = chosen.choice(rows)
    table = topics.topics[where]
    record = table[index]
    version = int(dict(record.headers)[VERSION_HEADER])
    name = f"{where.place[0]}-{where.place[1]}:{version}"
    how = chosen.choice(["value", "version", "missing", "surplus"])
    if how == "value":
        assume(record.value)
        table[index] = record._replace(value=flipped(chosen, record.value or b""))
    elif how == "version":
        table[index] = record._replace(headers=[(VERSION_HEADER, b"%d" % (version + 1))])
    elif how == "missing":
        topics.topics[where] = [it for it in table if it.key != record.key]
    else:
        table.append(record._replace(key=b"another"))
    report = topics.verified()
    assert [it.where for it in report.findings] == [name]
    assert report.findings[0].kind in (ROW, FOLDS)


def last_markers(topics: StoredTopics) -> list[tuple[Where, int]]:
    found = {where: index for where, index in topics.of_kind(TABLE) if topics.topics[where][index].key == MARKER}
    return [*found.items()]


MARKED = ("last", "recorded", "inbox_next", "calls", "timers", "application", "partitions")
COUNTED = ("accepted", "rejected", "fired", "quarantined", "duplicates", "moved", "control")


@some
@given(st.sampled_from(KINDS), seeds, st.sampled_from([*MARKED, *COUNTED]), st.sampled_from([-1, 1]))
def test_an_altered_marker_is_named(kind: str, seed: int, field: str, by: int) -> None:
    """Whichever of its numbers can be counted again."""
    chosen, topics = a_past(kind, seed)
    where, index = chosen.choice(last_markers(topics))
    record = topics.topics[where][index]
    said = marker.decode(record.value or b"")
    if field in COUNTED:
        counters = replace(said.counters, **{field: getattr(said.counters, field) + by})
        changed = msgspec.structs.replace(said, counters=counters)
    else:
        value = getattr(said, field)
        changed = msgspec.structs.replace(said, **{field: "another" if field == "application" else value + by})
    topics.topics[where][index] = record._replace(value=marker.encode(changed))
    report = topics.verified()
    place = f"{where.place[0]}-{where.place[1]}"
    assert report.damage
    found = {it.kind.name for it in report.findings if it.where.partition(":")[0] == place}
    assert found & {"wrong marker", "torn transaction"}


def test_markers_that_go_back_are_found() -> None:
    """Also those before the last one, while the table still has them."""
    _, topics = a_past("bank", 5)
    where, index = last_markers(topics)[0]
    table = topics.topics[where]
    table.append(next(it for it in table if it.key == MARKER))
    found = [it.expected for it in topics.verified().findings if it.kind.name == "wrong marker"]
    assert any("as the one before" in it for it in found)
    assert any("the last of the one before" in it for it in found)
    assert index


@some
@any_past
def test_a_torn_transaction_is_found(kind: str, seed: int) -> None:
    """The last one of a partition, without its marker, its log records, one of its rows, or what it left pending."""
    chosen, topics = a_past(kind, seed)
    place = chosen.choice([where for where, _ in last_markers(topics)]).place
    mine = [each for each in topics.transactions if each[0][0].place == place and any(where.kind == LOG for where, _ in each)]
    assume(mine)
    last = mine[-1]
    torn = chosen.choice(["marker", LOG, TABLE, DUE, PARKED])
    rows = last_rows(topics)
    lost = [each for each in last if _is_of(torn, topics, *each) and (torn != TABLE or each in rows)]
    lost = [each for each in lost if torn not in ("marker", DUE, PARKED) or _is_last_of_its_key(topics, *each)]
    assume(lost)
    where = lost[0][0]
    gone = {index for _, index in lost}
    topics.topics[where] = [it for number, it in enumerate(topics.topics[where]) if number not in gone]
    report = topics.verified()
    assert report.damage + report.otherwise
    assert any((it.namespace, it.partition) == place for it in report.findings)


def _is_of(torn: str, topics: StoredTopics, where: Where, index: int) -> bool:
    is_marker = topics.topics[where][index].key == MARKER
    return is_marker if torn == "marker" else where.kind == torn and not is_marker


def _is_last_of_its_key(topics: StoredTopics, where: Where, index: int) -> bool:
    topic = topics.topics[where]
    return topic[index].value is not None and all(it.key != topic[index].key for it in topic[index + 1 :])


@some
@any_past
def test_a_lost_inbox_record_is_named(kind: str, seed: int) -> None:
    """The log record that came from it says so; of one that was emitted, nothing else is missing."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, INBOX, chosen)
    del topics.topics[where][index]
    report = topics.verified()
    assert report.damage
    assert any(f"@{index}" in it.expected and (it.namespace, it.partition) == where.place for it in report.findings)


def unsettled() -> tuple[Partitions, StoredTopics]:
    """Orders that wait: for the stock, for a gateway, for their timers."""
    _, there = made("shop", 3)
    for number in range(6):
        lines = (Line(sku="x", quantity=1),)
        there.publish(OrderPlace(order=f"n{number}", customer="c", lines=lines), f"now-{number}", there.now)
    for _ in range(9):
        there.step()
    return there, StoredTopics.of(there)


def test_an_emission_that_is_lost_names_its_cause() -> None:
    """It was said, and is in no log, no inbox, not due and not set aside."""
    there, topics = unsettled()
    place, offset = next(
        (place, record[0])
        for place, waiting in there.inboxes.items()
        for record in waiting
        if any(name == "ce_causationid" for name, _ in record[3] or [])
    )
    del topics.topics[Where(INBOX, place)][offset]
    report = topics.verified()
    [found] = [it for it in report.findings if it.kind.name == "emission is lost"]
    assert f"{place[0]}-{place[1]}" in found.expected
    assert "one that emits more now finds this, too" in found.kind.do
    assert found.where in {topics.name(*each) for each in topics.of_kind(LOG)}


def pending_due(topics: StoredTopics) -> list[tuple[Where, int]]:
    return [each for each in topics.of_kind(DUE) if _is_last_of_its_key(topics, *each)]


def test_a_timer_that_is_lost_names_its_cause() -> None:
    """And the marker, which counts it."""
    _, topics = unsettled()
    where, index = pending_due(topics)[-1]
    del topics.topics[where][index]
    assert {it.kind.name for it in topics.verified().findings} == {"emission is lost", "wrong marker"}


def test_a_timer_that_nothing_scheduled_is_found() -> None:
    """One that has fired is not pending any more."""
    _, topics = unsettled()
    fired = [each for each in topics.of_kind(DUE) if topics.topics[each[0]][each[1]].value is None]
    where, index = fired[-1]
    del topics.topics[where][index]
    assert "wrong marker" in {it.kind.name for it in topics.verified().findings}


def otherwise(**handlers: Any) -> App:
    """The bank, whose handlers of these events are others."""
    app = bank.app()
    spaces = []
    for space in app.namespaces:
        copy: Namespace[Any] = Namespace(space.name, space.row_type)
        copy.handlers = {
            data: handlers.get(data.event_type.replace(".", "_"), function) for data, function in space.handlers.items()
        }
        copy.emits = space.emits
        spaces.append(copy)
    return App(name=app.name, namespaces=spaces)


def handler_of(event_type: str) -> Callable[..., Outcome[Any]]:
    data = bank.app().event_types()[event_type]
    return next(space.handlers[data] for space in bank.app().namespaces if data in space.handlers)


def a_coin_more(row: Any, event: Event[AccountCredit]) -> Outcome[Any]:
    credited = handler_of("account.credit")(row, event)
    assert credited.row is not None
    return Outcome(msgspec.structs.replace(credited.row, balance=credited.row.balance + 1), emit=credited.emit)


def says_nothing(row: Any, event: Event[Any]) -> Outcome[Any]:
    return Outcome(handler_of("account.debit")(row, event).row)


def raises(row: Any, event: Event[Any]) -> Outcome[Any]:
    raise LookupError("no such thing")


@pytest.mark.parametrize(
    "handlers",
    [{"account_credit": a_coin_more}, {"account_debit": says_nothing}, {"account_debit": raises}],
    ids=["folds", "emits", "decides"],
)
def test_other_code_is_no_damage(handlers: dict[str, Any]) -> None:
    """What this code decides otherwise than the one that wrote is counted apart."""
    report = a_past("bank", 11)[1].verified(otherwise(**handlers))
    assert report.otherwise > 0
    assert [(it.where, it.expected, it.found) for it in report.findings if it.kind.damage] == []


@some
@any_past
def test_what_an_operator_deleted_is_listed_and_is_no_damage(kind: str, seed: int) -> None:
    """A tombstone, and the record that Kafka has removed since; its key's rows are not known any more."""
    chosen, topics = a_past(kind, seed)
    where, index = of_one(topics, LOG, chosen)
    log = topics.topics[where]
    key = log[index].key
    del log[index]
    log.append(StoredRecord(len(log) + 1, key, None, []))
    report = topics.verified()
    assert [(it.where, it.kind.name, it.expected, it.found) for it in report.findings] == []
    assert any("an operator deleted" in it.what for it in report.not_checked)


def test_a_log_whose_beginning_was_deleted_is_checked_from_there() -> None:
    """What hangs on the missing records is listed."""
    _, topics = a_past("bank", 11)
    where = next(where for where in topics.topics if where.kind == LOG and len(topics.topics[where]) > 5)
    topics.topics[where] = topics.topics[where][3:]
    topics.starts[where.place] = PartitionStart(log_begins=False)
    report = topics.verified()
    assert [(it.where, it.kind.name, it.found) for it in report.findings if it.kind.damage] == []
    assert any("before the log's beginning" in it.what for it in report.not_checked)


def test_an_inbox_whose_beginning_was_deleted_is_compared_from_there() -> None:
    """The log is checked without it."""
    _, topics = a_past("bank", 11)
    for where in [where for where, records in topics.topics.items() if where.kind == INBOX and len(records) > 5]:
        topics.topics[where] = topics.topics[where][5:]
        topics.starts[where.place] = PartitionStart(inbox=5)
    report = topics.verified()
    assert report.findings == []
    assert any("inbox records were deleted" in it.what for it in report.not_checked)


def test_events_without_a_handler_are_listed() -> None:
    """So is what follows from them."""
    app = otherwise()
    account = next(space for space in app.namespaces if space.name == "account")
    account.handlers = {data: function for data, function in account.handlers.items() if data is not AccountCredit}
    report = a_past("bank", 11)[1].verified(app, codec_of(bank.app()))
    assert [(it.where, it.kind.name, it.found) for it in report.findings] == []
    assert any("without a handler" in it.what for it in report.not_checked)


def test_an_event_that_is_handled_twice_within_the_window_is_found() -> None:
    """Beyond it an id may come again."""
    _, topics = a_past("bank", 11)
    where = next(where for where in topics.topics if where.kind == LOG and len(topics.topics[where]) > 5)
    log = topics.topics[where]
    last, first = log[-1], log[0]
    *_, (name, text) = first.headers
    values = json.loads(text)
    values[0] = int((last.key or b"").rpartition(b"@")[2]) + 1
    values[1] = json.loads(last.headers[-1][1])[1] + 1
    again = (first.key or b"").rpartition(b"@")[0] + b"@%d" % values[0]
    log.append(StoredRecord(len(log), again, first.value, [*first.headers[:-1], (name, json.dumps(values).encode())]))
    place = f"{where.place[0]}-{where.place[1]}:{values[0]}"
    assert "handled twice" in places(topics.verified())[place]
    assert "handled twice" not in places(topics.verified(window=2))[place]


def an_answer(topics: StoredTopics) -> tuple[Where, int]:
    return next(
        (where, index)
        for where, index in topics.of_kind(LOG)
        if any(text in (b"payment.charged", b"payment.declined") for name, text in topics.topics[where][index].headers)
    )


FIELDS = {"reason": 5, "id": 6, "time": 7, "wrong_version": 8, "by": 9, "timer": 10}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", "x"), ("reason", "rejected by somebody"), ("id", "x"), ("time", 1), ("wrong_version", False), ("by", "handler"),
        ("by", "operator"), ("timer", False),
    ],
)  # fmt: skip
def test_what_a_worker_says_of_no_such_record_is_found(field: str, value: object) -> None:
    """In the header of events that were accepted; of some, nothing else is otherwise."""
    for kind, seed in (("bank", 11), ("shop", 3), ("timed", 5)):
        _, topics = a_past(kind, seed)
        for where, index in topics.of_kind(LOG)[::7]:
            record = topics.topics[where][index]
            *others, (name, text) = record.headers
            values = json.loads(text)
            if values[3] != "accepted":
                continue
            values[FIELDS[field]] = value
            topics.topics[where][index] = record._replace(headers=[*others, (name, json.dumps(values).encode())])
            assert topics.name(where, index) in places(topics.verified()), (kind, index)
            topics.topics[where][index] = record


def test_an_answer_without_its_request_is_found() -> None:
    """The request's record is gone from the log."""
    _, topics = a_past("shop", 3)
    where, index = an_answer(topics)
    request = dict(topics.topics[where][index].headers)["ce_causationid"]
    topics.topics[where] = [it for it in topics.topics[where] if dict(it.headers).get("ce_id") != request]
    answer = [it for it in topics.verified().findings if it.kind.name == "answer"]
    assert [it.found for it in answer] == ["its request is in no log"]


def test_a_call_that_is_lost_is_found() -> None:
    """Its answer is gone, and nothing says that it waits for one."""
    _, topics = a_past("shop", 3)
    where, index = an_answer(topics)
    asked = dict(topics.topics[where][index].headers)["ce_causationid"]
    del topics.topics[where][index]
    found = [it for it in topics.verified().findings if it.kind.name == "wrong pending"]
    logged = topics.topics[where]
    request = next(number for number, it in enumerate(logged) if dict(it.headers).get("ce_id") == asked)
    assert [it.where for it in found] == [topics.name(where, request)]


def test_what_is_handled_meanwhile_is_no_finding() -> None:
    """Logs and inboxes are read a moment later than tables: they may have more, of transactions that are not read whole."""
    _, there = made("shop", 3)
    early = StoredTopics.of(there)
    there.now += timedelta(minutes=1)
    for number in range(5):
        data = OrderPlace(order=f"n{number}", customer="c", lines=(Line(sku="x", quantity=1),))
        there.publish(data, f"now-{number}", there.now)
    there.settle()
    late = StoredTopics.of(there)
    for where, topic in late.topics.items():
        if where.kind in (LOG, INBOX):
            early.topics[where] = topic
    early.moved = list(early.starts)
    assert early.verified().findings == []
    early.moved = ()
    assert "torn transaction" in {it.kind.name for it in early.verified().findings}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("kind", [PARKED, DUE])
def test_a_flipped_bit_in_what_waits_is_found(file: Any, kind: str) -> None:
    """In the value of what is parked, unanswered, quarantined or due."""
    sound = kept_topics(file)
    pending = [(where, index) for where, index in sound.of_kind(kind) if _is_last_of_its_key(sound, where, index)]
    assert len(pending) > 3
    for where, index in pending:
        topics = kept_topics(file)
        record = topics.topics[where][index]
        if record.value:
            topics.topics[where][index] = record._replace(value=flipped(random.Random(index), record.value))
            assert topics.verified().findings, (where, index)


def test_an_event_whose_cause_is_missing_is_found() -> None:
    """Its cause's record is gone from its log."""
    _, topics = a_past("bank", 11)
    where, index = next(
        each for each in topics.of_kind(LOG) if "ce_causationid" in dict(topics.topics[each[0]][each[1]].headers)
    )
    name, cause = topics.name(where, index), dict(topics.topics[where][index].headers)["ce_causationid"]
    for log in [topics.topics[each] for each in topics.topics if each.kind == LOG]:
        log[:] = [it for it in log if dict(it.headers).get("ce_id") != cause]
    assert "cause is missing" in places(topics.verified())[name]


def test_an_expected_version_that_was_passed_over_is_found() -> None:
    """An event that was accepted though its row was at another version."""
    _, topics = a_past("bank", 11)
    where, index = next(
        each for each in topics.of_kind(LOG) if "ce_causationid" not in dict(topics.topics[each[0]][each[1]].headers)
    )
    record = topics.topics[where][index]
    offset = json.loads(record.headers[-1][1])[2]
    expected = ("ce_expectedversion", b"99")
    topics.topics[where][index] = record._replace(headers=[*record.headers[:-1], expected, record.headers[-1]])
    inbox = topics.topics[Where(INBOX, where.place)]
    inbox[offset] = inbox[offset]._replace(headers=[*inbox[offset].headers, expected])
    assert {*places(topics.verified())} == {topics.name(where, index)}


def test_a_call_that_was_answered_and_is_still_pending_is_found() -> None:
    """It would be made again."""
    _, topics = a_past("shop", 3)
    where, index = next(
        (where, index)
        for where, index in topics.of_kind(DUE)
        if where.place[0] == "payment" and topics.topics[where][index].value is None
    )
    del topics.topics[where][index]
    assert {it.kind.name for it in topics.verified().findings} == {"wrong pending", "wrong marker"}


def test_events_of_an_unknown_schema_are_listed() -> None:
    """Here and in the inbox; what follows for their keys is not known."""
    _, topics = a_past("bank", 11)
    where, index = topics.of_kind(LOG)[0]
    record = topics.topics[where][index]
    values = json.loads(record.headers[-1][1])
    unknown, values[4] = b"\x00" + (0x11111111 >> 1).to_bytes(4, "big") + b"what", "11111111" + "0" * 56
    headers = [*record.headers[:-1], ("retold", json.dumps(values).encode())]
    topics.topics[where][index] = record._replace(value=unknown, headers=headers)
    inbox = topics.topics[Where(INBOX, where.place)]
    inbox[values[2]] = inbox[values[2]]._replace(value=unknown)
    report = topics.verified()
    assert [(it.where, it.kind.name, it.found) for it in report.findings] == []
    assert any("cannot read" in it.what for it in report.not_checked)


def test_what_is_due_for_other_code_is_listed() -> None:
    """Timers and calls of a schema that this application does not have are there: they are no damage, and are counted."""
    _, past = made("shop", 3)
    for number in range(4):
        past.publish(OrderPlace(order=f"n{number}", customer="c", lines=(Line(sku="n", quantity=1),)), f"now-{number}", past.now)
        past.step()
    topics = StoredTopics.of(past)
    there = {(where, index): topics.topics[where][index] for where, index in topics.of_kind(DUE)}
    settled = {(where, record.key) for (where, _), record in there.items() if record.value is None}
    waiting = [place for place, record in there.items() if (place[0], record.key) not in settled]
    assert waiting
    topics.codec = codec_of(topics.app)
    other = '{"type": "record", "name": "order.remind", "key": "order", "fields": [{"name": "order", "type": "string"}]}'
    schema_id = topics.codec.add_schema(other)
    for where, index in waiting:
        value = prefix_of(schema_id) + (topics.topics[where][index].value or b"")[5:]
        topics.topics[where][index] = topics.topics[where][index]._replace(value=value)
    report = topics.verified()
    assert [(it.where, it.kind.name, it.found) for it in report.findings] == []
    assert any("timers and calls that this application cannot read" in it.what for it in report.not_checked)


def test_what_was_moved_and_then_quarantined_is_not_lost() -> None:
    """It comes without a key, so it is moved to the partition of its event's, where it is found to have a worker's source."""
    there = Partitions(bank.app(), 3, now=made("bank", 1)[1].now)
    data = AccountOpen(account="a", balance=1)
    astray = ("account", (there.partition_of(b"a") + 1) % 3)
    there._append(astray, b"", there.codec.encode(data), headers_of(data, "it", "retold/x/y", time_text(there.now)))
    there.settle()
    topics = StoredTopics.of(there)
    assert sum(changes.counters.quarantined for _, changes in there.changes) == 1
    assert_healthy(topics.verified())
