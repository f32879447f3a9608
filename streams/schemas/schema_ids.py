"""The identity of a schema: its canonical text, the SHA-256 of that, and the id that every record has.

Avro's own canonical form drops defaults, aliases, logical types and unknown properties such as our `key`. Schemas that differ
in them are handled differently, so ours keeps them. It drops only `doc`, and writes every name in full.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from streams.schemas.avro import AVRO_NAMES, full_name


def canonical(schema: object) -> str:
    """The canonical text of a schema: equal texts mean equal schemas. It is a schema itself."""
    return json.dumps(_plain(schema, ""), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint(text: str) -> str:
    """SHA-256 of a canonical text, 64 hex digits."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def id_of(text: str) -> int:
    """The first 31 bits of the fingerprint: from 0 to 2**31 - 1."""
    return int(fingerprint(text)[:8], 16) >> 1


def _plain(schema: Any, namespace: str) -> Any:
    if isinstance(schema, str):
        return schema if schema in AVRO_NAMES or "." in schema or not namespace else f"{namespace}.{schema}"
    if isinstance(schema, list):
        return [_plain(branch, namespace) for branch in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain = {name: value for name, value in schema.items() if name not in ("doc", "namespace")}
    kind = plain.get("type")
    if kind in ("record", "enum"):
        plain["name"] = full_name(schema, namespace)
        home = plain["name"].rpartition(".")[0]
        if namespace and not home:
            plain["namespace"] = ""  # without it, the name would read as one inside `namespace`
        if kind == "record":
            plain["fields"] = [_field(field, home) for field in schema["fields"]]
    elif kind == "array":
        plain["items"] = _plain(plain["items"], namespace)
    elif kind == "map":
        plain["values"] = _plain(plain["values"], namespace)
    else:
        plain["type"] = _plain(kind, namespace)
        return plain["type"] if len(plain) == 1 else plain
    return plain


def _field(field: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    plain = {name: value for name, value in field.items() if name != "doc"}
    return plain | {"type": _plain(field["type"], namespace)}
