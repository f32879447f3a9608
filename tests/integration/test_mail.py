"""The demonstration's gateway on Kafka and with a mail server on loopback, when that does what mail servers do."""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes
from pathlib import Path

from processors import app
from processors.events import EmailRow, UserSignup
from processors.mailers import Smtp, SmtpMailer
from processors.settings import Settings
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import parked_header
from streams.kafka.bounded_read import headers_of
from tests.support.inbox import Foreign
from tests.support.mail_server import dies_after_accepting, hangs, mail_server, refuses_the_text
from tests.support.workers import Running, settings, until

USERS = {"fine": "fine@example.org", "gone": "nobody@example.org", "full": "busy@example.org"}


def sign_up(foreign: Foreign, user: str, to: str = "") -> None:
    foreign.publish(UserSignup(user=user, email=to or f"{user}@example.org"))


def test_a_mail_server_in_every_mood(tmp_path: Path, prefix: str, broker: str) -> None:
    """What it takes is sent, what it refuses bounces, what it never answers is parked and sent when an operator says so.

    A mail that it took before it died goes out twice under one Message-ID, and is answered once.
    """
    config = settings(tmp_path, prefix, gateway_tries="3", gateway_seconds="1")
    with mail_server() as server:
        demo = app(Settings(SmtpMailer(Smtp("127.0.0.1", server.port)), reminders=False))
        foreign = Foreign(demo, config, broker)
        with Running(demo, config, broker) as worker:

            def became(user: str) -> str | None:
                row = worker.rows("email").get(f"{user}/welcome")
                return f"{row.status} {row.reason or ''}".strip() if isinstance(row, EmailRow) else None

            for user, to in USERS.items():
                sign_up(foreign, user, to)
            until(lambda: became("fine") == "sent", "it was not sent")
            until(lambda: became("gone") == "bounced 550 5.1.1 no such user here", "it did not bounce")
            server.behaviours.append(refuses_the_text)
            sign_up(foreign, "spam")
            until(lambda: became("spam") == "bounced 554 5.7.1 this looks like spam", "it did not bounce")
            server.behaviours.append(dies_after_accepting)
            sign_up(foreign, "twice")
            until(lambda: became("twice") == "sent", "it was not sent again")
            server.behaviours += [hangs] * 3
            sign_up(foreign, "slow")
            until(lambda: len(foreign.read("email-parked")) == 2, "nothing was given up")
            reasons = {
                header.key: header for header in (parked_header(headers_of(m)) for m in foreign.read("email-parked"))
            }
            assert "said 451 4.3.0 try again later" in reasons["full/welcome"].reason
            assert reasons["slow/welcome"].reason == "the gateway failed 3 times, at last: no answer in 1 s"
            again = OperatorCommand("retry", "slow/welcome", reasons["slow/welcome"].offset, "ada")
            foreign.write("email", control.encode(again), b"slow/welcome")
            until(lambda: became("slow") == "sent", "the retry did not send it")
        taken = Counter(str(message_from_bytes(text)["To"]).partition("@")[0] for text in server.taken)
    assert taken == {"fine": 1, "twice": 2, "slow": 1}
    ids = [message_from_bytes(text)["Message-ID"] for text in server.taken if b"twice@" in text]
    assert len(set(ids)) == 1
