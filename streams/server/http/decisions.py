"""`POST /parked/NAMESPACE/PARTITION/PLACE/DECISION`: an operator retries, rejects or answers what is set aside."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.engine.control import OperatorCommand
from streams.engine.readable import one_line
from streams.engine.records import PARKED, UNANSWERED
from streams.errors import UNREADABLE_JSON, InvalidEvent, did_you_mean
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.kafka.parked_checks import answer_value, first_at, why_unchanged
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import ready
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.problems import RETRY_AFTER, STOPS, Problem
from streams.server.http.requests import JSON, media_type, read_body, wait_of
from streams.server.http.set_aside import entries_at, place_named
from streams.server.readmodel.aside_listing import aside_entries, count_aside, set_aside_since
from streams.server.readmodel.known_outcome import KnownOutcome
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_readers import StoreAway

log = logging.getLogger("retold.server")
Decision = Literal["retry", "reject", "answer"]
DECISIONS: tuple[Decision, ...] = ("retry", "reject", "answer")
WAIT = 10.0
"""s for the worker that owns the key to carry it out, if the request does not say how long it waits."""
FOR_AN_OUTCOME = 3.0
"""s to see in the log what became of it."""
REASON = 1_000
"""Characters of a reason: as many as are kept."""


class DecisionDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`why` is kept with the event; an answer has the type of an event and its data."""

    why: str = ""
    type: str = ""
    data: dict[str, Any] = {}


class SentDecision(NamedTuple):
    """What was decided about what, and what stood behind it then. `place` is that of the decision in the inbox."""

    at: InboxOffset
    key: str
    entry: ParkedEntry
    behind: int
    place: InboxOffset


async def decide(request: Request) -> Response:
    parts = parts_of(request)
    namespace, partition, place, decision = (request.path_params[it] for it in ("namespace", "partition", "place", "decision"))
    known_params(request.query_params.multi_items())
    what = _known_decision(decision)
    at = place_named(parts, namespace, partition, place)
    if media_type(request) != JSON:
        raise Problem(415, f"a decision is {JSON}", field="Content-Type")
    asked = _document(await read_body(request, parts.config.max_event_bytes))
    seconds = wait_of(request)
    ready(parts)
    who = principal_of(request).name
    sent = await in_thread(parts.pools.publishing, _send, parts, at, what, asked, who)
    return await _followed(parts, what, sent, WAIT if seconds is None else seconds)


def _known_decision(text: str) -> Decision:
    for name in DECISIONS:
        if name == text:
            return name
    known = ", ".join(DECISIONS)
    raise Problem(404, f"{text[:80]!r} is no decision{did_you_mean(text, DECISIONS)}; there are {known}")


def _document(body: bytes) -> DecisionDocument:
    try:
        found = msgspec.json.decode(body or b"{}", type=DecisionDocument)
    except UNREADABLE_JSON as error:
        raise Problem(422, f"this is no decision: {error}. A JSON object with why, type and data was expected") from error
    if len(found.why) > REASON:
        raise Problem(422, f"the reason has {len(found.why):,} characters; at most {REASON:,} are kept", field="why")
    return found


def _send(parts: ServerParts, at: InboxOffset, what: Decision, asked: DecisionDocument, who: str) -> SentDecision:
    """Check it and send it. Blocks. Raises a problem for what no worker would carry out."""
    found = entries_at(parts, at)
    try:
        entry, key = first_at(at, found)
    except InvalidEvent as error:
        raise Problem(409, str(error)) from error
    if what == "reject" and not asked.why.strip():
        raise Problem(422, "a rejection needs a reason, which is kept in the event log", field="why")
    value = _answer(parts, entry, asked) if what == "answer" else b""
    command = OperatorCommand(what, key, at.offset, who, asked.why.strip(), value, at.timer)
    place = parts.archive.command(at.namespace, command)
    log.info("%s of %s by %s", what, at, one_line(who))
    return SentDecision(at, key, entry, len(found) - 1, place)


