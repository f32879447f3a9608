"""Questions about the recorded past, answered from the read model's file."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from streams.server.http.answers import AnswerPosition, at_least, ready, standing
from streams.server.http.parts import ServerParts
from streams.server.http.question_forms import F, Question
from streams.server.http.questions import QuestionKind

KINDS: Final = ("log",)


async def ask_past(
    request: Request, parts: ServerParts, kind: QuestionKind, what: str, question: Question, of: type[F]
) -> tuple[F, AnswerPosition]:
    """The answer, and the position that it is true at. `what` is in messages."""
    model = ready(parts)
    await at_least(request, model, KINDS)
    at = standing(model, KINDS, model.partitions())  # before it is told, so that the position is never ahead of it
    found = await parts.questions.ask(kind, what, model.readers.opened(), question, of)
    ready(parts)  # the model may have been reset meanwhile
    return found, at
