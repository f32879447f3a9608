"""Annotations of fields, taken apart."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin


def without_none(hint: Any) -> Any:
    """`X` of `X | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint
