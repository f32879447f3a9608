"""What the file keeps of a record of a log: its columns say who led to it and what became of it, without its data."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Message

from streams.engine.envelope import LogHeader, pack
from streams.engine.identity import answer_id, emitted_id, short_fingerprint
from streams.engine.records import Headers
from streams.errors import UndecodableRecord
from streams.event import reference_of
from streams.server.readmodel.log_record import ALWAYS, NAMES, is_accepted, log_record

CAUSE = "0198c0de-0000-4000-8000-000000000001"


def recorded(headers: Headers, **others: Any) -> dict[str, Any]:
    """The columns of a record of `account.open` of the key "a@b", which was recorded at 7."""
    header = LogHeader(3, 7, 12, others.pop("outcome", "accepted"), "f", **others)
    message = Message(
        topic="account-log", partition=2, offset=40, key=b"a@b@3", headers=[*headers, pack(header)]
    )
    values = log_record(message, "account", "account.open", b"data")
    assert is_accepted(values) is (header.outcome != "rejected")
    return dict(zip(NAMES, values, strict=False))


def test_a_root_has_no_more_columns_than_it_needs() -> None:
    """Those that would be null at the end are left out: most records are such."""
    found = recorded([("ce_id", b"1"), ("ce_source", b"web"), ("ce_time", b"1970-01-01T00:00:01+00:00")])
    assert len(found) == ALWAYS
    assert {name: found[name] for name in ("recorded", "ns", "part", "seq", "time", "key", "id", "kind", "inbox", "value")} == {
        "recorded": 7, "ns": "account", "part": 2, "seq": 3, "time": 1_000_000, "key": "a@b", "id": "1", "kind": "root",
        "inbox": 12, "value": b"data",
    }  # fmt: skip
    assert found["idh"] == short_fingerprint("web", "1")
    assert recorded([], id="own", time=5)["time"] == 5


@pytest.mark.parametrize("source", ["", "shop"])
def test_a_cause_is_believed_if_the_id_follows_from_it(source: str) -> None:
    """Anybody may write that header; the id of an emitted event, or of an answer, is derived from the cause's reference."""
    reference, ordinal = reference_of(source, CAUSE), 2
    caused = [("ce_causationid", CAUSE.encode()), ("ce_causationsource", source.encode()), ("ce_ordinal", b"%d" % ordinal)]
    for event_id, kind, cause in [
        (emitted_id(reference, "account.open", "a@b", ordinal), "emitted", short_fingerprint(source, CAUSE)),
        (answer_id(reference), "answer", short_fingerprint(source, CAUSE)),
        ("0198c0de-0000-4000-8000-000000000002", "root", None),
    ]:
        found = recorded([*caused, ("ce_id", event_id.encode())])
        assert (found["kind"], found.get("causeh"), found["ordinal"]) == (kind, cause, 2)


@pytest.mark.parametrize(
    ("header", "by"),
    [({"by": "a person"}, "a person"), ({"wrong_version": True}, "version"), ({"wrong_version": False}, "handler")],
)
def test_a_rejection_says_who_and_why(header: dict[str, Any], by: str) -> None:
    """With the version that was expected."""
    found = recorded([("ce_expectedversion", b"4")], outcome="rejected", reason="no", **header)
    assert (found["accepted"], found["by"], found["reason"], found["expected"]) == (0, by, "no", 4)


def test_a_timer_is_one() -> None:
    """Whatever led to it."""
    assert recorded([], timer=True)["kind"] == "timer"


def test_a_step_of_a_correction_is_one() -> None:
    """It is no root, so nobody counts it among what was published."""
    found = recorded([], outcome="corrected", id="own", time=5)
    assert (found["kind"], found["accepted"], found["id"], found["time"], len(found)) == ("step", 1, "own", 5, ALWAYS)


def test_a_record_of_nobody_is_refused() -> None:
    """It has no header of retold's."""
    with pytest.raises(UndecodableRecord, match="not written by a retold worker"):
        log_record(Message(topic="t", partition=0, offset=0, key=b"a@1", headers=[("ce_id", b"1")]), "a", "a.b", b"")
