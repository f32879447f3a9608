"""That a row was not at the expected version is a fact of the log, and no way to word a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import App, Event, Namespace, Outcome, Rejected
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.envelope import log_header
from streams.engine.records import Headers
from streams.engine.stored import log_record
from streams.receipt import logged_outcome
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.support.memory_server import MemoryServer

WORDS = "wrong version: this contract is an old one"


def app() -> App:
    """Its handler says no in the words that begin the engine's own."""
    account = Namespace("account", row=AccountRow)

    @account.handles(AccountOpen)
    def opened(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        raise Rejected(WORDS)

    return App(name="words", namespaces=[account])


def test_a_handlers_own_words_make_no_412(tmp_path: Path) -> None:
    """Who expected no version reads 409: a 412 would have it fetch the row and try again, for ever."""
    with MemoryServer(app(), tmp_path) as server:
        body = {"account": "a", "balance": 1}
        got = server.http.post("/events/account.open", json=body, headers={"Prefer": "wait=5"})
        assert (got.status_code, got.json()["reason"]) == (409, WORDS)
        stale = server.http.post("/events/account.open", json=body, headers={"Prefer": "wait=5", "If-Match": '"9"'})
        assert stale.status_code == 412


@pytest.mark.parametrize(("expected", "wrong"), [(b"9", True), (b"0", False)])
def test_the_log_says_which_it_was(expected: bytes, wrong: bool) -> None:
    """As a field of its own, which every reader gives on."""
    codec = codec_of(app())
    engine = Engine(app(), "account", codec)
    value, headers = codec.encode(AccountOpen(account="a", balance=1)), [("ce_expectedversion", expected)]
    [handled] = engine.handle(engine.image(), [(0, b"a", value, headers, 0)], 1).results
    header = log_header(log_record(handled).headers)
    assert (header.outcome, header.wrong_version, logged_outcome(header).wrong_version) == ("rejected", wrong, wrong)


OLD = b'[3,5,2,"rejected","f","%s",null,null]'
ENGINES = b"wrong version: expected 9, the row is at 1"


@pytest.mark.parametrize(
    ("reason", "headers", "wrong"),
    [
        (ENGINES, [("ce_expectedversion", b"9")], True),
        (ENGINES, [], False),
        (WORDS.encode(), [("ce_expectedversion", b"9")], False),
        (b"no", [("ce_expectedversion", b"9")], False),
    ],
)
def test_a_record_from_before_is_read_by_what_it_says(reason: bytes, headers: Headers, wrong: bool) -> None:
    """It has no such field: where a version was expected, the beginning of the reason tells, as it did."""
    header = log_header([*headers, ("retold", OLD % reason)])
    assert (header.sequence, header.time, header.wrong_version) == (3, None, wrong)


def test_an_accepted_record_from_before_reads_as_one_of_now() -> None:
    """Nothing but the rejected have anything to say about it."""
    before = b'[3,5,2,"accepted","f",null,null,null]'
    assert log_header([("retold", before)]) == log_header([("retold", before[:-1] + b",null]")])
