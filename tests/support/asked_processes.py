"""Processes that answer questions, for servers of a test: one that has threads by then, as those of a broker."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from streams import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.server.http.answering import questions_of
from streams.server.http.questions import Questions


def questions_in_test(app: App, config: Config, codec: AvroCodec) -> Questions:
    """To be ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: a fork beside threads, which are not needed here
        return questions_of(app, config, codec)


@contextmanager
def closing_questions(questions: Questions) -> Iterator[Questions]:
    """Ends them with the block."""
    try:
        yield questions
    finally:
        questions.end()
