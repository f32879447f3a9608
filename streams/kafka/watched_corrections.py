"""The corrections of an application, read again when there is something new of them."""

from __future__ import annotations

from collections.abc import Sequence

from streams.history.correction.corrected_log import KnownCorrection
from streams.kafka.clients import Clients
from streams.kafka.corrections_topic import CorrectionState, read_corrections
from streams.kafka.offsets import NoSuchTopic, ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import corrections_topic, describe

TIMEOUT = 3.0
"""s that the broker has to say whether there is anything new."""


class WatchedCorrections:
    """Used by one thread, which also uses `admin`."""

    def __init__(self, clients: Clients, admin: Admin, prefix: str, application: str) -> None:
        self._clients, self._admin, self._prefix, self._application = clients, admin, prefix, application
        self._topic = corrections_topic(prefix)
        self._read: tuple[str, int] = "", 0
        """The id of the topic, and its end when it was read."""
        self._states: Sequence[CorrectionState] = ()

    def __call__(self) -> Sequence[CorrectionState]:
        """All, in their order; none if the topic is missing. Raises BrokerError."""
        found = describe(self._admin, [self._topic], timeout=TIMEOUT).get(self._topic)
        try:
            now = ("", 0) if found is None else (found.id, ends(self._admin, [(self._topic, 0)], timeout=TIMEOUT)[self._topic, 0])
        except NoSuchTopic:  # it was deleted just now
            now = "", 0
        if now != self._read:
            self._states = read_corrections(self._clients, self._prefix, self._application) if now[1] else ()
            self._read = now
        return self._states

    def known(self) -> Sequence[KnownCorrection]:
        """As above: what the past is told with."""
        return [state.known for state in self()]
