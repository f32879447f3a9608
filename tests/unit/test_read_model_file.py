"""The file that a server answers from: what is written together is there together, and whatever is doubtful is read again."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Message

from streams import Event, Namespace, Projection
from streams.codec import codec_of
from streams.engine.envelope import LogHeader, pack
from streams.errors import ConfigError
from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE
from streams.history.stored.past_file import StoreIdentity
from streams.kafka.clients import Clients
from streams.kafka.topics import TopicInfo
from streams.private_files import make_private
from streams.server.readmodel import store_file
from streams.server.readmodel.file_journal import MOST, cut
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import STARTING
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.store_file import StoreFolder, delete_unused, refuse_network
from streams.server.readmodel.store_high_water import fill_high_water
from streams.server.readmodel.store_readers import StoreReaders, refuse_torn
from streams.server.readmodel.store_writer import StoredPosition, StoreWriter
from tests.applications import bank, probe
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.file_filler import AT, BANK, PROGRAM, fill
from tests.support.workers import until

TOPICS = {"account-log": TopicInfo("id-1", 4)}


def opened(state: Path) -> Store:
    store = Store(state, "", BANK, codec_of(BANK))
    store.open()
    return store


def rows(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as db:
        return dict(db.execute("select key, version from r_account").fetchall())


def filled(state: Path) -> Path:
    """A file with a row, as a server leaves it that has ended."""
    store = opened(state)
    store.compare(TOPICS, {"account": 4})
    store.completed()
    writer = store.writer()
    writer.put_row("account", 0, "a", 7, AccountRow(balance=1))
    writer.reached(AT, 12, 7, 0)
    writer.commit()
    store.close()
    return store.file


def test_a_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    """With its rows, positions, partitions, and that all was read once."""
    filled(tmp_path)
    store = opened(tmp_path)
    assert (store.is_complete, store.partitions) == (True, {"account": 4})
    assert store.compare(TOPICS, {"account": 4}) is False
    assert (store.writer().positions[AT].next_offset, rows(store.file)) == (12, {"a": 7})
    store.close()


@pytest.mark.timeout(120)
def test_a_writer_that_is_killed_leaves_whole_transactions(tmp_path: Path) -> None:
    """At 25 points in the midst of writing: rows, records and positions are of one moment, and the file is sound."""
    last, command = 0, [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(25):
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"killed\n"
            last = checked(tmp_path, last)
        process.stdin.close()
    assert last > 0


def checked(state: Path, last: int) -> int:
    """The sequence up to which all tables of the file agree."""
    store = opened(state)
    try:
        with closing(sqlite3.connect(store.file)) as db:
            [summed] = db.execute("select coalesce(sum(f_balance), 0) from r_account").fetchone()
            [count, end] = db.execute("select count(*), coalesce(max(seq), 0) from record").fetchone()
            [folded] = db.execute("select coalesce(sum(f_count), 0) from p_opened").fetchone()
            [sound] = db.execute("pragma integrity_check").fetchone()
        sequence = store.writer().positions.get(AT, StoredPosition(0)).sequence
        assert (summed, count, end, folded, sound) == (sequence, sequence, sequence, sequence, "ok")
        assert sequence >= last
        return sequence
    finally:
        store.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_first_reading_goes_on_unless_it_was_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture, killed: bool) -> None:
    """Its journal is in memory alone, so a file that was not closed may be torn."""
    store = opened(tmp_path)
    fill(store.writer(), range(1, 101))
    assert not Path(f"{store.file}-wal").exists()
    if killed:
        store._db.close()
        store._folder.release()
    else:
        store.close()
    again = opened(tmp_path)
    known = again.writer().positions.get(AT, StoredPosition(0)).sequence
    assert (known, "was killed" in caplog.text) == ((0, True) if killed else (100, False))
    fill(again.writer(), range(known + 1, 201))
    assert Path(f"{again.file}-wal").exists() is killed, "the second reading is not to begin anew"
    again.completed()
    again._db.close()
    again._folder.release()
    assert opened(tmp_path).writer().positions[AT].sequence == 200, "from then on a process that is killed loses nothing"


@pytest.mark.timeout(120)
def test_a_first_reading_that_is_killed_again_and_again_ends(tmp_path: Path) -> None:
    """It begins anew once; from then on nothing is lost, at whatever points its process is killed."""
    last, command = 0, [sys.executable, "-c", PROGRAM, str(tmp_path), "first"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(15):
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"killed\n"
            last = checked(tmp_path, last)
        process.stdin.close()
    store = opened(tmp_path)
    assert store.is_complete is False
    store.completed()
    store.close()
    assert checked(tmp_path, last) == last > 0


def test_a_large_journal_is_cut_once_nobody_reads(tmp_path: Path) -> None:
    """It would keep its room while nothing is written. A reader is not waited for."""
    store = opened(tmp_path)
    store.completed()
    writer = store.writer()
    writer.put_records([
        (number, "account", 0, number, 0, "k", "account.open", "id", number, "root", 0, 1, number, b"v" * 5_000, b"")
        for number in range(1_000)
    ])  # fmt: skip
    writer.commit()
    journal = Path(f"{store.file}-wal")
    with closing(sqlite3.connect(store.file, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from record").fetchone()
        writer.put_due(("account", 0, "d", "timer", 1, "account", "a", None, b"", b""))
        writer.commit()
        cut(store._db, store.file)
        assert journal.stat().st_size > MOST
    cut(store._db, store.file)
    assert journal.stat().st_size == 0
    store.close()


def test_after_a_restart_of_the_machine_only_a_closed_file_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is synced while it is written, so a loss of power may have torn it."""
    filled(tmp_path)
    monkeypatch.setattr(store_file, "boot_id", lambda: "another")
    store = opened(tmp_path)
    assert store.is_complete, "it was closed"
    store._db.close()  # as if the process was killed
    store._folder.release()
    killed = opened(tmp_path)
    assert killed.is_complete, "a process that is killed loses nothing"
    killed._db.close()
    killed._folder.release()
    monkeypatch.setattr(store_file, "boot_id", lambda: "a third")
    again = opened(tmp_path)
    assert (again.is_complete, rows(again.file)) == (False, {})
    again.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (b"this is no database, however long it is read" * 100, "it does not read"),
        (b"", "it was not made to its end"),
    ],
)
def test_a_torn_file_is_read_again(
    tmp_path: Path, damage: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and one that does not read is kept for whoever wants to see it."""
    file = filled(tmp_path)
    file.write_bytes(damage)
    store = opened(tmp_path)
    assert (rows(store.file), words in caplog.text) == ({}, True)
    assert (file.parent / "read.bad").exists() is (damage != b"")
    store.close()


def read_all(readers: StoreReaders) -> None:
    with readers.borrow() as db:
        for table in ("r_account", "record"):
            db.execute(f"select * from {table}").fetchall()


@pytest.mark.parametrize("running", [True, False], ids=["while it is written", "before it is opened"])
def test_a_file_that_is_torn_in_the_midst_is_read_again(tmp_path: Path, running: bool) -> None:
    """Whoever writes it may never come there: who reads there notes it. Its rows would be a 503 for ever."""
    store = opened(tmp_path)
    fill(store.writer(), range(1, 5_001))
    store.close()
    file, size = store.file, store.file.stat().st_size
    with file.open("r+b") as writing:
        writing.seek(size // 8 // 4096 * 4096)
        writing.write(b"\xff" * (size // 2 // 4096 * 4096))
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = again = opened(tmp_path) if running else None
    readers = StoreReaders()
    readers.open(str(file))
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        read_all(readers)
    if again is not None:
        with pytest.raises(sqlite3.DatabaseError, match="a reader has found it torn") as caught:
            refuse_torn(again.file)
        assert follower._on_failure(caught.value) is True
        assert told[-1].waits == STARTING
    new = opened(tmp_path)
    refuse_torn(new.file)
    assert (rows(new.file), (file.parent / "read.bad").exists()) == ({}, True)
    new.close()


@pytest.mark.parametrize("what", ["read.sqlite", "read.sqlite-wal", "folder"])
def test_a_file_that_is_deleted_while_it_is_written_is_read_again(tmp_path: Path, what: str) -> None:
    """Whoever opens it then would see nothing, or what is old, for as long as it is written. So is one without its folder."""
    filled(tmp_path)
    store = opened(tmp_path)
    fill(store.writer(), range(1, 11))
    store.refuse_deleted()
    if what == "folder":
        shutil.rmtree(tmp_path / "read")
    else:
        (store.file.parent / what).unlink()
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = store
    with pytest.raises(StoreDoubt, match="was deleted while it was written") as caught:
        follower._follow(store, lambda: True)
    assert (follower._on_failure(caught.value), told[-1].waits) == (True, STARTING)
    assert store.open()
    fill(store.writer(), range(1, 21))
    store.refuse_deleted()
    with closing(sqlite3.connect(store.file)) as db:
        assert db.execute("select count(*) from record").fetchone() == (20,)
    store.close()


def test_a_folder_that_another_server_has_made_again_is_left_alone(tmp_path: Path) -> None:
    """It was deleted under the first one, which takes the next."""
    first = opened(tmp_path)
    shutil.rmtree(tmp_path / "read")
    second = opened(tmp_path)
    assert first.file == second.file
    with pytest.raises(StoreDoubt, match="was deleted"):
        first.refuse_deleted()
    first.drop()
    first.open()
    second.refuse_deleted()
    assert first.file.parent.name == "1"
    first.close()
    second.close()


def test_a_file_of_other_code_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of another application, another prefix, or another version of retold."""
    file = filled(tmp_path)
    for column, value, words in [
        ("application", "shop", "it is of the application"),
        ("prefix", "x.", "it is of the application"),
        ("format", 0, "another version of retold"),
    ]:
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            [kept] = db.execute("select value from meta where name = 'identity'").fetchone()
            changed = json.dumps({**json.loads(kept), column: value}).encode()
            db.execute("update meta set value = ? where name = 'identity'", (changed,))
        caplog.clear()
        store = opened(tmp_path)
        assert (rows(file), words in caplog.text) == ({}, True), column
        store.close()
        filled(tmp_path)


def reshape(file: Path, name: str) -> None:
    """As if the file had been written when the rows of a table had another schema, without their number."""
    column = {"r_account": "f_balance", "p_opened": "f_count"}[name]
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        [kept] = db.execute("select value from meta where name = 'identity'").fetchone()
        known = json.loads(kept)
        known["fingerprints"][name] = "7"
        db.execute("update meta set value = ? where name = 'identity'", (json.dumps(known).encode(),))
        db.execute(f"alter table {name} drop column {column}")


def test_rows_of_another_schema_are_read_again_beside(tmp_path: Path) -> None:
    """With positions of their own; both are exchanged at once. A restart before that goes on, unless the schema is another one."""
    file, table = filled(tmp_path), ("table", "account", 0)
    reshape(file, "r_account")
    for there in (None, None, 5):
        store = opened(tmp_path)
        if there is None:
            store._db.execute("update meta set value = ? where name = 'reread'", (b'{"account": "of another one"}',))
        assert (store.is_complete, store.reread, store.reshaped, rows(file)) == (True, ["account"], ["account"], {"a": 7})
        writer = store.writer()
        found = writer.positions.get(table)
        assert (AT in writer.positions, None if found is None else found.next_offset) == (True, there)
        if there is None:
            writer.put_row("account", 0, "b", 1, AccountRow(balance=1))
            writer.reached(table, 5)
        writer.commit()
        assert (rows(file), list(writer.unreadable())) == ({"a": 7}, [])
        if there is None:
            store.close()
    store.exchange("account", writer)
    assert (rows(file), store.reread, store.reshaped) == ({"b": 1}, [], [])
    writer.put_row("account", 0, "c", 1, AccountRow(balance=1))
    writer.commit()
    store.close()
    store = opened(tmp_path)
    assert (store.reread, store.writer().positions[table].next_offset, rows(file)) == ([], 5, {"b": 1, "c": 1})
    store.close()


def test_reading_again_leaves_a_namespace_of_nearly_the_same_name_alone(tmp_path: Path) -> None:
    """No name that an application may give is that of the table beside."""
    both = replace(BANK, namespaces=[*BANK.namespaces, Namespace("account__2", row=AccountRow)])
    for again in (False, True):
        store = Store(tmp_path, "", both, codec_of(both))
        store.open()
        writer = store.writer()
        if again:
            assert store._db.execute("select key from r_account__2").fetchall() == [("b",)]
        writer.put_row("account__2", 0, "b", 7, AccountRow(balance=1))
        writer.commit()
        store.completed()
        store.close()
        if not again:
            reshape(store.file, "r_account")


def test_a_first_reading_of_another_schema_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is answered from it yet."""
    store = opened(tmp_path)
    fill(store.writer(), range(1, 2))
    store.close()
    reshape(store.file, "r_account")
    store = opened(tmp_path)
    assert (store.reread, rows(store.file), "the schema of account has changed" in caplog.text) == ([], {}, True)
    store.close()


def test_a_projection_of_another_schema_is_folded_again(tmp_path: Path) -> None:
    """From the logs in the file, which stays."""
    reshape(filled(tmp_path), "p_opened")
    store = opened(tmp_path)
    assert (store.changed, store.reread, store.reshaped) == (["opened"], [], ["opened"])
    refold(store)
    assert (store.changed, store.reshaped, counted(store.file)) == ([], [], None)
    store.close()
    store = opened(tmp_path)
    assert (store.changed, store.reshaped, rows(store.file)) == ([], [], {"a": 7})
    store.close()


def test_a_namespace_that_is_new_is_read_beside(tmp_path: Path) -> None:
    """All else stays. Until it is whole, which a restart does not forget, there is nothing of it; if it goes, it leaves nothing."""
    file, both, other = filled(tmp_path), replace(BANK, namespaces=[*BANK.namespaces, probe.echo]), "echo"
    codec, topics = codec_of(both), {**TOPICS, f"{other}-log": TopicInfo("id-2", 1)}
    for _ in range(2):
        store = Store(tmp_path, "", both, codec)
        store.open()
        assert (store.is_complete, store.reread, [*store.missing], rows(file)) == (True, [other], [other], {"a": 7})
        store.compare(topics, {"account": 4, other: 1})
        assert store.partitions == {"account": 4, other: 1}
        writer = store.writer()
        writer.reached(("table", other, 0), 1)
        writer.commit()
        store.close()
    store = Store(tmp_path, "", both, codec)
    store.open()
    store.exchange(other, store.writer())
    store.close()
    store = Store(tmp_path, "", both, codec)
    store.open()
    assert (store.reread, [*store.missing], store.new_namespaces) == ([], [], set())
    store.close()
    store = opened(tmp_path)
    assert (store.partitions, rows(file)) == ({"account": 4}, {"a": 7})
    assert {ns for (ns,) in store._db.execute("select ns from position")} == {"account"}
    store.close()


def test_a_file_of_other_topics_is_no_cache_of_these(tmp_path: Path) -> None:
    """They were made again, or have more partitions."""
    filled(tmp_path)
    store = opened(tmp_path)
    for info in (TopicInfo("id-2", 4), TopicInfo("id-1", 8)):
        with pytest.raises(StoreDoubt, match="account-log is another one"):
            store.compare({"account-log": info}, {"account": info.partitions})
    store.close()


def test_a_file_that_is_too_old_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Kafka forgets after some days that a key was removed (rule 25)."""
    file = filled(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("update meta set value = ? where name = 'seen'", (time.time() - 6.5 * 86_400,))
    store = opened(tmp_path)
    assert (rows(file), "too old" in caplog.text) == ({}, True)
    store.close()


def test_two_servers_have_two_files(tmp_path: Path) -> None:
    """A folder belongs to one until that ends."""
    first, second = StoreFolder(tmp_path, ""), StoreFolder(tmp_path, "")
    assert (first.path.name, second.path.name) == ("0", "1")
    first.release()
    third = StoreFolder(tmp_path, "")
    assert third.path.name == "0"
    second.release()
    third.release()


@pytest.mark.parametrize("yields", [True, False], ids=["in time", "too late"])
def test_a_command_gives_its_file_up_to_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yields: bool) -> None:
    """Else a server that starts meanwhile would read everything into another one; another command does not wait for it."""
    monkeypatch.setattr(store_file, "YIELDS", 5.0 if yields else 0.05)
    command, other = StoreFolder(tmp_path, "", yields=True), StoreFolder(tmp_path, "", yields=True)
    assert (command.path.name, other.path.name, command.is_wanted()) == ("0", "1", False)
    other.release()
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(StoreFolder, tmp_path, "")
        until(command.is_wanted, "a server waits for the folder")
        if yields:
            command.release()
        server = starting.result()
    assert (server.path.name, server.is_wanted()) == ("0" if yields else "1", False)
    server.release()
    if not yields:
        command.release()


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """With what to set."""
    refuse_network(tmp_path, "ext4")
    with pytest.raises(ConfigError, match=r"network file system \(nfs4\).*set RETOLD_STATE"):
        refuse_network(tmp_path, "nfs4")


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    """If one of its statements fails, nothing of a transaction is written, and the file can be written again."""
    store = opened(tmp_path)
    writer = store.writer()
    writer.put_row("account", 0, "a", 1, AccountRow(balance=1))
    writer.put_due((None,) * 10)
    with pytest.raises(sqlite3.IntegrityError):
        writer.commit()
    assert rows(store.file) == {}
    again = store.writer()
    again.put_row("account", 0, "a", 1, AccountRow(balance=1))
    again.commit()
    assert rows(store.file) == {"a": 1}
    store.close()


def logged(sequence: int, value: bytes | None) -> Message:
    """A record of a log, or the tombstone that erases it."""
    headers = [("ce_id", b"id-%d" % sequence), pack(LogHeader(sequence, sequence, sequence, "accepted", "f", time=0))]
    offset = sequence if value is not None else 100 + sequence
    key = b"k@%d" % sequence
    return Message(topic="account-log", partition=0, offset=offset, key=key, value=value, headers=[*headers])


def test_a_reset_deletes_what_no_server_uses(tmp_path: Path) -> None:
    """Rows and records lie in the file; a server that runs reads again by itself when its topics are gone."""
    used, unused = StoreFolder(tmp_path, ""), StoreFolder(tmp_path, "")
    for folder in (used, unused):
        for name in ("read.sqlite", "read.sqlite-wal", "read.bad"):
            (folder.path / name).touch()
    unused.release()
    delete_unused(tmp_path)
    assert (sorted(it.name for it in unused.path.iterdir()), len(list(used.path.iterdir()))) == (["lock"], 4)
    make_private(tmp_path)
    tmp_path.chmod(0o755)
    make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o077 == 0, "the folder is one of retold's alone"
    used.release()


@pytest.mark.parametrize("merged", [True, False], ids=["written", "waiting for an earlier one"])
def test_what_an_operator_erases_is_erased(tmp_path: Path, merged: bool) -> None:
    """Nothing of it is left in the file, nor beside it."""
    counting = Projection("opened", row=OrdersPerDayRow)  # for its sake records are merged; it keeps no name

    @counting.folds(AccountOpen, key=lambda event: "all")
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=(row.count if row else 0) + 1)

    codec = codec_of(BANK)
    store = Store(tmp_path, "", replace(BANK, projections=[counting]), codec)
    store.open()
    writer = store.writer()
    logs = LogFollower(writer, codec, [("account", 0), ("account", 1)])
    logs.merge.ended(("account", 0))
    logs.take(("account", 0), logged(1, codec.encode(AccountOpen(account="a", balance=1))))
    if merged:
        logs.merge.ended(("account", 1))
    for sequence, account in [(2, "SECRET"), (3, "b")]:
        logs.take(("account", 0), logged(sequence, codec.encode(AccountOpen(account=account, balance=1))))
    logs.flush()
    writer.commit()
    assert any(b"SECRET" in file.read_bytes() for file in store.file.parent.iterdir()) is merged
    logs.take(("account", 0), logged(2, None))
    logs.merge.ended(("account", 1))
    logs.flush()
    writer.commit()
    assert [seq for (seq,) in store._db.execute("select seq from record order by seq")] == [1, 3]
    assert [file.name for file in store.file.parent.iterdir() if b"SECRET" in file.read_bytes()] == []
    store.close()


