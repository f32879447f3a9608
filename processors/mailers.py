"""Two ways to send a mail: to a file in mbox format, or through a mail server.

A mail is sent at least once: a worker that dies after sending, before the answer is stored, sends it again. Both mails have
the same Message-ID, made from the request's reference, by which a recipient recognises the second one.
"""

from __future__ import annotations

import fcntl
import io
from dataclasses import dataclass, field
from email.generator import BytesGenerator
from email.mime.text import MIMEText
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from processors.events import EmailBounced, EmailSend, EmailSent
from streams import Event

SENDER = "demo@example.org"
TEXTS = {
    "welcome": ("Welcome", "your account and your folder are ready."),
    "reminder": ("Your account waits for you", "we have not heard of you since you signed up."),
}
SECONDS = 20.0
"""Timeout of each step of an SMTP session, in seconds."""
LINE = 998
"""The longest line of a mail, in characters (RFC 5322)."""


class Mailer(Protocol):
    """The gateway of `email.send`. If it raises, the call is retried; an answer is final."""

    async def send(self, event: Event[EmailSend]) -> EmailSent | EmailBounced: ...


def message_of(event: Event[EmailSend]) -> MIMEText:
    """Raises ValueError for a template that does not exist, or an address that no header can hold.

    The newer `EmailMessage` parses each header that it is given, and takes five times as long.
    """
    request = event.data
    if request.template not in TEXTS:
        raise ValueError(f"there is no template {request.template!r}; there are: {', '.join(TEXTS)}")
    subject, text = TEXTS[request.template]
    message = text_of(f"Dear {request.name or 'user'},\n{text}\n")
    headers = {
        "From": SENDER,
        "To": request.to,
        "Subject": subject,
        "Date": format_datetime(event.time),
        "Message-ID": f"<{event.reference}@{SENDER.partition('@')[2]}>",
    }
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"{value!r} cannot be the header {name} of a mail: expected no line break or control character")
        message[name] = value
    return message


def text_of(text: str) -> MIMEText:
    """The body as it is, if a mail server takes it so (ASCII, short lines); otherwise UTF-8 in base64."""
    plain = all(len(line) <= LINE and line.isascii() and line.isprintable() for line in text.split("\n"))
    return MIMEText(text, _charset="us-ascii" if plain else "utf-8")


@dataclass(frozen=True)
class FileMailer:
    """Appends to a file in mbox format. Several workers may write to the same file."""

    path: Path

    async def send(self, event: Event[EmailSend]) -> EmailSent:
        """The mail is in the file when this returns. It is not synced, so a power failure may lose it."""
        message = message_of(event)
        message.set_unixfrom(f"From {SENDER} {event.time:%a %b %e %H:%M:%S %Y}")
        text = io.BytesIO()
        BytesGenerator(text, mangle_from_=True).flatten(message, unixfrom=True)
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(text.getvalue() + b"\n")
        return EmailSent(email=event.key, to=event.data.to, receipt=str(message["Message-ID"]))


@dataclass(frozen=True)
class Smtp:
    """With `tls`, TLS from the first byte; otherwise STARTTLS, if the server offers it."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SmtpMailer:
    server: Smtp

    async def send(self, event: Event[EmailSend]) -> EmailSent | EmailBounced:
        """A permanent refusal (5xx) of the address or the text is a bounce. Everything else is raised, and retried."""
        import aiosmtplib  # an optional dependency: pip install retold[smtp]

        message, server = message_of(event), self.server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            username=server.user,
            password=server.password,
            timeout=SECONDS,
        )
        try:
            await client.connect()
            await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            code, reason = refused.recipients[0].code, refused.recipients[0].message
        except aiosmtplib.SMTPResponseException as refused:
            code, reason = refused.code, refused.message
        else:
            return EmailSent(email=event.key, to=event.data.to, receipt=str(message["Message-ID"]))
        finally:
            client.close()  # without QUIT, which would wait for a server that hangs
        if code < 500 or code in (530, 534, 535, 538):  # about the client, not about this mail
            raise ConnectionError(f"the mail server {server.host}:{server.port} said {code} {reason}")
        return EmailBounced(email=event.key, to=event.data.to, reason=f"{code} {reason}")
