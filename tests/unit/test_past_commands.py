"""The commands that ask the past: what they refuse before they look for a broker."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
import typer

from streams import App, History, Outcome, Projection, Rejected, View
from streams.cli import run_command
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.commands.get import get
from streams.cli.commands.replay import replay
from streams.cli.commands.what_if import what_if
from streams.cli.commands.when import when
from streams.cli.output.replay_text import replay_lines, replay_markdown
from streams.cli.process import exit_codes
from streams.cli.process.opened_past import open_past
from streams.data import EventData
from streams.engine.times import from_micros
from streams.errors import CodeChanged, ConfigError, HistoryError, StreamsError
from streams.history.cut_past import Cut
from streams.history.difference.difference import Difference
from streams.history.difference.difference_members import summary_members
from streams.history.past_times import cut_of
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.sealed_file import PLACE, WIDTH
from streams.history.unread_event import is_folded
from streams.server.readmodel.history_export import export
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from tests.applications import shop as shop_application
from tests.applications.shop.events import OrderCancel, OrderPaid, OrderPlace
from tests.support.cases import cases
from tests.support.other_code import refusing, strict, with_change, without_handler
from tests.support.pasts import made, past_of
from tests.support.stored_pasts import edited, stored


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({}, WrongUsage, "nothing is changed"),
        ({"insert": ["{"]}, WrongUsage, "--insert holds no JSON"),
        ({"insert": ["nowhere.json"]}, ConfigError, r"the file nowhere\.json cannot be read.*\(--insert\)"),
        ({"insert": ['{"type": "a.b"}']}, WrongUsage, "--insert: Object missing required field `data`; an event, such as"),
        ({"replace": ["signup-1"]}, WrongUsage, "--replace is 'signup-1'; a name, =, and JSON or a file were expected"),
        ({"replace": ["signup-1=[]"]}, WrongUsage, "--replace: Expected `object`, got `array`; an event and its data, such as"),
        ({"remove": ["a"], "answer": ['={"type": "x.y"}']}, WrongUsage, "--answer is"),
        ({"remove": ["a"], "answer": ["a.b={}"]}, WrongUsage, "--answer: Object missing required field `type`"),
        ({"remove": ["a"] * 1001}, WrongUsage, "names 1001 events"),
    ],
)
def test_a_change_that_cannot_be_read_is_a_sentence(
    options: dict[str, Any], error: type[StreamsError], sentence: str
) -> None:
    """It names the option, and has nothing of what is said over HTTP."""
    with pytest.raises(error, match=sentence):
        what_if(**options)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """At most a megabyte is."""
    file = tmp_path / "large.json"
    file.write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        what_if(insert=[str(file)])
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        replay(accept=file)


def test_two_forms_of_a_result_are_refused() -> None:
    """`--json` beside Markdown; beside `--format json` it is the same."""
    with pytest.raises(typer.BadParameter, match="--json is the same as --format json"):
        replay(shape="markdown", as_json=True)


def test_accepted_origins_that_are_not_there(tmp_path: Path) -> None:
    """The sentence says what writes them."""
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory\. --save writes it"):
        replay(accept=tmp_path / "nothing.json")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The past of a shop with 13 orders, exported."""
    monkeypatch.setenv("RETOLD_APP", "tests.applications.shop:app")
    monkeypatch.setenv("RETOLD_STATE", str(tmp_path))
    _, there = made("shop", 4)
    with closing(stored(there, tmp_path / "read")) as store:
        fill_high_water(store._db, 2**61)
        until = max(it.order.recorded for it in past_of(there).events())
        put_frontier(store._db, until)
        export(HistoryFile(store.file, until), tmp_path / "shop.retold")
    return tmp_path / "shop.retold"


def stricter_shop() -> App:
    return with_change(shop_application.app(), OrderPlace, refusing({"o2", "o5"}))


