"""The story of one user: the event, what its handler emitted, what became of that, the mail, and the rows over HTTP."""

from __future__ import annotations

import json
import mailbox
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from streams.cli.output.screen import plural, say_lines, table
from streams.errors import OutcomeTimeout
from streams.kafka.messages import LogEvent

SECONDS_TO_ANSWER = 60.0
WIDTH = 78


@dataclass(frozen=True)
class Story:
    """`chain` is in causal order, `letters` the mails to this user as text, `answers` URLs and what they answer.

    `mails` counts all mails; None if they went elsewhere than into the demonstration's file. `without` is what would be otherwise
    if the first event had never been.
    """

    chain: list[LogEvent]
    letters: list[str]
    answers: list[tuple[str, str]]
    mails: int | None
    without: Without | None = None


@dataclass(frozen=True)
class Without:
    """The past without one event: what a server answers to `body`."""

    body: str
    missing: int
    rows: int
    calls: int


def read(chain: list[LogEvent], mails: Path | None, url: str, token: str | None) -> Story:
    """Of the user whom `chain` is about. Raises OutcomeTimeout if the server does not answer."""
    ordered = list(in_causal_order(chain))
    user = ordered[0].event.key if ordered else ""
    letters, count = ([], None) if mails is None else letters_to(f"{user}@example.org", mails)
    paths = (f"folder/{quote(user)}", f"email/{quote(user)}/welcome") if ordered else ()
    asked = [f"{url}/rows/{path}" for path in paths]
    without = what_if(url, ordered[0].event.id, token) if ordered else None
    return Story(ordered, letters, [(each, body_at(each, token)) for each in asked], count, without)


def what_if(url: str, event_id: str, token: str | None) -> Without:
    """What would be otherwise if an event had never been."""
    body = json.dumps({"remove": [event_id]})
    summary = json.loads(body_at(f"{url}/what-if", token, body.encode()).splitlines()[-1])
    return Without(body, summary["missing"], summary["rows"], summary["calls"].get("would not call", 0))


def in_causal_order(chain: list[LogEvent]) -> Iterator[LogEvent]:
    """Each event before what followed from it, and that before the next event; between namespaces there is no other order."""
    following: dict[str | None, list[LogEvent]] = {}
    for event in sorted(chain, key=lambda event: (event.event.time, event.namespace, event.recorded)):
        following.setdefault(event.event.cause, []).append(event)

    def walk(cause: str | None) -> Iterator[LogEvent]:
        for event in following.get(cause, []):
            yield event
            yield from walk(event.event.id)

    return walk(None)


def letters_to(address: str, path: Path) -> tuple[list[str], int]:
    """The mails to an address as text, and the number of all mails."""
    with closing(mailbox.mbox(path, create=False)) as box:
        mentioning = [key for key in box.keys() if address.encode() in box.get_bytes(key)]  # noqa: SIM118 - a mailbox iterates over its mails
        mails = [mail for mail in map(box.get_message, mentioning) if mail["To"] == address]
        letters = [
            f"To: {mail['To']}\nSubject: {mail['Subject']}\n\n{str(mail.get_payload()).rstrip()}" for mail in mails
        ]
        return letters, len(box)


def body_at(url: str, token: str | None, posted: bytes | None = None) -> str:
    """The body as the server gives it, once it has read so far; JSON may be posted."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if posted is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, posted, headers)  # noqa: S310 - the server that we started
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                return str(answer.read(), "utf-8")
        except (urllib.error.URLError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise OutcomeTimeout(f"{url} gave no row: {error}") from error
        time.sleep(0.1)


def show(story: Story) -> None:
    if not story.chain:
        return
    depths: dict[str | None, int] = {None: -1}
    rows = []
    for event in story.chain:
        depth = depths[event.event.id] = depths[event.event.cause] + 1
        rows.append(
            (
                f"{event.namespace}-{event.partition}:{event.sequence}",
                f"{'   ' * (depth - 1)}{' → ' if depth else ''}{event.event.data.event_type}",
                event.event.key,
                event.outcome,
                event.event.time.strftime("%Y-%m-%d %H:%M:%S"),
            )
        )
    title = f"User {story.chain[0].event.key}: what happened, and what followed from it"
    table(("in the log", "event", "key", "outcome", "time (UTC)"), rows, title=title)
    if story.letters:
        say_lines(f"What was mailed ({story.mails:,} mails in all)\n")
        for letter in story.letters:
            say_lines("\n".join(f"  │ {line}" for line in letter.splitlines()) + "\n")
    say_lines("What the server answers\n")
    for url, body in story.answers:
        say_lines(f"  GET {url}")
        say_lines("\n".join(f"      {line}" for line in wrapped(body)) + "\n")
    if (without := story.without) is not None:
        say_lines(f"What if user {story.chain[0].event.key} had never signed up?\n")
        say_lines(f"  POST {story.answers[0][0].partition('/rows')[0]}/what-if")
        say_lines(f"      {without.body}")
        mails = f"{plural(without.calls, 'mail')} would not have been sent"
        say_lines(f"      {plural(without.missing, 'event')} and {plural(without.rows, 'row')} less; {mails}\n")


def wrapped(text: str) -> Iterator[str]:
    """Broken after commas, to fit the screen; nothing is added or removed."""
    line = ""
    for part in re.findall("[^,]+,?|,", text):
        if line and len(line) + len(part) > WIDTH - 6:
            yield line
            line = part
        else:
            line += part
    yield line
