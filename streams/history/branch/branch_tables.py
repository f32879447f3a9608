"""What a branch makes of the application's projections and views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streams.app import App, view_at
from streams.engine.readable import in_a_line
from streams.errors import DefinitionError, HistoryError
from streams.history.branch.branch import Branch
from streams.history.branch.branch_projections import projection_changes
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.difference import ViewChange
from streams.history.past import Past
from streams.history.past_tables import PastTables
from streams.history.past_views import no_answer
from streams.outcome import Rejected


def compare_projections(past: Past, branch: Branch, handlers: ApplicationHandlers, most: int | None = None) -> None:
    """Put into a branch's difference how the rows of projections differ: to fold them, most of `past` may have to be read.

    `most` is as for `projection_changes`.
    """
    waiting = {it.reference for it in branch.difference.open}
    branch.difference.projections = projection_changes(
        past, branch.past, branch.rows, handlers.app.projections, handlers.codec, waiting=waiting, most=most
    )


def refuse_unknown_views(app: App, paths: Iterable[str]) -> None:
    """To be asked before a branch is decided, which may take long. Raises DefinitionError."""
    for path in paths:
        view_at(app, path)


def compare_views(
    past: Past, branch: Branch, handlers: ApplicationHandlers, paths: Iterable[str], most: int | None = None
) -> None:
    """Put into a branch's difference which views answer otherwise at these paths, such as `orders-of/c7`.

    They read whole tables in memory, if they loop over them: not of a past of more than `most` events. Each is known.
    """
    before, after = PastTables(past, handlers), PastTables(branch.past, handlers)
    found = branch.difference
    for path in dict.fromkeys(paths):
        if most is not None and len(past) > most:
            found.untold_views[path] = f"the past has more than {most:,} events, which the view {path} may have to read"
            continue
        try:
            was, now = _answer(before, path), _answer(after, path)
        except HistoryError as error:
            found.untold_views[path] = str(error)
        else:
            if isinstance(was, Rejected) or isinstance(now, Rejected):
                if why := _without_answer(path, was, now):
                    found.untold_views[path] = why
            elif was != now:
                found.views.append(ViewChange(path, was, now))


def _without_answer(path: str, was: Any, now: Any) -> str:
    """Where a view has none; empty if it says the same of the past and of the branch."""
    then, since = (no_answer(path, it) if isinstance(it, Rejected) else "" for it in (was, now))
    if then == since:
        return ""
    if then and since:
        return f"{then}; in the branch, {since}"
    return f"{then}; in the branch it has one" if then else f"{since}; that is so in the branch alone"


def _answer(tables: PastTables, path: str) -> Any:
    """As JSON has it; the Rejected of a view that has none."""
    try:
        return msgspec.to_builtins(tables.view(path), str_keys=True, enc_hook=_plain)
    except (HistoryError, DefinitionError, KeyboardInterrupt):
        raise
    except Rejected as no:
        return no
    except BaseException as error:
        raise HistoryError(f"the view {path} raises {in_a_line(error)}, or gives what cannot be written as JSON") from error


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)