def test_records_have_their_indexes_once_they_are_complete(tmp_path: Path) -> None:
    """Kept up to date from the beginning, they would take most of the time of a first reading."""
    store = opened(tmp_path)
    fill(store.writer(), range(1, 101))
    by = "select name from sqlite_master where type = 'index' and name like 'record_by_%' order by name"
    assert store._db.execute(by).fetchall() == []
    store.write(lambda db: fill_high_water(db, 2**62))  # finds them by one of these indexes
    assert store._db.execute("select count(high) from record").fetchone() == (0,)
    store.completed()
    store.write(lambda db: fill_high_water(db, 2**62))
    assert store._db.execute("select count(high) from record").fetchone() == (100,)
    names = ["cause", "id", "inbox", "key", "order"]
    assert store._db.execute(by).fetchall() == [(f"record_by_{name}",) for name in names]
    fill(store.writer(), range(101, 201))
    for condition in ("idh = 1", "causeh = 1", "ns = '' and part = 0 and inbox = 1", "ns = '' and key = '' order by seq"):
        [(*_, plan)] = store._db.execute(f"explain query plan select 1 from record where {condition}").fetchall()
        assert "INDEX record_by_" in plan, condition
    [(*_, plan)] = store._db.execute("explain query plan select * from record order by recorded, ns, part, seq").fetchall()
    assert "INDEX record_by_order" in plan
    store.close()


