"""The demonstration's handlers as plain functions: a row and an event in, an outcome out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from processors import app
from processors.email import email
from processors.events import (
    EmailBounced,
    EmailRow,
    EmailSend,
    EmailSent,
    FolderCreate,
    FolderRemove,
    FolderRename,
    FolderRow,
    UserClose,
    UserRemind,
    UserRename,
    UserRow,
    UserSignup,
)
from processors.folder import create, folder, remove
from processors.folder import rename as rename_folder
from processors.settings import Settings
from processors.user import REMIND_AFTER, close, rename, signup
from streams import Event, Outcome, Rejected, Scheduled
from streams.codec import AvroCodec
from streams.data import EventData
from streams.testing import World, given

THEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
CREATED = datetime(2011, 1, 11, 19, 50, 40, 620000, tzinfo=UTC)
SIGNUP = UserSignup(
    user="2",
    email="2@example.org",
    plan="pro",
    created=CREATED,
    last_seen=CREATED,
    reputation=101,
    views=13,
    up_votes=1,
    down_votes=2,
)
USER = UserRow(
    user="2",
    email="2@example.org",
    name="2",
    plan="pro",
    since=THEN,
    created=CREATED,
    last_seen=CREATED,
    reputation=101,
    views=13,
    up_votes=1,
    down_votes=2,
)
FOLDER = FolderRow(owner="2", name="2")


WELCOME = EmailSend(email="2/welcome", to="2@example.org", template="welcome", name="2")
REMINDER = EmailSend(email="2/reminder", to="2@example.org", template="reminder", name="2")


@dataclass
class Letters:
    """A mailer that keeps what it was given; a mail to nobody bounces."""

    sent: list[EmailSend] = field(default_factory=list)

    async def send(self, event: Event[EmailSend]) -> EmailSent | EmailBounced:
        if event.data.to.startswith("nobody@"):
            return EmailBounced(email=event.key, to=event.data.to, reason="550 no such user")
        self.sent.append(event.data)
        return EmailSent(email=event.key, to=event.data.to, receipt=f"<{event.id}@here>")


def test_a_signup_makes_the_row_a_mail_a_folder_and_a_timer() -> None:
    """The row holds all that the sign-up said and when it happened; what follows has the same key or begins with it."""
    reminder = Scheduled(UserRemind(user="2"), at=THEN + timedelta(days=30))
    emitted = [WELCOME, FolderCreate(folder="2", owner="2"), reminder]
    assert Outcome(USER, emit=emitted) == signup(None, Event(SIGNUP, "e1", THEN))


def test_a_signup_is_told_by_mail_and_the_answer_is_a_row() -> None:
    """Event, handler, what it emitted, the mail, the folder: the story of the demonstration."""
    letters = Letters()
    world = given(app(Settings(letters, reminders=True)), SIGNUP)
    assert letters.sent == [WELCOME]
    assert world.table(folder).get("2") == FOLDER
    row = world.table(email).get("2/welcome")
    assert row is not None
    assert (row.status, row.to) == ("sent", "2@example.org")
    assert row.receipt is not None


def test_a_mail_that_bounces_is_an_answer() -> None:
    """With the server's words, and nobody asks again."""
    world = given(app(Settings(Letters(), reminders=True)), UserSignup(user="u", email="nobody@example.org"))
    row = world.table(email).get("u/welcome")
    assert row == EmailRow(to="nobody@example.org", status="bounced", at=world.now, reason="550 no such user")
    assert world.calls_failed == []


def reminded(world: World, letters: Letters) -> list[EmailSend]:
    """What is sent from now on, after two months."""
    before = len(letters.sent)
    world.advance(timedelta(days=60))
    return letters.sent[before:]


def test_a_user_who_is_silent_for_thirty_days_is_reminded_once() -> None:
    """Not before, and not again."""
    letters = Letters()
    world = given(app(Settings(letters, reminders=True)), SIGNUP)
    world.advance(REMIND_AFTER - timedelta(seconds=1))
    assert letters.sent == [WELCOME]
    world.advance(timedelta(seconds=1))
    assert letters.sent == [WELCOME, REMINDER]
    assert reminded(world, letters) == []


@pytest.mark.parametrize("event", [UserRename(user="2", name="Ada"), UserClose(user="2")])
def test_a_user_who_was_heard_of_is_not_reminded(event: EventData) -> None:
    """The timer still comes, is accepted, and finds nothing to do."""
    letters = Letters()
    world = given(app(Settings(letters, reminders=True)), SIGNUP, event)
    assert reminded(world, letters) == []
    assert sum(isinstance(entry.event.data, UserRemind) for entry in world.log("user")) == 1


