"""What an event changed in a row, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from streams.data import Record

MOST = 50
"""Changes of one step that are told."""


class Missing(msgspec.Struct, frozen=True):
    """Stands for a value that is not there."""


MISSING = Missing()


class FieldChange(msgspec.Struct, frozen=True):
    """`field` is a path, such as `held.A1`; what was or is not there is MISSING."""

    field: str
    before: Any
    after: Any


def row_changes(before: Record | Mapping[str, Any] | None, after: Record | Mapping[str, Any] | None) -> Sequence[FieldChange]:
    """At most `MOST`, in the order of the fields. Of a row that is new or gone: all fields."""
    return list(islice(_changes("", before, after), MOST))


def _changes(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    was, now = _parts(before), _parts(after)
    if not path or (was is not None and now is not None and (was or now)):
        was, now = was or {}, now or {}
        for name in [*was, *(name for name in now if name not in was)]:
            old, new = was.get(name, MISSING), now.get(name, MISSING)
            if type(old) is not type(new) or old != new:
                yield from _changes(f"{path}.{name}" if path else str(name), old, new)
    else:
        yield FieldChange(path, before, after)


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """Of a record or a mapping; None: the value is compared as a whole."""
    if isinstance(value, Missing):
        return None
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return value if isinstance(value, Mapping) else None
