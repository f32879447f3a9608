"""`retold correct`: plans a correction of the past, shows all that it would change, and applies it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from streams.cli.arguments.change_options import InsertOption, RemoveOption, ReplaceOption, change_document
from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import Json
from streams.cli.arguments.wrong_usage import WrongUsage, wrong_usage
from streams.cli.commands.correct_apply import apply_plan, coordinator_of
from streams.cli.output.correction_text import changes_text, what_to_do_about
from streams.cli.output.help import Command, Group
from streams.cli.output.plan_text import plan_lines
from streams.cli.output.screen import json_line, say_lines, say_styled, table, talk
from streams.cli.process.named_files import read_named
from streams.cli.process.opened_past import open_past
from streams.cli.process.operator_name import operator_name
from streams.cli.process.session import Session, connect
from streams.engine.times import from_micros
from streams.errors import ConfigError, DefinitionError, InvalidEvent, TopicMismatch
from streams.history.branch.change_document import ChangeDocument, change_of
from streams.history.correction.correction_calls import ASK, OPEN, SKIP, UNDO, CorrectionCall
from streams.history.correction.correction_plan import CorrectionPlan, decode_plan, encode_plan
from streams.history.correction.decided_otherwise import decided_otherwise
from streams.history.correction.planning import plan_correction
from streams.history.event_lookup import in_file
from streams.kafka.correction_calls_topic import close_call, read_calls
from streams.kafka.correction_document import correction_document
from streams.kafka.correction_lock import the_only_one
from streams.kafka.corrections_topic import PLANNED, CorrectionState, find_correction, read_claims
from streams.kafka.lost_corrections import BRING_BACK, lost_corrections
from streams.kafka.status import status

LARGEST_PLAN = 64 * 1024 * 1024
"""Bytes of a plan."""

class CallPolicy(StrEnum):
    """What to do about a gateway's call that is wrong by then."""

    ASK = ASK
    UNDO = UNDO
    SKIP = SKIP


correct = typer.Typer(
    name="correct",
    cls=Group,
    help="Correct the past: plan, apply, and list corrections.",
    no_args_is_help=True,
    add_completion=False,
)


@correct.command(cls=Command)
def plan(  # noqa: PLR0913 - each parameter is an option of the command
    remove: RemoveOption = None,
    insert: InsertOption = None,
    replace: ReplaceOption = None,
    again: Annotated[
        str | None,
        typer.Option(
            "--again", help="Decide again what the code here decides otherwise of its events, after a rebuild.", metavar="NAMESPACE"
        ),
    ] = None,
    assume_answers: Annotated[
        bool, typer.Option("--assume-answers", help="Gateways answer as they did, also to a request with other data.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="Reason, which is kept for ever.", metavar="TEXT")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who corrects; default: your login.", metavar="NAME")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the plan to this file, to apply it.", metavar="FILE")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it in Kafka, to be applied by its id.")] = False,
    as_json: Json = False,
) -> None:
    """Show all that a correction would change. Nothing happens.

    Rows before and after, events that would not have happened and that would have, timers, and what gateways should not have been
    asked, or should have been. An event is named by its id or position (user-3:7). With --again, the events are those that the code
    here decides otherwise than was recorded, which `retold rebuild start --accept` has accepted; it also sets rows of others.

    Example: [bold]retold correct plan --remove user-3:7 --why "a test" -o plan.json[/]
    """
    if again is not None and (remove or insert or replace):
        raise WrongUsage("--again is a correction of its own: plan what else is to be corrected with another one")
    document = None if again is not None else change_document(remove, insert, replace)
    if not why.strip():
        raise WrongUsage('--why is missing: a correction keeps its reason for ever; such as --why "a zero was missing"')
    session = connect()
    if again is not None:
        namespace_named(session.app, again)
    made = _planned(session, document or again or "", operator_name(by), why, assume_answers=assume_answers)
    if output is not None:
        try:
            output.write_bytes(encode_plan(made))
        except OSError as error:
            raise ConfigError(f"the plan cannot be written to {output}: {error.strerror or error}") from error
    if keep:
        coordinator_of(session).keep(made)
    if as_json:
        say_lines(encode_plan(made).decode().rstrip())
        return
    say_styled(plan_lines(made))
    if made.open and not assume_answers:
        talk("With --assume-answers, a request that was answered keeps its answer, also with other data.")
    _say_where(made, output, keep=keep)


def _say_where(made: CorrectionPlan, output: Path | None, *, keep: bool) -> None:
    if output is not None:
        talk(f"The plan is in {output}. To apply it: retold correct apply {output}")
    if keep:
        talk(f"The plan is kept. To apply it: retold correct apply {made.correction}")


def _planned(session: Session, asked: ChangeDocument | str, by: str, why: str, *, assume_answers: bool) -> CorrectionPlan:
    """`asked` is a change, or the namespace of which events are decided again."""
    with open_past(session=session, with_unhandled=False) as opened, wrong_usage(InvalidEvent, DefinitionError):
        so_far = opened.corrected
        past = so_far.past(opened.handlers)
        if isinstance(asked, str):
            change = decided_otherwise(
                past, opened.handlers, asked, opened.waiting, assume_answers=assume_answers, earlier=so_far.changes
            )
        else:
            find = in_file(opened.past, opened.waiting, opened.app)
            change = change_of(session.app, asked, lambda name: find(past, name))
        return plan_correction(so_far, opened.handlers, change, by, why, assume_answers=assume_answers)


