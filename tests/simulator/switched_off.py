"""Rules of docs/correctness.md, switched off: a rule that no seed misses is not tested by seeded runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch
from zlib import crc32

from msgspec.structs import replace

from streams.engine import admission, control, emissions, envelope, envelope_reader, execution, quick_headers
from streams.engine.admission import Admission
from streams.engine.changes import SetAsideRecord
from streams.engine.commands import Commands
from streams.engine.duplicates import DuplicateWindow, Remembered
from streams.engine.envelope import Arrival
from streams.engine.execution import Execution
from streams.engine.overlay import Overlay
from streams.engine.parking import Parking
from streams.engine.quick_handling import QuickHandling
from streams.engine.records import Headers, InboxRecord
from streams.engine.step import CorrectionStep
from streams.engine.step_handling import Steps
from streams.engine.stored import log_record, parked_record
from streams.engine.timers import Timers
from streams.history.correction.fixed_point import reach_fixed_point
from streams.kafka import commit, correction_claim, correction_coordinator, producer
from streams.kafka.commit import TransactionWriter
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.correction_claim import CorrectionClaim
from streams.kafka.offsets import stable_ends
from streams.kafka.written_partitions import WrittenPartitions
from streams.worker import cycle, restore
from streams.worker.cycle import Cycle
from streams.worker.poison import PoisonSearch
from streams.worker.restore import Restorer
from streams.worker.task import PartitionTask
from streams.worker.tasks import Tasks
from tests.simulator.clients import MemoryConsumer


@contextmanager
def _put(owner: Any, name: str, instead: Any) -> Iterator[None]:
    with patch.object(owner, name, instead):
        yield


def _newer_metadata(write: Any) -> Any:
    """That of the commit: the client joins its group again by itself, in a thread of its own, before it is polled."""

    def instead(self: Cycle, batch: Any, done: Any) -> None:
        consumer = self._consumer
        assert isinstance(consumer, MemoryConsumer)
        write(self, dataclasses.replace(batch, metadata=consumer.metadata_once_it_has_joined()), done)

    return instead


def _without_waiting(self: Restorer, copy: Any, _committed: Any, cancelled: Any, progress: Any) -> Iterator[Any]:
    image = yield from self._image(copy, cancelled, progress)
    from streams.kafka.offsets import ends
    from streams.worker.restore import RestoredImage

    inbox = (self.names.inbox, copy.partition)
    return RestoredImage(image, ends(self.admin, [inbox], cancelled=cancelled)[inbox])


@contextmanager
def _to_the_stable_offset() -> Iterator[None]:
    """And nobody waits for a committed offset, which is another net below."""
    with _put(restore, "ends", stable_ends), _put(Restorer, "_settled", _without_waiting):
        yield


@contextmanager
def _true_at_once() -> Iterator[None]:
    """Images take changes before they are committed."""
    commit_batch = Cycle._commit

    def instead(self: Cycle, batch: Any, done: Any) -> None:
        for task, part in done.items():
            task.image.apply(part)
        commit_batch(self, batch, done)

    def calls_alone(self: Cycle, done: Any) -> None:
        for task, part in done.items():
            self.members.calls.committed(task, part)

    with _put(Cycle, "_commit", instead), _put(Cycle, "_apply_committed", calls_alone):
        yield


@contextmanager
def _called_at_once() -> Iterator[None]:
    """Gateways are asked before their requests are committed."""
    commit_batch = Cycle._commit

    def instead(self: Cycle, batch: Any, done: Any) -> None:
        for task, part in done.items():
            self.members.calls.committed(task, part)
        commit_batch(self, batch, done)

    def images_alone(_: Cycle, done: Any) -> None:
        for task, part in done.items():
            task.image.apply(part)

    with _put(Cycle, "_commit", instead), _put(Cycle, "_apply_committed", images_alone):
        yield


def _ids_of_chance() -> Any:
    numbers = count()
    return _put(emissions, "emitted_id", lambda *_: f"{next(numbers):032x}")


def _under_its_entity(results: Any) -> Any:
    return [log_record(it)._replace(key=it.key) for it in results if it.logged]


def _at_any_version(take: Any) -> Any:
    def instead(self: Steps, record: InboxRecord, step: CorrectionStep) -> Any:
        entry = self._overlay.entry(step.entity)
        return take(self, record, replace(step, expected=entry[1] if entry else 0))

    return instead


def _without_waiting_for_what_is_in_flight(*given: Any) -> int:
    return reach_fixed_point(*given[:6])


@contextmanager
def _many_coordinators() -> Iterator[None]:
    with _put(CorrectionClaim, "_refuse", lambda *_: None), _put(correction_claim, "is_at_work", lambda *_: False):
        yield


def _kept_after_a_loss(_members: Any, _error: Any) -> None:
    """The images go on as if nothing had been committed."""


def _each_answer_handled(self: Admission, arrival: Arrival, request: str) -> None:
    self._execute(arrival)
    self._changes.settled[request] = None


def _whatever_body(record: Any) -> Any:
    def instead(self: Admission, arrival: Arrival, first: Remembered) -> None:
        record(self, arrival, (first[0], hash(arrival.record[2]), first[2]))

    return instead


def _about_whatever_is_first(handle: Any) -> Any:
    def instead(self: Commands, record: InboxRecord) -> None:
        if control.clock_command(record[2]) is None:
            said = control.read(record[1], record[2] or b"")
            for first in self._overlay.queue(said.key)[:1]:
                said = replace(said, offset=first.position.offset, timer=first.position.timer)
            record = (record[0], record[1], control.encode(said), *record[3:])
        handle(self, record)

    return instead


def _one_of_a_key(aside: SetAsideRecord) -> tuple[bytes, bytes, Headers]:
    """Kept under its key, as rows are: compaction leaves one of each."""
    _, value, headers = parked_record(aside)
    return b"%d" % crc32((aside.entity or "").encode()), value, headers


@contextmanager
def _forged_headers_kept() -> Iterator[None]:
    with _put(envelope_reader, "is_ours", lambda name: False), _put(quick_headers, "is_ours", lambda name: False):
        yield


@contextmanager
def _recorded_now() -> Iterator[None]:
    """The quick way, which does not ask Execution, is switched off with it."""
    with _put(QuickHandling, "take", lambda *_: False), _put(Execution, "_recorded", lambda self, arrival: self._overlay.now):
        yield


RULES: dict[str, Callable[[], Any]] = {
    "1: a restore reads beyond the stable offset": _to_the_stable_offset,
    "1: a restore waits for transactions that are open": lambda: _put(Restorer, "_settled", _without_waiting),
    "4: the group metadata is that of the poll": lambda: _put(Cycle, "_commit", _newer_metadata(Cycle._commit)),
    "what was not committed is read again": lambda: _put(Tasks, "rewind", lambda self, tasks: None),
    "3: a lost producer's images are restored": lambda: _put(cycle, "_after_loss", _kept_after_a_loss),
    "9: a batch does not change the table before it is committed": _true_at_once,
    "11: what cannot be read is set aside": lambda: _put(Parking, "quarantine", lambda self, record, reason, detail="": None),
    "11: events behind a parked one of their key wait": lambda: _put(Overlay, "blocks", lambda self, key: False),
    "13: an id is handled once": lambda: _put(DuplicateWindow, "find", lambda self, digest, last: None),
    "8: what a topic refuses is searched for": lambda: _put(PoisonSearch, "narrow", lambda self, works, pace: None),
    "10: what only a worker may write is dropped": _forged_headers_kept,
    "10: a source of workers needs a cause": lambda: _put(admission, "is_workers", lambda source: False),
    "12: a command is about the first of its queue": lambda: _put(Commands, "handle", _about_whatever_is_first(Commands.handle)),
    "12: a parked event is kept under its offset": lambda: _put(commit, "parked_record", _one_of_a_key),
    "13: an id with another body is a conflict": lambda: _put(
        Admission, "_record_duplicate", _whatever_body(Admission._record_duplicate)
    ),
    "14: a record is moved to the partition of its key": lambda: _put(Admission, "_is_ours", lambda self, key: True),
    "15: a cause is believed only of an id that is derived from it": lambda: _put(envelope, "is_emitted", lambda *_: True),
    "16: an event is handled at its expected version alone": lambda: _put(execution, "wrong_version", lambda *_: None),
    "17: ids of emitted events are derived": _ids_of_chance,
    "18: recorded times increase": _recorded_now,
    "20: a log record has a key of its own": lambda: _put(commit, "log_records", _under_its_entity),
    "23: a call is made when its request is committed": _called_at_once,
    "23: a request's answer is handled once": lambda: _put(Admission, "_answer", _each_answer_handled),
    "23: a key's timers fire before its later events": lambda: _put(Timers, "before", lambda self, arrival, offset=None: None),
    "23: a partition's next owner makes its calls": lambda: _put(PartitionTask, "take_restored_calls", lambda self: []),
    "29: a correction ends when nothing is in flight that would undo it": lambda: _put(
        correction_coordinator, "reach_fixed_point", _without_waiting_for_what_is_in_flight
    ),
    "29: a correction has one coordinator": _many_coordinators,
    "29: a step is taken at its version alone": lambda: _put(Steps, "take", _at_any_version(Steps.take)),
    "31: a producer whose end was disturbed is replaced": lambda: _put(
        CoordinatorConnection, "disturbed", property(lambda self: False)
    ),
    "31: an empty transaction ends what hangs": lambda: _put(
        WrittenPartitions, "write_again", lambda self, producer, seconds: False
    ),
    "31: what a request without an answer fences is no other worker": lambda: _put(producer, "LATE", 0.0),
    "a transaction holds all of a batch": lambda: _put(TransactionWriter, "stream", lambda self, changes: self._begin()),
}
"""By what they say, each with its number in docs/correctness.md if it has one."""
