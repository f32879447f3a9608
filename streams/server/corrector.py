"""Plans and applies corrections for a server, with what `retold correct` uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.errors import HistoryError
from streams.history.correction.correction_calls import CorrectionCall
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.past import Past
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.kafka.clients import Clients
from streams.kafka.coordinator_name import own_name
from streams.kafka.correction_calls_topic import close_call
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.correction_lock import the_only_one
from streams.kafka.corrections_topic import CorrectionState, ensure_corrections
from streams.kafka.watched_corrections import WatchedCorrections
from streams.server.correction_attempt import CorrectionAttempt, CorrectionAttempts
from streams.server.readmodel.history_reader import HistoryReader
from streams.server.readmodel.store_readers import OpenedFile


class OpenedLog(NamedTuple):
    """The log up to what is committed; to be used within its block, by one thread."""

    past: StoredPast

    @property
    def file(self) -> OpenedFile:
        """Where it is, for a process of its own; a file of the same name that is made later has another number."""
        [path] = [name for _, schema, name in self.past.db.execute("pragma database_list") if schema == "main"]
        return OpenedFile(path, Path(path).stat().st_ino)


class Corrector(Protocol):
    """Every call but `attempt` and `end` may block for seconds; all may be made from several threads.

    All raise BrokerError; those that read the log HistoryError, if not all of it can be read.
    """

    def log(self) -> AbstractContextManager[OpenedLog]: ...

    def states(self) -> list[CorrectionState]:
        """All corrections and plans that are kept, in their order."""

    def calls(self) -> Mapping[str, CorrectionCall]:
        """Calls of gateways that corrections have made wrong, by the reference of the request."""

    def keep(self, plan: CorrectionPlan) -> None:
        """Keep a plan, to be applied by its id."""

    def apply(self, state: CorrectionState, calls: str | None) -> CorrectionAttempt:
        """Begin to apply it, or go on, in the background. Raises StalePlan while this server applies another one."""

    def attempt(self, correction: str) -> CorrectionAttempt | None:
        """The last attempt of this server, if it was of this correction."""

    def withdraw(self, correction: str) -> None:
        """Raises StalePlan for one that may have changed anything."""

    def close_call(self, request: str, by: str, why: str) -> CorrectionCall:
        """Say that a person has seen to an open call. Raises StalePlan if there is none of this request."""

    def end(self) -> None:
        """The server stops: so does its coordinator, and whoever comes next need not wait for it."""


class KafkaCorrector:
    """A Corrector. `stopping` is set when the server stops, `changed` is called whenever an attempt goes on."""

    def __init__(
        self, clients: Clients, config: Config, app: App, codec: AvroCodec, stopping: threading.Event, changed: Callable[[], None]
    ) -> None:
        self._clients, self._config, self._app, self._codec = clients, config, app, codec
        self._stopping, self._attempts = stopping, CorrectionAttempts(changed)
        self._turn, self._topic = threading.Lock(), WatchedCorrections(clients, clients.admin(), config.prefix, app.name)
        self.attempt, self.end = self._attempts.of, self._attempts.end

    @contextmanager
    def log(self) -> Iterator[OpenedLog]:
        reader = HistoryReader(self._clients, self._config, self._app, self._codec)
        source = reader.read(lambda *_: None, self._stopping.is_set)
        if source.stuck:
            raise HistoryError(f"the past cannot be corrected, since not all of it can be read: {source.stuck[0]}")
        with closing(source.connect()) as db:
            learn_schemas(db, self._codec)
            yield OpenedLog(StoredPast(db, self._codec))

    @contextmanager
    def _recorded(self) -> Iterator[Past]:
        with self.log() as opened:
            yield opened.past

    def states(self) -> list[CorrectionState]:
        with self._turn:
            return self._topic.look().states

    def calls(self) -> Mapping[str, CorrectionCall]:
        with self._turn:
            return self._topic.calls()

    def keep(self, plan: CorrectionPlan) -> None:
        self._coordinator().keep(plan)

    def apply(self, state: CorrectionState, calls: str | None) -> CorrectionAttempt:
        def apply(begun: Callable[[], None]) -> None:
            with the_only_one(self._config.state):
                self._coordinator().apply(state, calls, begun)

        return self._attempts.begin(state.correction, calls, apply)

    def withdraw(self, correction: str) -> None:
        with the_only_one(self._config.state):
            self._coordinator().withdraw(correction)

    def close_call(self, request: str, by: str, why: str) -> CorrectionCall:
        return close_call(self._clients, self._config.prefix, self._app.name, request, by, why)

    def _coordinator(self) -> CorrectionCoordinator:
        """One for each correction."""
        ensure_corrections(self._clients.admin(), self._config, [space.name for space in self._app.namespaces])
        return CorrectionCoordinator(
            self._clients, self._config.prefix, self._app, self._codec, self._recorded, name=own_name(),
            largest=self._config.max_event_bytes, stopped=self._stopping.is_set,
        )  # fmt: skip