def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    """What is there is answered on; once there is room, all goes on from there."""
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = store = opened(tmp_path)
    follower._state.waits = follower._state.behind = None
    fill(store.writer(), range(1, 101))
    [pages] = store._db.execute("pragma page_count").fetchone()
    store._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        fill(store.writer(), range(101, 5_001))
    assert follower._on_failure(caught.value) is False
    assert told[-1].waits is None
    assert "cannot be written" in str(told[-1].faults)
    assert str(tmp_path) in str(told[-1].behind)
    store._db.execute("pragma max_page_count = 1000000")
    assert store.writer().positions[AT].sequence == 100
    fill(store.writer(), range(101, 5_001))
    assert store.writer().positions[AT].sequence == 5_000
    store.close()


def test_a_file_that_a_full_disk_does_not_take_is_not_kept_by_half(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each try says that the disk is full, and none takes what the one before has left for a file."""
    folder, identity = StoreFolder(tmp_path, ""), StoreIdentity("bank", "", {})
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            folder.open(identity, ["pragma max_page_count = 2", *(f"create table t{it} (a)" for it in range(9))])
        assert not folder.file.exists()
    assert caplog.text == ""
    made = folder.open(identity, ["create table meta (name text primary key, value)"])
    assert made.fresh
    made.db.close()


def test_a_disk_that_is_full_in_a_large_transaction_tears_nothing(tmp_path: Path) -> None:
    """In a first reading, whose journal is in memory; also if a transaction is larger than what SQLite keeps in memory."""
    store = Store(tmp_path, "", BANK, codec_of(BANK))
    store.open()
    store._db.execute("pragma cache_size=100")
    balances: dict[str, int] = {}
    fill(store.writer(), range(1, 1001), balances)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.file.stat().st_size + 300_000, limits[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            fill(store.writer(), range(1001, 5001), dict(balances))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store._db.execute("pragma integrity_check").fetchall() == [("ok",)]
    fill(store.writer(), range(1001, 1101), balances)
    assert store._db.execute("select count(*), sum(seq) from record").fetchone() == (1100, 1100 * 1101 // 2)
    store.close()


def test_a_file_that_a_full_disk_does_not_let_open_is_opened_anew(tmp_path: Path) -> None:
    """An index that has come has no room at first. Then it is still known that the projection's code has changed."""
    store = opened(tmp_path)
    store.compare(TOPICS, {"account": 4})
    store.completed()
    store._db.executemany("insert into p_opened(key, f_count) values(?, ?)", [(f"{n:0100}", n) for n in range(5_000)])
    store.close()
    projection = Projection("opened", row=OrdersPerDayRow, indexes=["count"])

    @projection.folds(AccountOpen, key=lambda event: event.key)
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=0)

    again = Store(tmp_path, "", replace(BANK, projections=[projection]), codec_of(BANK))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    try:
        with pytest.raises(sqlite3.OperationalError):
            again.open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert again.open()
    assert (again.changed, again.is_complete, again.partitions) == (["opened"], True, {"account": 4})
    again.close()


