"""Workers that are killed again and again, with timers that come due and a mail server that fails."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta

import pytest

from processors.events import UserSignup
from processors.user import REMIND_AFTER
from streams.engine.engine import Engine
from streams.engine.envelope import log_header
from streams.engine.fold import fold
from streams.engine.identity import answer_id
from streams.kafka.bounded_read import headers_of
from streams.kafka.offsets import ends, stable_ends
from streams.kafka.topics import topic_names
from tests.support.processes import Process, retold
from tests.support.site import PARTITIONS, SPACES, Site
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ERRATIC = "tests.applications.erratic:app"
USERS, DEATHS, SECONDS = 400, 10, 25
"""Users sign up over so many seconds, in which a worker dies so often; each user's reminder is due in the same time."""


@pytest.fixture(scope="module")
def site(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """After all of it, when nothing is left to do."""
    state = tmp_path_factory.mktemp("killed")
    site = Site.make(broker, state, f"chaos{state.name[-1]}.", RETOLD_GATEWAY_TRIES="3")
    chance = random.Random(7)
    began = datetime.now(UTC)
    deaths = sorted(chance.uniform(2, SECONDS) for _ in range(DEATHS))
    with ExitStack() as stack:
        workers = [stack.enter_context(site.start_alone(ERRATIC, "worker")) for _ in range(2)]
        site.wait_until_owned()
        start = time.monotonic()
        for number in range(USERS):
            while deaths and time.monotonic() - start > deaths[0]:
                deaths.pop(0)
                kill_one(stack, site, workers, chance)
            due = began + timedelta(seconds=chance.uniform(0, SECONDS))
            sign_up(site, str(number), due - REMIND_AFTER)
            time.sleep(max(0.0, SECONDS * (number + 1) / USERS - (time.monotonic() - start)))
        until(lambda: retried(site), "not all came to an end", seconds=240)
        yield site


def kill_one(stack: ExitStack, site: Site, workers: list[Process], chance: random.Random) -> None:
    victim = workers.pop(chance.randrange(len(workers)))
    victim.process.send_signal(signal.SIGKILL)
    victim.ended(60)
    workers.append(stack.enter_context(site.start_alone(ERRATIC, "worker")))


def sign_up(site: Site, user: str, at: datetime) -> None:
    """With an id, so that it could be said twice; the reminder is due thirty days after `at`."""
    data = UserSignup(user=user, email=f"{user}@example.org")
    said = {"ce_id": f"signup-{user}", "ce_source": "chaos", "ce_type": data.event_type, "ce_time": at.isoformat()}
    site.foreign.publish(data, **said)


def retried(site: Site) -> bool:
    """Whether all mails are answered for; if some were given up, an operator says retry."""
    now = site.now()
    if now["email"].parked:
        with suppress(AssertionError):
            retold("parked", "retry", "--all", "email", env=site.env)
    return site.accepted() == {"user": 2 * USERS, "folder": USERS, "email": 4 * USERS}


def test_each_event_that_followed_is_accepted_once(site: Site) -> None:
    """Two mails a user, each with one answer that belongs to it; the folder once, the reminder once."""
    found: Counter[tuple[str, str]] = Counter()
    ids = dict[str, set[str]]()
    for messages in site.logs().values():
        for message in messages:
            header, said = log_header(headers_of(message)), dict(headers_of(message))
            found[said["ce_type"].decode(), header.outcome] += 1
            if header.outcome == "accepted":
                ids.setdefault(said["ce_type"].decode(), set()).add(said["ce_id"].decode())
    accepted = {name: count for (name, outcome), count in found.items() if outcome == "accepted"}
    assert accepted == {
        "user.signup": USERS, "user.remind": USERS, "folder.create": USERS,
        "email.send": 2 * USERS, "email.sent": 2 * USERS,
    }  # fmt: skip
    assert {name: len(each) for name, each in ids.items()} == accepted
    assert ids["email.sent"] == {answer_id(request) for request in ids["email.send"]}
    assert {key for key in found if key[1] != "accepted"} <= {("email.sent", "rejected")}


def test_every_mail_went_out_at_least_once(site: Site) -> None:
    """And the row of each says that it was sent."""
    mails = site.mails()
    assert mails.keys() == {f"{number}@example.org" for number in range(USERS)}
    assert min(mails.values()) >= 2
    rows = site.foreign.rows("email")
    assert rows.keys() == {f"{number}/{template}" for number in range(USERS) for template in ("welcome", "reminder")}


def test_nothing_is_left_and_nothing_is_missing(site: Site) -> None:
    """Law 3: every record of an inbox is in the log, a counted duplicate, or a command; nothing waits anywhere.

    What else is in the log are timers, which were handled in place.
    """
    for name, space in site.now().items():
        count = space.counters
        logged = count.accepted + count.rejected
        assert logged == len(site.foreign.read(f"{name}-log"))
        assert len(site.foreign.read(name)) == logged - count.fired + count.duplicates + count.control
        assert (space.lag, space.calls, space.timers, space.parked, space.quarantined) == (0, 0, 0, 0, 0)


def test_the_tables_are_what_a_fold_of_the_logs_gives(site: Site) -> None:
    """Byte for byte, with sequences that are dense in each partition."""
    rows = site.rows()
    for name, messages in site.logs().items():
        engine, folded = Engine(site.foreign.app, name, site.foreign.codec), dict[str, bytes]()
        for partition in range(PARTITIONS):
            here = [m for m in messages if m.partition() == partition]
            assert [log_header(headers_of(m)).sequence for m in here] == list(range(1, len(here) + 1))
            image = fold(engine, engine.image(partition), [(m.value() or b"", headers_of(m)) for m in here])
            folded |= {key: engine.codec.encode_row(row) for key, (row, _) in image.rows.items() if row is not None}
        assert folded == rows[name]


def test_no_transaction_is_left_open(site: Site) -> None:
    """What a reader of committed records can reach is the end, in every topic."""
    admin, prefix = site.foreign.clients.admin(), site.foreign.config.prefix
    topics = [topic for name in SPACES for topic in topic_names(prefix, name)[1:]]
    partitions = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
    assert stable_ends(admin, partitions) == ends(admin, partitions)
