"""Which rights workers and publishers need on a Kafka with ACLs: those of docs/howto/deploy.md, and none on the cluster."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from streams import Client
from streams.config import Config
from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.topics import ensure
from streams.localbroker import password
from streams.localbroker.choose import own
from tests.applications import probe, shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge
from tests.support.workers import Running, settings, until

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "deploy.md"
PREFIX, SECRET = "shop-", "correct-horse-battery"
USERS = ("worker", "till")
KINDS = {
    "topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}  # fmt: skip


class Cluster:
    """A broker that lets nobody do what no ACL allows."""

    def __init__(self, state: Path, address: str, owner: Config) -> None:
        self.address, self._state = address, state
        self.owner = Clients.of(replace(owner, prefix=PREFIX), address)

    def config(self, user: str) -> Config:
        return settings(
            self._state / user, PREFIX, broker=self.address, kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN", kafka_sasl_username=user, kafka_sasl_password=SECRET,
        )  # fmt: skip

    def allow(self, line: str) -> None:
        """As `kafka-acls.sh` takes it."""
        words, principal, kind, name = iter(shlex.split(line)), "", ResourceType.TOPIC, ""
        pattern, operations = ResourcePatternType.LITERAL, list[AclOperation]()
        for word in words:
            option = word.removeprefix("--")
            if option == "allow-principal":
                principal = next(words)
            elif option == "resource-pattern-type":
                pattern = ResourcePatternType[next(words).upper()]
            elif option == "operation":
                operations.append(AclOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", next(words)).upper()])
            else:
                kind, name = KINDS[option], "kafka-cluster" if option == "cluster" else next(words)
        acls = [AclBinding(kind, name, pattern, principal, "*", it, AclPermissionType.ALLOW) for it in operations]
        admin = self.owner.admin()
        for made in admin.client.create_acls(acls).values():
            made.result(20)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    others = " ".join(f'user_{user}="{SECRET}"' for user in USERS)
    with_others = password.SERVER.replace('user_{user}="{secret}";', f'user_{{user}}="{{secret}}" {others};')
    monkeypatch.setattr(password, "SERVER", with_others)
    owner = replace(settings(tmp_path / "owner", ""), http_token=SECRET)
    with own(owner) as address:
        yield Cluster(tmp_path, address, owner)


def grants_of_the_page() -> list[str]:
    return [line.partition("$acls ")[2] for line in PAGE.read_text().splitlines() if line.startswith("  $ $acls ")]


def test_the_rights_of_the_page_are_enough_and_let_nobody_else_in(cluster: Cluster) -> None:
    """A worker of the whole application, and a publisher of orders that cannot publish what only workers do."""
    for line in grants_of_the_page():
        cluster.allow(line)
    order = OrderPlace(order="o1", customer="c1", lines=(Line(sku="A1", quantity=1),))
    with (
        Running(shop.app(), replace(cluster.config("worker"), standbys=1), cluster.address) as worker,
        Client(shop.app(), config=cluster.config("till")) as till,
    ):
        till.publish(order)
        until(lambda: "o1" in worker.rows("order"), "an order that the page lets somebody publish is not handled")
        with pytest.raises(BrokerError, match=r"(?i)authoriz"):
            till.wait(till.publish(PaymentCharge(order="o1", amount=1)), 5.0)
        handled = [lambda: worker.counted("stock", "accepted"), lambda: worker.counted("stock", "rejected")]
        until(lambda: any(count() for count in handled), "what an order emits is not handled by its namespace")


def test_a_right_to_read_that_is_missing_is_named_and_ends_the_namespace(cluster: Cluster) -> None:
    """What is open in an inbox that it only writes to may be its own commit, which it cannot ask: it does not wait for ever."""
    owner = cluster.owner
    ensure(owner.admin(), replace(cluster.config("worker"), kafka={}), ["probe", "echo"])
    rights = ["--group shop-", "--transactional-id shop-", "--topic shop-probe", "--topic shop-retold"]
    for right in rights:
        cluster.allow(f"--allow-principal User:worker --resource-pattern-type prefixed {right} --operation All")
    more = "--operation Write --operation Describe --operation DescribeConfigs"
    cluster.allow(f"--allow-principal User:worker --resource-pattern-type prefixed --topic shop-echo {more}")
    with Running(probe.app(), cluster.config("worker"), cluster.address, ["probe"]):
        pass  # nothing is open there
    open_one = owner.transactional_producer("foreign", "foreign", lambda *_: None, timeout=60.0)
    open_one.init_transactions(20)
    open_one.begin_transaction()
    open_one.produce("shop-echo", b"rubbish", b"k", 0)
    open_one.flush(20)
    try:
        worker = Running(probe.app(), cluster.config("worker"), cluster.address, ["probe"])
        worker._thread.start()
        until(worker.ended, "it asks for ever what it may not know", seconds=60)
        assert "Give the worker's user the right Read on the topic shop-echo" in str(worker.errors[0])
    finally:
        open_one.abort_transaction(20)
