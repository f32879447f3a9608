"""Two ways to send a mail: to a file in mbox format, or through a mail server.

A mail is sent at least once: a worker that dies after sending, before the answer is stored, sends it again. Both mails have
the same Message-ID, made from the request's reference, by which a recipient recognises the second one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.generator import BytesGenerator
from email.mime.text import MIMEText
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

from processors.events import EmailBounced, EmailSend, EmailSent
from streams import Event

SENDER = "demo@example.org"
DOMAIN = SENDER.partition("@")[2]
TEXTS = {
    "welcome": ("Welcome", "your account and your folder are ready."),
    "reminder": ("Your account waits for you", "we have not heard of you since you signed up."),
}
SECONDS = 20.0
"""Timeout of each step of an SMTP session, in seconds."""
LINE = 998
"""The longest line of a mail, in characters (RFC 5322)."""
FOLDED = 70
"""Characters from which on the library may fold a line."""
PLAIN = ('Content-Type: text/plain; charset="us-ascii"', "MIME-Version: 1.0", "Content-Transfer-Encoding: 7bit")


class Mailer(Protocol):
    """The gateway of `email.send`. If it raises, the call is retried; an answer is final."""

    async def send(self, event: Event[EmailSend]) -> EmailSent | EmailBounced: ...


@dataclass(frozen=True)
class Letter:
    """What a mail says: its headers, beside those about its text, and the text."""

    headers: Mapping[str, str]
    text: str

    @property
    def receipt(self) -> str:
        return self.headers["Message-ID"]


def letter_of(event: Event[EmailSend]) -> Letter:
    """Raises ValueError for a template that does not exist, or an address that no header can hold."""
    request = event.data
    if request.template not in TEXTS:
        raise ValueError(f"there is no template {request.template!r}; there are: {', '.join(TEXTS)}")
    subject, text = TEXTS[request.template]
    headers = {
        "From": SENDER,
        "To": request.to,
        "Subject": subject,
        "Date": format_datetime(event.time),
        "Message-ID": f"<{event.reference}@{DOMAIN}>",
    }
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"{value!r} cannot be the header {name} of a mail: expected no line break or control character")
    return Letter(headers, f"Dear {request.name or 'user'},\n{text}\n")


def message_of(letter: Letter) -> MIMEText:
    """As it is, if a mail server takes the text so (ASCII, short lines); otherwise UTF-8 in base64."""
    plain = all(len(line) <= LINE and line.isascii() and line.isprintable() for line in letter.text.split("\n"))
    message = MIMEText(letter.text, _charset="us-ascii" if plain else "utf-8")
    for name, value in letter.headers.items():
        message[name] = value
    return message


def mbox_entry(letter: Letter, time: datetime) -> bytes:
    """The letter as it stands in an mbox file.

    The library takes 150 µs for one, more than all else that an event needs. So an entry without anything to fold, encode or
    escape is put together here; a test compares both.
    """
    lines = [f"{name}: {value}" for name, value in letter.headers.items()]
    texts = letter.text.split("\n")
    begin = f"From {SENDER} {time:%a %b %e %H:%M:%S %Y}"
    plain = (
        max(map(len, lines)) <= FOLDED
        and max(map(len, texts)) <= LINE
        and all(map(str.isprintable, texts))
        and not any(text.startswith("From ") for text in texts)
        and all(value == value.strip() for value in letter.headers.values())
    )
    entry = "\n".join([begin, *PLAIN, *lines, "", *texts])
    if plain and entry.isascii():
        return entry.encode()
    return entry_by_library(letter, begin)


def entry_by_library(letter: Letter, begin: str) -> bytes:
    """Any letter; `begin` is its first line."""
    message = message_of(letter)
    message.set_unixfrom(begin)
    written = io.BytesIO()
    BytesGenerator(written, mangle_from_=True).flatten(message, unixfrom=True)
    return written.getvalue()


def append(path: Path, entry: bytes) -> None:
    """Add it to the file's end, in as few calls of the system as can be. Raises OSError.

    Each of them lets go of Python's lock, and waits up to 5 ms for it in a worker that is busy: a file object makes seven.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        while entry:
            entry = entry[os.write(file, entry) :]
    finally:
        os.close(file)


@dataclass(frozen=True)
class FileMailer:
    """Appends to a file in mbox format, each mail in one write: several workers of a machine may write to the same file."""

    path: Path

    async def send(self, event: Event[EmailSend]) -> EmailSent:
        """The mail is in the file when this returns. It is not synced, so a power failure may lose it."""
        letter = letter_of(event)
        append(self.path, mbox_entry(letter, event.time) + b"\n")
        return EmailSent(email=event.key, to=event.data.to, receipt=letter.receipt)


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

        letter, server = letter_of(event), self.server
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
            await client.send_message(message_of(letter))
        except aiosmtplib.SMTPRecipientsRefused as refused:
            code, reason = refused.recipients[0].code, refused.recipients[0].message
        except aiosmtplib.SMTPResponseException as refused:
            code, reason = refused.code, refused.message
        else:
            return EmailSent(email=event.key, to=event.data.to, receipt=letter.receipt)
        finally:
            client.close()  # without QUIT, which would wait for a server that hangs
        if code < 500 or code in (530, 534, 535, 538):  # about the client, not about this mail
            raise ConnectionError(f"the mail server {server.host}:{server.port} said {code} {reason}")
        return EmailBounced(email=event.key, to=event.data.to, reason=f"{code} {reason}")
