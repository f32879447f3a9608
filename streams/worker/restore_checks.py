"""Whether what was read of a partition fits its application and its topics: else nothing is handled (rules 14, 27 and 32)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Message

from streams.engine.image import Image
from streams.engine.marker import Marker
from streams.errors import NamespaceTaken, TopicMismatch
from streams.kafka.deleted_records import Accepted, DeletedRecords, deleted_records, not_handled, remedy
from streams.kafka.offsets import Offsets
from streams.kafka.topics import TopicNames, after_recreation, after_repartition, without_group
from streams.worker.log_tail import LoggedOrigin, LogTail

log = structlog.get_logger("retold.worker")


@dataclass(frozen=True)
class RestoreChecks:
    """Of one namespace: its topics, their ids and number of partitions, and the application that runs here.

    `accepted` as the setting `accepted_starts`.
    """

    names: TopicNames
    application: str
    topic_ids: Mapping[str, str]
    partitions: int
    accepted: Accepted = field(default_factory=dict)
    _told: set[DeletedRecords] = field(default_factory=set)

    def starts(self, start: Offsets) -> None:
        """Say once which first records were deleted. Nothing is refused: rows are built anew while workers go on."""
        for it in deleted_records(self.names, start, self.accepted):
            if it not in self._told:
                self._told.add(it)
                log.warning(
                    "records were deleted from a topic that must keep them", topic=it.topic, partition=it.partition,
                    detail=f"{it}. {remedy([it])}", namespace=self.names.namespace,
                )  # fmt: skip

    def marker(self, last: Marker, partition: int) -> None:
        """Compare a marker with the application and the topics. Raises NamespaceTaken or TopicMismatch."""
        where = f"{self.names.table}-{partition}"
        if last.application != self.application:
            raise NamespaceTaken(
                f"the namespace of {where} belongs to the application {last.application!r}; this is {self.application!r}. "
                "An event is handled in one way: give one of them another namespace or another RETOLD_PREFIX"
            )
        if last.partitions != self.partitions:
            raise TopicMismatch(
                f"{where} was written with {last.partitions} partitions and the topics have {self.partitions} now: "
                f"keys would move between partitions. {after_repartition(self.names)}"
            )
        for topic, topic_id in last.topic_ids.items():
            if self.topic_ids.get(topic, topic_id) != topic_id:
                raise TopicMismatch(
                    f"{topic} was deleted and made again since {where} was written (its id was {topic_id}, now "
                    f"{self.topic_ids[topic]}): offsets mean something else. {after_recreation(self.names, topic, missing=False)}"
                )

    def positions(self, image: Image, tail: LogTail, inbox_start: int) -> None:
        """Compare the end of the log with the marker, and the marker's offset with the first of the inbox (rule 32).

        What was deleted before it was handled is passed over if an operator has accepted it.
        """
        inbox = self.names.inbox, image.partition
        if image.inbox_next < inbox_start:
            if self.accepted.get(inbox, 0) < inbox_start:
                raise TopicMismatch(not_handled(*inbox, inbox_start, image.inbox_next))
            log.warning("records that were deleted before they were handled are passed over, as RETOLD_ACCEPTED_STARTS says",
                inbox=self.names.inbox, partition=image.partition, first=image.inbox_next, last=inbox_start - 1,
            )  # fmt: skip
            image.inbox_next, image.passes_over = inbox_start, True
        if tail.sequence != image.sequence:
            raise TopicMismatch(
                f"{self.names.log}-{image.partition} ends at sequence {tail.sequence}, and the table's marker says "
                f"{image.sequence}. Both are written in one transaction, so records were lost or added: by Kafka, by a copy "
                f"of one topic that was put back, by another program, or by a fault of retold. {self._save()}"
            )
        if tail.gap is not None:
            log.warning(
                "event log has a gap: sequences were deleted or lost",
                log=f"{self.names.log}-{image.partition}",
                first=tail.gap[0],
                last=tail.gap[1],
            )

    def short(self, partition: int, end: int, handled: int) -> TopicMismatch:
        """What to raise for an inbox that stays shorter than what was handled of it."""
        return TopicMismatch(
            f"handling of {self.names.inbox}-{partition} should go on at offset {handled}, and the topic ends at {end}: Kafka lost "
            f"its end, or an older copy of it was put back. What is published next would be passed over. {self._save()}"
        )

    def origin(self, partition: int, origin: LoggedOrigin, record: Message, handled: int) -> None:
        """Compare the inbox record at an offset with the log record that came from there. Raises TopicMismatch."""
        if not origin.is_from(record):
            where = f"{self.names.inbox}-{partition}"
            raise TopicMismatch(
                f"{where}@{origin.offset} is another record than the one that was handled, which the log has: Kafka lost the end "
                f"of {where}, or an older copy of it was put back, and other events were published there. Those before offset "
                f"{handled} would be passed over. {self._save()}"
            )

    def ahead(self, group: str, partition: int, committed: int, handled: int) -> TopicMismatch:
        """What to raise for a committed offset that stays ahead of the marker."""
        delete = without_group(group)
        then = (
            f"If `retold verify` finds nothing then, no record is lost, and the offset alone is wrong: delete the group's offsets "
            f"({delete}), and handling goes on at {handled}"
        )
        begin_anew = (
            f"If you deleted the other topics of this namespace, for all of {self.names.inbox} to be handled again and gateways "
            f"to be called again, delete the group's offsets, too: {delete}"
        )
        return TopicMismatch(
            f"the group {group} committed {self.names.inbox}-{partition}@{committed}, and the table's marker "
            f"says that handling stands at {handled}. Both are written in one transaction, so another program commits for this "
            "group, Kafka lost what a transaction wrote, or it committed an offset of one that was aborted, as was seen after its "
            f"disk was full. {self._save()}. {then if handled else begin_anew}"
        )

    def _save(self) -> str:
        names = self.names
        return (
            f"Nothing was changed. Stop this namespace's workers and copy the topics {names.inbox}, {names.log}, "
            f"{names.table}, {names.parked} and {names.due} before anything is written; docs/troubleshooting.md says "
            "how to compare them, and how to go on"
        )
