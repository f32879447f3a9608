"""`retold get`: a row, or the rows of a table, read from Kafka, and up to which log sequence that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import typer
from confluent_kafka import murmur2

from streams.cli.arguments.lookup import namespace_named, projection_named, view_named
from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.parsers import past_times, time_with_zone, whole
from streams.cli.arguments.row_question import Count, RowQuestion, Sort, Where
from streams.cli.commands.get_past import RowsAsked, get_past
from streams.cli.output.attention import correcting, other_generation
from streams.cli.output.row_text import SHOWN, count_of, natural, show_count, show_many, show_one, show_projected
from streams.cli.output.screen import json_line, talk
from streams.cli.process import exit_codes
from streams.cli.process.counted_projection import read_counted
from streams.cli.process.session import Session, connect
from streams.data import Record
from streams.engine.marker import Marker
from streams.engine.times import to_micros
from streams.errors import RowsNotBuilt
from streams.history.cut_past import Cut
from streams.history.recorded_event import position_name
from streams.kafka.corrections_topic import read_corrections
from streams.kafka.table_generations import not_there
from streams.kafka.tables_and_logs import TableState, read_table
from streams.namespace import Namespace
from streams.projection import Projection


def get(  # noqa: PLR0913 - one parameter an option
    name: Annotated[
        str, typer.Argument(help="Namespace or projection whose table to query; or a view's path.", metavar="NAME")
    ],
    key: Annotated[str | None, typer.Argument(help="Key of one row; default: all rows.", metavar="KEY")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", parser=whole(1), help=f"Show at most N rows; default: {SHOWN}, with --json all.", metavar="N"
        ),
    ] = None,
    as_of: Annotated[
        Cut | None,
        typer.Option("--as-of", parser=past_times, help="As it was then, by the times of events.", metavar="TIME"),
    ] = None,
    known: Annotated[
        datetime | None,
        typer.Option("--known", parser=time_with_zone, help="As it was known then, by the times of recording.", metavar="TIME"),
    ] = None,
    history: HistoryOption = None,
    where: Where = None,
    sort: Sort = None,
    count: Count = False,
    as_json: Json = False,
) -> None:
    """Query a table: show one row with its version, or all rows; also as they were.

    Example: [bold]retold get order --where status=paid --where total__gte=100 --sort -placed[/]
    """
    question = RowQuestion(where or (), sort, count)
    if key is not None:
        question.refuse_for_one(f"the key {key!r} names one row")
    asked = RowsAsked(name, key, limit, question, as_json)
    if as_of is not None or known is not None or history is not None:
        get_past(asked, _cut(as_of or Cut(), known), history)
        return
    session = connect()
    if view_named(session.app, name) is not None:
        get_past(asked, Cut(), None)  # only a server has what it is now
    elif (projection := projection_named(session.app, name)) is not None:
        _get_projected(session, projection, asked)
    else:
        _get_rows(session, asked)


def _get_rows(session: Session, asked: RowsAsked) -> None:
    namespace, key, limit, question, as_json = asked
    space = namespace_named(session.app, namespace, or_projection=True)
    question.query(space.row_type)  # before all is read
    state = read_table(session.clients, session.config.prefix, namespace, session.codec, space.row_type, key, space.generation)
    _refuse_unbuilt(namespace, state)
    at = _reached(namespace, state.positions)
    if key is not None and key not in state.rows:
        talk(
            f"The table {namespace} has no row {key!r}{f' as of {at}' if at else ': no event has been handled yet'}."
        )
        _tell_what_else(session, space, state)
        raise typer.Exit(exit_codes.NO)
    rows = question.chosen(space.row_type, [(each, *state.rows[each]) for each in sorted(state.rows, key=natural)])
    shown = list(islice(rows, limit if as_json else limit or SHOWN))
    if question.counts:
        show_count(len(rows), as_json=as_json)
    elif as_json:
        for each, row, version in shown:
            json_line({"key": each, "version": version, "row": row, "position": _position(state, each)})
    elif key is not None:
        show_one(*rows[0])
    else:
        show_many(namespace, shown, {data.key_field for data in space.handlers})
        talk(count_of(len(shown), len(rows)))
    if not as_json:
        talk(f"As of {at}." if at else "No event has been handled yet.")
    _tell_what_else(session, space, state)


def _refuse_unbuilt(namespace: str, state: TableState[Record]) -> None:
    """Raises RowsNotBuilt where there are none of the generation that the code here has: the table would seem to be empty."""
    for partition, there in sorted(state.there.items()):
        if there.lack:
            raise RowsNotBuilt(not_there(namespace, partition, there, "the code here"))


def _tell_what_else(session: Session, space: Namespace[Any], state: TableState[Record]) -> None:
    """That workers keep other rows, or have not set all of them yet: also of a row that is not there."""
    corrections = read_corrections(session.clients, session.config.prefix, session.app.name)
    for text in (*other_generation(space, (it.generation for it in state.positions.values())), *correcting(corrections)):
        talk(text)


def _cut(as_of: Cut, known: datetime | None) -> Cut:
    if known is not None and as_of.known is not None:
        raise typer.BadParameter("--as-of has two times, of which the second says what was known: leave --known out.")
    return as_of if known is None else Cut(as_of.as_of, to_micros(known))


def _get_projected(session: Session, projection: Projection[Any], asked: RowsAsked) -> None:
    """Folds the logs from their beginning: a projection is not kept in Kafka. Its rows have no version."""
    _, key, limit, question, as_json = asked
    question.query(projection.row_type)  # before all is folded
    found = read_counted(session, projection)
    reached = ", ".join(position_name(*at, last) for at, last in sorted(found.positions.items()))
    keys = sorted(found.rows, key=natural) if key is None else [key] * (key in found.rows)
    if key is not None and not keys:
        talk(f"The projection {projection.name} has no row {key!r}{f' as of {reached}' if reached else ''}.")
        raise typer.Exit(exit_codes.NO)
    chosen = question.chosen(projection.row_type, [(each, found.rows[each], 0) for each in keys])
    shown = list(islice(chosen, limit if as_json else limit or SHOWN))
    if question.counts:
        show_count(len(chosen), as_json=as_json)
    elif as_json:
        position = {f"{space}-{number}": last for (space, number), last in sorted(found.positions.items())}
        for each, row, _ in shown:
            json_line({"key": each, "row": row, "position": position})
    else:
        show_projected([(each, row) for each, row, _ in shown], one=key is not None)
    if not as_json:
        if key is None and not question.counts:
            talk(count_of(len(shown), len(chosen)))
        talk(f"As of {reached}." if reached else "No event has been handled yet.")


def _position(state: TableState[Record], key: str) -> dict[str, int]:
    """The row's partition and the last sequence handled there."""
    count = next(iter(state.positions.values())).partitions
    partition = int(murmur2(key.encode(), count))
    return {"partition": partition, "sequence": state.positions[partition].last}


def _reached(name: str, positions: Mapping[int, Marker]) -> str:
    """The last log sequence of each partition that the rows include; empty if nothing was handled yet."""
    return ", ".join(position_name(name, partition, last.last) for partition, last in sorted(positions.items()))
