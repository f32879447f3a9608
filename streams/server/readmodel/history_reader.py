"""The file in which a command reads the recorded past: a running server's, or one that it brings up to date itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import msgspec

from streams.app import App
from streams.code_digest import code_of
from streams.codec import AvroCodec
from streams.config import Config
from streams.errors import ConfigError, HistoryError, NamespaceTaken
from streams.history.stored.past_file import HistoryFile, StoreIdentity, connected
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled
from streams.kafka.clients import Clients
from streams.kafka.messages import kept_marker
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.topics import describe, topic_names
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.frontier import Frontier, read_up_to
from streams.server.readmodel.rows_at_limit import keep_rows
from streams.server.readmodel.store import StoreDoubt, Topics
from streams.server.readmodel.store_file import doubt_about, files_in_use
from streams.server.readmodel.store_high_water import fill_high_water, is_filled, put_frontier
from streams.server.readmodel.store_meta import meta_value
from streams.server.readmodel.store_schema import fingerprints

SERVERS_TURN = 0.3
"""s that a running server is given to read what has just been committed: it mostly takes milliseconds."""
LOOK_EVERY = 0.02
CHECKPOINTS_TURN = 0.3
"""s in which a command makes checkpoints that are due: the next one goes on."""
WHILE_READING, FIRST_READING = 2.0, 60.0
"""s without progress after which a server that has read on, or that reads everything, is not waited for; indexes take some."""
Progress = Callable[[int, int], None]
"""Is given how many records are read, and of how many."""


class HistoryReader:
    """Finds the file of an application's past, or makes it."""

    def __init__(self, clients: Clients, config: Config, app: App, codec: AvroCodec) -> None:
        self._clients, self._config, self._app, self._codec = clients, config, app, codec
        self._spaces = [topic_names(config.prefix, space.name) for space in app.namespaces]
        self._kinds = {space.log: ("log", space.namespace) for space in self._spaces}
        self._kinds |= {space.parked: ("parked", space.namespace) for space in self._spaces}
        self._kinds |= {space.due: ("due", space.namespace) for space in self._spaces}
        self._admin = clients.admin("retold-history")
        self._frontier = Frontier(self._kinds)

    def read(self, progress: Progress, cancelled: Cancelled = never_cancelled, *, with_times: bool = False) -> HistoryFile:
        """Up to what is committed now; `with_times`: with the high-water times up to the frontier. Raises StreamsError."""
        try:
            while (found := self._of_server(progress, cancelled, with_times=with_times) or self._own(progress, cancelled)) is None:
                pass  # a server has taken it over
            return found
        except StoreDoubt as doubt:
            raise HistoryError(f"the topics change while they are read: {doubt}. Try again once that is over") from doubt

    def _of_server(self, progress: Progress, cancelled: Cancelled, *, with_times: bool) -> HistoryFile | None:
        """The file of a server that runs and has read as far, or does so soon; None: there is none."""
        identity = StoreIdentity(self._app.name, self._config.prefix, fingerprints(self._app, self._codec))
        for file in files_in_use(self._config.state, self._config.prefix):
            try:
                with closing(connected(file)) as db:
                    if doubt_about(db, identity) is None and self._is_of_these(db) and self._catches_up(db, progress, cancelled):
                        frontier = self._frontier.of(db)
                        if not with_times or is_filled(db, frontier):
                            return HistoryFile(file, frontier, of_server=True)
            except sqlite3.Error:  # its server makes it anew, or ends
                continue
        return None

    def _is_of_these(self, db: sqlite3.Connection) -> bool:
        """Whether it is of these topics, whose ends are measured then."""
        kept = meta_value(db, "topics")
        known = msgspec.json.decode(kept or b"{}", type=Topics)
        there = describe(self._admin, list(self._kinds))
        if any(known.get(name) != (info.id, info.partitions) for name, info in there.items()):
            return False
        partitions = [(name, number) for name, info in there.items() for number in range(info.partitions)]
        self._frontier.measure(self._admin, partitions)
        return True

    def _catches_up(self, db: sqlite3.Connection, progress: Progress, cancelled: Cancelled) -> bool:
        """Wait while its server reads on: to read all once more would take longer."""
        most, since, patience = -1, time.monotonic(), SERVERS_TURN
        while True:
            [complete] = db.execute("select count(*) from meta where name = 'complete'").fetchone()
            behind = self._behind(db)
            if complete and not behind:
                return True
            read = sum(offset for offset, _ in read_up_to(db).values())
            if read > most >= 0:
                patience = WHILE_READING
            if read > most:
                most, since = read, time.monotonic()
            if time.monotonic() - since >= (patience if complete else FIRST_READING):
                return False
            raise_if_cancelled(cancelled)
            if not complete:
                total = sum(self._frontier.ends.values())
                progress(total - self._left(db), total)
            time.sleep(LOOK_EVERY)

    def _left(self, db: sqlite3.Connection) -> int:
        read = read_up_to(db)
        return sum(max(0, end - read.get((*self._kinds[at[0]], at[1]), (0, 0))[0]) for at, end in self._frontier.ends.items())

    def _behind(self, db: sqlite3.Connection) -> list[TopicAndPartition]:
        """What it lacks something of that was there when the ends were measured."""
        read, ends = read_up_to(db), self._frontier.ends
        return [at for at in ends if read.get((*self._kinds[at[0]], at[1]), (0, 0))[0] < ends[at]]

    def _own(self, progress: Progress, cancelled: Cancelled) -> HistoryFile | None:
        """A file of this machine that no server uses, brought up to date; None if a server that started has taken it over."""
        lags: dict[tuple[str, str, int], int] = {}
        most = 0

        def tell(report: FollowerReport) -> None:
            nonlocal most
            lags.update({(kind, name, part): lag for kind, name, part, lag, _ in report.lags})
            left = sum(lags.values())
            most = max(most, left)
            progress(most - left, most)

        follower = TopicFollower(
            self._clients, self._config.prefix, self._app, self._codec, self._config.state, tell, self._config.history
        )
        try:
            file = follower.read_to_ends(self._frontier.measure, cancelled, self._fill)
        except sqlite3.Error as error:
            raise ConfigError(
                f"the recorded past cannot be written to a file in {self._config.state}: {error}. Make room on its disk, or set "
                "RETOLD_STATE to another folder"
            ) from error
        if file is None:
            raise_if_cancelled(cancelled)
            return None
        with closing(connected(file)) as db:
            self._check_owner(db)
            return HistoryFile(file, self._frontier.of(db), follower.stuck)

    def _fill(self, db: sqlite3.Connection, stopped: Callable[[], bool]) -> None:
        until = self._frontier.of(db)
        while fill_high_water(db, until):
            if stopped():
                return
        put_frontier(db, until)
        deadline = time.monotonic() + CHECKPOINTS_TURN
        make_checkpoints(db, self._app, self._codec, code_of(self._app, self._codec), deadline)
        keep_rows(db, self._app, self._codec, deadline)

    def _check_owner(self, db: sqlite3.Connection) -> None:
        """Raises NamespaceTaken if another application has written these topics."""
        for name, blob in db.execute("select ns, marker from position where kind = 'table' and marker is not null"):
            if (owner := kept_marker(blob).application) != self._app.name:
                raise NamespaceTaken(
                    f"the past of {name} is that of the application {owner!r}; this is {self._app.name!r}. Name that "
                    "application in [tool.retold] or RETOLD_APP, or set RETOLD_PREFIX to the prefix of this one"
                )
