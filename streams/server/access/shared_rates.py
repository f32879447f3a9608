"""Token buckets that several processes of one server share, in memory that each of them inherits."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from hashlib import blake2b
from typing import Final

from streams.server.access.request_rates import Bucket, taken

SLOT: Final = struct.Struct("=8sdd")
"""Digest of the name, level and time of a bucket."""
SETS: Final = 4_096
WAYS: Final = 4
"""Buckets of a set: a name has its place in one set, where it takes that of the bucket that was used longest ago."""
SIZE: Final = SETS * WAYS * SLOT.size
EMPTY: Final = bytes(8)
PATIENCE: Final = 0.1
"""s for which a set that another process uses is waited for: that one may have been stopped in the middle."""
IN_VAIN: Final = 1.0
"""s for which it is not waited for again then: whoever waits holds up all else of its process."""


def make_shared_rates() -> int:
    """The number of an open file, in memory alone, that processes inherit."""
    number = os.memfd_create("retold-rates", os.MFD_CLOEXEC)
    os.ftruncate(number, SIZE)
    return number


class SharedRates:
    """As RequestRates, for all processes that have this open file. To be used by one thread of each. The clock is the machine's.

    Where a lock is not to be had, and two processes take from one bucket at the same moment, one request too many is taken.
    Whatever is found in the memory counts as full at most, and as of now at the latest: a process that was killed as it wrote
    leaves nothing that lasts.
    """

    def __init__(self, number: int) -> None:
        """Raises OSError or ValueError for a file of another kind."""
        self._file = number
        self._memory = mmap.mmap(number, SIZE)
        self._impatient = dict[int, float]()
        """By set, until when it is not waited for."""

    def take(self, name: str, rate: float, now: float) -> float:
        return self._taken(name, rate, now, 1, least=1)

    def take_more(self, name: str, rate: float, now: float, count: int) -> float:
        return self._taken(name, rate, now, count, least=0)

    def _taken(self, name: str, rate: float, now: float, count: int, least: int) -> float:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        first = int.from_bytes(digest[:2], "big") % SETS * WAYS * SLOT.size
        is_locked = self._lock(first)
        try:
            at, bucket = self._found(first, digest)
            left, wait = taken(bucket, rate, now, count, least)
            SLOT.pack_into(self._memory, at, digest, left.level, left.at)
        finally:
            if is_locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, first)
        return wait

    def _found(self, first: int, digest: bytes) -> tuple[int, Bucket | None]:
        """Where its bucket is, or is to be, and the bucket if there is one."""
        oldest, since = first, float("inf")
        for at in range(first, first + WAYS * SLOT.size, SLOT.size):
            found, level, used = SLOT.unpack_from(self._memory, at)
            if found == digest:
                return at, Bucket(level, used)
            if found == EMPTY:
                used = float("-inf")
            if used < since:
                oldest, since = at, used
        return oldest, None

    def _lock(self, first: int) -> bool:
        """The system lets go of it when a process ends."""
        until = 0.0
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first)
            except OSError:
                now = time.monotonic()
                if now < self._impatient.get(first, 0.0):
                    return False
                until = until or now + PATIENCE
                if now > until:
                    self._impatient[first] = now + IN_VAIN
                    return False
                os.sched_yield()
            else:
                self._impatient.pop(first, None)
                return True
