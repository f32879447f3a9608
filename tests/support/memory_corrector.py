"""A Corrector whose Kafka is a World: what is applied is handled there, and read by the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.codec import AvroCodec
from streams.errors import StalePlan
from streams.history.correction.correction_calls import CLOSED, CorrectionCall, open_call
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.stored.stored_past import StoredPast
from streams.kafka.corrections_topic import APPLIED, APPLYING, PLANNED, CorrectionState
from streams.server.correction_attempt import CorrectionAttempt, CorrectionAttempts
from streams.server.corrector import OpenedLog

if TYPE_CHECKING:
    from tests.support.memory_server import MemoryKafka


class MemoryCorrector:
    """With `goes_on` cleared, a coordinator is at work and sends no step."""

    def __init__(self, kafka: MemoryKafka, codec: AvroCodec) -> None:
        self._kafka, self._codec = kafka, codec
        self._attempts = CorrectionAttempts(kafka.model.notifier.notify)
        self.attempt, self.end = self._attempts.of, self._attempts.end
        self._plans: dict[str, CorrectionPlan] = {}
        self._planned: dict[str, CorrectionState] = {}
        self._closed: dict[str, CorrectionCall] = {}
        self.goes_on = threading.Event()
        self.goes_on.set()

    @contextmanager
    def log(self) -> Iterator[OpenedLog]:
        with self._kafka.model.reading() as db:
            yield OpenedLog(StoredPast(db, self._codec))

    def states(self) -> list[CorrectionState]:
        return [*self._planned.values(), *self._kafka.corrections]

    def calls(self) -> Mapping[str, CorrectionCall]:
        return {**{it.reference: it for it in self._kafka.world.open_calls()}, **self._closed}

    def keep(self, plan: CorrectionPlan) -> None:
        if plan.correction not in self._plans:
            self._plans[plan.correction] = plan
            self._planned[plan.correction] = CorrectionState(
                plan.application, plan.correction, 0, plan.by, plan.why, plan.change, PLANNED, 0, 0, first=plan.first,
                digest=plan.digest, touches=plan.touches,
            )  # fmt: skip

    def apply(self, state: CorrectionState, calls: str | None) -> CorrectionAttempt:
        number = state.number or len(self._kafka.corrections) + 1

        def apply(begun: Callable[[], None]) -> None:
            self._planned.pop(state.correction, None)
            self._put(replace(state, state=APPLYING, number=number, coordinator="memory"))
            begun()
            assert self.goes_on.wait(60)
            steps = self._kafka.world.apply(self._plans[state.correction], calls or "ask")
            self._kafka.show()  # the server has read the steps before it hears that they were all
            self._put(replace(state, state=APPLIED, number=number, steps=steps))

        return self._attempts.begin(state.correction, calls, apply)

    def withdraw(self, correction: str) -> None:
        if self._planned.pop(correction, None) is None:
            raise StalePlan(f"the correction {correction} has been applied, at least in part, and stays in the log")

    def close_call(self, request: str, by: str, why: str) -> CorrectionCall:
        found = open_call(self.calls(), request)
        self._closed[found.reference] = closed = replace(found, state=CLOSED, by=by, why=why, at=1)
        return closed

    def _put(self, state: CorrectionState) -> None:
        others = [it for it in self._kafka.corrections if it.correction != state.correction]
        self._kafka.corrections = sorted([*others, state], key=lambda it: it.number)
