"""What a namespace's cycles tell about the time that they take. A worker without metrics counts nothing."""

from __future__ import annotations

ANSWERED, FAILED, GIVEN_UP = "answered", "failed", "given_up"
"""What became of a try of a gateway's call. After `FAILED` it is tried again."""


class Meter:
    """Of one namespace; this one counts nothing. Called by its threads, in s. Nothing here may raise, or wait."""

    def handled(self, seconds: float) -> None:
        """A batch with records was handled, from its poll to the end of its transaction."""

    def committed(self, seconds: float, events: int) -> None:
        """A transaction of so many records, timers and answers was committed."""

    def aborted(self) -> None:
        """A transaction was aborted; its work is done again."""

    def lost(self) -> None:
        """A transaction's end is not known, so all partitions are restored."""

    def restored(self, seconds: float) -> None:
        """A partition is restored, so long after it was assigned."""

    def called(self, event_type: str, outcome: str, seconds: float) -> None:
        """A gateway was called once for an event of this type: ANSWERED, FAILED or GIVEN_UP."""


UNMETERED = Meter()
