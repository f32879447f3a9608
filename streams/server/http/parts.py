"""What the routes need, and the interfaces through which they use Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Protocol

from starlette.requests import Request

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.data import EventData
from streams.engine.control import OperatorCommand
from streams.history.correction.told_correction import ToldCorrections
from streams.history.recorded_event import NamespacePartition
from streams.kafka.parked import InboxOffset
from streams.kafka.status import Status
from streams.namespace import FIRST
from streams.query.declared_indexes import TableIndex
from streams.receipt import Receipt
from streams.server.access.console_secret import console_secret
from streams.server.access.principals import Principals
from streams.server.access.request_rates import Rates, RequestRates
from streams.server.connections import Connections
from streams.server.corrector import Corrector
from streams.server.http.changed_rows import WatchedTables
from streams.server.http.confirming import Confirming, Tells
from streams.server.http.logged_events import NewEvents
from streams.server.http.pools import Pools, in_thread
from streams.server.http.questions import Questions
from streams.server.http.shared_stream import Host, SharedStreams, Threads
from streams.server.processes.summed_figures import Family
from streams.server.readmodel.known_outcome import KnownOutcome
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.observed_status import ObservedStatus
from streams.server.readmodel.state_counts import StateCounts


class Publisher(Protocol):
    """The interface of a client. `publish` and `confirm` may block for seconds and are made from several threads."""

    def publish(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt: ...

    def confirm(self, receipt: Receipt, timeout: float = 10.0) -> None:
        """Raises BrokerError or OutcomeTimeout unless the broker has the event."""

    def publish_at_once(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
        traceparent: str | None = None,
        content: bytes | None = None,
    ) -> Receipt | None:
        """As `publish`; None if it would block, and nothing was published. Made by the event loop. `content`: `data`, encoded."""

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        """Have `call` called in some thread once `confirm` would not block. Of one receipt by one thread at a time."""


class Archive(Protocol):
    """Reads Kafka for what is not in the read model, and tells workers what an operator decides.

    Every call may block for seconds; all may be made from several threads.
    """

    def learn(self) -> None:
        """Make known to the codec whatever schemas were published."""

    def receipt(self, partition: NamespacePartition, offset: int) -> Receipt | None:
        """The receipt of an inbox record; None if there is none at this offset, or no longer."""

    def data(self, partition: NamespacePartition, offset: int) -> EventData | None:
        """The event in an inbox record; None as for a receipt, and for what does not read here."""

    def became(self, receipt: Receipt) -> KnownOutcome | None:
        """The event's outcome, from Kafka; None if it is not known."""

    def status(self) -> Status: ...

    def command(self, namespace: str, command: OperatorCommand) -> InboxOffset:
        """Send it to the partition of its key; returns where it is in the inbox. Raises BrokerError."""

    def schemas(self) -> Mapping[int, str]:
        """The canonical text of every published schema, by id."""


class Siblings(Protocol):
    """The other HTTP processes of this server. Both calls may block for seconds."""

    def first(self, publisher: Tells, event_id: str, digest: bytes, publish: Callable[[], Receipt]) -> Receipt:
        """The receipt of the first request with this id at any process. Raises OtherRequest, BrokerError, or as `publish`."""

    def all_figures(self) -> list[Family]:
        """The metrics of all of them together. Raises BrokerError."""

    def end(self) -> None:
        """This process answers nothing any more. Until then it hears of the others, also when it stops."""

    own_figures: Callable[[], list[Family]]
    """Asked for those of this one; called by any thread."""


class Watching(Protocol):
    """An open stream; `holder` is the name of its principal."""

    holder: str


@dataclass(frozen=True)
class ServerParts:
    """`stopping` is set when the server stops, which ends streams. `watching` has the open streams."""

    app: App
    config: Config
    codec: AvroCodec
    model: ReadModel
    publisher: Publisher
    archive: Archive
    questions: Questions
    stopping: threading.Event = field(default_factory=threading.Event)
    watching: set[Watching] = field(default_factory=set)
    pools: Pools = field(default_factory=Pools)
    states: StateCounts = field(default_factory=StateCounts)
    observed: ObservedStatus = field(default_factory=ObservedStatus)
    connections: Connections = field(default_factory=Connections)
    rates: Rates = field(default_factory=RequestRates)
    told: ToldCorrections = field(default_factory=ToldCorrections)
    corrector: Corrector | None = None
    """None: nothing is corrected over HTTP."""
    link: Siblings | None = None
    """None: this process is the whole server."""
    moved: Callable[[], str] = str
    """Says where a broker that does not answer is now."""

    def __post_init__(self) -> None:
        self.questions.refused = self.connections.refused  # one counter for all that is not served

    @cached_property
    def indexes(self) -> Mapping[str, Sequence[TableIndex]]:
        """By table, those that the application declares."""
        found = {it.name: it.indexes for it in self.app.namespaces}
        return found | {it.name: it.indexes for it in self.app.projections}

    @cached_property
    def shared_streams(self) -> SharedStreams:
        return SharedStreams(Host(self.model.notifier, self.stopping, self.connections.refused))

    @cached_property
    def confirming(self) -> Confirming:
        return Confirming(self.publisher)

    @cached_property
    def watched_tables(self) -> WatchedTables:
        return WatchedTables(self.model)

    @cached_property
    def new_events(self) -> NewEvents:
        return NewEvents(self.model)

    @cached_property
    def watching_threads(self) -> Threads:
        """For streams of rows and events: who comes may look through a table, and who is there already does not wait for it."""
        return Threads(partial(in_thread, self.pools.memory), partial(in_thread, self.pools.watching))

    @cached_property
    def principals(self) -> Principals:
        return Principals(self.config, self.app)

    @cached_property
    def console_secret(self) -> bytes:
        return console_secret(self.config)

    def row_etag(self, namespace: str, version: int) -> str:
        """`"<version>.<id of the row's schema>"`, which each later generation adds 1 to.

        A deployment may change a row's body and leave its version (rule 16), by another schema or by other handlers.
        """
        if namespace in self.model.reshaped:  # the row is as its former schema or generation has it
            return f'"{version}.0"'
        space = self.app.namespace(namespace)
        return f'"{version}.{self.codec.newest_id(space.row_type) + space.generation - FIRST}"'


def parts_of(request: Request) -> ServerParts:
    """What the server has that is asked."""
    found: ServerParts = request.app.state.parts
    return found
