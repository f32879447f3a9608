"""The demonstration with a gateway that answers at once, so all that takes time is ours: a sign-up, its folder, its mail."""

from __future__ import annotations

from processors import quiet
from processors.email import email
from processors.events import EmailBounced, EmailSend, EmailSent
from processors.folder import folder
from streams import App, Event, Gateway


async def send(event: Event[EmailSend]) -> EmailSent:
    return EmailSent(email=event.key, to=event.data.to, receipt=event.id)


def app() -> App:
    return App(
        name="retold-demo",
        namespaces=[quiet.user, folder, email],
        gateways=[Gateway(EmailSend, send, answers=[EmailSent, EmailBounced])],
    )
