"""What led to an event or a row, and what followed, in a process that answers questions."""

from __future__ import annotations

from streams.errors import NoSuchEvent
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.put_in_event import PutInEvent, put_in_event
from streams.history.stored.stored_corrections import counted, kept_corrections
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.event_corrections import EventCorrections
from streams.history.story.named_event import event_named, nothing_happened
from streams.history.story.story import Storyteller
from streams.history.story.story_members import key_story_members, story_members
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.question_forms import AnswerBody, EventStoryQuestion, RowStoryQuestion
from streams.server.readmodel.row_json import to_json


def event_story(parts: AnsweringParts, asked: EventStoryQuestion) -> AnswerBody:
    def ask(past: StoredPast, waiting: StoredWaiting) -> AnswerBody:
        teller = _teller(parts, past, waiting)
        try:
            found = event_named(past, waiting, parts.app, asked.event)
        except NoSuchEvent:
            if (it := _put_in(parts, past, asked.event)) is None:
                raise
            found, teller = it.event, Storyteller(it.past, parts.telling(past), waiting, _corrections_of(parts, past))
        return AnswerBody(to_json(story_members(teller.of_event(found, asked.depth))))

    return parts.ask_past(ask)


def _put_in(parts: AnsweringParts, past: StoredPast, text: str) -> PutInEvent | None:
    corrections = kept_corrections(past.db)
    if not corrections:
        return None
    counts = counted(past, parts.handlers, corrections, parts.past_codec, parts.decided)
    so_far = CorrectedLog.of(past, corrections, parts.past_codec, parts.decided)
    return put_in_event(so_far, counts, parts.handlers, text)


def row_story(parts: AnsweringParts, asked: RowStoryQuestion) -> AnswerBody:
    place = asked.namespace, asked.key

    def ask(past: StoredPast, waiting: StoredWaiting) -> AnswerBody:
        found = _teller(parts, past, waiting).of_key(place, asked.depth, asked.last)
        if found is None:
            raise nothing_happened(past, place)
        return AnswerBody(to_json(key_story_members(found)))

    return parts.ask_past(ask)


def _teller(parts: AnsweringParts, past: StoredPast, waiting: StoredWaiting) -> Storyteller:
    return Storyteller(past, parts.telling(past), waiting, _corrections_of(parts, past))


def _corrections_of(parts: AnsweringParts, past: StoredPast) -> EventCorrections:
    return EventCorrections(kept_corrections(past.db), parts.past_codec)
