"""`retold get --as-of`, `--known` and `--history`: rows, and what views answer, as they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer

from streams.cli.arguments.lookup import namespace_named, projection_named, view_named
from streams.cli.arguments.row_question import RowQuestion
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.output.row_text import SHOWN, TableRows, count_of, show_count, show_many, show_one, show_projected
from streams.cli.output.screen import json_line, plain, plural, say_lines, talk
from streams.cli.output.untold_text import show_untold
from streams.cli.process import exit_codes
from streams.cli.process.opened_past import open_past
from streams.code_digest import code_of
from streams.data import Record
from streams.engine.readable import in_a_line
from streams.errors import HistoryError
from streams.history.cut_past import Cut, moment_text
from streams.history.held_back import HeldBack, held_back_members
from streams.history.past_times import cut_until, time_members, token_of, told
from streams.history.past_views import AskedTables, no_answer, view_of_past
from streams.history.stored.stored_rows import StoredRows
from streams.outcome import Rejected
from streams.server.readmodel.past_store import PastStore
from streams.view import View


class RowsAsked(NamedTuple):
    """What `retold get` is asked for, whatever it is asked of."""

    name: str
    key: str | None
    limit: int | None
    question: RowQuestion
    as_json: bool


def get_past(asked: RowsAsked, times: Cut, history: Path | None) -> None:
    """Raises WrongUsage, and HistoryError where this code cannot tell them, or what is asked for may still change."""
    name, key = asked.name, asked.key
    with open_past(history, with_times=True) as opened:
        app = opened.app
        view = view_named(app, name)
        if view is None and projection_named(app, name) is None:
            namespace_named(app, name, or_projection=True)
        cut = cut_until(opened.source.frontier, times)
        rows = StoredRows(opened.past, cut, opened.telling, code_of(app, opened.codec), opened.counted_at(cut))
        with PastStore(app, opened.codec, rows) as store:
            if view is not None:
                if key is not None or asked.limit is not None:
                    raise WrongUsage(f"{name} is a view, and its answer is no table: it has no KEY and no --limit")
                asked.question.refuse_for_one(f"{name} is a view, and its answer is no table")
                asked_for = AskedTables()
                content = _answer(store, name, *view, asked_for)
                _show_answer(content, cut, store.held_back(asked_for), as_json=asked.as_json)
            else:
                asked_for = AskedTables().table(name) if key is None else AskedTables().row(name, key)
                code = _show_rows(store, asked, cut, store.held_back(asked_for))
                if code != exit_codes.OK:
                    raise typer.Exit(code)


def _answer(store: PastStore, path: str, view: View, names: Mapping[str, str], asked: AskedTables) -> bytes:
    """As JSON. Raises HistoryError whatever the view raises; Exit if it has no answer."""
    try:
        return msgspec.json.encode(plain(view_of_past(store, view, names, asked)))
    except (HistoryError, KeyboardInterrupt):
        raise
    except Rejected as no:
        talk(no_answer(path, no))
        raise typer.Exit(exit_codes.NO) from None
    except BaseException as error:
        raise HistoryError(f"the view {path} raises {in_a_line(error)}, or gives what cannot be written as JSON") from error


def _show_answer(answer: bytes, cut: Cut, held: HeldBack | None, *, as_json: bool) -> None:
    _tell_held_back(held)
    if as_json:
        json_line({"answer": msgspec.json.decode(answer), **_held_back(held), **_members(cut)})
        return
    say_lines(msgspec.json.format(answer).decode())
    _close(cut)


def _show_rows(store: PastStore, asked: RowsAsked, cut: Cut, held: HeldBack | None) -> int:
    """The exit code. For a program, one row has what is held back of it; of a table, a line of its own has it."""
    name, key, limit, question, as_json = asked
    _tell_held_back(held)
    members = {} if key is None else _held_back(held)
    projected = projection_named(store.app, name) is not None
    found: Iterable[tuple[str, Record, int]]
    shown, total = limit if as_json else limit or SHOWN, None
    if key is not None:
        row, version = store.entry(name, key)
        if row is None:
            if as_json and held is not None:
                json_line({"key": key, "row": None, **members, **_members(cut)})
            talk(f"The table {name} had no row {key!r}, {told(cut)}.")
            return exit_codes.NO
        found = [(key, row, version)]
    elif question.is_asked:
        chosen = question.chosen(store.row_type(name), store.natural(name, None))
        found, total = chosen[:shown], len(chosen)
    else:
        found = store.natural(name, shown)
    if question.counts:
        show_count(total or 0, as_json=as_json)
    elif as_json:
        for each, row, version in found:
            version_of = {} if projected else {"version": version}
            json_line({"key": each, **version_of, "row": row, **members, **_members(cut)})
        if key is None and held is not None:
            json_line({**_held_back(held), **_members(cut)})
    else:
        _show(store, name, list(found), total, one=key is not None)
    untold = None if key is not None or projected else store.untold(name)
    show_untold(untold, as_json=as_json)
    if not as_json:
        _close(cut)
    return exit_codes.CONFIGURATION if untold else exit_codes.OK


def _held_back(held: HeldBack | None) -> dict[str, Any]:
    return {} if held is None else {"held_back": held_back_members(held)}


def _tell_held_back(found: HeldBack | None) -> None:
    """What had happened by then is not all there, if something depends on what came later: say so, since nothing else shows it."""
    if found is None:
        return
    count, at, until = plural(found.events, "event"), moment_text(found.time), moment_text(found.counts_from)
    are, each = ("is", "it") if found.events == 1 else ("are", "each")
    talk(
        f"{count} that happened by then {are} not in it, since {each} depends on a later one. The first, {found.event_type} "
        f"{found.name}, happened at {at} and counts from {until} on."
    )


def _show(store: PastStore, name: str, rows: TableRows, total: int | None, *, one: bool) -> None:
    if projection_named(store.app, name) is not None:
        show_projected([(key, row) for key, row, _ in rows], one=one)
    elif one:
        show_one(*rows[0])
    else:
        show_many(name, rows, {data.key_field for data in store.app.namespace(name).handlers})
    if not one:
        talk(count_of(len(rows), len(store.table(name)) if total is None else total))


def _members(cut: Cut) -> dict[str, Any]:
    """For a program: with the token, or both times, the answer stays the same."""
    return {**time_members(cut), "token": token_of(cut)}


def _close(cut: Cut) -> None:
    text = told(cut)
    talk(f"{text[0].upper()}{text[1:]}; with {_options(cut)} it stays so.")


def _options(cut: Cut) -> str:
    given = {"--as-of": cut.as_of, "--known": cut.known}
    return " ".join(f"{option} {moment_text(at)}" for option, at in given.items() if at is not None)
