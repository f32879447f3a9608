"""Idempotency-Keys: a repeated request publishes nothing again, even at another server and after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.errors import BrokerError
from streams.receipt import Receipt
from streams.server.http.problems import Problem
from streams.server.readmodel.key_uses import KeyUse

KEYS = 100_000
"""Uses of keys that are remembered of this process, until they are in the logs."""


First = Callable[[str, bytes, Callable[[], Receipt]], Receipt]
"""By an event's id and the digest of its request, the receipt of the first request of all processes of this server. It raises
OtherRequest, or what the function raises that publishes."""


class OtherRequest(Exception):
    """A key came before, with another request."""


class KeyHeld(BrokerError):
    """Another process publishes with a key, and has not told what became of that."""


def _the_only_process(_event_id: str, _digest: bytes, publish: Callable[[], Receipt]) -> Receipt:
    return publish()


@dataclass
class _Used:
    digest: bytes
    turn: threading.Lock = field(default_factory=threading.Lock)
    receipt: Receipt | None = None
    dropped: bool = False
    held: str | None = None
    """What whoever waited for it hears: it was waited for long enough."""

    @property
    def in_vain(self) -> bool:
        """Whether its event was not delivered and will not be."""
        return self.dropped or (self.receipt is not None and self.receipt.error is not None)


class IdempotencyKeys:
    """The uses of the latest keys, by the event id that each gives.

    They are looked for at this process, in the logs (`look`), and at the other processes of this server (`first`).

    The engine recognises older ones, by id and contents, in its duplicate window.
    """

    def __init__(self, look: Callable[[str], KeyUse | None], size: int = KEYS, first: First = _the_only_process) -> None:
        self._look, self._size, self._first = look, size, first
        self._used, self._lock = dict[str, _Used](), threading.Lock()

    def once(self, key: str, event_id: str, digest: bytes, publish: Callable[[], Receipt]) -> Receipt:
        """The receipt of the first request with this key, which is published once. Raises a 422 problem for another request.

        A key whose event was not sent, or not delivered, may be used again.
        """
        while True:
            used = self._use(event_id, digest)
            if used.digest != digest:
                raise _taken(key)
            with used.turn:
                if used.held is not None:
                    raise KeyHeld(used.held)
                if used.in_vain:  # meanwhile
                    continue
                if used.receipt is None:
                    try:
                        used.receipt = self._first(event_id, digest, publish)
                    except OtherRequest:
                        used.dropped = True
                        raise _taken(key) from None
                    except KeyHeld as error:
                        used.dropped, used.held = True, str(error)
                        raise
                    except BaseException:
                        used.dropped = True
                        raise
                return used.receipt

    def _use(self, event_id: str, digest: bytes) -> _Used:
        with self._lock:
            used = self._used.get(event_id)
            if used is None or used.in_vain:
                sent = self._look(event_id)
                used = _Used(digest) if sent is None else _Used(sent.digest, receipt=sent.receipt)
                self._used.pop(event_id, None)
                self._used[event_id] = used
                if len(self._used) > self._size:
                    del self._used[next(iter(self._used))]
            return used


def _taken(key: str) -> Problem:
    return Problem(
        422, f"the Idempotency-Key {key!r:.80} came before with another event or another expected version; a "
        "key belongs to one request: repeat that one as it was, or take a new key", field="Idempotency-Key",
    )  # fmt: skip
