"""A correction as programs read it: for `--json`, and over HTTP."""

from __future__ import annotations

from typing import Any

from streams.engine.times import from_micros
from streams.kafka.corrections_topic import CorrectionState


def correction_document(it: CorrectionState) -> dict[str, Any]:
    return {
        "correction": it.correction, "number": it.number, "by": it.by, "why": it.why, "state": it.state,
        "begun": from_micros(it.begun), "rows": it.steps, "calls": it.calls,
        "remove": [*it.change.remove], "replace": [*it.change.replace], "insert": [each.id for each in it.change.insert],
        "again": [*it.change.again], "assumed": [*(it.change.assumed or ())],
        "at_work": it.coordinator, "stopped": it.stopped,
    }  # fmt: skip
