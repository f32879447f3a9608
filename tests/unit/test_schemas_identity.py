"""What makes two schemas one, and their id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.schemas.schema_ids import canonical, fingerprint, id_of

BASE: dict[str, Any] = {
    "type": "record",
    "name": "user.signup",
    "key": "user",
    "fields": [
        {"name": "user", "type": "string"},
        {"name": "plan", "type": "string", "default": "free", "aliases": ["tier"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}


def identity(schema: dict[str, Any]) -> int:
    return id_of(canonical(schema))


def field(number: int, **changes: Any) -> dict[str, Any]:
    """BASE with one field changed; None takes a property away."""
    fields = [dict(f) for f in BASE["fields"]]
    fields[number] |= changes
    fields[number] = {name: value for name, value in fields[number].items() if value is not None}
    return BASE | {"fields": fields}


def shuffled(value: Any, random: Any) -> Any:
    """The same JSON with the properties of every object in another order."""
    if isinstance(value, dict):
        names = list(value)
        random.shuffle(names)
        return {name: shuffled(value[name], random) for name in names}
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


@given(st.randoms())
def test_the_order_of_properties_does_not_count(random: Any) -> None:
    """However the file is laid out, the id is the same."""
    assert identity(BASE) == identity(shuffled(BASE, random))


@pytest.mark.parametrize(
    "same",
    [
        BASE | {"doc": "Sign up."},
        field(0, doc="The key."),
        BASE | {"name": "signup", "namespace": "user"},
        field(0, type={"type": "string"}),
    ],
)
def test_how_it_is_said_does_not_count(same: dict[str, Any]) -> None:
    """A doc, and another way to write a name or a type, leave the id as it is."""
    assert identity(BASE) == identity(same)


@pytest.mark.parametrize(
    "other",
    [
        field(1, default="pro"),
        field(1, default=None),
        field(1, aliases=None),
        field(2, type="long"),
        field(2, type={"type": "long", "logicalType": "timestamp-millis"}),
        BASE | {"key": "plan"},
        BASE | {"version": 2},
        BASE | {"name": "user.sign_up"},
        BASE | {"fields": BASE["fields"][::-1]},
    ],
)
def test_what_it_means_counts(other: dict[str, Any]) -> None:
    """Another default, alias, logical type, key, version, name or order of fields is another schema."""
    assert identity(BASE) != identity(other)


def test_a_default_called_doc_counts() -> None:
    """Only the property `doc` of a schema is left out, not a word in a default."""
    first, second = (field(1, type={"type": "map", "values": "string"}, default={"doc": word}) for word in "ab")
    assert identity(first) != identity(second)


def test_the_canonical_text_is_a_schema_with_the_same_identity() -> None:
    """Its own canonical text is itself, so that it can be handed on."""
    text = canonical(BASE | {"name": "signup", "namespace": "user"})
    assert text == canonical(json.loads(text))


def test_ids_stay_for_ever() -> None:
    """The id of a schema is a fact of every log: 31 bits of a SHA-256 that anyone can compute."""
    text = '{"fields":[{"name":"user","type":"string"}],"key":"user","name":"user.close","type":"record"}'
    assert text == canonical(json.loads(text))
    assert fingerprint(text) == "03fa82b0af88ddc6055c0abc5eecb39d4803fd36585b23a937006e29fe995a62"
    assert id_of(text) == 33374552
