"""Unblocks partitions: checks for new schemas, and for operators' commands about blocking records (rule 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import KafkaException

from streams.errors import BrokerError
from streams.kafka.quarantine_commands import QuarantineCommandReader
from streams.kafka.schemas_topic import SchemaReader, add_schemas
from streams.worker.call_queues import Assignment
from streams.worker.task import PartitionTask

log = structlog.get_logger("retold.worker")

EVERY = 1.0


class Unblocker:
    """`schemas` opens the schemas topic; `learn` adds a schema to the codec. `monotonic` is in s. Used by one thread."""

    def __init__(
        self,
        inbox: str,
        schemas: Callable[[], SchemaReader],
        learn: Callable[[str], int],
        commands: QuarantineCommandReader,
        monotonic: Callable[[], float],
    ) -> None:
        self._inbox, self._open, self._learn, self._commands = inbox, schemas, learn, commands
        self._monotonic = monotonic
        self._reader: SchemaReader | None = None
        self._looked_for: frozenset[Assignment] = frozenset()
        self._next = 0.0

    def freed(self, blocked: Sequence[PartitionTask]) -> list[PartitionTask]:
        """The partitions to retry: all if a schema arrived, else those with a command about their blocking record.

        Checks once a second, and at once when another partition is blocked.
        """
        if not blocked:
            self._commands.close()
            return []
        assignments = frozenset(task.assignment for task in blocked)
        if self._monotonic() < self._next and assignments <= self._looked_for:
            return []
        self._looked_for, self._next = assignments, self._monotonic() + EVERY
        commanded = self._commanded(blocked)
        return list(blocked) if self._schemas_came() else commanded

    def _commanded(self, blocked: Sequence[PartitionTask]) -> list[PartitionTask]:
        tasks = {task.partition: task for task in blocked}
        searches = {partition: task.command_search for partition, task in tasks.items() if task.command_search is not None}
        try:
            found = self._commands.look(searches)
        except KafkaException as error:
            log.warning("operator commands cannot be read now", inbox=self._inbox, error=str(error))
            return []
        for partition, command in found.items():
            at = f"{self._inbox}-{partition}@{command.offset}"
            log.warning("record quarantined by operator command", at=at, who=command.who, why=command.why)
            tasks[partition].quarantine(command)
        return [tasks[partition] for partition in found]

    def _schemas_came(self) -> bool:
        """Whether a schema arrived since the last check."""
        if self._reader is None:
            self._reader = self._open()
        try:
            arrived = self._reader.poll_new(2.0)
        except (BrokerError, KafkaException) as error:
            log.warning("schemas cannot be read now", inbox=self._inbox, error=str(error))
            return False
        add_schemas(self._learn, arrived)
        return bool(arrived)

    def close(self) -> None:
        self._commands.close()
