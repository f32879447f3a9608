"""The embedded Kafka of whoever sets a token: other users of the machine have no access, neither by the network nor by files."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from streams.config import Config
from streams.errors import BrokerUnavailable
from streams.kafka.active_producers import active_producers
from streams.kafka.broker_check import check_broker
from streams.kafka.clients import Clients
from streams.kafka.local_access import client_file, options_of
from streams.kafka.topics import describe, ensure
from streams.localbroker.choose import found, own
from streams.localbroker.password import access_sentence, java_file
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.integration.test_server import Serving
from tests.support.processes import environment, retold
from tests.support.workers import Running, settings, until

pytestmark = pytest.mark.slow
TOKEN = "correct-horse-battery"


@contextmanager
def broker(config: Config) -> Iterator[str]:
    with own(config) as address:
        yield address


def config_of(state: Path, token: str | None = TOKEN) -> Config:
    return replace(settings(state, "", http_port="0"), http_token=token)


def private(folder: Path) -> list[str]:
    """What others may read there, or list."""
    return [str(it) for it in [folder, *folder.rglob("*")] if not it.is_symlink() and stat.S_IMODE(it.stat().st_mode) & 0o077]


def test_only_this_projects_clients_have_access(tmp_path: Path) -> None:
    """Workers, servers, publishers and commands find the password; who has none or another hears which settings are wrong."""
    config = config_of(tmp_path / "state")
    with broker(config) as address:
        for options in ({}, {**options_of(config), "sasl.password": "guess"}, {"security.protocol": "ssl"}):
            with pytest.raises(BrokerUnavailable, match=r"Something is there.* RETOLD_KAFKA_SECURITY_PROTOCOL.*_SASL_PASSWORD"):
                check_broker(address, 5.0, options)
        assert found(config) == address
        clients = Clients.of(config, address)
        ensure(clients.admin(), config, ["probe", "echo"])
        with Serving(config, address, probe.app()) as server, Running(probe.app(), config, address) as worker:
            server.client.publish(ProbeDo(name="k"))
            until(lambda: "k" in worker.rows("probe"), "it is not handled")
            until(lambda: server.http.get("/-/ready").status_code == 200, "the server is not ready")
        assert not isinstance(active_producers(clients, [("probe-log", 0)])["probe-log", 0], str), "aiokafka has no access"
        env = environment("", "", config.state, app="tests.applications.probe:app", partitions="2")
        done = retold("get", "probe", "k", env=env)
        assert done.returncode == 0, done.stderr
        secret = options_of(config)["sasl.password"]
        sentence = access_sentence(config) or ""
        assert str(client_file(config.state)) in sentence
        assert str(java_file(config.state)) in sentence
        assert secret not in sentence
        assert private(config.state) == []
        log = (config.state / "kafka" / "broker.log").read_text(errors="replace")
        assert secret not in log + (config.state / "kafka" / "output").read_text(errors="replace")


def test_a_project_may_get_a_password_later_and_lose_it(tmp_path: Path) -> None:
    """Its data stay; the password is the same each time."""
    state, passwords = tmp_path / "state", []
    for token in (None, TOKEN, None, TOKEN):
        config = config_of(state, token)
        with broker(config) as address:
            admin = Clients.of(config, address).admin()
            if not passwords and token is None:
                ensure(admin, config, ["probe"])
                assert "every user of this machine" in (access_sentence(config) or "")
            assert list(describe(admin, ["probe"])) == ["probe"]
            if token is None:
                check_broker(address)
            else:
                passwords.append(options_of(config)["sasl.password"])
        assert private(state) == []
    assert len(set(passwords)) == 1
    with pytest.raises(BrokerUnavailable):
        found(config_of(state))