CallsOption = Annotated[
    CallPolicy | None,
    typer.Option(
        "--calls", help="Calls of gateways that are wrong by then: ask a person, undo them, or skip them; default: ask.",
        metavar="ask|undo|skip", show_default=False,
    ),
]  # fmt: skip


@correct.command(cls=Command)
def apply(
    plan: Annotated[str, typer.Argument(help="A plan that `retold correct plan` wrote, or a correction's id.", metavar="PLAN|ID")],
    calls: CallsOption = None,
) -> None:
    """Apply a plan: set each row to what it would be, until nothing differs.

    If it is stopped, apply the plan again: it goes on where it stood. Applied to its end, it writes nothing any more. One that was
    begun, or that --keep has kept, is also applied by its id. With --calls undo, what a gateway says takes its call back is
    published, once.

    Example: [bold]retold correct apply plan.json[/]
    """
    file = Path(plan)
    read = decode_plan(read_named(file, LARGEST_PLAN, "")) if file.suffix or file.exists() else None
    session = connect()
    found = read or find_correction(read_claims(session.clients, session.config.prefix, session.app.name), plan)
    apply_plan(session, found, None if calls is None else calls.value)


@correct.command(cls=Command)
def withdraw(
    correction: Annotated[str, typer.Argument(help="The correction's id, or its beginning.", metavar="ID")],
) -> None:
    """Forget a correction that has not changed anything yet.

    One that has been applied, also in part, stays in the log: it is corrected in its turn.

    Example: [bold]retold correct withdraw 0f3c[/]
    """
    session = connect()
    with the_only_one(session.config.state):
        found = coordinator_of(session).withdraw(correction)
    talk(f"The correction {found.correction} by {found.by} ({found.why}) is withdrawn. It has changed nothing.")


@correct.command("list", cls=Command)
def list_(as_json: Json = False) -> None:
    """List the corrections: what they change, who, when, why, and whether each is applied.

    Example: [bold]retold correct list[/]
    """
    session = connect()
    found = read_claims(session.clients, session.config.prefix, session.app.name).states
    _refuse_lost(session, [it for it in found if it.state != PLANNED])
    if as_json:
        for it in found:
            json_line(correction_document(it))
        return
    if not found:
        talk("Nothing was corrected.")
        return
    ids = {put.reference: put.id for it in found for put in it.change.insert}
    rows = [
        (
            str(it.number or ""), it.state, it.by, str(from_micros(it.begun).date()), it.why, changes_text(it.change, ids),
            it.correction,
        )
        for it in found
    ]  # fmt: skip
    table(("number", "state", "by", "when", "why", "changes", "correction"), rows)


def _refuse_lost(session: Session, begun: Sequence[CorrectionState]) -> None:
    """Raises TopicMismatch: that nothing was corrected would be wrong."""
    if not begun:
        spaces = status(session.clients, session.config.prefix, session.namespaces, session.codec).namespaces
        if lost := lost_corrections(session.config.prefix, spaces, begun):
            raise TopicMismatch(f"{lost}. {BRING_BACK}")


@correct.command("open", cls=Command)
def open_(
    every: Annotated[bool, typer.Option("--all", help="Also what was undone, skipped or closed.")] = False,
    as_json: Json = False,
) -> None:
    """List the gateways' calls that a correction has made wrong: a person must see to them.

    Example: [bold]retold correct open[/]
    """
    found = [it for it in _calls(connect()).values() if every or it.state == OPEN]
    if as_json:
        for it in found:
            json_line(to_builtins(it.told))
        return
    if not found:
        talk("No call is open.")
        return
    rows = [(it.kind, it.type, it.key, it.undo or "", it.state, it.why or it.event, it.id) for it in found]
    table(("call", "event", "key", "undo", "state", "why", "request"), rows)
    for text in what_to_do_about(found):
        talk(text)


@correct.command(cls=Command)
def close(
    request: Annotated[
        str, typer.Argument(help="The request's id, as `retold correct open` lists it, or its beginning.", metavar="REQUEST")
    ],
    why: Annotated[str, typer.Option("--why", help="What was done about it.", metavar="TEXT")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who has seen to it; default: your login.", metavar="NAME")] = None,
) -> None:
    """Say that a person has seen to a gateway's call that was wrong.

    Example: [bold]retold correct close 7c1e --why "refunded by bank transfer"[/]
    """
    if not why.strip():
        raise WrongUsage('--why is missing: it is kept what was done about the call; such as --why "refunded by hand"')
    session = connect()
    closed = close_call(session.clients, session.config.prefix, session.app.name, request, operator_name(by), why)
    talk(f"The call of {closed.type} {closed.key} is closed.")


def _calls(session: Session) -> Mapping[str, CorrectionCall]:
    return read_calls(session.clients, session.config.prefix, session.app.name)
