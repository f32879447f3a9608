"""A client of HTTP/2 that does what a test tells it, and nothing more: it takes no answer that nobody reads."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

Pairs = tuple[tuple[str, str], ...]


class Http2Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Http2Client:
    """Leaving the block closes it. `takes`: whether it makes room for more of what it has read, as every client does."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None, *, window: int = 65_535) -> None:
        raw = socket.create_connection(address, timeout=20)
        self.socket = raw if tls is None else tls.wrap_socket(raw, server_hostname="localhost")
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.takes, self.is_over, self.why = True, False, ""
        self._found: list[Event] = []
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0})
        self.send()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def send(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET", body: bytes | None = None, ends: bool = True) -> int:
        """Sends a request, and its body as far as it is given."""
        number = self.h2.get_next_available_stream_id()
        common = ((":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost"))
        given = [(name, value) for name, value in common if name not in dict(headers)] + [*headers]
        self.h2.send_headers(number, sorted(given, key=lambda it: it[0][:1] != ":"), end_stream=ends and body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=ends)
        self.send()
        return number

    def events(self, seconds: float = 20.0) -> Iterator[Event]:
        """What comes in this time; it ends with the connection, which then `is_over`."""
        until = time.monotonic() + seconds
        while not self.is_over:
            while self._found:
                event = self._found.pop(0)
                if isinstance(event, ConnectionTerminated):
                    self.why = (event.additional_data or b"").decode()
                yield event
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                data = self.socket.recv(65_536)
            except TimeoutError:
                return
            except (ConnectionError, ssl.SSLError):
                data = b""
            self.is_over = not data
            self._found = self.h2.receive_data(data) if data else []
            for event in self._found:
                if self.takes and isinstance(event, DataReceived) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            with suppress(ConnectionError, ssl.SSLError):  # what the server said last is still to be read
                self.send()

    def answer(self, number: int, seconds: float = 20.0) -> Http2Answer | str:
        """The whole answer to a request; or `reset`, or `closed`, or `nothing`, if it does not come."""
        status, headers, body = 0, dict[str, str](), b""
        for event in self.events(seconds):
            match event:
                case ResponseReceived(stream_id=stream) if stream == number:
                    headers = {str(name): str(value) for name, value in event.headers}
                    status = int(headers.pop(":status"))
                case DataReceived(stream_id=stream) if stream == number:
                    body += event.data
                case StreamEnded(stream_id=stream) if stream == number:
                    return Http2Answer(status, headers, body)
                case StreamReset(stream_id=stream) if stream == number:
                    return "reset"
        return "closed" if self.is_over else "nothing"

    def got(self, path: str, *headers: tuple[str, str], method: str = "GET", body: bytes | None = None) -> Http2Answer:
        found = self.answer(self.ask(path, *headers, method=method, body=body))
        assert isinstance(found, Http2Answer), found
        return found

    def data(self, number: int, seconds: float = 20.0) -> bytes:
        """The next part of an answer's body."""
        return next((it.data for it in self.events(seconds) if isinstance(it, DataReceived) and it.stream_id == number), b"")
