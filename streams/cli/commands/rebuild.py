"""`retold rebuild`: rows as new code makes them of all that was handled, beside those that workers keep."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import Json
from streams.cli.output.help import Command, Group
from streams.cli.output.progress import bar
from streams.cli.output.replay_text import replay_lines
from streams.cli.output.screen import json_line, plural, say_styled, table, talk
from streams.cli.process import exit_codes
from streams.cli.process.accepted_file import read_accepted
from streams.cli.process.named_files import write_named
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.cli.process.operator_name import operator_name
from streams.cli.process.readable_corrections import readable_corrections
from streams.cli.process.session import Session, connect
from streams.code_digest import code_of
from streams.data import namespace_of
from streams.engine.readable import named
from streams.errors import HistoryError
from streams.history.acceptance_file import encode_accepted
from streams.history.branch.branch import replay_difference
from streams.history.code.local_code import LocalCode
from streams.history.correction.corrected_generation import CorrectedGeneration
from streams.history.difference.accepted_origins import REFUSALS, AcceptedOrigin, counted, not_accepted
from streams.history.difference.difference import PARKED, UNTOLD, Difference
from streams.history.watched_past import WatchedPast
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.corrections_topic import APPLIED
from streams.kafka.dropped_generation import DroppedGeneration
from streams.kafka.table_generations import GenerationState, read_generations
from streams.namespace import FIRST
from streams.worker.builder_assembly import builder_of
from streams.worker.row_builder import Accepted, RowBuilder

NamespaceArgument = Annotated[str, typer.Argument(help="Name of a namespace.", metavar="NAMESPACE")]

rebuild = typer.Typer(
    name="rebuild",
    cls=Group,
    help="Rebuild rows with new code, beside those that workers keep.",
    no_args_is_help=True,
    add_completion=False,
)


@rebuild.command(cls=Command)
def start(
    namespace: NamespaceArgument,
    accept: Annotated[
        Path | None,
        typer.Option(
            "--accept", help="What is decided otherwise and accepted, as --save or `retold replay --save` wrote it.", metavar="FILE"
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Accept what is decided otherwise, and write it to this file.", metavar="FILE"),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what is handled, until workers keep these rows.")
    ] = False,
) -> None:
    """Build the rows of the generation that the code here names, while workers of the code before go on.

    First all that was handled is decided again: if this code decides something otherwise that is not accepted, nothing is built
    and the exit code is 1. Then the rows are folded from the event log. No gateway is called and no event is published. If it is
    stopped, at any point, start it again: it goes on where it stood. Then deploy: a worker of this code goes over to these rows
    when it takes a partition over.

    Example: [bold]retold rebuild start order[/]
    """
    session = connect()
    space = namespace_named(session.app, namespace)
    states = read_generations(session.clients, session.config.prefix, namespace, space.generation)
    if all(it.keep in (None, space.generation) for it in states):
        talk(
            f"Workers keep generation {space.generation} of {namespace}, as the code here has it: there is nothing to build. For "
            f"rows as this code makes them, give the namespace the generation {space.generation + 1}."
        )
        return
    accepted = [] if accept is None else read_accepted(accept)
    with open_past(session=session) as opened:
        corrected = _corrected(session, opened)
        began = time.perf_counter()
        found = _decided(opened, corrected, namespace)
        if save is not None:
            accepted = _saved(found, namespace, save)
        refused = _refused(found, namespace, accepted, time.perf_counter() - began)
        if why := refused or ("" if accepted or save else _otherwise_elsewhere(corrected, namespace)):
            talk(
                f"{why}, which is not accepted: nothing is built. Correct the handler; or accept it with `retold rebuild start "
                f"{namespace} --save FILE`, which writes down what you accept. Once the code is deployed, `retold correct plan "
                f"--again {namespace}` shows what follows from it in other rows."
            )
            raise typer.Exit(exit_codes.NO)
        until = {partition: last for (name, partition), last in opened.past.last.items() if name == namespace}
        rows, last = ({}, 0) if corrected is None else (corrected.rows(namespace, until), corrected.last)
    otherwise = Accepted({it.handler for it in accepted if it.kind in (*REFUSALS, PARKED, UNTOLD)}, _keys(found, namespace))
    code = code_of(session.app, session.codec)
    builder = builder_of(session.app, session.config, session.clients, session.codec, namespace, code, otherwise, rows, last)
    _build(builder, f"{namespace} {space.generation}", follow=follow)
    talk(_ending(builder, namespace, space.generation))


@rebuild.command(cls=Command)
def status(namespace: NamespaceArgument, as_json: Json = False) -> None:
    """Say which generation of rows workers keep, and how far the one that the code here names is built.

    Example: [bold]retold rebuild status order[/]
    """
    session = connect()
    generation = namespace_named(session.app, namespace).generation
    found = read_generations(session.clients, session.config.prefix, namespace, generation)
    if as_json:
        for it in found:
            json_line({"namespace": namespace, "generation": generation, **it._asdict()})
        return
    heads = ("partition", "workers keep", "handled", f"generation {generation} has", "left")
    rows = [(f"{namespace}-{it.partition}", _kept(it), it.handled, it.complete, it.handled - it.complete) for it in found]
    table(heads, rows, right=heads[2:])
    for told in _made_by_others(namespace, generation, found, code_of(session.app, session.codec)):
        talk(told)


@rebuild.command(cls=Command)
def drop(
    namespace: NamespaceArgument,
    generation: Annotated[int, typer.Argument(help="Of rows that no worker keeps.", metavar="GENERATION", min=FIRST)],
    by: Annotated[str | None, typer.Option("--by", help="Who drops it; default: your login.", metavar="NAME")] = None,
) -> None:
    """Delete the rows of a generation that no worker keeps. Code of that generation cannot go back to them.

    Each partition's owner notes it first, so workers must run. The rows that they keep, and the event log, are not touched.

    Example: [bold]retold rebuild drop order 1[/]
    """
    session = connect()
    namespace_named(session.app, namespace)
    states = read_generations(session.clients, session.config.prefix, namespace, generation)
    if not any(it.complete or it.dropped for it in states):
        talk(f"Generation {generation} of {namespace} was never built: there is nothing to drop.")
        raise typer.Exit(exit_codes.NO)
    who = operator_name(by)
    steps = DroppedGeneration(session.clients, session.config.prefix, namespace, generation, who).drop()
    while True:
        try:
            time.sleep(next(steps))
        except StopIteration as end:
            talk(f"Generation {generation} of {namespace} is dropped: {plural(end.value, 'row')} deleted.")
            return


def _made_by_others(namespace: str, generation: int, found: Sequence[GenerationState], code: str) -> Iterator[str]:
    """A sentence if workers have made rows of this generation with other code than is here."""
    mixed = [it for it in found if it.keep == generation and it.is_mixed(code)]
    if mixed:
        ends = ", ".join(f"{namespace}-{it.partition}:{it.handled if it.code != code else it.code_since - 1}" for it in mixed[:5])
        more = f" and {len(mixed) - 5} more" if len(mixed) > 5 else ""
        yield (
            f"Up to {ends}{more} events were handled with other code than is here, and rows are as that code made them. `retold "
            "replay` says whether this code would make others. If so, give the namespace the generation "
            f"{generation + 1}, and run `retold rebuild start {namespace}`."
        )


def _kept(it: GenerationState) -> str:
    return "nothing yet" if it.keep is None else f"generation {it.keep}"


def _corrected(session: Session, opened: OpenedPast) -> CorrectedGeneration | None:
    """What the corrections make of the past, each of which is applied to its end; None: there is none."""
    known = readable_corrections(session)  # later than the log: with all of its steps
    for it in known:
        if it.state != APPLIED:
            raise HistoryError(
                f"the correction {it.correction} by {it.by} is not applied to its end, so nobody knows what rows will be: let it "
                f"end, or run `retold correct apply {it.correction}` with the code that workers have. Then start this again"
            )
    changes = [it.change.read(opened.handlers.codec) for it in known]
    return CorrectedGeneration(opened.past, opened.handlers, changes, known[-1].number) if changes else None


def _decided(opened: OpenedPast, corrected: CorrectedGeneration | None, namespace: str) -> Difference:
    """What this code decides otherwise than was recorded."""
    past = opened.past
    with bar("deciding again", len(past)) as advance:
        before = opened.handlers if corrected is None else opened.handlers.leaving(corrected.again)
        found = replay_difference(WatchedPast(past, advance), LocalCode(before), opened.handlers)
    if corrected is not None:
        corrected.complete(found, namespace)
    return found


def _refused(found: Difference, namespace: str, accepted: list[AcceptedOrigin], seconds: float) -> str:
    """What is decided otherwise of this namespace's events, and is not accepted; empty: nothing. It is shown."""
    refused = [it for it in not_accepted(found, accepted) if namespace_of(it.handler) == namespace]
    if not refused:
        return ""
    say_styled(replay_lines(found, "what was recorded", seconds, refused))
    return f"{plural(sum(it.count for it in refused), 'event')} of {namespace} would be decided otherwise"


