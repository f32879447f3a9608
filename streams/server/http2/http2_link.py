"""What the streams of a connection write to: frames of HTTP/2, and how much of them their client takes now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

MOST_STREAMS: Final = 100
"""Requests at once on one connection."""
UNBOUNDED: Final = 2**31 - 1
LEAST_WINDOW: Final = 65_535
"""Bytes of bodies that HTTP/2 lets a client send before any of them is read: of one request, and of all of a connection."""
WINDOW: Final = 2 * LEAST_WINDOW
"""The same, as it is here for a connection: one request that is not read holds no other up."""
CONFIG: Final = H2Configuration(client_side=False, header_encoding=None)
Headers = Iterable[tuple[bytes, bytes]]


class LeftConnection(H2Connection):
    """Its client may say that it asks nothing more, and gets the answers that are still open (RFC 9113, 6.8).

    h2 itself closes a connection at once then: nothing could be sent any more, nor read what comes of a body.
    """

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:  # noqa: ARG002 - h2 gives it
        return [], [ConnectionTerminated()]


class Http2Link:
    """`paused`: the system takes nothing more now. `written`: bytes that were given to it. To be used by one event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, head_bytes: int) -> None:
        self._transport, self._loop = transport, loop
        self._h2 = LeftConnection(CONFIG)
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: head_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: LEAST_WINDOW,
            },
        )
        self.paused, self.written, self._is_due, self._sent = False, 0, False, 0

    def begin(self) -> None:
        self._h2.initiate_connection()
        # Told to the client, and seen to by whoever opens streams: h2 would end the connection, where one stream is to be refused.
        self._h2.local_settings.max_concurrent_streams = UNBOUNDED
        self._h2.local_settings.acknowledge()
        self._h2.increment_flow_control_window(WINDOW - LEAST_WINDOW)
        self.flush()

    def received(self, data: bytes) -> list[Event]:
        """What a client says. Raises ProtocolError for what is no HTTP/2."""
        return self._h2.receive_data(data)

    def flush(self) -> None:
        """Give what was made to the system."""
        self._is_due = False
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self.written += len(data)
            self._transport.write(data)

    def flush_soon(self) -> None:
        """With whatever else is made until then."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.flush)

    def room(self, stream: int) -> int:
        """Bytes that may be sent to a stream now, in one frame."""
        if self.paused:
            return 0
        return min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)

    @property
    def has_room(self) -> bool:
        """Whether something may be sent to the connection as a whole."""
        return not self.paused and self._h2.outbound_flow_control_window > 0

    def send_head(self, stream: int, headers: Headers) -> None:
        self._h2.send_headers(stream, list(headers))
        self.flush_soon()

    def send_body(self, stream: int, data: bytes, *, ends: bool) -> None:
        """No more than there is room for."""
        self._h2.send_data(stream, data, end_stream=ends)
        self._sent += 1
        self.flush()

    def take_sent(self) -> int:
        """Frames of bodies that were sent since this was asked last."""
        sent, self._sent = self._sent, 0
        return sent

    def taken(self, stream: int, count: int) -> None:
        """So many bytes of a request's body are read: its client may send as many more."""
        with suppress(ProtocolError):  # the connection was ended
            self._h2.acknowledge_received_data(count, stream)
            self.flush_soon()

    def reset(self, stream: int, code: ErrorCodes) -> None:
        with suppress(ProtocolError):  # it is closed
            self._h2.reset_stream(stream, code)
            self.flush_soon()

    def announce_end(self) -> None:
        """No new request is taken; those that are open are answered. h2 itself knows only an end at once."""
        last = self._h2.highest_inbound_stream_id
        frame = GoAwayFrame(stream_id=0, last_stream_id=last, error_code=ErrorCodes.NO_ERROR).serialize()
        self.flush()
        if not self._transport.is_closing():
            self._transport.write(frame)

    def end(self, code: ErrorCodes, why: str) -> None:
        """The connection ends now; `why` is for whoever looks for it."""
        with suppress(ProtocolError):  # h2 has said so already
            self._h2.close_connection(code, additional_data=why.encode() or None)
        self.flush()
        self._transport.close()
