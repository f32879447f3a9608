"""The window of an HTTP/2 connection: what of a body its client may send, however the requests before it have ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from streams.server.connections import Connections
from streams.server.http2.http2_link import MOST_STREAMS, WINDOW
from streams.server.http2.http2_protocol import ENDING, Http2Protocol

HEAD = ((":method", "POST"), (":scheme", "http"), (":authority", "localhost"))


class Wire(asyncio.Transport):
    """What is written to it is in `written`."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self._closes = bytearray(), False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closes

    def close(self) -> None:
        self._closes = True


class Upload(NamedTuple):
    """`late`: bytes that are sent when the application has had its turn. `ending`: what its client does then."""

    path: str
    sizes: tuple[int, ...]
    padding: int
    late: int
    ending: str


class Connection:
    """A client and a server in one process; nothing is between them."""

    def __init__(self) -> None:
        self.wire, self.client = Wire(), H2Connection(H2Configuration(client_side=True))
        self.is_late = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.server = Http2Protocol(
            SimpleNamespace(  # type: ignore[arg-type]  # all of a connection that it takes over
                register=Connections(), peer="", since=loop.time(), loop=loop, app=self.answer, server_state=ServerState(),
                transport=self.wire, beneath=None, is_spare=False, server=None, client=None, scheme="http",
            )
        )  # fmt: skip
        self.client.initiate_connection()
        self.server.begin(b"")

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Does what the path says: `waits` until its client is gone, and is `busy` for longer than a body may take."""
        path = scope["path"]
        if path == "/raises":
            raise ValueError
        while path in ("/whole", "/waits"):
            message = await receive()
            if message["type"] == "http.disconnect" or (path == "/whole" and not message["more_body"]):
                break
        if path == "/part":
            await receive()
        if path == "/busy":
            await self.is_late.wait()
        if path == "/silent":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path != "/half":
            await send({"type": "http.response.body", "body": b"x"})

    async def exchange(self) -> None:
        """Until neither has anything to say."""
        for _ in range(6):
            if data := self.client.data_to_send():
                self.server.data_received(data)
            await asyncio.sleep(0)
            said, self.wire.written = bytes(self.wire.written), bytearray()
            self.client.receive_data(said)

    def send(self, number: int, size: int, padding: int) -> None:
        """As much of it as the window takes."""
        room = min(self.client.local_flow_control_window(number), self.client.max_outbound_frame_size) - padding - 1
        if room > 0:
            self.client.send_data(number, b"x" * min(size, room), pad_length=padding)

    async def upload(self, upload: Upload) -> int:
        number = self.client.get_next_available_stream_id()
        self.client.send_headers(number, [*HEAD, (":path", upload.path)])
        for size in upload.sizes:
            self.send(number, size, upload.padding)
        if upload.ending == "reset at once":
            self.client.reset_stream(number, ErrorCodes.CANCEL)
        await self.exchange()
        with suppress(StreamClosedError):  # the server has reset it
            self.send(number, upload.late, upload.padding)
            if upload.ending == "end":
                self.client.end_stream(number)
            elif upload.ending == "reset":
                self.client.reset_stream(number, ErrorCodes.CANCEL)
        await self.exchange()
        return number

    async def end_all(self, numbers: list[int]) -> None:
        """By the time that a body may take; by their client, where the application waits for it."""
        if not self.server.is_idle:  # a connection that is would be ended
            self.server.look(asyncio.get_running_loop().time() + 1_000)
        await self.exchange()
        self.is_late.set()
        for number in numbers:
            with suppress(StreamClosedError):  # it has ended
                self.client.reset_stream(number)
        await self.exchange()

    @property
    def kept(self) -> int:
        """Bytes that h2 neither has in the window nor will put there with the next ones."""
        manager = self.server._link._h2._inbound_flow_control_window_manager
        return WINDOW - manager.current_window_size - manager._bytes_processed


PATHS = ("/whole", "/part", "/none", "/half", "/raises", "/silent", "/waits", "/busy", "no path")
ENDINGS = ("end", "reset at once", "reset", "nothing")
UPLOADS = st.builds(
    Upload,
    st.sampled_from(PATHS),
    st.lists(st.integers(0, 16_000), max_size=4).map(tuple),
    st.sampled_from([0, 1, 255]),
    st.integers(0, 9_000),
    st.sampled_from(ENDINGS),
)


@given(uploads=st.lists(UPLOADS, max_size=8))
@example(uploads=[Upload(path, (5_000, 3), 7, 900, ending) for path in PATHS for ending in ENDINGS])
def test_the_window_is_whole_once_all_requests_have_ended(uploads: list[Upload]) -> None:
    """However they ended: read or not, answered or not, reset by either side, or by the time that a body may take."""

    async def run() -> None:
        connection = Connection()
        numbers = [await connection.upload(upload) for upload in uploads]
        await connection.end_all(numbers)
        assert connection.server.is_idle
        assert connection.kept == 0
        assert connection.client.outbound_flow_control_window > WINDOW // 2

    asyncio.run(run())


def test_requests_that_are_not_taken_leave_the_window_whole() -> None:
    """Those that are more than were agreed on: their bodies were on the way."""

    async def run() -> None:
        connection = Connection()
        await connection.exchange()
        connection.client.remote_settings.max_concurrent_streams = 1_000
        connection.client.remote_settings.acknowledge()
        uploads = [Upload("/waits", (300,), 0, 200, "nothing")] * (MOST_STREAMS + ENDING + 20)
        numbers = [await connection.upload(upload) for upload in uploads]
        assert connection.kept == 0
        await connection.end_all(numbers)
        assert connection.server.is_idle
        assert connection.kept == 0

    asyncio.run(run())
