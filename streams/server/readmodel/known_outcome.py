"""An outcome with what identifies its event."""

from __future__ import annotations

from streams.receipt import EventOutcome


class KnownOutcome(EventOutcome, frozen=True, kw_only=True):
    """An outcome with its event's type, key and id. For a duplicate they are None, since a marker does not have them."""

    event_type: str | None = None
    key: str | None = None
    id: str | None = None


def known_outcome(
    became: EventOutcome, event_type: str | None = None, key: str | None = None, event_id: str | None = None
) -> KnownOutcome:
    facts = {name: getattr(became, name) for name in EventOutcome.__struct_fields__}
    return KnownOutcome(event_type=event_type, key=key, id=event_id, **facts)
