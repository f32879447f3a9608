"""Handlers that never return, several in one batch, on a Kafka in memory: each call ends its process (rule 36)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import murmur2

from streams.engine.attempts import Attempt
from streams.worker.attempt_watch import ROUNDS, AttemptWatch
from tests.applications import probe, timed
from tests.applications.probe.events import EchoHear
from tests.applications.timed.events import AlarmTouch
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker

OF_ONE_PARTITION = [key for key in map(str, range(100)) if int(murmur2(key.encode(), PARTITIONS)) == 0][:5]


class ProcessEnds(Exception):
    """In the middle of a batch."""


def end_processes(monkeypatch: pytest.MonkeyPatch, is_stuck: Callable[[Attempt], bool]) -> list[str]:
    """Each call of these ends its process, as the watch does: noted, and before anything of its batch is committed.

    Gives the keys of such calls, which grow.
    """
    calls, ends = list[str](), list[str]()
    began, finish = AttemptWatch.began, AttemptWatch.finish

    def call(watch: AttemptWatch, attempt: Attempt) -> None:
        if ends:
            raise ProcessEnds  # it has ended already
        began(watch, attempt)
        if is_stuck(attempt):
            calls.append(attempt.key)
            watch.note(attempt.partition, attempt.position, attempt.offset, "")
            ends.append(attempt.key)
            raise ProcessEnds

    def end(watch: AttemptWatch) -> None:
        finish(watch)
        if ends:
            ends.clear()
            raise ProcessEnds

    monkeypatch.setattr(AttemptWatch, "began", call)
    monkeypatch.setattr(AttemptWatch, "finish", end)
    return calls


def test_several_events_whose_handlers_never_return_are_parked_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one batch, they would each time be in the transaction that the next one ends, and be called again for ever."""
    stuck = {OF_ONE_PARTITION[at] for at in (1, 3)}
    calls = end_processes(monkeypatch, lambda attempt: attempt.key in stuck)
    there = MemorySite(probe.app(), "echo", tmp_path)
    for key in OF_ONE_PARTITION:
        there.publish(EchoHear(name=key))
    worker, ended = Worker(there, 0), 0
    for _ in range(ENOUGH):
        if there.handled():
            break
        try:
            worker.step()
        except ProcessEnds:
            ended += 1
            there.expire(0)
            worker = Worker(there, 0)
    assert (there.handled(), ended) == (True, 2 * ROUNDS)
    assert calls == [key for key in OF_ONE_PARTITION if key in stuck for _ in range(ROUNDS)]
    assert there.logged() == {key: 1 for key in OF_ONE_PARTITION if key not in stuck}


def test_several_timers_whose_handlers_never_return_are_parked_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for timers that the clock fires: they have no inbox offset, and are told apart by their ids."""
    stuck = {OF_ONE_PARTITION[at] for at in (1, 3)}
    calls = end_processes(monkeypatch, lambda attempt: attempt.key in stuck and attempt.event_type == "alarm.ring")
    there = MemorySite(timed.app(), "alarm", tmp_path)
    for key in OF_ONE_PARTITION:
        there.publish(AlarmTouch(name=key, after=1))
    worker, ended = Worker(there, 0), 0
    for number in range(ENOUGH):
        if number == 50:
            there.broker.clock.sleep(2 * 3600)
        if number > 50 and sum(there.logged().values()) == 2 * len(OF_ONE_PARTITION) - 2 and ended == 2 * ROUNDS:
            break
        try:
            worker.step()
        except ProcessEnds:
            ended += 1
            there.expire(0)
            worker = Worker(there, 0)
    assert (sorted(calls), ended) == (sorted([*stuck] * ROUNDS), 2 * ROUNDS)
    assert there.logged() == {key: 1 if key in stuck else 2 for key in OF_ONE_PARTITION}
