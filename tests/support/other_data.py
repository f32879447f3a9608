"""Events that are like another one, and not equal to it."""

from __future__ import annotations

from msgspec.structs import asdict, replace

from streams.data import EventData


def other_data(data: EventData) -> EventData:
    """Of the same key, with one field changed."""
    fields = asdict(data)
    name = next(it for it in fields if it != data.key_field and isinstance(fields[it], int | str))
    return replace(data, **{name: fields[name] + (1 if isinstance(fields[name], int) else "!")})
