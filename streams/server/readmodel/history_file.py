"""The file in which a command reads the recorded past: a running server's, or one that it brings up to date itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.errors import ConfigError, HistoryError, NamespaceTaken
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.messages import kept_marker
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, stable_ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import describe, topic_names
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.store import StoreDoubt, Topics
from streams.server.readmodel.store_file import StoreIdentity, doubt_about, files_in_use
from streams.server.readmodel.store_schema import fingerprints

SERVERS_TURN = 0.3
"""s that a running server is given to read what has just been committed: it mostly takes milliseconds."""
LOOK_EVERY = 0.02
IDLE = 5_000_000
"""µs by which a worker's clock, or its open transaction, may be behind: before that nothing more comes to an idle partition."""

Progress = Callable[[int, int], None]
"""Is given how many records are read, and of how many."""


class HistoryFile(msgspec.Struct, frozen=True):
    """A file that has all that was committed when it was asked for.

    `frontier` (µs since 1970): nothing that was recorded until then can change any more (rule 18). `stuck` says which logs
    could not be read to their ends, and why. `of_server`: a running server writes it.
    """

    file: Path
    frontier: int
    stuck: Sequence[str] = ()
    of_server: bool = False

    def connect(self) -> sqlite3.Connection:
        """A connection that reads. Raises HistoryError if that is not possible."""
        return _connected(self.file)


class HistoryReader:
    """Finds the file of an application's past, or makes it."""

    def __init__(self, clients: Clients, config: Config, app: App, codec: AvroCodec) -> None:
        self._clients, self._config, self._app, self._codec = clients, config, app, codec
        self._spaces = [topic_names(config.prefix, space.name) for space in app.namespaces]
        self._kinds = {space.log: ("log", space.namespace) for space in self._spaces}
        self._kinds |= {space.parked: ("parked", space.namespace) for space in self._spaces}
        self._kinds |= {space.due: ("due", space.namespace) for space in self._spaces}
        self._admin = clients.admin("retold-history")
        self._ends: Offsets = {}
        self._last: Offsets = {}
        """The ends with what an open transaction still hides."""
        self._asked = 0.0

    def read(self, progress: Progress, cancelled: Cancelled = never_cancelled) -> HistoryFile:
        """Up to what is committed now. Raises StreamsError."""
        try:
            return self._of_server() or self._own(progress, cancelled)
        except StoreDoubt as doubt:
            raise HistoryError(f"the topics change while they are read: {doubt}. Try again once that is over") from doubt

    def _of_server(self) -> HistoryFile | None:
        """The file of a server that runs and has read as far; None: there is none."""
        identity = StoreIdentity(self._app.name, self._config.prefix, fingerprints(self._app, self._codec))
        for file in files_in_use(self._config.state, self._config.prefix):
            try:
                with closing(_connected(file)) as db:
                    if doubt_about(db, identity) is None and self._is_complete(db) and self._catches_up(db):
                        return HistoryFile(file, self._frontier(db), of_server=True)
            except sqlite3.Error:  # its server makes it anew, or ends
                continue
        return None

    def _is_complete(self, db: sqlite3.Connection) -> bool:
        """Whether it is of these topics, and all that there was has been read once."""
        meta = dict(db.execute("select name, value from meta").fetchall())
        known = msgspec.json.decode(meta.get("topics") or b"{}", type=Topics)
        there = describe(self._admin, list(self._kinds))
        if not meta.get("complete") or any(known.get(name) != (info.id, info.partitions) for name, info in there.items()):
            return False
        self._measure(self._admin, [(name, number) for name, info in there.items() for number in range(info.partitions)])
        return True

    def _catches_up(self, db: sqlite3.Connection) -> bool:
        deadline = time.monotonic() + SERVERS_TURN
        while self._behind(db):
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_EVERY)
        return True

    def _behind(self, db: sqlite3.Connection) -> list[TopicAndPartition]:
        """What it lacks something of that was there when the ends were measured."""
        read = _read_up_to(db)
        return [at for at in self._ends if read.get((*self._kinds[at[0]], at[1]), (0, 0))[0] < self._ends[at]]

    def _measure(self, admin: Admin, partitions: Sequence[TopicAndPartition]) -> Offsets:
        """The ends of what is committed, and when they were asked for.

        The others come first: so an end before one of these means an open transaction, and not a newer record.
        """
        self._asked = time.time()
        self._last = ends(admin, partitions)
        self._ends = stable_ends(admin, partitions)
        return self._ends

    def _own(self, progress: Progress, cancelled: Cancelled) -> HistoryFile:
        """A file of this machine that no server uses, brought up to date."""
        lags: dict[tuple[str, str, int], int] = {}
        most = 0

        def tell(report: FollowerReport) -> None:
            nonlocal most
            lags.update({(kind, name, part): lag for kind, name, part, lag, _ in report.lags})
            left = sum(lags.values())
            most = max(most, left)
            progress(most - left, most)

        follower = TopicFollower(
            self._clients, self._config.prefix, self._app, self._codec, self._config.state, tell
        )
        try:
            file = follower.read_to_ends(self._measure, cancelled)
        except sqlite3.Error as error:
            raise ConfigError(
                f"the recorded past cannot be written to a file in {self._config.state}: {error}. Make room on its disk, or set "
                "RETOLD_STATE to another folder"
            ) from error
        with closing(_connected(file)) as db:
            self._check_owner(db)
            return HistoryFile(file, self._frontier(db), follower.stuck)

    def _check_owner(self, db: sqlite3.Connection) -> None:
        """Raises NamespaceTaken if another application has written these topics."""
        for name, blob in db.execute("select ns, marker from position where kind = 'table' and marker is not null"):
            if (owner := kept_marker(blob).application) != self._app.name:
                raise NamespaceTaken(
                    f"the past of {name} is that of the application {owner!r}; this is {self._app.name!r}. Name that "
                    "application in [tool.retold] or RETOLD_APP, or set RETOLD_PREFIX to the prefix of this one"
                )

    def _frontier(self, db: sqlite3.Connection) -> int:
        """The smallest last `recorded` over all partitions, or the clock's time where one is idle and read to its end."""
        idle = round(self._asked * 1e6) - IDLE
        read, logs = _read_up_to(db), [at for at in self._ends if self._kinds.get(at[0], ("", ""))[0] == "log"]
        found = []
        for at in logs:
            reached, recorded = read.get((*self._kinds[at[0]], at[1]), (0, 0))
            whole = reached >= self._ends[at] >= self._last[at]  # what a transaction hides may have been recorded long ago
            found.append(max(recorded, idle) if whole else recorded)
        return min(found, default=idle)


def _read_up_to(db: sqlite3.Connection) -> Mapping[tuple[str, str, int], tuple[int, int]]:
    """The next offset and the last recorded time by kind of topic, namespace and partition."""
    found = db.execute("select kind, ns, part, next_offset, recorded from position").fetchall()
    return {(kind, name, part): (offset, recorded or 0) for kind, name, part, offset, recorded in found}


def _connected(file: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, isolation_level=None, timeout=10.0)
        db.execute("pragma query_only=on")
        db.execute("pragma mmap_size=2147483648")
    except sqlite3.Error as error:
        raise HistoryError(f"the file {file} cannot be read: {error}") from error
    return db
