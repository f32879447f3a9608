"""`retold correct`: plans a correction of the past, shows all that it would change, and applies it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.arguments.change_options import InsertOption, RemoveOption, ReplaceOption, change_document
from streams.cli.arguments.options import Json
from streams.cli.arguments.wrong_usage import WrongUsage, wrong_usage
from streams.cli.commands.correct_apply import apply_plan
from streams.cli.output.help import Command, Group
from streams.cli.output.plan_text import plan_lines
from streams.cli.output.screen import json_line, plain, say_styled, table, talk
from streams.cli.process.named_files import read_named
from streams.cli.process.opened_past import open_past
from streams.cli.process.session import Session, connect
from streams.engine.times import from_micros
from streams.errors import ConfigError, DefinitionError, InvalidEvent
from streams.history.branch.change_document import ChangeDocument, change_of
from streams.history.correction.correction_plan import CorrectionPlan, decode_plan, encode_plan
from streams.history.correction.planning import plan_correction
from streams.history.event_lookup import in_file
from streams.kafka.corrections_topic import CorrectionState, read_corrections

LARGEST_PLAN = 64 * 1024 * 1024
"""Bytes of a plan."""

correct = typer.Typer(
    name="correct",
    cls=Group,
    help="Correct the past: plan, apply, and list corrections.",
    no_args_is_help=True,
    add_completion=False,
)


@correct.command(cls=Command)
def plan(
    remove: RemoveOption = None,
    insert: InsertOption = None,
    replace: ReplaceOption = None,
    why: Annotated[str, typer.Option("--why", help="Reason, which is kept for ever.", metavar="TEXT")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who corrects; default: your login.", metavar="NAME")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the plan to this file, to apply it.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show all that a correction would change. Nothing happens.

    Rows before and after, events that would not have happened and that would have, timers, and what gateways should not have been
    asked, or should have been. An event is named by its id or position (user-3:7).

    Example: [bold]retold correct plan --remove user-3:7 --why "a test" -o plan.json[/]
    """
    document = change_document(remove, insert, replace)
    if not why.strip():
        raise WrongUsage('--why is missing: a correction keeps its reason for ever; such as --why "a zero was missing"')
    session = connect()
    made = _planned(session, document, by or getpass.getuser(), why)
    if output is not None:
        try:
            output.write_bytes(encode_plan(made))
        except OSError as error:
            raise ConfigError(f"the plan cannot be written to {output}: {error.strerror or error}") from error
    if as_json:
        plain(encode_plan(made).decode())
    else:
        say_styled(plan_lines(made))
        if output is not None:
            talk(f"The plan is in {output}. To apply it: retold correct apply {output}")


def _planned(session: Session, document: ChangeDocument, by: str, why: str) -> CorrectionPlan:
    with open_past(session=session, with_unhandled=False) as opened, wrong_usage(InvalidEvent, DefinitionError):
        so_far = opened.corrected
        past = so_far.past(opened.handlers)
        find = in_file(opened.past, opened.waiting, opened.app)
        change = change_of(session.app, document, lambda name: find(past, name))
        return plan_correction(so_far, opened.handlers, change, by, why)


@correct.command(cls=Command)
def apply(
    file: Annotated[Path, typer.Argument(help="A plan that `retold correct plan` wrote.", metavar="PLAN")],
) -> None:
    """Apply a plan: set each row to what it would be, until nothing differs.

    If it is stopped, apply the plan again: it goes on where it stood. Applied to its end, it writes nothing any more.

    Example: [bold]retold correct apply plan.json[/]
    """
    apply_plan(connect(), decode_plan(read_named(file, LARGEST_PLAN, "")))


@correct.command("list", cls=Command)
def list_(as_json: Json = False) -> None:
    """List the corrections: who, when, why, and whether each is applied.

    Example: [bold]retold correct list[/]
    """
    found = _corrections()
    if as_json:
        for it in found:
            json_line(
                {
                    "correction": it.correction, "number": it.number, "by": it.by, "why": it.why, "state": it.state,
                    "begun": from_micros(it.begun), "rows": it.steps, "open": len(it.open),
                }
            )  # fmt: skip
        return
    if not found:
        talk("Nothing was corrected.")
        return
    rows = [(str(it.number), it.state, it.by, str(from_micros(it.begun).date()), it.why, it.correction) for it in found]
    table(("number", "state", "by", "when", "why", "correction"), rows)


@correct.command("open", cls=Command)
def open_(as_json: Json = False) -> None:
    """List the gateways' calls that a correction cannot take back: a person must see to them.

    Example: [bold]retold correct open[/]
    """
    found = [(it, call) for it in _corrections() for call in it.open]
    if as_json:
        for it, call in found:
            json_line({"correction": it.correction, "kind": call.kind, "type": call.type, "key": call.key, "id": call.id})
        return
    if not found:
        talk("No call is open.")
        return
    rows = [(call.kind, call.type, call.key, call.undo or "", it.correction) for it, call in found]
    table(("call", "event", "key", "undo", "correction"), rows)


def _corrections() -> list[CorrectionState]:
    session = connect()
    return read_corrections(session.clients, session.config.prefix, session.app.name)
