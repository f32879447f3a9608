"""`GET /live/NAMESPACE` and `GET /live/NAMESPACE/KEY`: the event log as it grows, as server-sent events.

The id of an event is the stream's position in each partition, `0:12,1:40`, so any server of the application can continue it
(`stream_places.py`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streams.errors import BrokerError, UnsupportedSchema
from streams.history.recorded_event import NamespacePartition
from streams.kafka.messages import LogEvent
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import position, ready, standing
from streams.server.http.logged_events import shown
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.permitted_rows import KeyOfTable, hidden_keys
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.shared_stream import pieces_of
from streams.server.http.snapshot import refuse_new
from streams.server.http.stream_places import Places, StreamPlaces
from streams.server.http.stream_text import KEEP_ALIVE, MEDIA_TYPE, RETRY, StreamEvent, text_of
from streams.server.http.table_rows import known_namespace
from streams.server.http.watchers import Watcher, refuse_more_streams
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_readers import StoreAway

EVENTS_PER_READ = 200
ALIVE = 15.0
"""s of silence after which a comment is sent, so that proxies keep the connection."""
STOP = 0.5
CATCH_UP_TIMEOUT = 5.0
"""s that a client's position may be ahead of this server's, after another server."""


async def of_namespace(request: Request) -> Response:
    parts, namespace = parts_of(request), request.path_params["namespace"]
    return await _respond(request, parts, namespace, None)


async def of_key(request: Request) -> Response:
    parts = parts_of(request)
    namespace, key = request.path_params["namespace"], request.path_params["key"]
    if key == "":
        raise Problem(404, f"no key is empty; /live/{namespace[:100]} is the log of all keys")
    return await _respond(request, parts, namespace, key)


async def _respond(request: Request, parts: ServerParts, namespace: str, key: str | None) -> Response:
    known_namespace(parts, namespace)
    origin = known_params(request.query_params.multi_items(), "_from").get("_from", "now")
    model = ready(parts)
    refuse_new(model, namespace)
    partitions = model.partitions([namespace]) if key is None else [model.partition_of(namespace, key)]
    places = StreamPlaces(partitions, principal_of(request), parts.console_secret)
    stream = Stream(parts, partitions, key, await _begin(request, parts, places, partitions, origin), places, request.state)
    refuse_more_streams(parts, principal_of(request))
    position_headers = {} if places.is_sealed else standing(model, ("log",), partitions).headers
    headers = {**position_headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream.lines(), headers=headers, media_type=MEDIA_TYPE)


async def _begin(
    request: Request, parts: ServerParts, places: StreamPlaces, partitions: list[NamespacePartition], origin: str
) -> Places:
    """The client's position in each partition: from Last-Event-ID, from `_from=beginning`, or the present one."""
    model, text = parts.model, request.headers.get("last-event-id")
    if origin not in ("now", "beginning"):
        raise Problem(422, f"_from is {origin[:80]!r}; now or beginning was expected", field="_from")
    if text is None:
        return {partition: 0 if origin == "beginning" else model.log_position(partition) for partition in partitions}
    known = places.read(text)
    await _reached(parts, known, text, is_told=not places.is_sealed)
    if any(known[partition] < sequence for partition, sequence in model.left_out(partitions).items()):
        raise Problem(
            422, f"Last-Event-ID is {text[:100]!r}; events behind it are not kept here any more, by the setting history. Begin "
            "without it", field="Last-Event-ID",
        )  # fmt: skip
    return known


