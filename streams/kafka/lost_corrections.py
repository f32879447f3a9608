"""Whether corrections were lost with their topic: markers count the steps that workers have carried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.kafka.corrections_topic import CorrectionState
from streams.kafka.status import NamespaceStatus
from streams.kafka.topics import corrections_topic

BRING_BACK = "Bring it back from a backup: nothing else knows what was corrected, and nothing can be corrected until then"


def lost_corrections(prefix: str, spaces: Iterable[NamespaceStatus], begun: Sequence[CorrectionState]) -> str:
    """A sentence without its stop if none is there and some have set rows; empty otherwise."""
    steps = sum(space.counters.corrected for space in spaces)
    if begun or not steps:
        return ""
    how_many = "1 step" if steps == 1 else f"{steps} steps"
    return (
        f"The topic {corrections_topic(prefix)} has no correction that was begun, and workers have carried out {how_many} of some: "
        "it was deleted or made again"
    )
