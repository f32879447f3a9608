"""Where a worker shows its metrics: who may see them, and what cannot hold up the worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from streams.cli.commands.worker import environ_of
from streams.config import Config, load
from streams.errors import ConfigError
from streams.listening import ListenAddress, listen_at
from streams.worker.metrics_access import refusal_for
from streams.worker.metrics_listener import AT_ONCE, LARGEST, MetricsListener

LOCAL, TOKEN = "Host: localhost:9100", "t" * 20


def config_of(folder: Path, **variables: str) -> Config:
    return load({f"RETOLD_{name.upper()}": value for name, value in variables.items()}, start=folder)


def listener_of(config: Config, *, again: float = 10.0, seconds: float = 5.0) -> MetricsListener:
    host, token = config.worker_metrics_host, config.worker_metrics_token
    at = ListenAddress(host, config.worker_metrics_port or 0, "HOST", "PORT", "RETOLD_WORKER_METRICS_TOKEN", "worker", "see")
    listen = partial(listen_at, at, needs_token=token is not None)
    return MetricsListener(listen, lambda: b"retold_worker_rows 1\n", refusal_for(token, host), again, seconds)


def listening(config: Config, test: Callable[[MetricsListener], Awaitable[None]], **waits: float) -> None:
    async def run() -> None:
        listener = listener_of(config, **waits)
        await listener.start()
        try:
            await test(listener)
        finally:
            await listener.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


def port_of(listener: MetricsListener) -> int:
    return int(listener.url.rpartition(":")[2].partition("/")[0])


async def send(listener: MetricsListener, head: bytes) -> bytes:
    """All that is answered to it, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
    try:
        writer.write(head)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def status(listener: MetricsListener, *headers: str, line: str = "GET /metrics HTTP/1.1") -> int:
    answer = await send(listener, "\r\n".join([line, *headers, "", ""]).encode())
    return int(answer.split(b" ")[1])


def test_a_scrape_on_this_machine_needs_no_token(tmp_path: Path) -> None:
    """The whole text, with its length; HEAD has the same headers alone."""

    async def test(listener: MetricsListener) -> None:
        answer = await send(listener, f"GET /metrics?x=1 HTTP/1.1\r\n{LOCAL}\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"retold_worker_rows 1\n")
        assert b"Content-Length: 21" in head
        assert await send(listener, f"HEAD /metrics HTTP/1.1\r\n{LOCAL}\r\n\r\n".encode()) == head + b"\r\n\r\n"
        assert await status(listener, LOCAL, line="GET /rows/user HTTP/1.1") == 404
        assert await status(listener, LOCAL, line="POST /metrics HTTP/1.1") == 405

    listening(config_of(tmp_path), test)


STRANGE = ["localhost:9100@evil", "localhost:evil", "localhost:9100:1", "a@localhost", "[::1]x", "::1", "localhost, evil"]
"""What begins or ends as a name of this machine does, and is none."""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9100", "127.0.0.1.evil.example", "", ":9100", *STRANGE])
def test_a_page_that_points_its_name_here_learns_nothing(tmp_path: Path, host: str) -> None:
    """DNS rebinding: a browser would send its own host's name."""

    async def test(listener: MetricsListener) -> None:
        assert await status(listener, f"Host: {host}") == 421

    listening(config_of(tmp_path), test)


def test_with_a_token_a_scrape_shows_it(tmp_path: Path) -> None:
    """Whatever its host; nothing like it counts."""

    async def test(listener: MetricsListener) -> None:
        assert await status(listener, LOCAL) == 401
        for shown in ("Bearer nonsense", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xff", TOKEN):
            assert await status(listener, LOCAL, f"Authorization: {shown}") == 401
        assert await status(listener, "Host: other.example", f"authorization: bearer {TOKEN}") == 200

    listening(config_of(tmp_path, worker_metrics_token=TOKEN), test)


def test_no_other_machine_is_listened_to_without_a_token(tmp_path: Path) -> None:
    """The worker does not start, and says which setting it is."""
    with pytest.raises(ConfigError, match="RETOLD_WORKER_METRICS_TOKEN"):
        asyncio.run(listener_of(config_of(tmp_path, worker_metrics_host="0.0.0.0")).start())


def test_a_port_that_is_taken_is_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The worker says so and goes on without; when the port is free, there are metrics."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        async def test(listener: MetricsListener) -> None:
            assert listener.url == ""
            assert f"the port {port} of 127.0.0.1 is in use" in capsys.readouterr().out
            other.close()
            while not listener.url:
                await asyncio.sleep(0.01)
            assert await status(listener, LOCAL) == 200

        listening(config_of(tmp_path, worker_metrics_port=str(port)), test, again=0.05)


def test_a_head_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    """Nor one that is none."""

    async def test(listener: MetricsListener) -> None:
        assert await send(listener, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 2 * LARGEST) == b""
        assert (await send(listener, b"\x16\x03\x01\r\n\r\n")).startswith(b"HTTP/1.1 421")
        assert await status(listener, LOCAL) == 200

    listening(config_of(tmp_path), test)


def test_connections_that_say_nothing_are_few_and_end(tmp_path: Path) -> None:
    """So many at a time, and each for some seconds; then others are answered again."""

    async def test(listener: MetricsListener) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port_of(listener)) for _ in range(AT_ONCE)]
        assert await send(listener, f"GET /metrics HTTP/1.1\r\n{LOCAL}\r\n\r\n".encode()) == b""
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
        assert await status(listener, LOCAL) == 200

    listening(config_of(tmp_path), test, seconds=0.5)


def test_each_process_has_a_port_of_its_own(tmp_path: Path) -> None:
    """Of `--processes`: the one that is set, and those that follow; a free one each, or none, stays as it is."""
    config = config_of(tmp_path, worker_metrics_port="9100")
    ports = [environ["RETOLD_WORKER_METRICS_PORT"] for number in range(3) if (environ := environ_of(config, number)) is not None]
    assert ports == ["9100", "9101", "9102"]
    assert [environ_of(config_of(tmp_path, worker_metrics_port=port), 1) for port in ("0", "")] == [None, None]
    with pytest.raises(ConfigError, match="a lower one was expected"):
        environ_of(config_of(tmp_path, worker_metrics_port="65535"), 1)
