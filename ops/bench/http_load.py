"""Requests over connections that stay open, one at a time on each, as fast as they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

Request = Callable[[int], bytes]
"""Gives the n-th request, whole."""


class HttpRate(NamedTuple):
    """Answers a second; half and 99 % of them came within so many ms. `answers`: with those that are not counted."""

    rate: float
    p50: float
    p99: float
    answers: int


async def answered(reader: asyncio.StreamReader, expected: int) -> None:
    """Reads an answer to its end. Raises RuntimeError for another status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if int(head[9:12]) != expected:
        raise RuntimeError(f"{expected} was expected; the answer is {head[:15].decode()}: {body[:300].decode(errors='replace')}")


async def asked(port: int, request: bytes, expected: int) -> None:
    """One request. Raises RuntimeError for another status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await answered(reader, expected)
    finally:
        writer.close()


async def loaded(port: int, request: Request, expected: int, connections: int, seconds: float) -> HttpRate:
    """Of `seconds`, after a fifth of it that is not counted. Raises RuntimeError for an answer of another status, or for none."""
    numbers, times, began, answers = iter(range(10**9)), list[float](), time.monotonic() + seconds / 5, 0

    async def ask() -> None:
        nonlocal answers
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (now := time.monotonic()) < began + seconds:
                writer.write(request(next(numbers)))
                await answered(reader, expected)
                answers += 1
                if now >= began:
                    times.append(time.monotonic() - now)
        finally:
            writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    if not times:
        raise RuntimeError(f"port {port} gave no answer within {seconds:g} s")
    times.sort()
    return HttpRate(len(times) / seconds, at(times, 0.5) * 1e3, at(times, 0.99) * 1e3, answers)


def at(values: Sequence[float], part: float) -> float:
    """The value below which so many of the sorted values are."""
    return values[min(len(values) - 1, int(len(values) * part))]
