"""Streams of a running server: how soon an event is seen by who watches, and what a thousand watchers cost.

`python -m ops.bench.watching http://127.0.0.1:8080 PID` publishes the demonstration's sign-ups to a server of that process. Its
RETOLD_HTTP_CONNECTIONS_PER_PEER must be larger than the number of watchers, and no token be needed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

RATES = (10, 2_000)
"""Events that are published a second."""
WATCHERS = (1, 1_000)
SECONDS = 10.0
BATCH = 100
"""Events of one request at the most."""
STREAM = b"GET /rows/user?_from=now HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
POST = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"


class Watchers:
    """Clients of one address. Each row's key has the time when it was published."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.messages, self.late = 0, list[float]()

    async def watch(self, *, measures: bool) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        try:
            writer.write(STREAM)
            async for line in reader:
                if line.startswith(b"data: "):
                    self.messages += 1
                    if measures:
                        key = msgspec.json.decode(line[6:])["key"]
                        self.late.append(time.time() - float(key.partition("-")[0]))
        finally:
            writer.close()


async def publish(host: str, port: int, rate: int, seconds: float) -> int:
    """How many were published. Those of a twentieth of a second go in one request."""
    reader, writer = await asyncio.open_connection(host, port)
    sent, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = min(BATCH, int(rate * passed) + 1 - sent)
        if due > 0:
            lines = b"\n".join(_line(sent + number) for number in range(due))
            writer.write(POST % len(lines) + lines)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 202 " not in answer.partition(b"\r\n")[0]:
                raise SystemExit(answer.decode())
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            sent += due
        await asyncio.sleep(0.05 if rate > 20 else 1 / rate / 4)
    writer.close()
    return sent


def _line(number: int) -> bytes:
    user = f"{time.time():.6f}-{number}"
    return msgspec.json.encode({"type": "user.signup", "data": {"user": user, "email": f"{number}@example.org"}})


def used(pid: int) -> tuple[float, float]:
    """Memory in MB, and CPU in s, of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [memory] = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return memory, (int(fields[11]) + int(fields[12])) / 100


async def measure(host: str, port: int, pid: int, rate: int, count: int, seconds: float = SECONDS) -> str:
    """One line of figures."""
    watchers, (before, _) = Watchers(host, port), used(pid)
    tasks = [asyncio.create_task(watchers.watch(measures=number % 10 == 0)) for number in range(count)]
    await asyncio.sleep(3.0)
    memory, cpu = used(pid)
    sent = await publish(host, port, rate, seconds)
    await asyncio.sleep(1.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    told, late = used(pid), sorted(watchers.late)
    if not late:
        raise SystemExit("nobody was told anything")
    return (
        f"{count} watchers, {rate}/s: {sent} published, {watchers.messages / seconds:,.0f} messages/s, "
        f"p50 {at(late, 0.5) * 1e3:.0f} ms, p99 {at(late, 0.99) * 1e3:.0f} ms, "
        f"memory {before:.0f} -> {max(memory, told[0]):.0f} MB, CPU {(told[1] - cpu) / seconds:.0%} of a core"
    )


def at(values: Sequence[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))]


def main() -> None:
    url, pid = urlsplit(sys.argv[1]), int(sys.argv[2])
    for count in WATCHERS:
        for rate in RATES:
            print(asyncio.run(measure(url.hostname or "", url.port or 0, pid, rate, count)))


if __name__ == "__main__":
    main()
