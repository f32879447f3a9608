"""A mail server that is slow, busy, hangs up, and writes down each mail that it takes, as the card company does its calls.

A mail's idempotency key is in its Message-ID.
"""

from __future__ import annotations

import asyncio
import random
from email import message_from_bytes
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from processors.events import EmailSend
from processors.mailers import TEXTS
from streams.data import EventData
from tests.chaos.card_company import FAILS, FAILS_LATE, Call, append
from tests.support.mail_server import MailServer


class MailCompany(MailServer):
    """Writes into `file`. A mail that it has taken may be one that its sender never hears of."""

    def __init__(self, file: Path, dice: random.Random) -> None:
        super().__init__()
        self._file, self._dice = file, dice

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        await asyncio.sleep(self._dice.uniform(0, 0.05))
        if self._dice.random() < FAILS:
            return "451 4.3.0 try again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content)
        reference = str(mail["Message-ID"]).strip("<>").partition("@")[0]
        append(self._file, Call(reference, EmailSend.event_type, f"{mail['To']}: {mail['Subject']}"))
        if self._dice.random() < FAILS_LATE:
            assert server.transport is not None
            server.transport.close()
        return "250 taken"


def said(data: EventData) -> str:
    """What a mail says that is sent for a request."""
    assert isinstance(data, EmailSend)
    return f"{data.to}: {TEXTS[data.template][0]}"
