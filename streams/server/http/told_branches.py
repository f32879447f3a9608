"""What would have been if, in a process that answers questions: one difference a line, and a summary."""

from __future__ import annotations

from typing import Final

from streams.history.branch.branch import what_if
from streams.history.branch.branch_tables import compare_projections, compare_views
from streams.history.branch.change_document import answers_of, change_of, decode_document
from streams.history.difference.difference_members import difference_members
from streams.history.event_lookup import in_file
from streams.history.stored.stored_corrections import counted, kept_corrections
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.problems import Problem
from streams.server.http.question_forms import AnswerBody, BranchQuestion
from streams.server.readmodel.row_json import to_json

DECISIONS: Final = 100_000
"""Events that are decided for one answer, or read to fold a projection: a server has others to give."""


def told_branch(parts: AnsweringParts, asked: BranchQuestion) -> AnswerBody:
    document, handlers = decode_document(asked.document), parts.handlers
    answers = answers_of(parts.app, document)

    def ask(past: StoredPast, waiting: StoredWaiting) -> AnswerBody:
        find, corrections = in_file(past, waiting, parts.app), kept_corrections(past.db)
        counts = counted(past, handlers, corrections, parts.past_codec, parts.decided)
        change = change_of(parts.app, document, lambda name: find(counts, name))
        if not (change.insert or change.remove or change.replace):
            raise Problem(422, "nothing is changed: insert, remove or replace an event", field="insert")
        branch = what_if(counts, handlers, change, answers=answers, limit=DECISIONS)
        compare_projections(counts, branch, handlers, DECISIONS)
        compare_views(counts, branch, handlers, document.views, DECISIONS)
        return AnswerBody(b"".join(to_json(it) + b"\n" for it in difference_members(branch.difference)))

    return parts.ask_past(ask, untold=422)
