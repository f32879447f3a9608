"""A system may give no more threads for a while, as in a container with a limit: then a call fails, and nothing stays taken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.server.correction_attempt import CorrectionAttempts
from streams.server.http.questions import AT_ONCE, VIEW, Questions
from tests.applications import bank
from tests.support.asked_processes import closing_questions, questions_in_test
from tests.support.workers import settings


@contextmanager
def no_threads() -> Iterator[None]:
    """In this block no thread starts: there is no memory for its stack."""
    before = threading.stack_size(1 << 60)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_questions_are_asked_once_there_are_threads_again(tmp_path: Path) -> None:
    """Each that could not begin gives its place back."""
    app, config = bank.app(), settings(tmp_path, "", view_seconds="0.5")

    async def calls(questions: Questions) -> int:
        with no_threads():
            for _ in range(AT_ONCE):
                with pytest.raises(RuntimeError, match="thread"):
                    await questions.call(VIEW, "the view top", lambda: 7)
        return await questions.call(VIEW, "the view top", lambda: 7)

    with closing_questions(questions_in_test(app, config, codec_of(app))) as questions:
        assert asyncio.run(calls(questions)) == 7


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