def ending_shop() -> App:
    """Its projection and its views would end the process."""
    made = shop_application.app()

    def ends(*_: Any, **__: Any) -> NoReturn:
        raise SystemExit(0)

    def fails(*_: Any) -> NoReturn:
        raise ValueError("a bug")

    per_day: Projection[Any] = Projection("orders_per_day", row=shop_application.orders_per_day.row_type)
    per_day.folds(OrderPlace, key=lambda _: "all")(ends)
    def rejects(*_: Any) -> NoReturn:
        raise Rejected("the day \x1b[31m is none")

    views = [View("ends", ends), View("fails", fails), View("odd", lambda _: object()), View("rejects", rejects)]
    return replace(made, projections=[per_day], views=views)


def talking_shop() -> App:
    """A handler and a view print something, as when somebody looks for a fault."""
    made = shop_application.app()

    def prints(handler: Any) -> Any:
        def changed(row: Any, event: Any) -> Any:
            print("a handler", event.key)
            return handler(row, event)

        return changed

    def shows(_: Any) -> int:
        print("a view")
        return 1

    return replace(with_change(made, OrderPlace, prints), views=[View("shows", shows)])


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "words", [["get", "order"], ["get", "shows"], ["when", "order", "o1", "waiting >= 0"], ["story", "order/o1"],
    ["what-if", "--remove", "place-1"], ["shrink", "order", "o1", "waiting >= 0"]], ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_what_the_application_prints_is_no_data(
    words: list[str], as_json: bool, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes to stderr: stdout is read by programs, and a test that `shrink` writes by Python."""
    json_option = ["--json"] if as_json and words[0] != "shrink" else []
    told = []
    for name in ("tests.applications.shop:app", "tests.unit.test_past_commands:talking_shop"):
        monkeypatch.setenv("RETOLD_APP", name)
        if name.endswith("shop:app") and "shows" in words:
            continue
        assert run_command([*words, "--history", str(shop), *json_option]) == 0
        told.append(capsys.readouterr())
    assert "a handler o" in told[-1].err or "a view" in told[-1].err
    assert "a handler" not in told[-1].out
    assert "a view" not in told[-1].out
    assert len({len(it.out.splitlines()) for it in told}) == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("orders_per_day", "the projection orders_per_day cannot be told: it raised SystemExit: 0 at order.place, order-"),
        ("ends", "the view ends raises SystemExit: 0"),
        ("fails", "the view fails raises ValueError: a bug"),
        ("odd", "or gives what cannot be written as JSON"),
    ],
)
def test_a_projection_or_view_that_raises_ends_no_command(
    name: str, sentence: str, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with SystemExit, whose code may be 0. The same from Python."""
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:ending_shop")
    assert run_command(["get", name, "--history", str(shop)]) == exit_codes.CONFIGURATION
    said = capsys.readouterr()
    assert (said.out, sentence in said.err) == ("", True)
    if name in ("orders_per_day", "ends"):
        with History.open(ending_shop(), shop) as past, pytest.raises(HistoryError, match="SystemExit: 0"):
            dict(past.table(past.app.projections[0])) if name == "orders_per_day" else past.view(name)


def test_a_view_that_has_no_answer_is_asked_in_vain(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its reason, without what would change the terminal, and the exit code of a row that there is not."""
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:ending_shop")
    assert run_command(["get", "rejects", "--history", str(shop)]) == exit_codes.NO
    said = capsys.readouterr()
    assert (said.out, "the view rejects has no answer: the day" in said.err, "\x1b[31m" in said.err) == ("", True, False)


def test_rows_projections_and_views_of_a_file_as_they_were(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a broker; with the token of an answer the next one is the same."""

    def asked(name: str, key: str | None = None, **options: Any) -> list[dict[str, Any]]:
        get(name, key, history=shop, as_json=True, **options)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    early = cut_of("2026-01-01T00:20:00Z")
    whole = asked("order")
    assert [it["key"] for it in whole[:3]] == ["o0", "o1", "o10"]
    assert len(whole) == 13
    then = asked("order", as_of=early)
    assert 0 < len(then) < 13
    assert asked("order", as_of=cut_of(then[0]["token"])) == then
    assert asked("order", limit=2, as_of=early) == then[:2]
    assert asked("order", then[1]["key"], as_of=early) == [then[1]]
    assert [it["row"]["count"] for it in asked("orders_per_day", as_of=early)] == [len(then)]
    [view] = asked("orders-of/c", as_of=early)
    assert view["answer"] == {it["key"]: it["row"] for it in then}
    get("orders_per_day", history=shop)
    assert "13" in capsys.readouterr().out
    get("orders-of/c", history=shop, as_of=early)
    [options] = re.findall(r"; with (--as-of \S+ --known \S+) it stays so\.", capsys.readouterr().err)
    run_command(["get", "orders-of/c", *options.split(), "--history", str(shop), "--json"])
    assert json.loads(capsys.readouterr().out) == view
    with pytest.raises(typer.Exit):
        get("order", "o1", history=shop, as_of=cut_of("2000-01-01T00:00:00Z"))
    for wrong, error in (
        ({"name": "orders-of/c", "key": "o1"}, WrongUsage),
        ({"name": "orders-for/c"}, WrongUsage),
        ({"name": "order", "known": from_micros(2**53)}, HistoryError),
        ({"name": "order", "as_of": Cut(0, 0), "known": from_micros(0)}, typer.BadParameter),
    ):
        with pytest.raises(error):
            get(**wrong, history=shop)


def test_rows_are_chosen_sorted_and_counted(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the filters of addresses; without an order, in that for people. A wrong question is wrong usage."""

    def asked(*options: str, code: int = 0) -> str:
        assert run_command(["get", *options, "--history", str(shop)]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    def keys(*options: str) -> list[str]:
        return [json.loads(line)["key"] for line in asked("order", *options, "--json").splitlines()]

    assert keys("--where", "_key__in=o10,o2,o1") == ["o1", "o10", "o2"]
    assert keys("--where", "_key__startswith=o1", "--where", "_key__ne=o1", "--sort", "-_key") == ["o12", "o11", "o10"]
    assert keys("--sort", "-customer,_key", "--limit", "3") == ["o0", "o1", "o10"]
    assert asked("order", "--where", "_key__gt=o8", "--count") == "1\n"
    assert json.loads(asked("order", "--count", "--json")) == {"count": 13}
    assert asked("orders_per_day", "--where", "count__lt=13", "--count") == "0\n"
    assert "2 of 4 rows" in asked_err(shop, capsys, "--where", "_key__startswith=o1", "--limit", "2")
    for options, sentence in (
        (["order", "--where", "totl=5"], "'totl' is no field here; there are customer, status,"),
        (["order", "--where", "total__gte=abc"], "'total__gte' is 'abc'; a whole number was expected"),
        (["order", "--where", "total"], "--where is 'total'; a field, =, and a value was expected"),
        (["order", "--where", "total=1", "--where", "total=2"], "--where is 'total=2'; total once was expected"),
        (["order", "--sort", "held"], "--sort is 'held', and 'held' is a field of more than one value"),
        (["order", "o1", "--count"], "the key 'o1' names one row: it has no --where, --sort and --count"),
        (["orders-of/c", "--where", "customer=c"], "it has no --where, --sort and --count"),
    ):
        assert sentence in asked(*options, code=exit_codes.USAGE)


def asked_err(shop: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said beside the rows."""
    assert run_command(["get", "order", *options, "--history", str(shop)]) == 0
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "key", "where"),
    [
        ("order", "o1", "ns = 'order' and key = 'o1'"),
        ("order", None, "ns = 'order'"),
        ("orders_per_day", None, "type = 'order.place' and accepted"),
        ("orders-of/c", None, "ns = 'order'"),
    ],
)
def test_what_had_happened_and_is_held_back_is_counted(
    name: str, key: str | None, where: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event that depends on a later one is in no row as of its own time: it is told of all that was read, also in JSON."""
    with edited(shop) as db:
        [until] = db.execute("select max(time) from record").fetchone()
        db.execute(f"update record set high = {until} + 1000000 where {where}")
        [count] = db.execute(f"select count(*) from record where {where}").fetchone()
    try:
        get(name, key, history=shop, as_of=Cut(until))
    except typer.Exit:
        assert key is not None
    told = capsys.readouterr().err
    assert re.search(rf"{count} events? that happened by then (is|are) not in it", told)
    with suppress(typer.Exit):
        get(name, key, history=shop, as_of=Cut(until), as_json=True)
    [held] = [it["held_back"] for it in map(json.loads, capsys.readouterr().out.splitlines()) if "held_back" in it]
    assert held["events"] == count
    assert held["first"].keys() == {"position", "type", "time", "counts_from"}
    with suppress(typer.Exit):
        get(name, key, history=shop, as_of=Cut(until + 1_000_000), as_json=True)
    said = capsys.readouterr()
    assert "happened by then" not in said.err
    assert "held_back" not in said.out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["when", "order", "o1", "total >= 0"], exit_codes.OK, "holds now"),
        (["when", "order", "o1", "total < 0"], exit_codes.NO, "never held"),
        (["when", "order", "o1", "total <"], exit_codes.USAGE, "cannot be read"),
        (["when", "order", "o1", "totl < 0"], exit_codes.USAGE, "did you mean total?"),
        (["when", "order", "o1", "status == 3"], exit_codes.USAGE, "which is a number"),
        (["when", "ordr", "o1", "total < 0"], exit_codes.USAGE, "did you mean order?"),
        (["when", "charges", "o1", "total < 0"], exit_codes.USAGE, "charges is a projection, and a namespace was expected"),
        (["when", "order", "o1", "receipt < 'a'"], exit_codes.CONFIGURATION, "cannot be asked after order-"),
        (["when", "order", "o99", "total < 0"], exit_codes.NO, "nothing ever happened to it"),
        (["shrink", "charges", "o1", "count > 1"], exit_codes.USAGE, "charges is a projection"),
        (["shrink", "order", "o1", "total < 0"], exit_codes.NO, "never held"),
        (["shrink", "order", "o99", "total < 0"], exit_codes.NO, "nothing ever happened to it"),
        (["shrink", "order", "o1", "totl < 0"], exit_codes.USAGE, "did you mean total?"),
        (["story", "nobody"], exit_codes.NO, "such as user/u1"),
        (["story", "charges/o1"], exit_codes.NO, "charges is a projection, and no event is about its rows alone"),
        (["what-if"], exit_codes.USAGE, "nothing is changed"),
        (["what-if", "--remove", "nobody"], exit_codes.NO, "no event 'nobody'"),
        (["what-if", "--remove", "order/o1"], exit_codes.NO, "'order/o1' names a row, and an event was expected"),
        (["what-if", "--remove", "order-0:1", "--view", "nix"], exit_codes.USAGE, "no view 'nix'"),
        (["what-if", "--insert", '{"type": "order.cancel", "time": "2026-01-01T00:00:00", "data": {"order": "o1", "why": ""}}'],
         exit_codes.USAGE, "is '2026-01-01T00:00:00'; a time with a zone, such as 2026-01-31T12:00:00Z, was expected"),
        (["what-if", "--insert", '{"type": "order.plase", "data": {}}'], exit_codes.USAGE, "did you mean order.place?"),
        (["what-if", "--insert", '{"type": "order.cancel", "after": "place-1", "data": {"order": "o1"}}'], exit_codes.USAGE,
         "field 'why' is missing"),
    ],
)  # fmt: skip
def test_exit_codes_of_commands_that_ask_the_past(
    words: list[str], code: int, sentence: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not there is 1; a name, a condition or a change that makes no sense is 2; what cannot be told is 3."""
    assert run_command([*words, "--history", str(shop)]) == code
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [["get", "order"], ["what-if", "--remove", "place-1"], ["story", "order/o1"]], ids=" ".join)
def test_a_file_that_was_damaged_is_no_fault_of_the_command(
    words: list[str], shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one from before files had a checksum: it opens if its first pages are whole."""
    unseal(shop)
    whole, said = shop.read_bytes(), ""
    for at in range(PAGE, len(whole), PAGE):
        shop.write_bytes(whole[:at] + bytes(PAGE) + whole[at + PAGE :])
        code = run_command([*words, "--history", str(shop)])
        told = capsys.readouterr().err
        assert code in (exit_codes.OK, exit_codes.CONFIGURATION), f"page {at // PAGE}: {told}"
        said += told
    assert f"the file {shop} is damaged (database disk image is malformed): export it again" in " ".join(said.split())


PAGE = 4096
"""Bytes that SQLite writes together."""


def unseal(file: Path) -> None:
    """As one that was exported before there was a checksum."""
    content = file.read_bytes()
    file.write_bytes(content[:PLACE] + bytes(WIDTH) + content[PLACE + WIDTH :])


def test_a_file_that_was_cut_anywhere_or_has_another_byte_is_damaged(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite reads most of these as other data: a flipped bit in a body was another amount, and nobody knew."""
    whole = shop.read_bytes()
    dice = random.Random(7)
    bits = [(at, 1 << dice.randrange(8)) for at in (*range(PLACE, PLACE + WIDTH), *dice.sample(range(len(whole)), cases(100)))]
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"x", *(flipped(whole, *it) for it in bits)):
        shop.write_bytes(content)
        assert run_command(["get", "order", "--history", str(shop)]) == exit_codes.CONFIGURATION
        said = " ".join(capsys.readouterr().err.split())
        assert "is damaged (its checksum is of other bytes): copy it again, or export it again" in said or NO_DATABASE in said, said


NO_DATABASE = "is no past that was exported: file is not a database"
"""Where the first 16 bytes are others."""


def flipped(content: bytes, at: int, bit: int) -> bytes:
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def test_a_file_from_before_there_was_a_checksum_is_read(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["get", "order", "--history", str(shop)]) == exit_codes.OK
    said = capsys.readouterr().out
    unseal(shop)
    assert run_command(["get", "order", "--history", str(shop)]) == exit_codes.OK
    assert capsys.readouterr().out == said


def twofold_shop() -> App:
    made = shop_application.app()
    return replace(made, namespaces=[*made.namespaces, made.namespaces[0]])


def test_code_that_cannot_be_loaded_is_no_difference(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay ends with 1 only if something is otherwise, so not for an application that breaks a law."""
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:twofold_shop")
    assert run_command(["replay", "--base", ".", "--history", str(shop)]) == exit_codes.CONFIGURATION
    assert "order" in capsys.readouterr().err


def test_only_what_was_published_is_changed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To name an event that another one led to is wrong usage."""
    get("order", history=shop, as_json=True)
    run_command(["story", "place-1", "--history", str(shop), "--json"])
    effect = json.loads(capsys.readouterr().out.splitlines()[-1])["event"]["effects"][0]
    assert run_command(["what-if", "--remove", effect["position"], "--history", str(shop)]) == exit_codes.USAGE
    assert "it follows from order.place" in capsys.readouterr().err


def test_rows_that_this_code_cannot_tell_are_named_beside_the_others(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `get` and `when --table`, with exit code 3, for people and for programs; alone, or under a view, they are an error."""
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:stricter_shop")
    why = "the row 'o2' of order cannot be told: order.place was accepted as "

    def asked(command: Any, *args: str, **options: Any) -> tuple[list[str], str]:
        with pytest.raises(typer.Exit) as ended:
            command(*args, history=shop, **options)
        assert ended.value.exit_code == 3
        out, err = capsys.readouterr()
        return out.splitlines(), err

    out, err = asked(get, "order", as_json=True)
    rows = [json.loads(line) for line in out]
    assert {it["key"] for it in rows if "row" in it} == {f"o{number}" for number in range(13) if number not in (2, 5)}
    assert [it["key"] for it in rows if "unreadable" in it] == ["o2", "o5"]
    out, err = asked(get, "order")
    assert "11 rows" in err
    assert f"Left out: {why}" in err
    assert "2 rows cannot be told. Where the code is the reason, the version that handled the event tells it: export" in err
    out, err = asked(when, "order", "status == 'cancelled' or status == 'paid'", None, all_rows=True, limit=None)
    assert f"Left out: {why}" in err
    assert "of 11 keys" in err
    out, _ = asked(when, "order", "status == 'reserving'", None, all_rows=True, limit=None, as_json=True)
    assert {it["key"] for it in map(json.loads, out) if "unreadable" in it} == {"o2", "o5"}
    get("orders_per_day", history=shop, as_json=True)
    assert json.loads(capsys.readouterr().out)["row"] == {"count": 13}
    for ask in (
        lambda: get("order", "o2", history=shop),
        lambda: get("orders-of/c", history=shop),
    ):
        with pytest.raises(CodeChanged, match=why):
            ask()
    with pytest.raises(CodeChanged, match=r"2 of its rows cannot be told \('o2', 'o5'; `retold get order` as of this time tells"):
        get("orders-of/c", history=shop)


def shop_that_takes_no_money() -> App:
    return with_change(shop_application.app(), OrderPaid, strict)


def test_a_row_is_told_up_to_where_this_code_cannot_tell_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `when`, with exit code 3 and why it ends; nothing is said to hold now. The same where an event was erased."""
    get("order", history=shop, as_json=True)
    [paid, *_] = [it["key"] for it in map(json.loads, capsys.readouterr().out.splitlines()) if it["row"]["status"] == "paid"]
    words = ["when", "order", paid, "status == 'reserving' or status == 'paid'", "--history", str(shop)]
    assert run_command([*words, "--json"]) == exit_codes.OK
    whole = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [it["type"] for it in whole][-1] == "order.paid"

    def told() -> tuple[list[dict[str, Any]], str]:
        assert run_command([*words, "--json"]) == exit_codes.CONFIGURATION
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert run_command(words) == exit_codes.CONFIGURATION
        said = capsys.readouterr().err
        assert "holds now" not in said
        assert "does not hold" not in said
        return found, " ".join(said.split())

    monkeypatch.setenv("RETOLD_APP", f"{__name__}:shop_that_takes_no_money")
    found, said = told()
    assert found[:-1] == whole[:-1]
    assert found[-1].keys() == {"key", "unreadable"}
    assert f"It is told up to there and no further: the row '{paid}' of order cannot be told: order.paid was accepted as" in said
    assert "--history FILE" in said
    monkeypatch.setenv("RETOLD_APP", "tests.applications.shop:app")
    with edited(shop) as db:
        last = whole[-1]["position"].partition("-")[2].split(":")
        db.execute("insert into erased(ns, part, seq, key) values('order', ?, ?, ?)", (*last, paid))
        db.execute("delete from record where ns = 'order' and part = ? and seq = ?", last)
    found, said = told()
    assert found[:-1] == whole[:-1]
    assert "was erased" in said


def shop_without_cancelling() -> App:
    return replace(without_handler(shop_application.app(), OrderCancel), projections=[], views=[])


def orders_and_cancelled(shop: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], set[str]]:
    """All orders, as the code that made them tells them, and the keys of those that were cancelled."""
    get("order", history=shop, as_json=True)
    whole = {it["key"]: it["row"] for it in map(json.loads, capsys.readouterr().out.splitlines())}
    with closing(sqlite3.connect(shop)) as db:
        gone = {key for (key,) in db.execute("select key from record where type = 'order.cancel' and accepted")}
    return whole, gone


def test_a_handler_that_is_gone_leaves_its_own_rows_untold(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others of a file are told, by `get` and from Python."""
    whole, gone = orders_and_cancelled(shop, capsys)
    assert 0 < len(gone) < len(whole)
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:shop_without_cancelling")
    assert run_command(["get", "order", "--history", str(shop), "--json"]) == exit_codes.CONFIGURATION
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {it["key"]: it["row"] for it in told if "row" in it} == {key: it for key, it in whole.items() if key not in gone}
    assert {it["key"] for it in told if "unreadable" in it} == gone
    assert all("order.cancel was accepted" in it["unreadable"] for it in told if "unreadable" in it)
    assert all("has no handler for it: one stays, with its schema" in it["unreadable"] for it in told if "unreadable" in it)
    with History.open(shop_without_cancelling(), shop) as past:
        assert past.table(past.app.namespace("order")).untold.keys() == gone


def test_replay_says_how_many_events_are_parked(shop: Path) -> None:
    """They are not in the past: in text, as Markdown and for programs. With none, nothing is said."""
    with edited(shop) as db:
        for number, status in enumerate(("parked", "parked", "quarantined")):
            text = "insert into aside(ns, part, place, status, recorded, value, headers) values('order', 0, ?, ?, 0, '', '')"
            db.execute(text, (f"{number}", status))
    found = Difference()
    with open_past(shop) as opened:
        found.parked = opened.waiting.count("parked")
    sentence = "2 events are parked, and not in this past: `retold parked retry` with --rehearse shows"
    assert sentence in str(replay_lines(found, "main", 0.1, None))
    assert sentence in "\n".join(replay_markdown(found, "main", 0.1, None))
    assert summary_members(found)["parked"] == 2
    found.parked = 0
    assert "parked" not in str(replay_lines(found, "main", 0.1, None))


class ChangedCancel(EventData, frozen=True, kw_only=True):
    """The draft of a cancellation with a field more, which has no default: those of the log do not read as this one."""

    event_type: ClassVar[str] = "order.cancel"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (OrderCancel.schemas[0].replace('"name":"why"', '"name":"who"'),)

    order: str
    who: str


def shop_with_another_draft() -> App:
    """It has a projection of that event, and another one; a view of one row, and one of all."""
    made = replace(without_handler(shop_application.app(), OrderCancel), projections=[], views=[])
    order = made.namespace("order")
    order.handles(ChangedCancel)(lambda row, _: Outcome(row))
    cancelled, placed = (Projection(name, row=shop_application.ChargesRow) for name in ("cancelled", "placed"))
    cancelled.folds(ChangedCancel, key=lambda _: "all")(lambda row, _: shop_application.ChargesRow(count=1))
    placed.folds(OrderPlace, key=lambda _: "all")(lambda row, _: shop_application.ChargesRow(count=(row.count if row else 0) + 1))
    views = [
        View("status-of/{key}", lambda tables, key: tables.of(order)[key].status),
        View("all", lambda tables: len(tables.of(order))),
    ]
    return replace(made, projections=[cancelled, placed], views=views)


def test_a_draft_that_was_changed_leaves_its_own_rows_untold(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its events do not read any more: the others are told, and it is said which type it is, and what to do."""
    whole, gone = orders_and_cancelled(shop, capsys)
    monkeypatch.setenv("RETOLD_APP", f"{__name__}:shop_with_another_draft")

    def asked(*words: str) -> tuple[int, str]:
        code = run_command([*words, "--history", str(shop), "--json"])
        said = capsys.readouterr()
        return code, said.out + said.err

    code, said = asked("get", "order")
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert code == exit_codes.CONFIGURATION
    assert {it["key"]: it["row"] for it in told if "row" in it} == {key: it for key, it in whole.items() if key not in gone}
    reasons = {it["key"]: it["unreadable"] for it in told if "unreadable" in it}
    assert reasons.keys() == gone
    why = r"order\.cancel was accepted as order-0:\d+, and it does not read here: order\.cancel v1 .* cannot be read as v1.*draft"
    assert all(re.search(why, it) for it in reasons.values())
    one, other = min(gone), min(whole.keys() - gone)
    assert asked("get", f"status-of/{other}")[0] == exit_codes.OK
    for words in (("get", f"status-of/{one}"), ("get", "all"), ("get", "order", one)):
        code, said = asked(*words)
        assert code == exit_codes.CONFIGURATION
        assert re.search(why, said)
    code, said = asked("get", "cancelled")
    assert code == exit_codes.CONFIGURATION
    assert "it folds order.cancel, and order-0:" in said
    assert asked("get", "placed")[0] == exit_codes.OK
    assert asked("story", f"order/{other}")[0] == asked("story", f"order/{one}")[0] == exit_codes.OK
    with History.open(shop_with_another_draft(), shop) as history:
        assert history.table(history.app.namespace("order")).untold.keys() == gone
        with pytest.raises(HistoryError, match=r"it folds order\.cancel, and order-0:\d+ does not read here"):
            history.table(history.app.projections[0])
        folded = {it.event_type for it in history.events() if is_folded(history.app.projections[0], it)}
        assert folded == {"order.cancel"}, "whoever asks what a projection folds is not told of these"
