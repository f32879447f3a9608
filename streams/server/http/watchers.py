"""Clients that watch a stream: how many there may be, of all and of one principal."""

from __future__ import annotations

from streams.server.access.principal import Principal
from streams.server.http.parts import ServerParts
from streams.server.http.problems import RETRY_AFTER, Problem

MOST_STREAMS = 2_000


class Watcher:
    """An open stream of a principal."""

    def __init__(self, principal: Principal) -> None:
        self.holder = principal.name


def refuse_more_streams(parts: ServerParts, principal: Principal) -> None:
    """Raises a 503 problem if there are too many streams, and a 429 problem if the principal has too many."""
    if len(parts.watching) >= MOST_STREAMS:
        raise Problem(503, f"{MOST_STREAMS} clients watch already; this server takes no more", headers=RETRY_AFTER)
    most = parts.config.http_streams
    if principal.bounded and sum(it.holder == principal.name for it in parts.watching) >= most:
        raise Problem(
            429, f"{principal.name} has {most} streams open, which is the most for one principal (RETOLD_HTTP_STREAMS)",
            kind="too-many-requests", headers=RETRY_AFTER,
        )  # fmt: skip
