"""Steps of corrections that are not known: what else these have changed cannot be told, so nothing is made of such a past."""

from __future__ import annotations

from collections.abc import Collection

from streams.errors import NotKnownYet
from streams.history.past import Past

KEPT_IN = "retold-corrections"
"""The topic that has the corrections of all applications, without its prefix."""


def refuse_unknown(log: Past, known: Collection[str]) -> None:
    """Raises NotKnownYet if the log has a step of another correction than these: a server hears of a new one some seconds later."""
    for it in log.steps():
        if (correction := it.event.data.correction) not in known:
            raise NotKnownYet(
                f"this past was corrected: {it.name} is a step of the correction {correction}, and what else that has changed is "
                f"not known here. If it was begun just now, ask again in some seconds. Else the topic {KEPT_IN} was deleted or "
                "made again: bring it back from a backup. Until then rows are as the logs have them, and nothing was changed"
            )
