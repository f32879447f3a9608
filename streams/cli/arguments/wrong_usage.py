"""What is typed and makes no sense to this application, whatever was recorded: wrong usage, as a wrong option is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streams.errors import StreamsError


class WrongUsage(StreamsError):
    """A name, a condition or a change on the command line that the application does not have or understand."""


@contextmanager
def wrong_usage(*kinds: type[StreamsError]) -> Iterator[None]:
    """Errors of these classes within the block are wrong usage, in the same words."""
    try:
        yield
    except kinds as error:
        raise WrongUsage(str(error)) from error
