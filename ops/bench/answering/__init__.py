"""What a gateway's answer is timed with: it answers at once, so all that takes time is ours."""

from __future__ import annotations

from ops.bench.answering.events import AskAnswered, AskPut, AskRow
from streams import App, Event, Gateway, Namespace, Outcome

ask = Namespace("ask", row=AskRow)


@ask.handles(AskAnswered)
def answered(_: AskRow | None, event: Event[AskAnswered]) -> Outcome[AskRow]:
    return Outcome(AskRow(answer=event.data.number))


async def answer(event: Event[AskPut]) -> AskAnswered:
    return AskAnswered(name=event.key, number=event.data.number)


def app() -> App:
    return App(
        name="retold-answering", namespaces=[ask], gateways=[Gateway(AskPut, answer, answers=[AskAnswered])]
    )
