"""An answer of JSON that is whole, and whose headers are ours alone."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response


class PlainAnswer(Response):
    """As a Response makes it, in fewer steps: a publisher waits for each."""

    media_type = "application/json"

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code, self.body, self.background = status, body, None
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        self.raw_headers = [*raw, (b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
