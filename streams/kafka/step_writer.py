"""Sends steps of corrections to the inboxes of their rows, and waits until they are handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, Message, TopicPartition
from msgspec.structs import replace

from streams.engine.control import ClockCommand, encode
from streams.engine.execution import BELIEVED_AHEAD
from streams.engine.marker import Marker
from streams.engine.step import CorrectionStep, encode_step
from streams.errors import BrokerError, HistoryError, OutcomeTimeout
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.last_markers import other_generation
from streams.kafka.messages import table_record
from streams.kafka.offsets import TopicAndPartition, stable_ends
from streams.kafka.topics import describe, topic_names

STILL = 60.0
"""s without a step that is handled after which waiting ends with an error."""


class StepWriter:
    """Of an application. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, generations: Mapping[str, int]) -> None:
        """`generations` are those of the rows that the code here makes, by namespace."""
        self._clients, self._spaces = clients, {name: topic_names(prefix, name) for name in generations}
        self._generations = {space.table: generations[name] for name, space in self._spaces.items()}
        admin = clients.admin()
        tables = describe(admin, [space.table for space in self._spaces.values()])
        self._tables = there = [(name, number) for name, info in tables.items() for number in range(info.partitions)]
        self._inboxes = {space.table: space.inbox for space in self._spaces.values()}
        self._names = {space.table: name for name, space in self._spaces.items()}
        self._handled: dict[TopicAndPartition, int] = {}
        sent = self._sent = dict[TopicAndPartition, int]()

        def delivered(message: Message) -> None:
            at = message.topic() or "", message.partition() or 0
            sent[at] = max(sent.get(at, -1), message.offset() or 0)

        begin = stable_ends(admin, there)  # whatever may fail comes before what is to be closed
        self._producer = ConfirmedProducer(clients, "retold-steps", delivered)
        self._consumer: Consumer = clients.consumer("retold-steps", partition_eof=False)
        self._consumer.assign([TopicPartition(*at, offset) for at, offset in begin.items()])

    def close(self) -> None:
        self._consumer.close()

    def send(self, steps: Sequence[CorrectionStep], waiting: Callable[[], None] = lambda: None) -> None:
        """Returns when all are handled, whether they were taken or their rows had moved. Meanwhile it calls `waiting` often.

        Workers believe what a step says of when it was decided, though their own clocks may be slow. So a time that this clock
        does not believe either is left out: it would be that of each later event there.

        Raises BrokerError if one was not delivered, OutcomeTimeout if nothing is handled for a minute, and HistoryError if workers
        keep rows of another generation than the code here makes: they take no step of it.
        """
        self._sent.clear()
        believed = self._clients.clock.now() + BELIEVED_AHEAD
        for each in steps:
            step = each if each.after <= believed else replace(each, after=0)
            self._producer.put(self._spaces[step.namespace].inbox, encode_step(step), step.entity.encode())
        self._flush()
        self._wait(waiting)

    def pass_all(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Returns when each partition has handled all that is in its inbox by now. Raises as `send`.

        Each is sent the end of an import that there never was, which does nothing, and is handled in its turn.
        """
        self._sent.clear()
        nothing = encode(ClockCommand("clock", "nothing", None))
        for table, partition in self._tables:
            self._producer.put(self._inboxes[table], nothing, b"", partition)
        self._flush()
        self._wait(waiting)

    def _flush(self) -> None:
        self._producer.flush("a step of a correction did not reach its inbox", "Apply the correction again")

    def _wait(self, waiting: Callable[[], None]) -> None:
        clock = self._clients.clock
        moved = clock.monotonic()
        while any(self._handled.get(at, 0) <= offset for at, offset in self._sent.items()):
            waiting()
            message = self._consumer.poll(0.2)
            if message is not None and self._take(message):
                moved = clock.monotonic()
            if clock.monotonic() - moved > STILL:
                raise OutcomeTimeout(
                    f"the correction waits for workers, and nothing was handled for {STILL:.0f} s: is one running, and is no "
                    "partition blocked? See `retold status`. Apply the correction again: it goes on where it stands"
                )

    def _take(self, message: Message) -> bool:
        """Whether a partition that has a step went on: in a busy application others always do."""
        error = message.error()
        if error is not None:
            if error.fatal():
                raise BrokerError(f"what becomes of a correction cannot be read: {error.str()}")
            return False
        record = table_record(message)
        if not isinstance(record, Marker):
            return False
        table = message.topic() or ""
        if record.generation != self._generations[table]:
            raise HistoryError(
                f"{other_generation(self._names[table], record.generation, self._generations[table])}. All that was set before "
                "stands: apply the correction with the code that they have; one that has set nothing is forgotten by `retold "
                "correct withdraw`"
            )
        at = self._inboxes[table], message.partition() or 0
        before, self._handled[at] = self._handled.get(at, 0), record.inbox_next
        return at in self._sent and record.inbox_next > before
