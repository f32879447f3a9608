"""When something began to hold of a row: the language of conditions, and the turns that are found."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import HistoryError, InvalidEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.past import MemoryPast
from streams.history.when.predicate import LONGEST, Predicate, PredicateFailed
from streams.history.when.when import Turns
from tests.applications.bank.events import AccountRow, TransferRow
from tests.applications.shop.events import OrderRow
from tests.support.pasts import made, past_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = OrderRow(customer="c", status="paid", placed=NOW, waiting=0, total=3, held={"x": 2}, receipt=None)
some = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status == 'paid'", True),
        ("status != 'paid'", False),
        ("total > 2 and total <= 3", True),
        ("2 < total < 3", False),
        ("total == 3 or nothing", None),
        ("not total == 3", False),
        ("status in ('paid', 'paying')", True),
        ("status not in ['paid']", False),
        ("'ai' in status", True),
        ("receipt is None", True),
        ("receipt == null", True),
        ("held['x'] == 2", True),
        ("held['nothing'] is None", True),
        ("'x' in held", True),
        ("placed < '2026-01-02T00:00:00Z'", True),
        ("'2026-01-02T00:00:00+00:00' <= placed", False),
        ("row.total == 3", True),
        ("row is None", False),
        ("row is not null", True),
        ("total > -1", True),
        ("placed in ('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z')", True),
        ("placed != receipt or total == 3.0", True),
        ("held['x'] > total or held['x'] == 2", True),
        ("receipt != 'r' and null == receipt", True),
    ],
)
def test_a_condition_holds_or_not(text: str, holds: bool | None) -> None:
    """Of one row, as it would in Python; times are compared with texts."""
    if holds is None:
        with pytest.raises(InvalidEvent, match="'nothing', which is no field of it"):
            Predicate(text, OrderRow)
    else:
        assert Predicate(text, OrderRow).holds(ORDER) is holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('x')", "is not understood"),
        ("total.__class__", "no field"),
        ("row.__class__.__mro__", "no field"),
        ("total + 1 == 2", "is not understood"),
        ("9 ** 9 ** 9 > total", "is not understood"),
        ("[x for x in held]", "is not understood"),
        ("lambda: total", "is not understood"),
        ("(x := total)", "is not understood"),
        ("f'{total}'", "is not understood"),
        ("'a' * 10 ** 9 == status", "is not understood"),
        ("total == 1j", "is not understood"),
        ("b'x' == status", "is not understood"),
        ("held[total]", "is not understood"),
        ("stats == 'paid'", "did you mean status"),
        ("status = 'paid'", "is no condition"),
        ("status ==", "cannot be read"),
        ("", "is no condition"),
        ("total; total", "is no condition"),
        ("(" * 500 + ")" * 500, "cannot be read"),
        ("not " * 240 + "total", "more than 200 parts"),
        ("t" * (LONGEST + 1), "characters long"),
        ("-" * 900 + "1", "nested too deeply"),
        ("+".join("1" * 400), "nested too deeply"),
        ("total is 3", "== was expected"),
        ("status is not 'paid'", "== was expected"),
        ("status == 3", "compares status, which is one of reserving, paying, paid, cancelled, with 3, which is a number"),
        ("status == 'payd'", r"with 'payd' \(did you mean paid\?\)"),
        ("status in ('paid', 'sent')", "with 'sent'"),
        ("customer == 3", r"which is a text, with 3, which is a number \(did you mean '3'\?\)"),
        ("total > '2'", r"compares total, which is a number, with '2', which is a text \(did you mean 2\?\)"),
        ("total == 'three'", "which is a number, with 'three', which is a text"),
        ("total == true", "with true, which is true or false"),
        ("customer < total", "compares customer, which is a text, with total, which is a number"),
        ("placed > '2026'", "placed, which is a time, with '2026'; a time with a zone, such as"),
        ("'2026-01-01T00:00:00' < placed", "a time with a zone, such as"),
        ("placed > 3", "compares placed, which is a time, with 3"),
        ("placed in ('2026',)", "a time with a zone, such as"),
        ("placed.year > 2020", "asks for 'year' of placed, which is a time and has no parts; it is compared as a whole, such as"),
        ("row.totl == 3", r"asks for 'totl' of row, which has no such field \(did you mean total\?\)"),
        ("total < None", "asks what is less or more, and None is nothing"),
        ("held < 3", "and held is a map"),
        ("held['x'] == 'two'", "compares held\\['x'\\], which is a number, with 'two'"),
        ("held[3] == 2", "asks for 3 in held, whose keys are texts"),
        ("3 in held", "asks whether 3, a number, is in held; its keys are texts"),
        ("3 in total", "asks what is in total, which is a number"),
        ("status[0] == 'p'", "which is no map and no list"),
        ("row == 'paid'", "compares row, which is a record, with 'paid'"),
        ("\0", "cannot be read"),
        ("\x1b[2J", "cannot be read"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_fields(text: str, words: str) -> None:
    """Before anything is read. Nothing is called, and nothing beside the row is reached."""
    with pytest.raises(InvalidEvent, match=words) as refused:
        Predicate(text, OrderRow)
    assert "customer, status, placed" in str(refused.value)
    assert "\x1b" not in str(refused.value)


@given(st.text(alphabet="status paid='!<>[](){}.,:and or not in 0123456789_*+-lambda", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """It fails in no other way, and answers with true or false."""
    row = TransferRow(source="a1", target="a2", amount=3, status="done")
    with suppress(InvalidEvent, PredicateFailed):
        assert Predicate(text, TransferRow).holds(row) in (True, False)


@some
@given(st.integers(0, 10**6))
def test_turns_are_where_the_condition_changes(seed: int) -> None:
    """Of one key and of all: each event after which it is otherwise than before it, as a fold by hand finds them."""
    _, there = made("bank", seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    by_hand = turned(past, handlers)
    for key in {it.key for it in past.events() if it.namespace == "account"}:
        turns = Turns(Predicate("balance < 100", AccountRow), handlers)
        found = [(it.event.name, it.holds) for it in turns.take(past.key_events(("account", key)))]
        assert found == [(name, holds) for of, name, holds in by_hand if of == key]
    turns = Turns(Predicate("balance < 100", AccountRow), handlers)
    of_all = turns.take(it for it in past.events() if it.namespace == "account")
    assert [(it.event.key, it.event.name, it.holds) for it in of_all] == by_hand
    last = {key: holds for key, _, holds in by_hand}
    assert sorted(turns.holding) == sorted(key for key, holds in last.items() if holds)


def turned(past: MemoryPast, handlers: ApplicationHandlers) -> list[tuple[str, str, bool]]:
    found, rows = [], dict[str, AccountRow | None]()
    for it in past.events():
        if it.namespace == "account":
            before = rows.get(it.key)
            after = rows[it.key] = handlers.fold((before, 0), it)[0]  # type: ignore[assignment]  # an account's
            was, holds = (row is not None and row.balance < 100 for row in (before, after))
            if was != holds:
                found.append((it.key, it.name, holds))
    return found


def test_a_condition_that_cannot_be_asked_names_the_event() -> None:
    """Such as whether nothing is less than a text."""
    _, there = made("shop", 11)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    first = past.key_events(("order", "o1"))[0]
    with pytest.raises(HistoryError, match=rf"after {first.name} \(order.place 'o1'\): None and 'r' cannot be compared"):
        list(Turns(Predicate("receipt < 'r'", OrderRow), handlers).take(past.key_events(("order", "o1"))))


def test_that_there_is_no_row_can_be_asked() -> None:
    """It holds before the first event, so the first one ends it."""
    _, there = made("shop", 11)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    events = past.key_events(("order", "o1"))
    found = list(Turns(Predicate("row is None", OrderRow), handlers).take(events))
    assert [(it.event.name, it.holds) for it in found] == [(events[0].name, False)]
