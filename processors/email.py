"""Mails: a gateway handles `email.send` (see `mailers`); its answers are handled here, and the row has the result."""

from __future__ import annotations

from processors.events import EmailBounced, EmailRow, EmailSent
from streams import Event, Namespace, Outcome

email = Namespace("email", row=EmailRow)


@email.handles(EmailSent)
def sent(row: EmailRow | None, event: Event[EmailSent]) -> Outcome[EmailRow]:  # noqa: ARG001 - every handler has one shape
    """The receipt is the Message-ID, by which the mail is found in the mail file or in the mail server's log."""
    answer = event.data
    return Outcome(EmailRow(to=answer.to, status="sent", at=event.time, receipt=answer.receipt))


@email.handles(EmailBounced)
def bounced(row: EmailRow | None, event: Event[EmailBounced]) -> Outcome[EmailRow]:  # noqa: ARG001 - every handler has one shape
    """A refused address is an answer, not a failure: it is not retried."""
    answer = event.data
    return Outcome(EmailRow(to=answer.to, status="bounced", at=event.time, reason=answer.reason))
