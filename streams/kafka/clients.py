"""Makes every Kafka client, so that the settings that the rules need are in one place.

Times in s, sizes in bytes. librdkafka logs to the logger `retold.kafka`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from streams.clock import SYSTEM, Clock
from streams.config import KAFKA_PREFIX, Config
from streams.errors import ConfigError
from streams.kafka.broker_check import check_broker
from streams.kafka.client_log import ClientLog, log
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.lack_of_memory import lack_of_memory
from streams.kafka.local_access import options_of
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import MIB, largest_bytes

OnDelivery = Callable[[KafkaError | None, Message], None]
Options = dict[str, Any]
C = TypeVar("C", AdminClient, Consumer, Producer)


class ClientMaker(Protocol):
    """Makes a client of a kind with librdkafka's options. Raises KafkaException for an option that it refuses."""

    def __call__(self, kind: Callable[[Options], C], options: Options) -> C: ...


def librdkafka(kind: Callable[[Options], C], options: Options) -> C:
    """Makes a real client."""
    return kind(options)


RULED = frozenset({
    "acks", "request.required.acks", "auto.offset.reset", "bootstrap.servers", "metadata.broker.list",
    "enable.auto.commit", "enable.idempotence", "enable.partition.eof", "group.id", "group.protocol", "isolation.level",
    "metadata.recovery.strategy", "heartbeat.interval.ms", "max.poll.interval.ms", "message.timeout.ms", "delivery.timeout.ms",
    "session.timeout.ms", "topic.metadata.refresh.interval.ms",
    "partition.assignment.strategy", "partitioner", "transactional.id", "transaction.timeout.ms",
})  # fmt: skip
"""Options that correctness depends on, and times that others follow from: a setting may not change them."""

TUNED = {
    "batch.num.messages": "batch.num.messages", "batch.size": "batch.size", "linger.ms": "linger.ms",
    "queue.buffering.max.ms": "linger.ms", "compression.type": "compression.type", "compression.codec": "compression.type",
}  # fmt: skip
"""Options of producers that have a value of ours and that a setting may change, with the name that ours has."""

OPTION_PROBLEM = re.compile(r"(?i)configuration property|expected \w+ value for|failed to create|dlopen")
"""librdkafka's message about an option that it refuses. It hides values that it knows to be secret."""

SESSION = 6.0
"""How long a dead worker's partitions stay assigned to it: the broker's minimum session timeout."""
HEARTBEAT = 0.3
"""s: a member hears of a rebalance by the answer to a heartbeat, and until then a partition that moves belongs to nobody."""
MAX_POLL = 60.0
TOPIC_ASKED = 3.0
"""s between two questions of a member for its topic. If the answer that it waits for before it joins is lost with its connection,
librdkafka (2.16, `rd_kafka_cgrp_handle_Metadata_op`) waits for the next such question: for 300 s by default, without any error."""
TRANSACTION = 10.0
GATHERED = 0.005
"""s that a record waits for others of its partition, where many are written."""
PROMPT = 0.001
"""The same for an event that is published alone: somebody may wait for it."""
REFUSED = 0.005
"""s until a request of a transaction is sent again, then twice as long each time. Kafka refuses the offsets of one while it still
writes the markers of the one before, for some ms; by default librdkafka waits for 100."""
RECONNECT = 0.02
"""s until a client that asks once connects again. librdkafka (2.16) waits for half of it before its second connection, too, and
has two to the same broker: by its address, and by its id. By default that is 50 ms of each restore."""
OVERDUE = 10.0 + 5.0
"""s after its timeout by which the broker has aborted a transaction: by default Kafka checks every 10 s."""


