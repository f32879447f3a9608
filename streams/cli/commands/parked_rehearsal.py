"""`retold parked retry --rehearse`: what a retry would do with the code of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streams.cli.arguments.lookup import namespace_named
from streams.cli.commands.parked_commands import found_at
from streams.cli.output.branch_text import fields_text
from streams.cli.output.progress import bar
from streams.cli.output.screen import (
    EMPTY_KEY,
    StyledLine,
    application_beside,
    cell_text,
    json_line,
    plural,
    say_styled,
    second_text,
    talk,
)
from streams.cli.process import exit_codes
from streams.cli.process.operator_name import operator_name
from streams.cli.process.session import connect
from streams.data import Record
from streams.engine.changes import Changes, HandledRecord, QueuedRecord, SetAsideRecord
from streams.engine.control import OperatorCommand
from streams.engine.parking import BEHIND
from streams.engine.readable import one_line, shortened
from streams.engine.records import ACCEPTED, REJECTED
from streams.history.difference.row_changes import row_changes
from streams.history.story.story_members import change_members
from streams.kafka.parked import parse_inbox_offset
from streams.kafka.parked_checks import first_at
from streams.outcome import Emission, Scheduled
from streams.worker.partition_restore import described_restorer
from streams.worker.rehearsal import Rehearsal, rehearse

REASON = 300
"""Characters."""


def rehearse_retry(inbox_offset: str, who: str | None, *, as_json: bool) -> int:
    """The exit code: 1 if an event would be set aside again. Raises StreamsError."""
    with application_beside():
        return _rehearsed(inbox_offset, who, as_json=as_json)


def _rehearsed(inbox_offset: str, who: str | None, *, as_json: bool) -> int:
    session = connect()
    at = parse_inbox_offset(inbox_offset)
    space = namespace_named(session.app, at.namespace).name
    _, key = first_at(at, found_at(session, at))
    command = OperatorCommand("retry", key, at.offset, operator_name(who), timer=at.timer)
    restorer = described_restorer(session.app, session.config, session.clients, session.codec, space)
    with bar("reading the partition", None, "records") as advance:
        found = rehearse(restorer, session.clients.clock, command, at.partition, lambda done, _: advance(done))
    if as_json:
        json_line(_members(found, key))
    else:
        say_styled(rehearsal_lines(found, key, f"{at.namespace}-{at.partition}"))
        _say_more(found, key)
    return exit_codes.NO if _parked_again(found, key) else exit_codes.OK


def _parked_again(found: Rehearsal, key: str) -> Sequence[QueuedRecord]:
    """What is parked after it; what a later part of the retry handles is left out."""
    return () if found.goes_on else found.changes.queues.get(key, ())


def _why(aside: QueuedRecord) -> str:
    """Of one that the retry does not come to, that it is behind others."""
    return aside.header.reason if isinstance(aside, SetAsideRecord) else BEHIND


def _row_after(found: Rehearsal, key: str) -> Record | None:
    row, _ = found.changes.rows.get(key, found.before)
    return row


def rehearsal_lines(found: Rehearsal, key: str, partition: str) -> Iterator[StyledLine]:
    """`partition` such as `user-3`: what stays aside is named as the commands take it, `user-3@1042`."""
    for it in found.changes.results:
        yield from _handled_lines(it)
    for aside in _parked_again(found, key):
        yield [("parked      ", "dim"), (f"{partition}@{aside.position}: {shortened(one_line(_why(aside)), REASON)}", "red")]
    before, after = found.before[0], _row_after(found, key)
    if before == after:
        yield [("row         ", "dim"), ("it stays as it is", "")]
    else:
        yield [("row         ", "dim"), (f"{key or EMPTY_KEY}  {fields_text(before, after) or 'the row is deleted'}", "bold")]


def _handled_lines(it: HandledRecord) -> Iterator[StyledLine]:
    assert it.event is not None
    text = f"{it.event.data.event_type} {it.event.key or EMPTY_KEY}"
    if it.outcome == REJECTED:
        text = f"{text}: {shortened(one_line(it.reason or ''), REASON)}"
    yield [(f"{it.outcome:<12}", "dim"), (text, "bold" if it.outcome == ACCEPTED else "red")]
    for emission in it.emissions:
        data, when = _emitted(emission)
        text = f"{data.event_type} {data.key or EMPTY_KEY}{when}  {shortened(one_line(cell_text(data)), REASON)}"
        yield [("  emits     ", "dim"), (text, "")]


def _emitted(emission: Emission) -> tuple[Any, str]:
    if isinstance(emission, Scheduled):
        return emission.data, f" at {second_text(emission.at)}"
    return emission, ""


def _say_more(found: Rehearsal, key: str) -> None:
    changes = found.changes
    if changes.calls:
        talk(f"{plural(len(changes.calls), 'request')} would be called: a gateway's answer is not known.")
    if found.goes_on:
        left = plural(len(changes.queues[key]), "event")
        talk(f"Of the key {left} would be handled in later transactions; they are left out here.")
    if found.unread:
        talk(f"Up to {plural(found.unread, 'record')} of the inbox would be handled before it; they are left out here.")
    talk("Nothing was written.")


def _members(found: Rehearsal, key: str) -> dict[str, Any]:
    changes: Changes = found.changes
    after = _row_after(found, key)
    return {
        "key": key,
        "handled": [
            {
                "type": it.event.data.event_type if it.event is not None else None, "outcome": it.outcome, "reason": it.reason,
                "emits": [
                    {"type": data.event_type, "key": data.key, "at": it.at if isinstance(it, Scheduled) else None, "data": data}
                    for it in it.emissions
                    for data in [it.data if isinstance(it, Scheduled) else it]
                ],
            }
            for it in changes.results
        ],
        "parked": [{"position": str(it.position), "reason": _why(it)} for it in _parked_again(found, key)],
        "later": len(changes.queues.get(key, ())) if found.goes_on else 0,
        "row": {"before": found.before[0], "after": after},
        "changes": [change_members(it) for it in row_changes(found.before[0], after)],
        "calls": len(changes.calls),
        "unread": found.unread,
    }  # fmt: skip
