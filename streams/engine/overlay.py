"""The changes of one batch laid over its partition's image: the state that the batch's next record sees (rule 9)."""

from __future__ import annotations

from collections.abc import Iterator

from streams.engine.changes import Changes, PendingCall, PendingTimer, SetAsideRecord
from streams.engine.duplicates import Remembered
from streams.engine.image import Image
from streams.engine.records import PARKED, Entry


class Overlay:
    """The image does not change; `changes` grows. `now` in µs since 1970."""

    def __init__(self, image: Image, now: int) -> None:
        self.image, self.now = image, now
        self.changes = Changes(image.partition, image.inbox_next, image.sequence, image.recorded)

    def entry(self, key: str) -> Entry | None:
        """None: the key has no row and never had one."""
        return self.changes.rows.get(key) or self.image.rows.get(key)

    def queue(self, key: str) -> list[SetAsideRecord]:
        """The key's parked queue, in order; empty: the key is free."""
        queue = self.changes.queues.get(key)
        return queue if queue is not None else self.image.parked.get(key, [])

    def blocks(self, key: str) -> bool:
        """Whether events of this key are parked."""
        queue = self.changes.queues.get(key)
        return bool(queue) if queue is not None else key in self.image.parked

    def own_queue(self, key: str) -> list[SetAsideRecord]:
        """The same as `queue`, as a copy that may be changed. It is made once a batch, since a queue may be long."""
        queue = self.changes.queues.get(key)
        if queue is None:
            queue = self.changes.queues[key] = list(self.image.parked.get(key, ()))
        return queue

    def known(self, digest: bytes) -> Remembered | None:
        """The result of the first event of an id, if it is in the duplicate window or parked."""
        changes, image = self.changes, self.image
        found = changes.remembered.get(digest) or image.window.find(digest, changes.sequence)
        if found is not None:
            return found
        now_parked = changes.parked_ids if digest in changes.parked_ids else image.parked_ids
        body = now_parked.get(digest)
        return None if body is None else (changes.sequence, body, PARKED)

    def is_pending(self, request: str) -> bool:
        """Whether a request waits for its gateway's answer."""
        asked = request in self.image.calls or request in self.changes.calls
        return asked and request not in self.changes.settled

    def calls_of(self, key: str) -> Iterator[PendingCall]:
        """The requests of a key that wait for their gateway, in the order in which they were accepted."""
        new = self.changes.calls
        for call in self.image.calls.of(key):
            if call.event.reference not in new and call.event.reference not in self.changes.settled:
                yield call
        for reference, call in new.items():
            if call.event.key == key and reference not in self.changes.settled:
                yield call

    def ask(self, call: PendingCall) -> None:
        """Have the gateway called once this is committed, even if the call was given up before in the same batch."""
        reference = call.event.reference
        self.changes.calls[reference] = call
        self.changes.settled.pop(reference, None)

    def schedule(self, due: PendingTimer) -> None:
        self.changes.due.append(due)
        self.changes.settled.pop(due.event_id, None)
