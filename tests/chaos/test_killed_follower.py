"""The process that reads Kafka into a server's file, killed with -9 again and again during its first reading."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from streams.client import Client
from streams.codec import codec_of
from streams.config import Config
from streams.kafka.clients import Clients
from streams.kafka.deletion import delete_all
from streams.kafka.status import status
from streams.kafka.tables_and_logs import read_table
from streams.kafka.topics import ensure
from streams.server.readmodel.file_journal import IN_MEMORY
from streams.server.readmodel.fold_record import shared_file
from streams.server.readmodel.follower_process import MODULE
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.store_meta import meta_value
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.support.workers import Running, settings, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APP = bank.app()
ACCOUNTS, DEATHS = 8_000, 10
WITHIN = 0.4
"""s in which a process is killed, after its first report or its first transaction: it takes half a second from one to the next."""


class Site:
    """A bank with 28,000 events, and the folder of servers that read them."""

    def __init__(self, config: Config, broker: str) -> None:
        self.config, self.broker = config, broker
        self.clients = Clients.of(config, broker)
        self.state, self.prefix = config.state, config.prefix
        self.env = {
            **os.environ, "RETOLD_APP": "tests.applications.bank:app", "RETOLD_STATE": str(config.state),
            "RETOLD_PREFIX": config.prefix, "RETOLD_PARTITIONS": "2",
        }  # fmt: skip

    def follow(self) -> subprocess.Popen[bytes]:
        env = {**self.env, "PYTHONPATH": str(Path.cwd())}
        with shared_file() as folds:
            command = [sys.executable, "-P", "-m", MODULE, self.broker, str(folds.fileno())]
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, pass_fds=[folds.fileno()]
            )

    def file(self, number: int = 0) -> Path:
        return self.state / "read" / f"{self.prefix}{number}" / "read.sqlite"

    def rows(self) -> Mapping[str, int]:
        """By key the balance of each account, as Kafka's table has it."""
        found = read_table(self.clients, self.prefix, "account", codec_of(APP), AccountRow).rows
        return {key: row.balance for key, (row, _) in found.items()}

    def handled(self) -> dict[str, int]:
        """How many events of each namespace."""
        found = status(self.clients, self.prefix, ["account", "transfer"], codec_of(APP)).namespaces
        return {space.name: space.counters.accepted + space.counters.rejected for space in found}


@pytest.fixture(scope="module")
def site(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Site:
    state = tmp_path_factory.mktemp("follower")
    site = Site(settings(state, f"follow{state.name[-1]}."), broker)
    with Running(APP, site.config, broker), Client(APP, broker, config=site.config) as client:
        for number in range(ACCOUNTS):
            client.publish(AccountOpen(account=f"a{number}", balance=100))
        for number in range(ACCOUNTS // 2):
            client.publish(TransferStart(transfer=f"t{number}", source=f"a{number}", target=f"a{number + 1}", amount=1))
        client.flush()
        until(lambda: site.handled() == {"account": 2 * ACCOUNTS, "transfer": 3 * ACCOUNTS // 2}, "not all were handled")
    return site


def reports(process: subprocess.Popen[bytes]) -> Iterator[FollowerReport]:
    assert process.stdout is not None
    for line in process.stdout:
        yield msgspec.json.decode(line, type=FollowerReport)


def ended(process: subprocess.Popen[bytes]) -> None:
    """As a server ends it."""
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


def read_on(process: subprocess.Popen[bytes]) -> list[str]:
    """Until all is read; what was logged."""
    said = []
    for report in reports(process):
        said += [report.log[2]] if report.log is not None else []
        if report.behind is None:
            return said
    raise AssertionError(f"the process ended: {said}")


def checked(file: Path) -> int:
    """How many records a file has that was left by a process that was killed; -1: it is begun anew, so nothing is said of it.

    Whatever goes on from it finds whole transactions: as many records as positions say, and no page torn.
    """
    if not file.exists():
        return -1
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        try:
            in_memory = meta_value(db, "first") == IN_MEMORY and not meta_value(db, "clean")
        except sqlite3.DatabaseError:  # torn, or not made yet
            return -1
        if in_memory:
            return -1
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        positions = db.execute("select ns, part, coalesce(seq, 0) from position where kind = 'log'").fetchall()
        for *at, last in positions:
            [count, end] = db.execute("select count(*), coalesce(max(seq), 0) from record where ns = ? and part = ?", at).fetchone()
            assert (count, end) == (last, last)
        return sum(last for *_, last in positions)


def balances(file: Path) -> Mapping[str, int]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return dict(db.execute("select key, f_balance from r_account").fetchall())


def test_a_first_reading_that_is_killed_again_and_again_ends(site: Site) -> None:
    """At any point: it begins anew once, nothing is lost after that, and in the end the file has what Kafka has."""
    chance, seen, anew = random.Random(3), -1, 0
    for _ in range(DEATHS):
        with site.follow() as process:
            wait = chance.random() < 0.7
            next(report for report in reports(process) if report.committed or report.behind is None or not wait)
            time.sleep(chance.uniform(0.0, WITHIN))
            process.kill()
        now = checked(site.file())
        anew += now < seen
        seen = max(now, seen)
    assert (anew, seen > 0) == (0, True), "what a reading has after the first one that was killed is kept"
    with site.follow() as process, site.follow() as other:  # and a second server is started meanwhile
        said = [*read_on(process), *read_on(other)]
        ended(process)
        ended(other)
    assert sum("was killed" in it for it in said) <= 1
    for number in (0, 1):
        assert checked(site.file(number)) == 7 * ACCOUNTS // 2
        assert balances(site.file(number)) == site.rows()


def test_topics_that_are_made_again_are_read_again(site: Site) -> None:
    """By a process that is killed meanwhile, too: nothing of those before is in the file."""
    with site.follow() as process:
        next(reports(process))
        delete_all(site.clients.admin("test"), site.prefix, ["account", "transfer"])
        process.kill()
    ensure(site.clients.admin("test"), site.config, ["account", "transfer"])
    with Running(APP, site.config, site.broker), Client(APP, site.broker, config=site.config) as client, site.follow() as again:
        client.wait(client.publish(AccountOpen(account="new", balance=7)))
        until(lambda: checked(site.file()) == 1 and balances(site.file()) == {"new": 7}, "the file is not of the new topics")
        ended(again)
