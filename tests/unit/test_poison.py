"""What no transaction can hold is looked for by kind, so that what stands beside it goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.producer import TransactionAborted
from streams.worker.pace import Pace
from streams.worker.poison import CALM, SUSPICIOUS, PoisonKind, PoisonSearch

POISON, OTHER = TransactionAborted("too large", poison=True), TransactionAborted("not now")
kinds = st.sets(st.sampled_from(PoisonKind), min_size=1)


def searching() -> PoisonSearch:
    search = PoisonSearch()
    for _ in range(SUSPICIOUS):
        search.aborted(POISON)
    return search


@given(kinds)
def test_all_share_a_transaction_while_nothing_is_suspicious(there: set[PoisonKind]) -> None:
    """One refusal may have another cause, and an abort for another reason is no sign at all."""
    search = PoisonSearch()
    assert search.turn(there) is None
    search.aborted(POISON)
    search.aborted(OTHER)
    search.aborted(POISON)
    assert search.turn(there) is None


@given(kinds)
def test_each_kind_has_its_turn(there: set[PoisonKind]) -> None:
    """None waits for another that is refused again and again."""
    search = searching()
    assert {search.turn(there) for _ in there} == there


@given(kinds)
def test_they_share_again_when_it_was_calm_for_a_while(there: set[PoisonKind]) -> None:
    """A refused kind must not find the others in its transaction as soon as one of these was committed."""
    search = searching()
    search.most_answers = 1
    for _ in range(CALM - 1):
        search.succeeded()
        assert search.turn(there) in there
    search.succeeded()
    assert search.turn(there) is None
    assert search.most_answers > 1


def test_a_transaction_without_any_work_is_not_made_smaller() -> None:
    """As that of a partition which goes over to other rows: refused again and again, it ended its namespace."""
    assert searching().narrow({}, Pace(1_000, 1.0)) is None
