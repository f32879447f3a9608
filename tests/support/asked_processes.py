"""Processes that answer questions, for servers of a test: one that has threads by then, as those of a broker; or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from streams import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.server.asking.answering_processes import AnsweringProcesses
from streams.server.http.answering import questions_of
from streams.server.http.questions import Questions


def questions_in_test(app: App, config: Config, codec: AvroCodec) -> Questions:
    """To be ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: a fork beside threads, which are not needed here
        return questions_of(app, config, codec)


class NoProcesses(AnsweringProcesses):
    """Of a server that is asked for no view, past, story or correction: a process to fork from takes 30 to 50 ms of CPU."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, question: bytes, seconds: float) -> bytes:
        self.asked = True
        raise AssertionError(ASKED)

    def end(self) -> None:
        """There are none."""


ASKED = "this server was asked for a view, the past, a story or a correction: make it by MemoryServer(…, answering=True)"


@contextmanager
def closing_questions(questions: Questions) -> Iterator[Questions]:
    """Ends them with the block."""
    try:
        yield questions
    finally:
        questions.end()
