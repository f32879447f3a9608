"""The commands that ask the past: what they refuse before they look for a broker."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.commands.get import get
from streams.cli.commands.replay import replay
from streams.cli.commands.what_if import what_if
from streams.engine.times import from_micros
from streams.errors import ConfigError, DefinitionError, HistoryError
from streams.history.cut_past import Cut
from streams.history.past_file import HistoryFile
from streams.history.past_times import cut_of
from streams.server.readmodel.history_export import export
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from tests.support.pasts import made, past_of
from tests.support.stored_pasts import stored


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "nothing is changed"),
        ({"insert": ["{"]}, "--insert holds no JSON"),
        ({"insert": ["nowhere.json"]}, r"the file nowhere\.json cannot be read.*\(--insert\)"),
        ({"replace": ["signup-1"]}, "--replace is 'signup-1'; a name, =, and JSON or a file were expected"),
        ({"remove": ["a"], "answer": ['={"type": "x.y"}']}, "--answer is"),
    ],
)
def test_a_change_that_cannot_be_read_is_a_sentence(options: dict[str, Any], sentence: str) -> None:
    """It names the option."""
    with pytest.raises(ConfigError, match=sentence):
        what_if(**options)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """At most a megabyte is."""
    file = tmp_path / "large.json"
    file.write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        what_if(insert=[str(file)])
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        replay(accept=file)


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
    with pytest.raises(typer.Exit):
        get("order", "o1", history=shop, as_of=cut_of("2000-01-01T00:00:00Z"))
    for wrong, error in (
        ({"name": "orders-of/c", "key": "o1"}, ConfigError),
        ({"name": "orders-for/c"}, DefinitionError),
        ({"name": "order", "known": from_micros(2**53)}, HistoryError),
        ({"name": "order", "as_of": Cut(0, 0), "known": from_micros(0)}, typer.BadParameter),
    ):
        with pytest.raises(error):
            get(**wrong, history=shop)
