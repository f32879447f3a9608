"""The main job on real input: 8,000 sign-ups, or as many as SIGN_UPS says (there are 24,259), each with a mail and a folder.

Once in peace; and once with a bug that is deployed and mended, a worker that is killed in the middle, and everything
published a second time.
"""

from __future__ import annotations

import csv
import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Message

from processors import app
from processors.events import EmailRow, FolderRow, UserRow
from processors.publish import from_row
from streams.cli.process import exit_codes
from streams.engine.engine import Engine
from streams.engine.envelope import log_header
from streams.engine.fold import fold
from streams.engine.identity import answer_id, emitted_id
from streams.kafka.bounded_read import headers_of
from tests.applications.buggy import BROKEN, FIRST
from tests.support.processes import answer, retold
from tests.support.site import SPACES, Site
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

FILE = Path(__file__).parents[1] / "data" / "signups.tsv"
COUNT = int(os.environ.get("SIGN_UPS", "8000"))
LONG = 4.0
"""s between two looks at a job of a minute: each takes CPU of the job."""


def beginning(count: int, folder: Path) -> Path:
    """A file with the first sign-ups."""
    file = folder / f"{count}.tsv"
    with FILE.open(encoding="utf-8") as lines:
        file.write_text("".join(itertools.islice(lines, count + 1)), encoding="utf-8")
    return file


def publish(file: Path) -> tuple[str, ...]:
    return ("publish", "user.signup", "--from", str(file), "--with", "processors.publish:from_row")


class SignUps(Site):
    def answered(self) -> bool:
        """Every sign-up has its folder, its mail and the answer that it was sent."""
        return self.accepted() == {"user": COUNT, "folder": COUNT, "email": 2 * COUNT}


@dataclass
class Troubled:
    """What became of the second installation, and what it held before everything was published once more."""

    site: SignUps
    logs: dict[str, list[Message]]
    rows: dict[str, dict[str, bytes]]
    logs_before: dict[str, list[tuple[bytes | None, int | None]]]
    rows_before: dict[str, dict[str, bytes]]
    parked: int
    retried: int


@pytest.fixture(scope="module")
def peaceful(broker: str, tmp_path_factory: pytest.TempPathFactory) -> SignUps:
    """One worker, and nothing goes wrong."""
    state = tmp_path_factory.mktemp("peaceful")
    site = SignUps.make(broker, state, f"peace{state.name[-1]}.", DEMO_REMINDERS="off")
    with site.start("worker"):
        site.wait_until_owned()
        done = retold(*publish(beginning(COUNT, state)), env=site.env)
        assert done.returncode == 0, done.stderr
        until(site.answered, "not all was handled", seconds=400, pause=LONG)
    return site


