"""Answers of the API as messages of `retold.proto`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streams.server.http.socket_requests import InnerResponse
from streams.server.rpc.retold_pb2 import ListReply, LoggedEvent, PublishReply, Row, RowChange
from streams.server.rpc.rpc_errors import body_of

KINDS: Final = {
    b"put": RowChange.PUT, b"gone": RowChange.GONE, b"ready": RowChange.READY, b"reset": RowChange.RESET,
    b"unreadable": RowChange.UNREADABLE,
}  # fmt: skip
"""By the name of an event of a stream of rows."""
POSITION: Final = "retold-position"
TOLD_APART: Final = frozenset({"rows", "next", "positions"})


class RowBody(msgspec.Struct):
    """A row as the API has it; GONE has a key alone, UNREADABLE a `problem` beside."""

    key: str = ""
    version: int | None = None
    row: msgspec.Raw = msgspec.Raw(b"")
    problem: str = ""


class ListBody(msgspec.Struct):
    rows: list[RowBody]
    next: str | None = None
    positions: tuple[str, ...] = ()
    count: int | None = None


class EventBody(msgspec.Struct):
    """An event of a log."""

    type: str
    key: str
    id: str
    position: str
    outcome: str
    data: msgspec.Raw
    reason: str | None = None


def reply_of(answer: InnerResponse) -> PublishReply:
    """Also of a problem that has the receipt; of any other, empty."""
    body = body_of(answer)
    receipt: Mapping[str, Any] = body.get("receipt", {}) if answer.status >= 400 else body
    if not receipt:
        return PublishReply()
    return PublishReply(
        type=receipt["type"], key=receipt["key"], id=receipt["id"], namespace=receipt["namespace"],
        partition=receipt["partition"], offset=receipt["offset"], outcome=body.get("outcome") or "",
        reason=body.get("reason") or "", duplicate=bool(body.get("duplicate")), position=answer.headers.get(POSITION, ""),
    )  # fmt: skip


def row_of(answer: InnerResponse) -> Row:
    return _row(msgspec.json.decode(answer.body, type=RowBody), answer.headers.get(POSITION, ""))


def list_of(answer: InnerResponse, *, whole: bool) -> ListReply:
    """`whole`: more was asked for than rows."""
    found = msgspec.json.decode(answer.body, type=ListBody)
    reply = ListReply(
        rows=[_row(it, "") for it in found.rows], next=found.next or "", position=", ".join(found.positions), count=found.count
    )
    if whole:
        body = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
        reply.answer = msgspec.json.encode({name: it for name, it in body.items() if name not in TOLD_APART})
    return reply


def _row(found: RowBody, position: str) -> Row:
    return Row(key=found.key, version=found.version or 0, row=bytes(found.row), position=position)


def logged_of(event: Mapping[str, bytes]) -> LoggedEvent:
    place = event.get("id", b"").decode()
    if not (data := event.get("data")):
        return LoggedEvent(place=place)
    found = msgspec.json.decode(data, type=EventBody)
    return LoggedEvent(
        place=place, type=found.type, key=found.key, id=found.id, position=found.position, outcome=found.outcome,
        reason=found.reason or "", data=bytes(found.data), event=data,
    )  # fmt: skip


def change_of(event: Mapping[str, bytes]) -> RowChange:
    found = msgspec.json.decode(event.get("data") or b"{}", type=RowBody)
    kind = KINDS.get(event.get("event", b""), RowChange.PLACE)
    place = event.get("id", b"").decode()
    return RowChange(kind=kind, key=found.key, version=found.version or 0, row=bytes(found.row), place=place, problem=found.problem)
