"""The corrections of an application, followed: each look reads only what is new of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_calls import CorrectionCall
from streams.kafka.clients import Clients
from streams.kafka.correction_calls_topic import CallRecords
from streams.kafka.corrections_topic import PLANNED, READING, CorrectionRecords, Corrections, CorrectionState
from streams.kafka.offsets import NoSuchTopic, TopicAndPartition, ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topic_contents import read_spans
from streams.kafka.topics import corrections_topic, describe

TIMEOUT = 3.0
"""s that the broker has to say whether there is anything new."""
ANEW_AFTER = 86_400.0
"""s without a look after which all is read again: by then the topic may have forgotten what was taken back."""


class WatchedCorrections:
    """Used by one thread at a time, which also uses `admin`. All raise BrokerError; a topic that is missing holds nothing."""

    def __init__(
        self, clients: Clients, admin: Admin, prefix: str, application: str, timeout: float = TIMEOUT
    ) -> None:  # fmt: skip
        self._clients, self._admin, self._application, self._timeout = clients, admin, application, timeout
        self._topic, self._looked = corrections_topic(prefix), 0.0
        self._forget("")

    def __call__(self) -> Sequence[CorrectionState]:
        """Those that were begun, in their order."""
        return [it for it in self.look().states if it.state != PLANNED]

    def known(self) -> Sequence[KnownCorrection]:
        """As above: what the past is told with."""
        return [state.known for state in self()]

    def look(self) -> Corrections:
        """All, with plans that are kept and each coordinator's claim."""
        self._read_on()
        return self._states.found()

    @property
    def is_there(self) -> bool:
        """Whether the topic was there when it was looked at last."""
        return self._id != ""

    def calls(self) -> Mapping[str, CorrectionCall]:
        """Calls of gateways that they have made wrong, by the reference of the request, in the order of their decisions."""
        self._read_on()
        return dict(self._calls.found)

    def _forget(self, topic_id: str) -> None:
        self._id, self._next = topic_id, 0
        self._states, self._calls = CorrectionRecords(self._application), CallRecords(self._application)

    def _read_on(self) -> None:
        now, at = self._clients.clock.monotonic(), (self._topic, 0)
        if now - self._looked > ANEW_AFTER:
            self._forget("")
        self._looked = now
        topic_id, first, end = self._there(at)
        if topic_id != self._id or not first <= self._next <= end:
            self._forget(topic_id)
        begin = max(first, self._next)
        for message in read_spans(self._clients, "retold-corrections", {at: (begin, end)}, timeout=READING):
            self._states.take(message)
            self._calls.take(message)
            self._next = (message.offset() or 0) + 1
        self._next = max(self._next, end)

    def _there(self, at: TopicAndPartition) -> tuple[str, int, int]:
        """The id of the topic, its first offset and its end; none if it is missing."""
        described = describe(self._admin, [self._topic], timeout=self._timeout).get(self._topic)
        if described is not None:
            with suppress(NoSuchTopic):  # it was deleted just now
                first = starts(self._admin, [at], timeout=self._timeout)[at]
                return described.id, first, ends(self._admin, [at], timeout=self._timeout)[at]
        return "", 0, 0
