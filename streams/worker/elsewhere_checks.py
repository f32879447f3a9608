"""What a restore compares beside its partition's own topics: its inbox, and what other partitions say (rules 14 and 32)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer

from streams.engine.image import Image
from streams.engine.marker import Marker
from streams.kafka.bounded_read import polls
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.messages import table_record
from streams.kafka.offsets import stable_ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicNames
from streams.worker.log_tail import LoggedOrigin
from streams.worker.restore_checks import RestoreChecks


@dataclass(frozen=True)
class ElsewhereChecks:
    """`consumer` makes a read_committed consumer without a group that reports ends of partitions."""

    consumer: Callable[[], Consumer]
    admin: Admin
    names: TopicNames
    checks: RestoreChecks

    def compare_inbox(self, origin: LoggedOrigin | None, image: Image, cancelled: Cancelled) -> Steps[None]:
        """Whether the inbox has what was handled. Of a record that was deleted since, nothing is known. Raises TopicMismatch.

        Nor of one that the marker does not count as handled, which may be behind the inbox's end.
        """
        inbox = (self.names.inbox, image.partition)
        if origin is None or origin.offset >= image.inbox_next:
            return
        if origin.offset < starts(self.admin, [inbox], cancelled=cancelled)[inbox]:
            return
        span = (origin.offset, origin.offset + 1)
        with closing(self.consumer()) as consumer:
            for messages in polls(consumer, {inbox: span}, cancelled=cancelled, clock=self.admin.clock):
                for message in messages[:1]:
                    if message.offset() == origin.offset:
                        self.checks.origin(image.partition, origin, message, image.inbox_next)
                    return
                yield 0.0

    def check_siblings(self, partition: int, cancelled: Cancelled) -> Steps[None]:
        """A partition without a marker may have been added to others: the smallest of those that were written says so (rule 14)."""
        siblings = [(self.names.table, number) for number in range(self.checks.partitions) if number != partition]
        if not siblings:
            return
        start = starts(self.admin, siblings, cancelled=cancelled)
        end = stable_ends(self.admin, siblings, cancelled=cancelled)  # what is open there is no reason to wait
        spans = {each: (start[each], end[each]) for each in siblings if end[each] > start[each]}
        for each in sorted(spans, key=lambda it: spans[it][1] - spans[it][0])[:1]:
            with closing(self.consumer()) as consumer:
                for messages in polls(consumer, {each: spans[each]}, cancelled=cancelled, clock=self.admin.clock):
                    for record in map(table_record, messages):
                        if isinstance(record, Marker):
                            self.checks.marker(record, each[1])
                            return
                    yield 0.0
