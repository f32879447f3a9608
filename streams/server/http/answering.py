"""Questions are answered here, in a process of their own: by what each kind of question is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.errors import HistoryError
from streams.server.asking.answering_processes import AnsweringProcesses
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.problems import Problem, problem_of
from streams.server.http.question_forms import (
    BranchQuestion,
    ChangedQuestion,
    EventStoryQuestion,
    FileAway,
    Found,
    PastRowQuestion,
    PastRowsQuestion,
    PastViewQuestion,
    PlanAgainQuestion,
    PlanQuestion,
    RowStoryQuestion,
    Untold,
    ViewQuestion,
    decode_asked,
    encode,
)  # fmt: skip
from streams.server.http.questions import Questions
from streams.server.http.told_branches import told_branch
from streams.server.http.told_corrections import changed, plan, plan_once_more
from streams.server.http.told_past import past_row, past_rows, past_view
from streams.server.http.told_stories import event_story, row_story
from streams.server.http.view_answers import refused_by, view_found
from streams.server.readmodel.store_readers import StoreAway

TOLD: Final[Mapping[type[Any], Callable[[AnsweringParts, Any], Found]]] = {
    ViewQuestion: view_found,
    PastViewQuestion: past_view,
    PastRowQuestion: past_row,
    PastRowsQuestion: past_rows,
    BranchQuestion: told_branch,
    EventStoryQuestion: event_story,
    RowStoryQuestion: row_story,
    PlanQuestion: plan,
    PlanAgainQuestion: plan_once_more,
    ChangedQuestion: changed,
}


def questions_of(app: App, config: Config, codec: AvroCodec) -> Questions:
    """With the processes that answer them. To be made before other threads are started."""
    parts = AnsweringParts(app, codec)
    return Questions(config, AnsweringProcesses(lambda content: answered(parts, content)))


def answered(parts: AnsweringParts, content: bytes) -> bytes:
    """The answer to an `Asked`, also if it is an error."""
    asked = decode_asked(content)
    try:
        parts.model.readers.read(asked.file)
        return encode(TOLD[type(asked.question)](parts, asked.question))
    except StoreAway:
        return encode(FileAway(None))
    except sqlite3.Error as error:
        return encode(FileAway(str(error)))
    except HistoryError as error:
        return encode(Untold(error.status, str(error)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for who asked
        return encode(refused_by(error if isinstance(error, Problem) else problem_of(error)))
