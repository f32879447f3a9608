"""Keys of rows of several generations in one table topic, and what is folded into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import Namespace
from streams.engine.generations import RowKey, built_key, row_key, row_key_of
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
