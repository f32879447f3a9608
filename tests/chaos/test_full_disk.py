"""A broker whose disk is full at one step of a transaction after the other (rule 38)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer

from processors.events import UserSignup
from streams.errors import BrokerError
from streams.kafka.topics import topic_names
from streams.localbroker import embedded
from tests.support.full_indexes import no_room_for_indexes
from tests.support.processes import retold
from tests.support.site import Site
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PREFIX = "full."
STEPS = (
    "full.user-table",  # records are produced, and the ends of a transaction written
    "__transaction_state",  # partitions are added, and an end is decided on
    "__consumer_offsets",  # offsets are sent, and their end is written
)
AT_ONCE = 5


class Publisher:
    """One that never waits: its records leave when there is a broker."""

    def __init__(self, site: Site) -> None:
        self._site, self._numbers, self.published = site, count(), 0
        self._producer: Producer = site.foreign.clients.producer(delivery=300.0)

    def publish(self) -> None:
        for _ in range(AT_ONCE):
            user = str(next(self._numbers))
            data = UserSignup(user=user, email=f"{user}@example.org")
            topic = topic_names(PREFIX, "user").inbox
            self._producer.produce(topic, self._site.foreign.codec.encode(data), user.encode(), headers=[("ce_id", user.encode())])
            self.published += 1
        self._producer.flush(0.5)


@dataclass
class Installation:
    """A worker, and a broker that is started again."""

    site: Site
    folder: Path
    broker: embedded.EmbeddedBroker
    publisher: Publisher

    def fill(self, step: str) -> None:
        """Until the broker finds no room for this step, and ends."""
        self.broker.stopping = True  # else its end is reported

        def has_ended() -> bool:
            self.publisher.publish()
            return self.broker.process.poll() is not None

        with no_room_for_indexes(self.folder, step):
            until(has_ended, f"it goes on without room for {step}")

    def start_again(self) -> None:
        self.broker.stop()
        self.broker = embedded.start(self.folder)

    def all_is_handled(self) -> bool:
        count = self.publisher.published
        return self.site.accepted() == {"user": count, "folder": count, "email": 2 * count}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "broker"
    broker = embedded.start(folder)
    site = Site.make(broker.address, tmp_path, PREFIX, DEMO_REMINDERS="off")
    made = Installation(site, folder, broker, Publisher(site))
    yield made
    made.broker.stop()


def test_a_disk_that_is_full_at_any_step_of_a_transaction_costs_nothing(installation: Installation) -> None:
    """The broker ends each time; started again, it has all that it confirmed, and the worker goes on."""
    site = installation.site
    with site.start("worker") as worker:
        site.wait_until_owned()
        for step in STEPS:
            installation.fill(step)
            installation.start_again()
            until(installation.all_is_handled, f"not all was handled after {step}", despite=BrokerError)
        assert worker.process.poll() is None
    done = retold("verify", env=site.env)
    assert done.returncode == 0, done.stdout + done.stderr