def test_a_user_who_came_back_waits_for_the_second_timer() -> None:
    """The first sign-up's timer comes too early for the second one."""
    letters = Letters()
    world = given(app(Settings(letters, reminders=True)), SIGNUP, UserClose(user="2"))
    world.advance(timedelta(days=10))
    world.when(SIGNUP)
    world.settle()
    world.advance(timedelta(days=29))
    assert letters.sent == [WELCOME, WELCOME]
    assert reminded(world, letters) == [REMINDER]


def test_the_setting_turns_reminders_off() -> None:
    """No timer is set, and one of before finds nothing to do."""
    letters = Letters()
    world = given(app(Settings(letters, reminders=False)), SIGNUP)
    assert reminded(world, letters) == []
    assert not any(isinstance(entry.event.data, UserRemind) for entry in world.log("user"))
    assert world.when(UserRemind(user="2")).accepted
    assert reminded(world, letters) == []


def test_a_second_signup_is_rejected() -> None:
    """A user who is there cannot sign up again, and the row stays as it is."""
    with pytest.raises(Rejected, match="this user has already signed up"):
        signup(USER, Event(SIGNUP, "e1", THEN))


def test_a_rename_changes_the_name_only() -> None:
    """Key, address and the rest stay."""
    outcome = rename(USER, Event(UserRename(user="2", name="Ada"), "e2", THEN))
    assert outcome.row is not None
    assert outcome.row == replace(USER, name="Ada", heard=THEN)
    assert outcome.emit == ()


def test_a_closed_account_takes_its_folder_along() -> None:
    """The row is deleted, and an event deletes the folder of the same key."""
    assert Outcome(None, emit=[FolderRemove(folder="2")]) == close(USER, Event(UserClose(user="2"), "e2", THEN))


def test_nothing_happens_to_a_user_who_is_not_there() -> None:
    """Renaming and closing are rejected without a row."""
    with pytest.raises(Rejected, match="there is no such user"):
        rename(None, Event(UserRename(user="2", name="Ada"), "e2", THEN))
    with pytest.raises(Rejected, match="there is no such user"):
        close(None, Event(UserClose(user="2"), "e2", THEN))


def test_a_folder_is_created_renamed_and_removed() -> None:
    """A folder begins with its key as its name, takes another one, and goes."""
    assert Outcome(FOLDER) == create(None, Event(FolderCreate(folder="2", owner="2"), "e1", THEN))
    renamed = rename_folder(FOLDER, Event(FolderRename(folder="2", name="Letters"), "e2", THEN))
    assert Outcome(FolderRow(owner="2", name="Letters")) == renamed
    assert Outcome(None) == remove(FOLDER, Event(FolderRemove(folder="2"), "e3", THEN))


def test_a_folder_is_there_once() -> None:
    """Creating what is there, and changing what is not, is rejected."""
    with pytest.raises(Rejected, match="this folder exists already"):
        create(FOLDER, Event(FolderCreate(folder="2", owner="2"), "e1", THEN))
    with pytest.raises(Rejected, match="there is no such folder"):
        rename_folder(None, Event(FolderRename(folder="2", name="n"), "e1", THEN))
    with pytest.raises(Rejected, match="there is no such folder"):
        remove(None, Event(FolderRemove(folder="2"), "e1", THEN))


def test_a_signup_needs_key_and_address_only() -> None:
    """What `retold publish user.signup user=u1 email=…` gives is enough."""
    outcome = signup(None, Event(UserSignup(user="u1", email="u1@example.org"), "e1", THEN))
    assert outcome.row == UserRow(user="u1", email="u1@example.org", name="u1", plan="free", since=THEN)


def test_the_application_handles_every_schema() -> None:
    """Every event of the schemas has its one handler, and every row reads back."""
    demo = app()
    assert sorted(demo.event_types()) == [
        "email.bounced",
        "email.send",
        "email.sent",
        "folder.create",
        "folder.remove",
        "folder.rename",
        "user.close",
        "user.remind",
        "user.rename",
        "user.signup",
    ]
    codec = AvroCodec(demo.event_types().values(), [namespace.row_type for namespace in demo.namespaces])
    assert codec.decode_row(UserRow, codec.encode_row(USER)) == USER
    events: list[EventData] = [SIGNUP, UserClose(user="2"), FolderCreate(folder="2", owner="2")]
    assert [codec.decode(codec.encode(event)) for event in events] == events


def test_what_follows_from_what_is_declared() -> None:
    """A sign-up leads to a mail, a folder and a timer; closing an account to the folder's removal; a timer to a mail."""
    assert {name: follows for name, follows in app().flow().items() if follows} == {
        "email.send": ("email.sent", "email.bounced"),
        "user.signup": ("email.send", "folder.create", "user.remind"),
        "user.remind": ("email.send",),
        "user.close": ("folder.remove",),
    }
