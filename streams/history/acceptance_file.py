"""Files of what somebody has looked at and accepts, as --save writes them and --accept reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from streams.errors import UNREADABLE_JSON, ConfigError

T = TypeVar("T", bound=msgspec.Struct)


def encode_accepted(accepted: Iterable[msgspec.Struct]) -> bytes:
    """For a file that people read and compare: one line for each."""
    lines = ",\n".join("  " + msgspec.json.encode(it).decode() for it in accepted)
    return f"[\n{lines}\n]\n".encode() if lines else b"[]\n"


def decode_accepted(content: bytes, kind: type[T], name: str, what: str) -> list[T]:
    """Raises ConfigError for a file `name` that is no list of these; `what` they are, in words."""
    try:
        return msgspec.json.decode(content, type=list[kind])  # type: ignore[valid-type]  # a type that is given
    except UNREADABLE_JSON as error:
        raise ConfigError(f"{name} holds no accepted {what} ({error}): write it again, with --save") from error