def _saved(found: Difference, namespace: str, file: Path) -> list[AcceptedOrigin]:
    """What is decided otherwise of this namespace's events, written to `file`.

    `retold replay` compares rows as well, so it may count a row as an origin where here the event is one that this row leads to.
    """
    accepted = [it for it in counted(found) if namespace_of(it.handler) == namespace]
    write_named(file, encode_accepted(accepted))
    events = plural(sum(it.count for it in accepted), "event")
    talk(f"Accepted, and written to {named(str(file))}: {events} of {namespace} decided otherwise, and what follows from that.")
    return accepted


def _keys(found: Difference, namespace: str) -> set[str]:
    """Of rows in which an event is decided otherwise."""
    places = [*(it.place for it in found.untold), *(it.recorded.place for it in found.origins)]
    return {key for name, key in places if name == namespace}


def _otherwise_elsewhere(corrected: CorrectedGeneration | None, namespace: str) -> str:
    """Whether other rows would be otherwise in the corrected past, in words. With what is accepted they stay as they are."""
    if corrected is None or not (rows := corrected.rows_elsewhere(namespace)):
        return ""
    of, key = rows[0]
    return f"In the corrected past {plural(len(rows), 'row')} of other namespaces would be otherwise, such as {of} {named(key)}"


def _build(builder: RowBuilder, label: str, *, follow: bool) -> None:
    """Until all that was handled is built; or, if it is to `follow`, until workers keep these rows."""
    steps = builder.follow(never_cancelled)
    with ExitStack() as stack:
        advance = None
        told = False
        for pause in steps:
            states = builder.states()
            if advance is None and states:
                advance = stack.enter_context(bar(f"building {label}", sum(it.total for it in states), "records"))
            if advance is not None:
                advance(sum(it.done for it in states))
            if builder.has_caught_up and not follow:
                break
            if builder.has_caught_up and not told:
                talk("All that was handled is built. What comes is followed until workers keep these rows; Ctrl-C ends that.")
                told = True
            time.sleep(pause)
        steps.close()


def _ending(builder: RowBuilder, namespace: str, generation: int) -> str:
    if builder.is_over:
        return f"Workers keep generation {generation} of {namespace}."
    rows = plural(sum(it.rows for it in builder.states()), "row")
    return (
        f"Generation {generation} of {namespace} is built: {rows}. Now deploy this code: its workers fold what was handled "
        "meanwhile, and go over to these rows."
    )