def test_a_file_that_is_torn_while_it_is_written_is_read_again(tmp_path: Path) -> None:
    """At once: nothing is answered until then."""
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = store = opened(tmp_path)
    assert follower._on_failure(sqlite3.DatabaseError("database disk image is malformed")) is True
    assert told[-1].waits == STARTING
    assert (store.file.exists(), (store.file.parent / "read.bad").exists()) == (False, True)
    assert store.open()
    store.close()


@pytest.mark.parametrize("kind", [sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError])
def test_a_file_is_kept_for_an_error_that_tells_nothing_of_it(tmp_path: Path, kind: type[sqlite3.Error]) -> None:
    """A fault of the server's own would come again and again, and all would be read each time."""
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = store = opened(tmp_path)
    follower._state.waits = follower._state.behind = None
    assert follower._on_failure(kind("not null constraint failed")) is False
    assert (told[-1].waits, "a fault of the server's own" in str(told[-1].faults), store.file.exists()) == (None, True, True)
    store.close()


def test_a_disk_that_stays_full_is_logged_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried each second, and the log would fill a disk, too."""
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, lambda report: None)
    follower._store = opened(tmp_path)
    for text in ("disk is full", "disk is full", "disk is full", "disk I/O error"):
        follower._on_failure(sqlite3.OperationalError(text))
    assert (caplog.text.count("disk is full"), caplog.text.count("disk I/O error")) == (1, 1)
    monkeypatch.setattr("streams.server.readmodel.follower.SAID_AGAIN", 0.0)
    follower._on_failure(sqlite3.OperationalError("disk I/O error"))
    assert caplog.text.count("disk I/O error") == 2
    follower._close()


def test_a_file_that_is_torn_leaves_no_word_of_what_was_made_of_it(tmp_path: Path) -> None:
    """Such as of projections that were folded again in it."""
    told: list[FollowerReport] = []
    follower = TopicFollower(Clients("127.0.0.1:1"), "", BANK, codec_of(BANK), tmp_path, told.append)
    follower._store = opened(tmp_path)
    follower._state.rebuilding, follower._state.reshaped, follower._state.held = {"opened": 5}, ["opened"], {"opened": {}}
    assert follower._on_failure(sqlite3.DatabaseError("database disk image is malformed")) is True
    assert (told[-1].rebuilding, told[-1].reshaped, told[-1].held) == ({}, [], {})
    follower._close()


def test_a_row_that_did_not_read_is_tried_again(tmp_path: Path) -> None:
    """Its Avro is kept for that."""
    store = opened(tmp_path)
    writer = store.writer()
    writer.put_row("account", 3, "a", 2, UnreadableRow("nobody knows the schema"), b"avro")
    writer.commit()
    assert list(writer.unreadable()) == [("account", "a", 3, 2, b"avro")]
    writer.put_row("account", 3, "a", 2, AccountRow(balance=1), b"avro")
    writer.commit()
    assert list(writer.unreadable()) == []
    store.close()


def test_a_fold_goes_on_from_the_file(tmp_path: Path) -> None:
    """Also of rows that are not in memory any more."""
    store = opened(tmp_path)
    fill(store.writer(), range(1, 11))
    store.close()
    store = opened(tmp_path)
    fill(store.writer(), range(11, 21))
    with closing(sqlite3.connect(store.file)) as db:
        assert db.execute("select sum(f_count) from p_opened").fetchone() == (20,)
    store.close()


def test_a_stopped_projection_stays_stopped_until_its_code_changes(tmp_path: Path) -> None:
    """A restart does not go on behind the event that it did not fold."""
    projection = Projection("opened", row=OrdersPerDayRow)

    @projection.folds(AccountOpen, key=lambda event: event.key)
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        raise ValueError("not today")

    app = replace(bank.app(), projections=[projection])
    for _ in range(2):
        store = Store(tmp_path, "", app, codec_of(app))
        store.open()
        writer: StoreWriter = store.writer()
        assert store.changed == []
        fill(writer, range(1, 2))
        assert "not today" in (writer.projections["opened"].fault or "")
        assert "account-0:1" in (writer.projections["opened"].fault or "")
        store.close()


def test_a_projection_whose_code_has_changed_is_folded_again_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the logs in the file, by time; what was there is answered until then, and one that stood still goes on."""
    codec = codec_of(BANK)
    store = opened(tmp_path)
    store.compare(TOPICS, {"account": 4})
    store.completed()
    logs = LogFollower(store.writer(), codec, [("account", 0)])
    logs.merge.ended(("account", 0))
    for sequence in range(1, 4):
        logs.take(("account", 0), logged(sequence, codec.encode(AccountOpen(account="k", balance=1))))
    logs.flush()
    logs._writer.commit()
    store._db.execute("insert into stopped(name, why) values('opened', 'it raised')")
    store.close()
    twice = Projection("opened", row=OrdersPerDayRow)

    @twice.folds(AccountOpen, key=lambda event: event.key)
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=(row.count if row else 0) + 2)

    changed = Store(tmp_path, "", replace(BANK, projections=[twice]), codec)
    changed.open()
    assert (changed.changed, counted(changed.file)) == (["opened"], 3)
    monkeypatch.setattr("streams.server.readmodel.projection_rebuild.PIECE", 1)
    rebuild, writer = changed.begin_rebuild(["opened"], codec, NOTHING_OTHERWISE), changed.writer()
    told = []
    while rebuild.step():
        told.append((rebuild.percent({("account", 0): 3}), counted(changed.file), "opened" in writer.projections))
    assert told == [(33, 3, False), (66, 3, False), (99, 3, False)]
    changed.finish_rebuild(rebuild, writer)
    assert (counted(changed.file), changed.changed, writer.projections["opened"].fault) == (6, [], None)
    changed.close()
    again = Store(tmp_path, "", replace(BANK, projections=[twice]), codec)
    again.open()
    assert again.changed == []
    again.close()


def refold(store: Store) -> StoreWriter:
    """Fold what has changed again, at once. Returns a writer that goes on."""
    writer = store.writer()
    rebuild = store.begin_rebuild(store.changed, codec_of(BANK), NOTHING_OTHERWISE)
    while rebuild.step():
        pass
    store.finish_rebuild(rebuild, writer)
    return writer


def counted(file: Path) -> int | None:
    with closing(sqlite3.connect(file)) as db:
        found: int | None = db.execute("select sum(f_count) from p_opened").fetchone()[0]
        return found
