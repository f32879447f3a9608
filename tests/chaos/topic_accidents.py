"""What somebody does to topics by mistake, after a run: the namespace stops and says why, or goes on as if nothing had been."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewPartitions

from streams.cli.process.exit_codes import CONFIGURATION
from streams.kafka.offsets import Offsets, ends
from streams.kafka.topics import describe, ensure, group_of, topic_names
from tests.chaos import plan
from tests.chaos.chaos_applications import Application
from tests.chaos.installation import Installation
from tests.support.inbox import Foreign
from tests.support.workers import until

MORE = 200
"""Events that are published afterwards."""
TO_STOP = 60.0
"""s in which each worker must notice; one that starts takes seconds, and topics are compared every 2 s."""
TICK = 0.1
AGAIN = 5.0
"""s in which workers that are started again could handle something."""


class TopicAccident:
    """About the first namespace of an application, or all of its groups."""

    def __init__(self, kind: str, installation: Installation, foreign: Foreign, application: Application) -> None:
        self._kind, self._installation, self._foreign, self._application = kind, installation, foreign, application
        self._spaces = [space.name for space in foreign.app.namespaces]
        self._names = topic_names(foreign.config.prefix, self._spaces[0])
        self._admin = foreign.clients.admin()

    @property
    def stops_workers(self) -> bool:
        """Whether no worker may go on afterwards."""
        return self._kind in (plan.PARTITIONS_ADDED, plan.INBOX_MADE_AGAIN)

    def before_settling(self) -> None:
        """Offsets of groups are deleted: the markers of tables say where to go on (rule 1)."""
        if self._kind != plan.OFFSETS_DELETED:
            return
        self._installation.stop_workers()
        until(self._offsets_deleted, "the groups are still there", pause=1.0)

    def _offsets_deleted(self) -> bool:
        """Members that were killed are missed after their session; a group that was deleted before is not there."""
        groups = [group_of(self._foreign.config.prefix, space) for space in self._spaces]
        codes = set[int]()
        for future in self._admin.client.delete_consumer_groups(groups).values():
            try:
                future.result(20)
            except KafkaException as error:
                codes.add(error.args[0].code())
        return codes <= {KafkaError.GROUP_ID_NOT_FOUND}

    def at_the_end(self) -> Iterator[str]:
        """What is wrong afterwards, in words. No worker handles anything from then on."""
        if not self.stops_workers:
            return
        before = self._written()
        self._happen()
        if self._kind == plan.INBOX_MADE_AGAIN:  # what is in it now is never taken for what was there
            self._publish_more()
        yield from (f"worker {it} goes on after this: {self._kind}" for it in self._wait_for_ends())
        if self._kind == plan.PARTITIONS_ADDED:  # until it is noticed, events of the old partitions are handled rightly
            before = self._written()
            self._publish_more()
            self._tick_for(AGAIN)
        if self._written() != before and not self._application.past:  # whose timers fire at any time
            yield f"something was handled after this: {self._kind}"

    def _wait_for_ends(self) -> set[int]:
        """The workers that do not end, though they are given time."""
        seen = [len(worker.ends) for worker in self._installation.workers]
        left, deadline = {*range(len(seen))}, time.monotonic() + TO_STOP
        while left and time.monotonic() < deadline:
            self._tick_for(TICK)
            left = {it for it in left if all(end.code != CONFIGURATION for end in self._installation.workers[it].ends[seen[it] :])}
        return left

    def _tick_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._installation.tick()
            time.sleep(TICK)

    def _happen(self) -> None:
        inbox = self._names.inbox
        if self._kind == plan.PARTITIONS_ADDED:
            self._admin.client.create_partitions([NewPartitions(inbox, self._foreign.config.partitions + 1)])[inbox].result(20)
            return
        self._admin.client.delete_topics([inbox])[inbox].result(20)
        until(lambda: not describe(self._admin, [inbox]), "the inbox is still there")
        ensure(self._admin, self._foreign.config, self._spaces)

    def _publish_more(self) -> None:
        dice = random.Random(0)
        events = {f"more{it}": self._application.make(it, dice) for it in range(MORE)}
        ours = {name: data for name, data in events.items() if data.event_type.startswith(f"{self._spaces[0]}.")}
        self._foreign.publish_together(ours)

    def _written(self) -> Offsets:
        places = [(topic, at) for topic in (self._names.log, self._names.table) for at in range(self._foreign.config.partitions)]
        return ends(self._admin, places)
