"""What an operator does meanwhile: retries what is parked, and has topics compacted."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.engine.control import OperatorCommand
from streams.errors import BrokerError
from streams.kafka.parked import read_parked, send_commands
from tests.support.inbox import Foreign

WHO = "chaos"
COMPACTED = ("table", "parked", "due")
AT_ONCE = {"segment.ms": "2000", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": "0"}
CLEANER = {"log.cleaner.backoff.ms": "1000"}
"""How often the broker looks for something to compact."""
NODE = "1"
"""The broker's id."""
TIMEOUT = 10.0


class ChaosOperator:
    """Works in a thread of its own with a broker that may be away: then nothing is done, as by a command that says so."""

    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign
        self._spaces = [space.name for space in foreign.app.namespaces]
        self._admin = foreign.clients.admin()
        self._thread = ThreadPoolExecutor(1, "chaos-operator")
        self._retrying: Future[None] | None = None
        self.retried = 0
        """Keys, each time counted again."""

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def retry_parked(self) -> None:
        """Each parked key once, soon; nothing if the last time is not over."""
        if self._retrying is None or self._retrying.done():
            self._retrying = self._thread.submit(self._retry_parked)

    def compact(self) -> None:
        """From soon on everything that has older records of a key loses them."""
        self._thread.submit(self._compact)

    def _retry_parked(self) -> None:
        clients, prefix = self._foreign.clients, self._foreign.config.prefix
        for space in self._spaces:
            try:
                firsts: dict[str, OperatorCommand] = {}
                for it in read_parked(clients, prefix, [space]):
                    if it.header.key is not None:
                        at = it.inbox_offset
                        firsts.setdefault(it.header.key, OperatorCommand("retry", it.header.key, at.offset, WHO, timer=at.timer))
                if firsts:
                    send_commands(clients, prefix, space, firsts.values())
                    self.retried += len(firsts)
            except BrokerError:
                return

    def _compact(self) -> None:
        prefix = self._foreign.config.prefix
        topics = [f"{prefix}{space}-{kind}" for space in self._spaces for kind in COMPACTED]
        asked = [_settings(ResourceType.TOPIC, topic, AT_ONCE) for topic in topics]
        asked.append(_settings(ResourceType.BROKER, NODE, CLEANER))
        self._admin.client.incremental_alter_configs(asked, request_timeout=TIMEOUT)


def _settings(kind: ResourceType, name: str, values: dict[str, str]) -> ConfigResource:
    set_ = AlterConfigOpType.SET
    return ConfigResource(kind, name, incremental_configs=[ConfigEntry(*it, incremental_operation=set_) for it in values.items()])