async def _reached(parts: ServerParts, known: Places, text: str, *, is_told: bool) -> None:
    """Wait for the client's position: another server may have been ahead of this one while it lags or is stuck.

    Raises a 422 problem for the id of another log, such as one before the topic was recreated: the stream would stay silent.
    """
    model = parts.model

    def look() -> bool | None:
        there = all(model.log_position(partition) >= sequence for partition, sequence in known.items())
        return there or model.waits is not None or None

    reached = await until(model.notifier, look, CATCH_UP_TIMEOUT)
    ready(parts)  # the model may have been reset meanwhile
    if reached is None and model.lag(["log"], [*known]) == 0 and not model.faults:
        end = ",".join(f"{partition[1]}:{model.log_position(partition)}" for partition in known)
        ends = f"the log ends at {end}" if is_told else "the log ends before it"
        raise Problem(
            422, f"Last-Event-ID is {text[:100]!r}, and {ends}: it is of another log. Begin without it",
            field="Last-Event-ID", kind="other-log",
        )  # fmt: skip


class Stream:
    """One client's stream. It has no queue: it reads from the read model's file at its own pace.

    `client` is what the guard has found out: the stream ends when that is over. Events of rows that are not there for it are left
    out, so an event is told only when its row is here, too.
    """

    def __init__(
        self, parts: ServerParts, partitions: list[NamespacePartition], key: str | None, begin: Places, places: StreamPlaces,
        client: State,
    ) -> None:  # fmt: skip
        self._parts, self._partitions, self._key, self._at, self._client = parts, partitions, key, begin, client
        self._hidden, self._places = set[KeyOfTable](), places
        self._restricted = partitions[0][0] in client.principal.only
        self._kinds = ("table", "log") if self._restricted else ("log",)

    async def lines(self) -> AsyncIterator[bytes]:
        watching = Watcher(self._client.principal)
        self._parts.watching.add(watching)
        try:
            yield RETRY + text_of([StreamEvent("", b"", self._id())])
            silent = 0.0
            while not self._parts.stopping.is_set():
                events = await self._next()
                if not self._client.lasts():
                    return
                told = False
                for text in pieces_of(filter(None, map(self._line, events))):
                    yield text
                    told = True
                if told:
                    silent = 0.0
                elif (silent := silent + STOP) >= ALIVE:
                    silent = 0.0
                    yield KEEP_ALIVE
        finally:
            self._parts.watching.discard(watching)

    async def _next(self) -> list[LogEvent]:
        """The next events, in order per partition; none after half a second of silence."""
        behind = await until(self._parts.model.notifier, self._behind, STOP)
        if not behind:
            return []
        try:
            return await in_thread(self._parts.pools.memory, self._read, behind)
        except UnsupportedSchema:
            with suppress(BrokerError):  # it is asked again
                await in_thread(self._parts.pools.kafka, self._parts.archive.learn)
        except (StoreAway, sqlite3.Error):
            pass  # soon there is another file
        await asyncio.sleep(STOP)
        return []

    def _behind(self) -> dict[NamespacePartition, int] | None:
        """The ends of the logs that have more than this stream."""
        ends = {at: position(self._parts.model, self._kinds, at) for at in self._partitions}
        return {partition: end for partition, end in ends.items() if end > self._at[partition]} or None

    def _read(self, behind: Mapping[NamespacePartition, int]) -> list[LogEvent]:
        found: list[LogEvent] = []
        for partition, end in behind.items():
            events = self._parts.model.events(partition, self._at[partition], EVENTS_PER_READ, self._key)
            if self._restricted:
                events = [event for event in events if event.sequence <= end]
            if not events:  # all of them are of other keys
                self._at[partition] = max(self._at[partition], end)
            found += events
        found.sort(key=lambda event: (event.recorded, event.partition, event.sequence))
        self._hidden = hidden_keys(self._parts, self._client.principal, ((it.namespace, it.event.key) for it in found))
        return found

    def _line(self, event: LogEvent) -> bytes:
        """An event's text, empty if it is left out; moves the position."""
        at = event.namespace, event.partition
        self._at[at] = max(self._at[at], event.sequence)
        if (event.namespace, event.event.key) in self._hidden:
            return b""
        return text_of([StreamEvent("", to_json(shown(event)), self._id())])

    def _id(self) -> str:
        return self._places.text(self._at)
