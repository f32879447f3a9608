"""One script on a Kafka in memory and on a real one: what is seen must be equal.

What a real broker has answered to may be visible a moment later: ends of transactions reach their partitions after the answer, a
group's members hear of each other by heartbeats. So what is only looked at is looked at again until it is as expected, or for
ever otherwise. When all scripts of a batch are over, all that there is is looked at once more.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from confluent_kafka.admin import NewTopic

from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import clients
from tests.simulator.script import LARGEST, LOOKS, PARTITIONS, Operation, Script, last_looks, text_of, with_ends
from tests.simulator.script_player import ScriptPlayer, Seen
from tests.simulator.time import VirtualClock

MOMENT = 10.0
"""s in which what is looked at becomes as expected."""
AT_ONCE = 30
"""Scripts that are played at the same time: they mostly wait."""
BATCH = 60
"""Scripts whose clients are there at the same time: each has some threads."""
HEARTBEAT = 200
"""ms; a member hears by it that its group changes."""


class Difference(NamedTuple):
    """What was seen of an operation in memory, and on a real Kafka."""

    script: Script
    operation: Operation
    memory: Seen
    kafka: Seen

    def __str__(self) -> str:
        return (
            f"of {text_of([self.operation])[1:-1]} the simulator shows {self.memory}, and Kafka {self.kafka}, in this script:\n"
            f"{text_of(self.script)}"
        )


def real_clients(address: str) -> Clients:
    """Of a broker whose groups change at once: a member asks for news more often than a worker does."""

    def make(kind: Callable[[Any], Any], options: Mapping[str, Any]) -> Any:
        return kind({**options, "heartbeat.interval.ms": HEARTBEAT} if "heartbeat.interval.ms" in options else options)

    return Clients(address, make=make)


def in_memory(script: Script, broker: MemoryBroker | None = None) -> list[Seen]:
    """What is seen of each operation, and of all that there is in the end."""
    kafka = MemoryBroker(VirtualClock()) if broker is None else broker
    kafka.create(["script"], PARTITIONS)
    kafka.largest["script"] = LARGEST
    made = clients(kafka)
    player = ScriptPlayer(made, made.admin(), "script", "script")
    seen = [player.do(it) for it in with_ends(script)]
    player.leave()
    return seen + [player.look(it) for it in last_looks()]


class RealSide:
    """The broker at `address`; names begin with `prefix`."""

    def __init__(self, address: str, prefix: str, moment: float = MOMENT) -> None:
        """`moment` is how long what is looked at may take to be as expected, in s."""
        self._moment = moment
        self._clients, self._prefix, self._played = real_clients(address), prefix, 0
        self._admin = self._clients.admin()

    def differences(self, scripts: Sequence[Script], expected: Sequence[Sequence[Seen]]) -> Iterator[Difference]:
        """The first of each script."""
        for first in range(0, len(scripts), BATCH):
            yield from self._of_batch(scripts[first : first + BATCH], expected[first : first + BATCH])
            gc.collect()  # a client that waits for it keeps one of the 1,024 places in which threads store something

    def _of_batch(self, scripts: Sequence[Script], expected: Sequence[Sequence[Seen]]) -> Iterator[Difference]:
        names = [f"{self._prefix}s{self._played + number}" for number in range(len(scripts))]
        self._played += len(scripts)
        config = {"max.message.bytes": str(LARGEST)}
        made = self._admin.client.create_topics([NewTopic(name, PARTITIONS, 1, config=config) for name in names])
        for future in made.values():
            future.result(60)
        ends(self._admin, [(name, at) for name in names for at in range(PARTITIONS)], timeout=60.0)  # once all have leaders
        with ThreadPoolExecutor(AT_ONCE) as pool:
            players = [*pool.map(lambda name: ScriptPlayer(self._clients, self._admin, name, name), names)]
            found = [*pool.map(self._played_as, players, scripts, expected)]
            later = [*pool.map(self._looked_as, players, scripts, expected)]
        yield from (first or second for first, second in zip(found, later, strict=True) if first or second)

    def _played_as(self, player: ScriptPlayer, script: Script, expected: Sequence[Seen]) -> Difference | None:
        try:
            for it, seen in zip(with_ends(script), expected, strict=False):
                found = player.do(it)
                if isinstance(it, LOOKS):
                    found = self._seen_soon(player, it, found, seen)
                if found != seen:
                    return Difference(script, it, seen, found)
            return None
        finally:
            player.leave()

    def _looked_as(self, player: ScriptPlayer, script: Script, expected: Sequence[Seen]) -> Difference | None:
        try:
            for it, seen in zip(last_looks(), expected[len(with_ends(script)) :], strict=True):
                if (found := self._seen_soon(player, it, player.look(it), seen)) != seen:
                    return Difference(script, it, seen, found)
            return None
        finally:
            player.close()

    def _seen_soon(self, player: ScriptPlayer, it: Operation, found: Seen, expected: Seen) -> Seen:
        until = time.monotonic() + self._moment
        while found != expected and time.monotonic() < until:
            time.sleep(0.02)
            found = player.look(it)
        return found