@dataclass(frozen=True)
class Clients:
    """Makes clients of the broker at `address` (`host:port`, or several with commas).

    `options` are passed to librdkafka; they may hold secrets, so they are never shown. `largest` is the size of the largest
    record of any topic. A simulator passes its own `make` and `clock`. The names of groups begin with `prefix`.
    """

    address: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    largest: int = largest_bytes(MIB)
    clock: Clock = SYSTEM
    make: ClientMaker = librdkafka
    prefix: str = ""

    @classmethod
    def of(cls, config: Config, address: str, clock: Clock = SYSTEM) -> Self:
        """The clients of a configuration. Its options are for the broker that it names; one of our own has its own.

        Raises ConfigError for an option that retold sets itself.
        """
        if refused := sorted(RULED & set(config.kafka)):
            raise ConfigError(
                f"the Kafka option {refused[0]} is set to {config.kafka[refused[0]]!r}, and retold decides it itself: "
                "else events would be lost or handled twice, or workers would wait for each other. Remove the setting"
            )
        return cls(address, options_of(config), largest_bytes(config.max_event_bytes), clock, prefix=config.prefix)

    def admin(self, client_id: str = "retold") -> Admin:
        return Admin(lambda: self._make(AdminClient, self._common(client_id)), self.clock)

    def consumer(
        self, client_id: str = "retold", *, read_uncommitted: bool = False, partition_eof: bool = True, fetch_wait: float = 0.0,
        ahead: int = 65_536,
    ) -> Consumer:  # fmt: skip
        """A consumer without a group: assign it, with offsets. `partition_eof`: it reports ends of partitions.

        An end is reported after an empty fetch, so with `partition_eof` a fetch waits for only 10 ms. A long-lived consumer sets
        `fetch_wait` (s), which saves the broker a hundred fetches a second. `ahead`: kB that it holds at most of a partition; with
        few, it reads all partitions at about the same pace.
        """
        return self._make(Consumer, self._common(client_id) | self._reading() | {
            # Required by the client, which asks for its coordinator; a consumer that only assigns never joins it.
            "group.id": f"{self.prefix}retold-reader",
            "isolation.level": "read_uncommitted" if read_uncommitted else "read_committed",
            "enable.partition.eof": partition_eof,
            "fetch.wait.max.ms": _ms(fetch_wait) or (10 if partition_eof else 500),
            "queued.max.messages.kbytes": ahead,
        })  # fmt: skip

    def group_consumer(self, group: str, client_id: str) -> Consumer:
        """A worker's consumer. It is assigned explicit offsets: the marker's, not the committed ones (rule 1c).

        It reports ends of partitions: restored gateway calls wait for one.
        """
        return self._make(Consumer, self._common(client_id) | self._reading() | {
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _ms(SESSION),
            "heartbeat.interval.ms": _ms(HEARTBEAT),
            "max.poll.interval.ms": _ms(MAX_POLL),
            "topic.metadata.refresh.interval.ms": _ms(TOPIC_ASKED),
        })  # fmt: skip

    def asking_consumer(self, group: str) -> Consumer:
        """A consumer that only asks for a group's offsets. It never subscribes, so it is no member and causes no rebalance."""
        return self._make(Consumer, {"reconnect.backoff.ms": _ms(RECONNECT)} | self._common("retold-committed") | {
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        })  # fmt: skip

    def producer(
        self,
        client_id: str = "retold",
        *,
        delivery: float = 30.0,
        on_delivery: OnDelivery | None = None,
        report_successes: bool = True,
        linger: float = GATHERED,
    ) -> Producer:
        """An idempotent producer. A record that is not delivered after `delivery` s has failed.

        A record waits for others of its partition for `linger` s, unless the producer is flushed.
        Without `report_successes` callbacks are only called for failures.
        """
        options = self._common(client_id) | self._writing() | {
            "linger.ms": _ms(linger),
            "message.timeout.ms": _ms(delivery),
            "delivery.report.only.error": not report_successes,
        } | self._tuned()  # fmt: skip
        return self._make(Producer, options | ({"on_delivery": on_delivery} if on_delivery else {}))

    def transactional_producer(
        self,
        transactional_id: str,
        client_id: str,
        on_delivery: OnDelivery,
        coordinator: CoordinatorConnection | None = None,
        *,
        timeout: float = TRANSACTION,
    ) -> Producer:
        """`on_delivery` is called for failures only. A transaction older than `timeout` s is aborted by the broker.

        `coordinator` is notified if the connection to the transaction coordinator is disturbed: a user that makes more than
        one transaction must know (rule 31). A record fails before its transaction times out, so that the cause is known
        (rule 8).
        """
        coordinator = coordinator or CoordinatorConnection(self.clock)
        return self._make(Producer, self.transactional_options(transactional_id, client_id, on_delivery, coordinator, timeout))

    def transactional_options(
        self,
        transactional_id: str,
        client_id: str,
        on_delivery: OnDelivery,
        coordinator: CoordinatorConnection,
        timeout: float = TRANSACTION,
    ) -> Options:
        return self._common(client_id) | self._writing() | {
            "retry.backoff.ms": _ms(REFUSED),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": _ms(timeout),
            "message.timeout.ms": _ms(timeout * 0.8),
            "socket.timeout.ms": _ms(timeout * 0.8),
            "topic.metadata.propagation.max.ms": _ms(timeout * 0.4),
            "delivery.report.only.error": True,
            "queue.buffering.max.messages": 1_000_000,
            "on_delivery": on_delivery,
            # librdkafka 2.16 takes one reset connection to a single broker for the loss of the cluster, makes new broker
            # handles, and asks an old one for the group's coordinator for ever: a transaction hangs beyond its timeout.
            # Without recovery the producer loses its brokers, times out, and is replaced.
            "metadata.recovery.strategy": "none",
            **coordinator.options(),
        } | self._tuned()  # fmt: skip

    def check_broker(self, timeout: float = 8.0) -> None:
        """Raises BrokerUnavailable if no broker answers in `timeout` s."""
        check_broker(self.address, timeout, self.options)

    def _make(self, kind: Callable[[Options], C], options: Options) -> C:
        """Raises ConfigError for an option that librdkafka refuses, without its value, which may be a secret."""
        try:
            return self.make(kind, options)
        except KafkaException as error:
            cause = error.args[0]
            text = cause.str().strip() if isinstance(cause, KafkaError) else str(cause)
            raise option_refused(error) or lack_of_memory(error) or ConfigError(
                f"a Kafka client cannot be made: {text}. Look at the RETOLD_KAFKA_… settings"
            ) from error

    def _common(self, client_id: str) -> Options:
        return {
            "bootstrap.servers": self.address,
            "client.id": client_id,
            "logger": ClientLog(self.clock),
            "log_level": 4,
            "log.connection.close": False,
            "error_cb": _on_error,
            "reconnect.backoff.max.ms": 1000,
            "socket.nagle.disable": True,
            "message.max.bytes": self.largest,
            **self.options,
            # After a freeze a broker reports, for a moment, a cluster without brokers. librdkafka then drops all of them, and
            # sends no request any more unless it may start again with the bootstrap servers.
            "metadata.recovery.strategy": "rebootstrap",
        }

    def _reading(self) -> Options:
        return {
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 10,  # with the default of 1 s a fast reader waits for records
        }

    def _tuned(self) -> Options:
        """What a setting changes of our own values for producers."""
        return {TUNED[name]: value for name, value in self.options.items() if name in TUNED}

    def _writing(self) -> Options:
        return {
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": _ms(GATHERED),
            "batch.size": 1_000_000,
            "batch.num.messages": 100_000,
        }


def option_refused(error: KafkaException) -> ConfigError | None:
    """The error for an option that a client refuses, with the setting's name; None for every other error."""
    cause = error.args[0]
    if not isinstance(cause, KafkaError) or cause.code() != KafkaError._INVALID_ARG:
        return None
    text = cause.str().strip()
    if not OPTION_PROBLEM.search(text):
        return None
    names = re.findall(r'"([a-z0-9_.]+)"', text)  # the value, if it is there, comes before the name
    if not names:
        return ConfigError(f"the Kafka options are not usable: {text}. Look at the {KAFKA_PREFIX}… settings")
    variable = KAFKA_PREFIX + names[-1].upper().replace(".", "_")
    return ConfigError(
        f"the setting {variable} ({names[-1]} of kafka in [tool.retold]) is not usable: {text}. An option of librdkafka "
        "was expected: correct or remove it"
    )


def _on_error(error: KafkaError) -> None:
    """Log an error with its name; librdkafka logs it too."""
    log.debug("%s: %s", error.name(), error.str())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
