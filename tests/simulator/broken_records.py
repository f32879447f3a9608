"""Records that no worker can take, made of one that could be taken. Each must be quarantined, and hold up nobody (rules 8, 11)."""

from __future__ import annotations

import random

from streams.engine.records import Headers

LARGEST = 20_000
"""Bytes that the topics take of a record's value, but for the inbox."""
TOO_LONG = "no, " * 7_000
"""A text that the inbox takes, and no other topic."""
FOREIGN = 40_000
"""Bytes of foreign headers that are too many."""


def broken(dice: random.Random, value: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """Its value or one of its headers is what a broken or careless program writes."""
    match dice.choice(["cut off", "another format", "type", "time", "version", "bytes", "headers"]):
        case "cut off":
            return value[:-1], headers
        case "another format":
            return dice.choice([b"", b"{}", b'{"name": "a"}', b"\x00\x00"]), headers
        case "type":
            return value, _with(headers, "ce_type", b"another.event")
        case "time":
            return value, _with(headers, "ce_time", b"yesterday")
        case "version":
            return value, _with(headers, "ce_expectedversion", dice.choice([b"-1", b"newest"]))
        case "bytes":
            return value, _with(headers, "ce_subject", b"\xff\xfe")
        case _:
            return value, _with(headers, "note", b"x" * FOREIGN)


def _with(headers: Headers, name: str, text: bytes) -> Headers:
    return [*(it for it in headers if it[0] != name), (name, text)]
