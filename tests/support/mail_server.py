"""A mail server on loopback that behaves as a test tells it to, and keeps what it took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

Behaviour = Callable[["MailServer", SMTP, Envelope], Any]


class MailServer:
    """`behaviours` are used up one mail at a time; without one, a mail is taken. `taken` are the texts."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.taken: list[bytes] = []
        self.port = 0

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user here"
        if address.startswith("busy@"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        if self.behaviours:
            answer = await self.behaviours.pop(0)(self, server, envelope)
            if answer is not None:
                return str(answer)
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        return "250 taken"


async def hangs(mails: MailServer, server: SMTP, envelope: Envelope) -> None:
    """Says nothing for longer than anybody waits; a closed connection ends it."""
    await asyncio.sleep(60)


async def dies_after_accepting(mails: MailServer, server: SMTP, envelope: Envelope) -> str:
    """The mail is in, and whoever sent it never hears of it."""
    assert isinstance(envelope.content, bytes)
    mails.taken.append(envelope.content)
    assert server.transport is not None
    server.transport.close()
    return "250 nobody reads this"


async def refuses_the_text(mails: MailServer, server: SMTP, envelope: Envelope) -> str:
    return "554 5.7.1 this looks like spam"


class OnAnyPort(Controller):
    """aiosmtpd's controller tries its own port once, which it does not know before it is given one."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(mails: MailServer | None = None) -> Iterator[MailServer]:
    """On a free port of loopback, in a thread; ended with the block."""
    mails = mails or MailServer()
    controller = OnAnyPort(mails, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        mails.port = controller.port
        yield mails
    finally:
        controller.stop()
