"""What a member of a group says that it was assigned."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.owners import assigned

NAMES = st.text(min_size=1, max_size=20)
NUMBERS = st.lists(st.integers(0, 2**31 - 1), max_size=5)


def encoded(topics: list[tuple[str, list[int]]], rest: bytes) -> bytes:
    """As Kafka's clients write it."""
    made = struct.pack(">hi", 0, len(topics))
    for topic, numbers in topics:
        name = topic.encode()
        made += struct.pack(f">h{len(name)}si{len(numbers)}i", len(name), name, len(numbers), *numbers)
    return made + rest


@given(st.lists(st.tuples(NAMES, NUMBERS), max_size=4), st.binary(max_size=9))
def test_every_partition_of_an_assignment_is_read(topics: list[tuple[str, list[int]]], rest: bytes) -> None:
    """Whatever data of its own a client adds behind it."""
    assert assigned(encoded(topics, rest)) == [(topic, number) for topic, numbers in topics for number in numbers]


@given(st.binary(max_size=60))
def test_bytes_of_another_protocol_are_no_error(assignment: bytes) -> None:
    """A group may have members that are no consumers."""
    assert isinstance(assigned(assignment), list)


def test_a_member_that_waits_for_its_leader_owns_nothing() -> None:
    """Its assignment is empty."""
    assert assigned(b"") == []
