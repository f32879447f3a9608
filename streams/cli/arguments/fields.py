"""An event's fields as they are typed: `name=value`."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def pairs(values: Sequence[str]) -> dict[str, str]:
    """Each value by its field's name. Raises BadParameter."""
    found: dict[str, str] = {}
    for pair in values:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not a field; name=value was expected.")
        if name in found:
            raise typer.BadParameter(f"the field {name!r} is given twice.")
        found[name] = value
    return found
