"""A server of a run, and whether its rows are those of the tables when all is handled."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER
from streams.kafka.bounded_read import headers_of
from tests.chaos.member import Member
from tests.chaos.network import Link
from tests.support.inbox import Foreign

TO_ANSWER = 60.0
"""s until a server that was killed answers, and its answers are those of the tables."""
COMPARED = 40
"""Rows of each namespace."""
BETWEEN = 0.5


class Server(Member):
    """It keeps its port when it is started again, as behind a proxy."""

    def __init__(self, env: Mapping[str, str], folder: Path, link: Link, versions: Sequence[str], version: int) -> None:
        self._port = free_port()
        super().__init__("server", "the server", {**env, "RETOLD_HTTP_PORT": str(self._port)}, folder, link, versions, version)

    def differences(self, foreign: Foreign, tick: Callable[[], None]) -> Iterator[str]:
        """Rows that it has otherwise than the tables when its time is over, in words. Nothing may be handled meanwhile."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=5.0) as http:
            for space in foreign.app.namespaces:
                rows = table_rows(foreign, space.name, space.row_type)
                chosen = random.Random(0).sample(sorted(rows), min(COMPARED, len(rows)))
                for key in chosen:
                    if found := difference(http, f"/rows/{space.name}/{key}", rows[key], tick):
                        yield found


def difference(
    http: httpx.Client, path: str, expected: Mapping[str, Any], tick: Callable[[], None], seconds: float = TO_ANSWER
) -> str:
    """What a server has there after so many s instead of what is expected, in words; empty as soon as it is that."""
    deadline, found = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            answer = http.get(path)
            if answer.status_code == httpx.codes.OK and answer.json() == expected:
                return ""
            found = f"{answer.status_code} {answer.text[:300]}"
        except httpx.HTTPError as error:
            found = repr(error)
        tick()
        time.sleep(BETWEEN)
    return f"the server has {path} otherwise than its table, {expected}: {found}"


def table_rows(foreign: Foreign, space: str, row_type: type[Any]) -> dict[str, Mapping[str, Any]]:
    """By key: as a server gives them."""
    rows: dict[str, Mapping[str, Any]] = {}
    for message in foreign.read(f"{space}-table"):
        key, value = message.key() or b"", message.value()
        if key == marker.KEY:
            continue
        name = key.decode()
        rows.pop(name, None)
        if value:
            row = msgspec.json.decode(msgspec.json.encode(foreign.codec.decode_row(row_type, value), enc_hook=dict))
            rows[name] = {"key": name, "version": int(dict(headers_of(message))[VERSION_HEADER]), "row": row}
    return rows


def free_port() -> int:
    """Another program may take it before it is used; then the server says so and ends, and the run fails."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
