"""Frees the images of partitions that are not ours any more, little by little and beside the work.

Freeing all rows of a partition at once took more than 1 µs a row, in the thread that has to let the partition go, and no other
thread of Python runs meanwhile: with a million rows, others would wait for more than a second.
"""

from __future__ import annotations

from streams.engine.image import Image
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.runtime import Background, Job

AT_ONCE, PAUSE = 2_000, 0.005
"""Rows and ids that are freed in one step, which takes about 2 ms; and s until the next."""


class DiscardedImages:
    """Used by one thread, beside the jobs in `background`. Once it is closed nothing is freed: the process ends."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._images: list[Image] = []
        self._job: Job[None] | None = None
        self._closed = False

    def add(self, image: Image) -> None:
        """Nobody else may use it any more."""
        self._images.append(image)
        if not self._closed and (self._job is None or self._job.done()):
            self._job = self._background.start(self._free)

    def close(self) -> None:
        self._closed = True
        if self._job is not None:
            self._job.cancel()

    def _free(self, cancelled: Cancelled) -> Steps[None]:
        while self._images and not cancelled():
            if not self._images[0].shrink(AT_ONCE):
                del self._images[0]
            yield PAUSE
