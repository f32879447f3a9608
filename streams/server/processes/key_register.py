"""Which Idempotency-Keys the processes of one server use, so that one of them alone publishes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streams.server.processes.link_messages import OTHER, YOURS, DeliveredEvent

KEYS = 100_000
"""Uses that are remembered: as many as one process remembers."""
Answer = Callable[[str | DeliveredEvent], object]


@dataclass
class _Use:
    digest: bytes
    holder: object | None
    """The process that publishes; None: none does now."""
    event: DeliveredEvent | None = None
    waiting: list[tuple[object, bytes, Answer]] = field(default_factory=list)


class KeyRegister:
    """Kept by the process that owns the others. To be used by one thread at a time; `answer` is called at once, or later."""

    def __init__(self, size: int = KEYS) -> None:
        self._size, self._uses = size, dict[str, _Use]()

    def claim(self, event_id: str, digest: bytes, holder: object, answer: Answer) -> None:
        """Answers YOURS to the first, the event to all others with the same request, once it is known, and OTHER else."""
        use = self._uses.get(event_id)
        if use is None:
            self._uses[event_id] = _Use(digest, holder)
            self._forget_oldest()
            answer(YOURS)
        elif use.digest != digest:
            answer(OTHER)
        elif use.event is not None:
            answer(use.event)
        elif use.holder is None:
            use.holder = holder
            answer(YOURS)
        else:
            use.waiting.append((holder, digest, answer))

    def settle(self, event_id: str, holder: object, event: DeliveredEvent | None) -> None:
        """What became of a claim that was granted. Without an event the key may be used again, also for another request."""
        use = self._uses.get(event_id)
        if use is None or use.holder is not holder or use.event is not None:
            return
        if event is None:
            del self._uses[event_id]
            for waiting, digest, answer in use.waiting:
                self.claim(event_id, digest, waiting, answer)
            return
        use.event = event
        for _, _, answer in use.waiting:
            answer(event)
        use.waiting = []

    def leave(self, holder: object) -> None:
        """A process has ended. Nobody knows whether it has published what it was granted.

        So the key stays that of the same request, which may be published again: the id is the same, and is handled once.
        """
        for event_id, use in [*self._uses.items()]:
            use.waiting = [it for it in use.waiting if it[0] is not holder]
            if use.holder is not holder or use.event is not None:
                continue
            use.holder = None
            waiting, use.waiting = use.waiting, []
            for other, digest, answer in waiting:
                self.claim(event_id, digest, other, answer)

    def _forget_oldest(self) -> None:
        """But none that is being published."""
        while len(self._uses) > self._size:
            oldest = next(iter(self._uses))
            use = self._uses.pop(oldest)
            if use.holder is not None and use.event is None:
                self._uses[oldest] = use
                return
