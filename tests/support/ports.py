"""A port that is free."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Nobody has it now; it is not kept."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
