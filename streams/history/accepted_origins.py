"""The origins of a difference that somebody has looked at and accepts: how many of each handler and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streams.errors import ConfigError
from streams.history.difference import EVENTS, OUTCOME, PARKED, RAISES, REASON, ROW, UNHANDLED, Origin

KINDS = (UNHANDLED, RAISES, PARKED, OUTCOME, REASON, EVENTS, ROW)


class AcceptedOrigin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `count` events that `handler` decides otherwise in this way."""

    handler: str
    kind: str
    count: int


def counted(origins: Iterable[Origin]) -> list[AcceptedOrigin]:
    counts = Counter((it.recorded.event_type, it.kind) for it in origins)
    return [AcceptedOrigin(handler, kind, count) for (handler, kind), count in sorted(counts.items())]


def encoded(accepted: Iterable[AcceptedOrigin]) -> bytes:
    """For a file that people read and compare: one line for each."""
    lines = ",\n".join("  " + msgspec.json.encode(it).decode() for it in accepted)
    return f"[\n{lines}\n]\n".encode() if lines else b"[]\n"


def decoded(content: bytes, name: str) -> list[AcceptedOrigin]:
    """Raises ConfigError for what `encoded` does not write."""
    try:
        found = msgspec.json.decode(content, type=list[AcceptedOrigin])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError(f"{name} holds no accepted origins ({error}): write it again, with --save") from error
    for it in found:
        if it.kind not in KINDS or it.count < 1:
            raise ConfigError(
                f"{name} accepts {it.count} of the kind {it.kind[:50]!r} of {it.handler[:100]}; at least 1 of {', '.join(KINDS)} "
                "was expected: write it again, with --save"
            )
    return found


def not_accepted(origins: Iterable[Origin], accepted: Iterable[AcceptedOrigin]) -> list[AcceptedOrigin]:
    """Those of which there are more than are accepted, with their counts."""
    known = {(it.handler, it.kind): it.count for it in accepted}
    return [it for it in counted(origins) if it.count > known.get((it.handler, it.kind), 0)]
