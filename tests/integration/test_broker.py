from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.config import Config, load
from streams.errors import BrokerUnavailable, ConfigError
from streams.kafka.broker_check import check_broker
from streams.localbroker import choose, embedded, state
from tests.support.processes import broker_began, descendants

OWNER = """
import sys, time
from pathlib import Path
from streams.localbroker import embedded
broker = embedded.start(Path(sys.argv[1]))
print(broker.address, flush=True)
time.sleep(300)
"""


def eventually(true: Callable[[], bool], seconds: float) -> bool:
    """Whether `true` comes true in time; another process decides when."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def listens(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((host, int(port))) == 0


def project(folder: Path, **variables: str) -> Config:
    return load({"RETOLD_STATE": str(folder / "state"), **variables}, folder)


def started_owner(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that owns a broker on `folder`, and the broker's address."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        return owner, owner.stdout.readline().strip()


def test_it_answers_and_refuses_a_rival_and_stops_and_starts_again(tmp_path: Path) -> None:
    """One broker per folder: a rival is refused with the address to use; after a stop the same data runs, where it did."""
    with embedded.start(tmp_path) as first:
        check_broker(first.address)
        with pytest.raises(BrokerUnavailable, match=f"already runs on the state folder .*{first.address}"):
            embedded.start(tmp_path)
    assert (listens(first.address), (tmp_path / "broker.json").exists()) == (False, False)
    cluster = (tmp_path / "kafka" / "data" / "meta.properties").read_text()
    with embedded.start(tmp_path) as second:
        check_broker(second.address)
        assert second.address == first.address
    assert (tmp_path / "kafka" / "data" / "meta.properties").read_text() == cluster
    with socket.socket() as taken:
        host, port = first.address.split(":")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        with embedded.start(tmp_path) as third:
            assert third.address != first.address


def test_a_killed_owner_takes_its_broker_along(tmp_path: Path) -> None:
    """After kill -9 of the owner the broker ends by itself, and its folder is free for the next start."""
    owner, address = started_owner(tmp_path)
    assert listens(address)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    # The broker stops in an orderly way, which takes seconds, or is ended after ten.
    assert eventually(lambda: state.running(tmp_path) is None, 60)
    assert eventually(lambda: not listens(address), 60)
    os.close(state.take(tmp_path))


def test_a_killed_keeper_leaves_no_broker_behind(tmp_path: Path) -> None:
    """Even without its keeper the broker does not live on unseen on the folder."""
    with embedded.start(tmp_path) as broker:
        broker.process.kill()
        assert eventually(lambda: not listens(broker.address), 60)


def test_a_broker_that_is_killed_is_reported(tmp_path: Path) -> None:
    """With the signal, by the program that owns it; to the clients it is merely away, for ever. A stop tells nothing."""
    said: list[str] = []
    before = descendants(os.getpid())
    with embedded.start(tmp_path, on_progress=said.append):
        os.kill(broker_began(before), signal.SIGKILL)
        assert eventually(lambda: said[-1].startswith("Kafka was ended by SIGKILL."), 60)
    told = len(said)
    with embedded.start(tmp_path, on_progress=said.append):
        pass
    assert not any(text.startswith(("Kafka was", "Kafka has")) for text in said[told:])


def test_other_commands_of_the_project_find_it(tmp_path: Path) -> None:
    """A command beside `run` gets the running broker's address; `own` uses it too and does not end it."""
    config = project(tmp_path)
    with embedded.start(config.state) as broker:
        assert choose.found(config) == broker.address
        with choose.own(config) as address:
            assert address == broker.address
        assert listens(broker.address)
    assert state.find(config) is None


def test_a_stale_record_is_not_believed(tmp_path: Path) -> None:
    """A broker.json left by a crash names no broker, whatever process has its number now, and is removed."""
    config = project(tmp_path)
    config.state.mkdir()
    (config.state / "broker.lock").touch()
    record = {"address": "127.0.0.1:9", "pid": os.getpid(), "started": "2026-01-01T00:00:00+00:00"}
    (config.state / "broker.json").write_text(json.dumps(record))
    assert state.find(config) is None
    assert not (config.state / "broker.json").exists()


def test_nobody_outside_this_machine_can_connect(broker: str) -> None:
    """The broker has no password, so it listens on loopback only."""
    port = int(broker.rsplit(":", 1)[1])
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    loopback = {f"0100007F:{port:04X}", f"0000000000000000FFFF00000100007F:{port:04X}"}
    assert len(listening) == 1
    assert set(listening) <= loopback


def test_a_broker_that_is_not_there_is_a_sentence_within_ten_seconds(tmp_path: Path) -> None:
    """A wrong RETOLD_BROKER is reported with its value and what to do, and nobody waits for ever."""
    with socket.socket() as bound_but_silent:
        bound_but_silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound_but_silent.getsockname()[1]}"
        before = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=f"no Kafka answers at {address}.*RETOLD_BROKER"):
            choose.found(project(tmp_path, RETOLD_BROKER=address))
        assert time.monotonic() - before < 15  # the ten seconds of the client, and what a busy machine adds


def test_no_broker_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    """A command that starts none names the one that does."""
    with pytest.raises(BrokerUnavailable, match=r"Start one with `retold run`.*RETOLD_BROKER=host:port"):
        choose.found(project(tmp_path))


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The sentence names the folder and the variable that moves it."""
    (tmp_path / "file").touch()  # a file in the way stops the superuser too, whom permissions do not
    blocked = tmp_path / "file" / "state"
    with pytest.raises(ConfigError, match=f"state folder {blocked} cannot be written.*RETOLD_STATE"):
        embedded.start(blocked)


def test_a_java_that_is_none_is_named(tmp_path: Path) -> None:
    """A wrong RETOLD_JAVA is reported with its value, and the folder stays free."""
    with pytest.raises(ConfigError, match=r"RETOLD_JAVA is '/nowhere/java'"):
        embedded.start(tmp_path, java=Path("/nowhere/java"))
    os.close(state.take(tmp_path))


def test_a_broker_that_fails_shows_its_last_words(tmp_path: Path) -> None:
    """Damaged data ends the start with what Kafka said about it and where its log is."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=another\n")
    with pytest.raises(BrokerUnavailable, match=rf"(?s)ended while it started.*{tmp_path / 'kafka'}.*node"):
        embedded.start(tmp_path)
    os.close(state.take(tmp_path))