def _answer(parts: ServerParts, entry: ParkedEntry, asked: DecisionDocument) -> bytes:
    types = parts.app.event_types()
    if asked.type not in types:
        known = ", ".join(sorted(types)) or "none"
        near = did_you_mean(asked.type, types)
        raise Problem(422, f"{parts.app.name} handles no event {asked.type[:100]!r}{near}; it handles {known}", field="type")
    return answer_value(parts.app, parts.codec, entry, types[asked.type], asked.data, texts=False)


async def _followed(parts: ServerParts, what: Decision, sent: SentDecision, seconds: float) -> Response:
    """What came of it, once it is seen here."""

    def moved() -> tuple[int | None] | None:
        try:
            with parts.model.reading() as db:
                since = set_aside_since(db, sent.at)
        except (StoreAway, sqlite3.Error):
            return None
        return None if since == sent.entry.header.recorded else (since,)

    found = await until(parts.model.notifier, moved, seconds)
    if found is None and _is_handled(parts, sent):  # what it has set aside may be read a moment later
        found = await until(parts.model.notifier, moved, FOR_AN_OUTCOME)
        if found is None and not parts.model.notifier.ended:
            raise Problem(409, await in_thread(parts.pools.memory, _why_unchanged, parts, sent))
    if found is None:
        if parts.model.notifier.ended:
            raise Problem(503, f"{STOPS}; the decision about {sent.at} is sent", headers=RETRY_AFTER)
        return _told(202, what, sent, "pending", f"it is sent, and not handled within {seconds:g} s; a worker handles it later")
    if found[0] is not None:
        again = await in_thread(parts.pools.memory, entries_at, parts, sent.at)
        reason = next((it.header.reason for it in again if it.inbox_offset == sent.at), "")
        raise Problem(409, f"{sent.at} was tried, and set aside again: {reason}", outcome=PARKED, reason=reason)
    left = await in_thread(parts.pools.memory, _left, parts, sent)
    if what == "retry" and sent.entry.header.status == UNANSWERED:
        return _told(200, what, sent, "called", "its gateway is called again", left)
    became = await _became(parts, sent)
    if became is None:
        return _told(200, what, sent, "handled", None, left)
    return _told(200, what, sent, became.outcome, became.reason, left)


def _is_handled(parts: ServerParts, sent: SentDecision) -> bool:
    last = parts.model.markers.get((sent.place.namespace, sent.place.partition))
    return last is not None and last.inbox_next > sent.place.offset


def _why_unchanged(parts: ServerParts, sent: SentDecision) -> str:
    with parts.model.reading() as db:
        found = [*aside_entries(db, sent.at), *aside_entries(db, sent.place)]
    return why_unchanged(sent.at, sent.key, sent.place, found)


async def _became(parts: ServerParts, sent: SentDecision) -> KnownOutcome | None:
    """What the log says of it, which may be read here a moment later. A timer's event has no offset to look it up by."""
    if sent.at.timer:
        return None
    at = sent.at.namespace, sent.at.partition
    return await until(parts.model.notifier, lambda: parts.model.became(at, sent.at.offset), FOR_AN_OUTCOME)


def _left(parts: ServerParts, sent: SentDecision) -> int:
    """Events of its key that are still set aside."""
    with parts.model.reading() as db:
        return count_aside(db, sent.at, sent.key)


def _told(
    status: int, what: Decision, sent: SentDecision, outcome: str, reason: str | None, left: int | None = None
) -> Response:
    body = {
        "decision": what,
        "position": str(sent.at),
        "key": sent.key,
        "outcome": outcome,
        "reason": reason,
        "behind": sent.behind,
        "still_parked": left,
        "url": url_of_place(sent.at),
    }
    return Response(to_json(body), status, media_type="application/json")


def url_of_place(at: InboxOffset) -> str:
    """Where its outcome is seen."""
    place = f"{at.namespace}/{at.partition}/{at.position}"
    return f"/parked/{place}" if at.timer else f"/events/{place}"