@pytest.fixture(scope="module")
def troubled(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    """Two workers with a bug; mended; one of two killed in the middle; published once more. A worker stays."""
    state = tmp_path_factory.mktemp("troubled")
    site = SignUps.make(broker, state, f"trouble{state.name[-1]}.", DEMO_REMINDERS="off")
    few, all_of_them = beginning(FIRST, state), beginning(COUNT, state)
    parked = deploy_the_bug(site, few, all_of_them)
    with site.start("worker"):
        victim = site.start("worker")
        until(lambda: 2_000 < site.handled(), "nothing is handled", seconds=400, pause=0.02)  # all of it takes 3 s
        victim.process.send_signal(signal.SIGKILL)
        assert victim.ended(60) == -signal.SIGKILL
        assert site.handled() < 3 * COUNT, "it was over before the worker was killed: nothing was shown"
        with site.start("worker"):
            retried = retry_what_is_parked(site)
            until(site.answered, "not all was handled", seconds=400, pause=LONG)
            logs_before, rows_before = places(site.logs()), site.rows()
            again = retold(*publish(all_of_them), env=site.env)
            assert again.returncode == 0, again.stderr
            expected = FIRST + COUNT
            until(lambda: site.now()["user"].counters.duplicates >= expected, "no duplicates", seconds=400, pause=LONG)
            yield Troubled(site, site.logs(), site.rows(), logs_before, rows_before, parked, retried)


def deploy_the_bug(site: SignUps, few: Path, all_of_them: Path) -> int:
    """A few of its events are parked; many stop the namespace. Gives how many are parked at the end."""
    with site.start_alone("tests.applications.buggy:app", "worker"):
        site.wait_until_owned()
        assert retold(*publish(few), env=site.env).returncode == 0
        until(lambda: site.now()["user"].lag == 0, "the first sign-ups were not handled")
        assert site.now()["user"].parked == len(BROKEN & set(users()[:FIRST])) == 15
        assert retold(*publish(all_of_them), env=site.env).returncode == 0
        until(lambda: "the namespace user stops" in site.said(), "nobody noticed the bug")
        assert "a bug that somebody deployed" in site.said()
    return site.now()["user"].parked


def retry_what_is_parked(site: SignUps) -> int:
    """The commands are sent; whether they are obeyed while somebody looks depends on who owns the partitions by then."""
    parked = site.now()["user"].parked
    done = retold("parked", "retry", "--all", "user", env=site.env)
    assert done.returncode in (exit_codes.OK, exit_codes.TIMEOUT), done.stderr
    until(lambda: site.now()["user"].parked == 0, "what was parked is not tried again")
    return parked


def users() -> list[str]:
    return list(signups())


def signups() -> dict[str, dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in itertools.islice(csv.DictReader(file, delimiter="\t"), COUNT)}


def places(logs: dict[str, list[Message]]) -> dict[str, list[tuple[bytes | None, int | None]]]:
    return {name: [(message.key(), message.partition()) for message in found] for name, found in logs.items()}


def key_of(message: Message) -> str:
    return (message.key() or b"").decode().rpartition("@")[0]


def header(message: Message, name: str) -> str:
    return dict(headers_of(message))[name].decode()


def types_of(messages: list[Message]) -> Counter[tuple[str, str]]:
    """Log records by event and outcome."""
    return Counter((header(m, "ce_type"), log_header(headers_of(m)).outcome) for m in messages)


def test_in_peace_each_sign_up_is_mailed_once(peaceful: SignUps) -> None:
    """Each of the four events is accepted for every sign-up, nothing else happened, and each address is in the mail file once."""
    found = sum((types_of(messages) for messages in peaceful.logs().values()), Counter[tuple[str, str]]())
    expected = ("user.signup", "email.send", "email.sent", "folder.create")
    assert found == {(name, "accepted"): COUNT for name in expected}
    assert peaceful.mails() == dict.fromkeys((f"{user}@example.org" for user in users()), 1)


def test_a_bug_stops_the_namespace_and_leaves_what_it_parked(troubled: Troubled) -> None:
    """Fifteen at first; twenty at most in a minute; a retry of all of them finds as many."""
    assert 15 <= troubled.parked <= 20
    assert troubled.retried == troubled.parked
    assert [space.parked for space in troubled.site.now().values()] == [0, 0, 0]


def test_a_mended_bug_and_a_killed_worker_leave_the_same_tables(peaceful: SignUps, troubled: Troubled) -> None:
    """Byte for byte, but for when a mail was answered and by which receipt."""
    calm = peaceful.rows()
    assert troubled.rows["user"] == calm["user"]
    assert troubled.rows["folder"] == calm["folder"]
    decoded = [
        {key: (row.to, row.status) for key, row in emails(site, rows).items()}
        for site, rows in ((peaceful, calm), (troubled.site, troubled.rows))
    ]
    assert decoded[0] == decoded[1]


def emails(site: SignUps, rows: dict[str, dict[str, bytes]]) -> dict[str, EmailRow]:
    found = {key: site.foreign.codec.decode_row(EmailRow, value) for key, value in rows["email"].items()}
    return {key: row for key, row in found.items() if isinstance(row, EmailRow)}


def test_after_a_kill_each_mail_went_out_at_least_once_and_each_answer_is_accepted_once(troubled: Troubled) -> None:
    """Calls in flight when a worker dies are made again; a second answer would be rejected."""
    mails = troubled.site.mails()
    assert mails.keys() == {f"{user}@example.org" for user in users()}
    found = types_of(troubled.logs["email"])
    assert (found["email.send", "accepted"], found["email.sent", "accepted"]) == (COUNT, COUNT)
    assert set(found) <= {("email.send", "accepted"), ("email.sent", "accepted"), ("email.sent", "rejected")}


def test_every_row_equals_the_file(troubled: Troubled) -> None:
    """Field by field, for all of them; every user has a folder and a mail."""
    file, codec = signups(), troubled.site.foreign.codec
    assert len(file) == COUNT
    assert troubled.rows["user"].keys() == file.keys()
    for key, value in troubled.rows["user"].items():
        new, created = from_row(file[key])
        row = codec.decode_row(UserRow, value)
        assert isinstance(row, UserRow)
        counts = (new.email, new.reputation, new.views, new.up_votes, new.down_votes, new.last_seen, created)
        assert (
            row.email, row.reputation, row.views, row.up_votes, row.down_votes, row.last_seen, row.since
        ) == counts  # fmt: skip
    folders = {key: codec.decode_row(FolderRow, value) for key, value in troubled.rows["folder"].items()}
    assert {key: row.owner for key, row in folders.items() if isinstance(row, FolderRow)} == {key: key for key in file}
    assert emails(troubled.site, troubled.rows).keys() == {f"{key}/welcome" for key in file}


def test_every_event_is_in_its_log_exactly_once_and_in_order(troubled: Troubled) -> None:
    """Ids unique among the accepted, causes right, sequences dense per partition, nothing set aside at the end."""
    causes = {key_of(m): header(m, "ce_id") for m in troubled.logs["user"]}
    for name, messages in troubled.logs.items():
        accepted = [m for m in messages if log_header(headers_of(m)).outcome == "accepted"]
        assert len({header(m, "ce_id") for m in accepted}) == len(accepted)
        by_partition: dict[int | None, list[int]] = {}
        for m in messages:
            by_partition.setdefault(m.partition(), []).append(log_header(headers_of(m)).sequence)
        assert len(by_partition) == 4
        assert all(found == list(range(1, len(found) + 1)) for found in by_partition.values())
        last = {m.key(): m.value() for m in troubled.site.foreign.read(f"{name}-parked")}
        assert set(last.values()) <= {None}
    for m in troubled.logs["folder"]:
        cause = causes[key_of(m)]
        assert header(m, "ce_causationid") == cause
        assert header(m, "ce_id") == emitted_id(cause, "folder.create", key_of(m), 0)
    sends = {key_of(m): header(m, "ce_id") for m in troubled.logs["email"] if header(m, "ce_type") == "email.send"}
    for m in troubled.logs["email"]:
        if header(m, "ce_type") == "email.sent":
            assert header(m, "ce_id") == answer_id(sends[key_of(m)])


def test_publishing_the_file_again_changes_nothing(troubled: Troubled) -> None:
    """All are counted as duplicates; logs and rows stay as they were."""
    assert troubled.site.now()["user"].counters.duplicates == FIRST + COUNT
    assert places(troubled.logs) == troubled.logs_before
    assert troubled.rows == troubled.rows_before


@pytest.mark.parametrize("namespace", SPACES)
def test_a_fold_of_the_log_gives_the_live_table_byte_for_byte(troubled: Troubled, namespace: str) -> None:
    """From scratch, by the same engine (law 4)."""
    engine = Engine(app(), namespace, troubled.site.foreign.codec)
    folded = {}
    for partition in range(4):
        records = [(m.value() or b"", headers_of(m)) for m in troubled.logs[namespace] if m.partition() == partition]
        rows = fold(engine, engine.image(partition), records).rows
        folded |= {key: engine.codec.encode_row(row) for key, (row, _) in rows.items() if row is not None}
    assert folded == troubled.rows[namespace]


def test_every_offset_of_the_inbox_is_accounted_for(troubled: Troubled) -> None:
    """Law 3: what was published is in the log, a counted duplicate, or a command of an operator."""
    for name, space in troubled.site.now().items():
        published, count = len(troubled.site.foreign.read(name)), space.counters
        logged = count.accepted + count.rejected
        assert logged == len(troubled.logs[name])
        assert published == logged - count.fired + count.duplicates + count.control
        assert (count.quarantined, count.moved, space.quarantined) == (0, 0, 0)


def test_what_an_operator_asks_for_is_there(troubled: Troubled) -> None:
    """`retold get` and `retold status` say the same."""
    assert "2@example.org" in str(answer("get", "user", "2", env=troubled.site.env))
    assert str(COUNT) in str(answer("status", env=troubled.site.env))


def test_the_table_is_paged_through_over_http(troubled: Troubled) -> None:
    """Every user once, in the order of the keys, a thousand at a time."""
    site = troubled.site
    with site.start("server"):
        until(lambda: "Listening at http" in site.said(), "the server does not listen")
        url = site.said().rpartition("Listening at ")[2].split()[0].rstrip(";.")
        with httpx.Client(base_url=url, timeout=30) as client:
            until(lambda: client.get("/-/ready").status_code == 200, "the server is not ready")
            found = list(pages(client))
            mail = client.get("/rows/email/2/welcome").json()
    assert found == sorted(found)
    assert set(found) == set(users())
    assert (mail["row"]["status"], mail["row"]["to"]) == ("sent", "2@example.org")


def pages(client: httpx.Client) -> Iterator[str]:
    following: str | None = ""
    while following is not None:
        asked = {"_limit": "1000"} | ({"_next": following} if following else {})
        page = client.get("/rows/user", params=asked).raise_for_status().json()
        yield from (row["key"] for row in page["rows"])
        following = page.get("next")
