"""A system may give no more threads for a while, as in a container with a limit: then a call fails, and nothing stays taken."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.server.correction_attempt import CorrectionAttempts
from streams.server.http.view_calls import AT_ONCE, ViewCalls


@contextmanager
def no_threads() -> Iterator[None]:
    """In this block no thread starts: there is no memory for its stack."""
    before = threading.stack_size(1 << 60)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_views_are_called_once_there_are_threads_again() -> None:
    """Each call that could not begin gives its place back, and is not said to go on."""

    async def calls() -> int:
        views = ViewCalls(0.5, Counter())
        with no_threads():
            for _ in range(AT_ONCE):
                with pytest.raises(RuntimeError, match="thread"):
                    await views.call("top", lambda: 7)
        found = await views.call("top", lambda: 7)
        await asyncio.sleep(0.6)
        assert not views.overdue()
        return found

    assert asyncio.run(calls()) == 7


def test_a_correction_is_applied_once_there_are_threads_again() -> None:
    """An attempt that could not begin is none: another correction need not wait for its end, which never comes."""
    attempts, applied = CorrectionAttempts(lambda: None), list[str]()
    with no_threads(), pytest.raises(RuntimeError, match="thread"):
        attempts.begin("c1", None, lambda _: applied.append("c1"))
    assert attempts.of("c1") is None
    attempts.end()
    attempts.begin("c2", None, lambda _: applied.append("c2"))
    attempts.end()
    assert applied == ["c2"]
