"""The demonstration's mails: into a file, and through a mail server that does what mail servers do."""

from __future__ import annotations

import asyncio
import mailbox
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import aiosmtplib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processors.events import EmailBounced, EmailSend, EmailSent
from processors.mailers import TEXTS, FileMailer, Smtp, SmtpMailer, entry_by_library, letter_of, mbox_entry
from processors.settings import settings
from streams import Event
from streams.errors import ConfigError
from tests.support.mail_server import MailServer, dies_after_accepting, hangs, mail_server, refuses_the_text

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def request(
    to: str = "u1@example.org", template: str = "welcome", name: str = "Ada", id: str = "e1"
) -> Event[EmailSend]:
    return Event(EmailSend(email="u1/welcome", to=to, template=template, name=name), id, THEN, None, id)


MESSAGE_ID = f"<{request().reference}@example.org>"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as mails:
        yield mails


def by_smtp(server: MailServer, event: Event[EmailSend], seconds: float = 10) -> EmailSent | EmailBounced:
    mailer = SmtpMailer(Smtp("127.0.0.1", server.port))
    return asyncio.run(asyncio.wait_for(mailer.send(event), seconds))


def test_a_mail_in_a_file_is_read_by_any_mail_program(tmp_path: Path) -> None:
    """In mbox format, with a Message-ID from the event's reference, which is the receipt; no line begins a new mail."""
    mailer = FileMailer(tmp_path / "mails")
    first = asyncio.run(mailer.send(request()))
    asyncio.run(mailer.send(request(name="x\nFrom y", template="reminder", id="e2")))
    with closing(mailbox.mbox(tmp_path / "mails")) as found:
        one, two = found
    assert first == EmailSent(email="u1/welcome", to="u1@example.org", receipt=MESSAGE_ID)
    assert (one["To"], one["Subject"], one["Message-ID"]) == ("u1@example.org", "Welcome", MESSAGE_ID)
    assert "Dear Ada," in one.get_payload()
    assert two["Subject"] == "Your account waits for you"


@pytest.mark.parametrize("name", ["Zoë", "n" * 2000, "a\rb\0c", "ada\n.\nFrom b"])
def test_a_mail_arrives_whatever_the_name_is(name: str, server: MailServer, tmp_path: Path) -> None:
    """Not ASCII, longer than a line of a mail may be, with control characters, with lines that mean something to programs."""
    asyncio.run(FileMailer(tmp_path / "mails").send(request(name=name)))
    by_smtp(server, request(name=name))
    with closing(mailbox.mbox(tmp_path / "mails")) as file:
        [in_file] = list(file)
    for mail in (in_file, message_from_bytes(server.taken[0])):
        text = (mail.get_payload(decode=True) or b"").decode().replace("\r\n", "\n").replace(">From", "From")
        assert text == f"Dear {name},\nyour account and your folder are ready.\n"


printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=100)
names = printable | st.text("abc From:>\n", max_size=1200) | st.text("\t\r\0\x7fFrom \n", max_size=12)
addresses = printable.filter(str.isprintable) | st.text("ab@. ", max_size=80)


@given(name=names, to=addresses, template=st.sampled_from(list(TEXTS)), time=st.datetimes(timezones=st.just(UTC)))
@example("Ada", "u1@example.org", "welcome", THEN)
@example("x\nFrom y", "u1@example.org", "welcome", THEN)
def test_a_mail_is_what_the_library_writes(name: str, to: str, template: str, time: datetime) -> None:
    """Whatever is in it: what is put together here is equal to the last byte."""
    letter = letter_of(Event(EmailSend(email="u1/x", to=to, template=template, name=name), "e", time, None, "e"))
    entry = mbox_entry(letter, time)
    assert entry == entry_by_library(letter, entry.partition(b"\n")[0].decode())


def test_a_common_mail_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put together here."""
    monkeypatch.setattr("processors.mailers.entry_by_library", None)
    assert mbox_entry(letter_of(request()), THEN).startswith(b"From demo@example.org Fri Jan  2 03:04:05 2026\n")


def test_several_workers_write_one_file(tmp_path: Path) -> None:
    """No mail is torn by another one."""
    mailer = FileMailer(tmp_path / "mails")
    with ThreadPoolExecutor(8) as threads:
        events = [request(id=f"e{n}", name="n" * 9000) for n in range(80)]
        answers = list(threads.map(lambda event: asyncio.run(mailer.send(event)), events))
    with closing(mailbox.mbox(tmp_path / "mails")) as file:
        found = list(file)
    assert sorted(str(mail["Message-ID"]) for mail in found) == sorted(answer.receipt for answer in answers)
    assert {len(mail.get_payload()) for mail in found} == {len(found[0].get_payload())}


def test_a_mail_server_that_takes_it(server: MailServer) -> None:
    """The mail arrives as it was written; the answer has its Message-ID."""
    answer = by_smtp(server, request())
    [text] = server.taken
    assert answer == EmailSent(email="u1/welcome", to="u1@example.org", receipt=MESSAGE_ID)
    assert message_from_bytes(text)["Message-ID"] == MESSAGE_ID


def test_an_address_that_does_not_exist_bounces(server: MailServer) -> None:
    """An answer with the server's words, so nobody tries again."""
    answer = by_smtp(server, request(to="nobody@example.org"))
    assert answer == EmailBounced(email="u1/welcome", to="nobody@example.org", reason="550 5.1.1 no such user here")


