"""The demonstration's handlers as plain functions: a row and an event in, an outcome out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from processors import app
from processors.events import (
    FolderCreate,
    FolderRemove,
    FolderRename,
    FolderRow,
    UserClose,
    UserRename,
    UserRow,
    UserSignup,
)
from processors.folder import create, remove
from processors.folder import rename as rename_folder
from processors.user import close, rename, signup
from streams import Event, Outcome, Rejected
from streams.codec import AvroCodec
from streams.data import EventData

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


def test_a_signup_makes_the_row_and_a_folder() -> None:
    """The row holds all that the sign-up said and when it happened; a folder of the same key follows."""
    assert Outcome(USER, emit=[FolderCreate(folder="2", owner="2")]) == signup(None, Event(SIGNUP, "e1", THEN))


def test_a_second_signup_is_rejected() -> None:
    """A user who is there cannot sign up again, and the row stays as it is."""
    with pytest.raises(Rejected, match="this user has already signed up"):
        signup(USER, Event(SIGNUP, "e1", THEN))


def test_a_rename_changes_the_name_only() -> None:
    """Key, address and the rest stay."""
    outcome = rename(USER, Event(UserRename(user="2", name="Ada"), "e2", THEN))
    assert outcome.row is not None
    assert (outcome.row.name, outcome.row.user, outcome.row.email) == ("Ada", "2", "2@example.org")
    assert outcome.emit == ()


def test_a_closed_account_takes_its_folder_along() -> None:
    """The row goes, and the folder of the same key is told to go."""
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
    with pytest.raises(Rejected, match="there is such a folder already"):
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
        "folder.create",
        "folder.remove",
        "folder.rename",
        "user.close",
        "user.rename",
        "user.signup",
    ]
    codec = AvroCodec(demo.event_types().values(), [namespace.row_type for namespace in demo.namespaces])
    assert codec.decode_row(UserRow, codec.encode_row(USER)) == USER
    events: list[EventData] = [SIGNUP, UserClose(user="2"), FolderCreate(folder="2", owner="2")]
    assert [codec.decode(codec.encode(event)) for event in events] == events


def test_what_follows_from_what_is_declared() -> None:
    """A sign-up leads to a folder, and closing an account to its removal; nothing else leads on."""
    assert {name: follows for name, follows in app().flow().items() if follows} == {
        "user.signup": ("folder.create",),
        "user.close": ("folder.remove",),
    }
