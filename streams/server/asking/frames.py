"""Messages between the server and its processes: a message is its length in 4 bytes, and its bytes."""

from __future__ import annotations

import socket
import time
from typing import Final

LARGEST: Final = 1 << 30
"""Bytes of a message."""
AT_ONCE: Final = 1 << 18
"""Bytes that are read at a time, at most."""


def send_frame(to: socket.socket, content: bytes) -> None:
    """Raises OSError."""
    if len(content) > LARGEST:
        raise OSError(f"a message has {len(content):,} bytes; at most {LARGEST:,} are sent")
    to.sendall(len(content).to_bytes(4, "big") + content)


def read_frame(of: socket.socket, deadline: float | None = None) -> bytes | None:
    """None at the end. Raises EOFError for a message that is cut off, TimeoutError at the deadline, and OSError."""
    head = _read(of, 4, deadline)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) != 4 or size > LARGEST:
        raise EOFError
    content = _read(of, size, deadline)
    if len(content) != size:
        raise EOFError
    return content


def _read(of: socket.socket, size: int, deadline: float | None) -> bytes:
    """So many bytes, or fewer at the end."""
    pieces, left = list[bytes](), size
    while left:
        if deadline is not None:
            if (seconds := deadline - time.monotonic()) <= 0:  # who writes without end is not heard for ever
                raise TimeoutError
            of.settimeout(seconds)
        piece = of.recv(min(left, AT_ONCE))
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