def test_a_text_that_is_refused_bounces(server: MailServer) -> None:
    """Also after all of it was read."""
    server.behaviours.append(refuses_the_text)
    answer = by_smtp(server, request())
    assert answer == EmailBounced(email="u1/welcome", to="u1@example.org", reason="554 5.7.1 this looks like spam")
    assert server.taken == []


def test_a_busy_mail_server_is_asked_again(server: MailServer) -> None:
    """A refusal for now is no answer: it is raised, and the worker tries again."""
    with pytest.raises(ConnectionError, match=r"said 451 4\.3\.0 try again later"):
        by_smtp(server, request(to="busy@example.org"))


def test_a_mail_server_that_hangs_is_left(server: MailServer) -> None:
    """Being cancelled, as the worker does after RETOLD_GATEWAY_SECONDS, frees the connection."""
    server.behaviours.append(hangs)
    with pytest.raises(TimeoutError):
        by_smtp(server, request(), seconds=0.5)
    assert isinstance(by_smtp(server, request()), EmailSent)


def test_a_mail_server_that_dies_after_accepting_gets_the_mail_twice(server: MailServer) -> None:
    """At least once: nobody can know. Both have one Message-ID."""
    server.behaviours.append(dies_after_accepting)
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        by_smtp(server, request())
    assert isinstance(by_smtp(server, request()), EmailSent)
    assert [message_from_bytes(text)["Message-ID"] for text in server.taken] == [MESSAGE_ID] * 2


def test_a_mail_server_that_is_not_there() -> None:
    """The error names the server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(aiosmtplib.SMTPConnectError, match=str(port)):
            asyncio.run(SmtpMailer(Smtp("127.0.0.1", port)).send(request()))


@pytest.mark.parametrize(
    ("event", "words"),
    [(request(template="invoice"), "there is no template 'invoice'"), (request(to="a@b\nBcc: all@b"), "(?i)header")],
)
def test_a_mail_that_cannot_be_written_is_refused(event: Event[EmailSend], words: str, tmp_path: Path) -> None:
    """A template that does not exist; an address that would add a header."""
    with pytest.raises(ValueError, match=words):
        asyncio.run(FileMailer(tmp_path / "mails").send(event))
    assert not (tmp_path / "mails").exists()


def test_the_settings_say_where_mails_go() -> None:
    """A file, a server, a server with TLS and a user."""
    assert settings({}).mailer == FileMailer(Path("mail.mbox"))
    assert settings({"DEMO_MAIL": "a/b.mbox"}).mailer == FileMailer(Path("a/b.mbox"))
    assert settings({"DEMO_MAIL": "smtp://localhost"}).mailer == SmtpMailer(Smtp("localhost", 25))
    url = "smtps://me%40x:p%3Aw@mail.example.org:4650"
    assert settings({"DEMO_MAIL": url}).mailer == SmtpMailer(Smtp("mail.example.org", 4650, True, "me@x", "p:w"))
    assert [settings({"DEMO_REMINDERS": it}).reminders for it in ("", "on", "off")] == [True, True, False]


@pytest.mark.parametrize(
    "url", ["http://x", "smtp://:2", "smtp://x:notaport", "smtp://u:secret@x:99999", "smtp://x/path"]
)
def test_a_setting_that_says_nothing_usable_is_named(url: str) -> None:
    """The variable and what was expected; not its value, which may hold a password."""
    with pytest.raises(ConfigError, match="DEMO_MAIL is neither the path of a file nor a URL") as caught:
        settings({"DEMO_MAIL": url})
    assert url not in str(caught.value)
    with pytest.raises(ConfigError, match="DEMO_REMINDERS is 'maybe'; on or off was expected"):
        settings({"DEMO_REMINDERS": "maybe"})


def test_no_password_is_shown() -> None:
    """Not even in a traceback's values."""
    assert "p:w" not in repr(settings({"DEMO_MAIL": "smtp://me:p%3Aw@x"}))
