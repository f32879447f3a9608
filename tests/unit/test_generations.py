"""Keys of rows of several generations in one table topic, and what is folded into them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import Namespace
from streams.engine.generations import (
    CATCH_UP_LIMIT,
    BuiltTo,
    RowKey,
    RowsThere,
    built_key,
    row_key,
    row_key_of,
    rows_there,
)
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.errors import DefinitionError
from tests.applications.bank.events import AccountRow

KEYS = st.text(min_size=1, max_size=40).filter(lambda it: it[0] > "\x01" and it.isprintable())
GENERATIONS = st.integers(1, 999_999)


@given(KEYS, GENERATIONS)
def test_the_key_of_a_row_says_whose_it_is_and_of_which_generation(key: str, generation: int) -> None:
    """Also of one that looks like another's; and in the first generation it is the entity's own, as it always was."""
    assert row_key_of(row_key(key, generation)) == RowKey(key, generation)
    assert row_key_of(built_key(key, generation)) == RowKey(key, generation, built=True)
    assert row_key(key, 1) == key.encode()


@pytest.mark.parametrize("key", [b"\x01", b"\x012", b"\x01x:k", b"\x012-k", b"\x01:k", b"\xff"])
def test_a_key_that_no_worker_wrote_is_refused(key: bytes) -> None:
    """Taken for a row, it would be shown to somebody."""
    with pytest.raises(ValueError, match=r"generation|decode"):
        row_key_of(key)


@pytest.mark.parametrize("generation", [0, -1, 1_000_000, True, "2"])
def test_a_generation_is_a_whole_number_from_one_on(generation: int) -> None:
    """It is part of keys that are kept for ever."""
    with pytest.raises(DefinitionError, match="whole number from 1 to 999,999"):
        Namespace("account", row=AccountRow, generation=generation)


def marked(generation: int, last: int, **others: Any) -> Marker:
    return Marker(
        first=1, last=last, inbox_next=last, recorded=last, application="a", topic_ids={}, partitions=1, transactional_id="t",
        counters=Counters(), generation=generation, **others,
    )  # fmt: skip


def built(sequence: int, generation: int = 2, *, whole: bool = True) -> BuiltTo:
    return BuiltTo(generation=generation, sequence=sequence, offset=sequence, code="c", whole=whole)


@pytest.mark.parametrize(
    ("records", "lack"),
    [
        ([], ""),
        ([marked(1, 0)], ""),
        ([marked(1, 5)], "are not built"),
        ([marked(1, 5), built(5, generation=3)], "are not built"),
        ([marked(1, 5), built(5)], ""),
        ([built(5), marked(1, 5)], ""),
        ([marked(1, 5), built(4, whole=False)], "are built up to event 4 of 5"),
        ([marked(1, 5), built(4, whole=False), built(5)], ""),
        ([built(1), marked(1, CATCH_UP_LIMIT + 1)], ""),
        ([built(1), marked(1, CATCH_UP_LIMIT + 2)], f"are built up to event 1 of {CATCH_UP_LIMIT + 2:,}"),
        ([marked(2, 5)], ""),
        ([marked(1, 5), marked(2, 6)], ""),
        ([marked(2, 5), marked(1, 2 * CATCH_UP_LIMIT, complete={2: 5})], ""),
        ([marked(1, 5, complete={3: 5})], "are not built"),
        ([built(5), marked(1, 5, complete={2: 5}, dropped=[2])], "were dropped for good"),
    ],
)
def test_rows_are_told_once_they_are_built_or_workers_have_kept_them(records: list[Marker | BuiltTo], lack: str) -> None:
    """And where nothing was handled that they could lack. What is kept of it as JSON says the same, and nothing of other rows."""
    there = RowsThere(of=2)
    for record in records:
        there = there.behind(record)
    assert there.lack == lack
    kept = msgspec.json.encode(there)
    assert rows_there(kept, 2) == there
    assert rows_there(kept, 3) == rows_there(None, 3) == RowsThere(of=3)
