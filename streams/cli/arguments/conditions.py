"""A condition about the rows of a namespace, as it is typed."""

from __future__ import annotations

from typing import Any

from streams.cli.arguments.wrong_usage import wrong_usage
from streams.errors import InvalidEvent
from streams.history.when.predicate import Predicate
from streams.namespace import Namespace


def condition_about(space: Namespace[Any], text: str) -> Predicate:
    """Raises WrongUsage for what is none, with the fields that there are."""
    with wrong_usage(InvalidEvent):
        return Predicate(text, space.row_type)
