"""What of a difference somebody has looked at and accepts: how many origins, and rows that cannot be told, by handler and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streams.errors import ConfigError
from streams.history.acceptance_file import decode_accepted
from streams.history.difference.difference import (
    EVENTS,
    OUTCOME,
    PARKED,
    RAISES,
    REASON,
    ROW,
    UNHANDLED,
    UNTOLD,
    Difference,
)

KINDS = (UNHANDLED, RAISES, PARKED, OUTCOME, REASON, EVENTS, ROW, UNTOLD)
REFUSALS = (OUTCOME, RAISES, UNHANDLED)
"""Origins of code that may refuse what was accepted: it does so too when it is the code before, and then rows cannot be told."""


class AcceptedOrigin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `count` events that `handler` decides otherwise in this way.

    Of the kind `untold` they are rows: as many, from an event of `handler` on, the code before cannot tell.
    """

    handler: str
    kind: str
    count: int


def counted(found: Difference) -> list[AcceptedOrigin]:
    counts = Counter((it.recorded.event_type, it.kind) for it in found.origins)
    counts.update((it.recorded.event_type, UNTOLD) for it in found.untold if it.recorded is not None)
    return [AcceptedOrigin(handler, kind, count) for (handler, kind), count in sorted(counts.items())]


def decoded_origins(content: bytes, name: str) -> list[AcceptedOrigin]:
    """Of a file `name`. Raises ConfigError for what `encode_accepted` does not write of such ones."""
    found = decode_accepted(content, AcceptedOrigin, name, "origins")
    for it in found:
        if it.kind not in KINDS or it.count < 1:
            raise ConfigError(
                f"{name} accepts {it.count} of the kind {it.kind[:50]!r} of {it.handler[:100]}; at least 1 of {', '.join(KINDS)} "
                "was expected: write it again, with --save"
            )
    return found


def not_accepted(found: Difference, accepted: Iterable[AcceptedOrigin]) -> list[AcceptedOrigin]:
    """Those of which there are more than are accepted, with their counts.

    Who accepted that a handler refuses events has accepted what follows once that code is deployed: their rows cannot be told. So
    what is left of these covers rows as well, and the file of a stricter fix serves on.
    """
    left = Counter({(it.handler, it.kind): it.count for it in accepted})
    refused = []
    for it in sorted(counted(found), key=lambda it: it.kind == UNTOLD):
        kinds = (it.kind, *REFUSALS) if it.kind == UNTOLD else (it.kind,)
        if it.count > sum(max(0, left[it.handler, kind]) for kind in kinds):
            refused.append(it)
        left[it.handler, it.kind] -= it.count
    return refused
