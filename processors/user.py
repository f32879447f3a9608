"""Users: they sign up, change their name, are reminded if nothing is heard of them, and close their account."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import asdict, replace

from processors.events import (
    EmailSend,
    FolderCreate,
    FolderRemove,
    UserClose,
    UserRemind,
    UserRename,
    UserRow,
    UserSignup,
)
from streams import Event, Namespace, Outcome, Rejected, Scheduled, required

REMIND_AFTER = timedelta(days=30)

user = Namespace("user", row=UserRow)


@user.handles(UserSignup, emits=[EmailSend, FolderCreate, UserRemind])
def signup(row: UserRow | None, event: Event[UserSignup]) -> Outcome[UserRow]:
    """A new user gets a mail and a folder now, and a reminder in thirty days."""
    if row is not None:
        raise Rejected("this user has already signed up")
    new = event.data
    welcome = EmailSend(email=f"{new.user}/welcome", to=new.email, template="welcome", name=new.user)
    folder = FolderCreate(folder=new.user, owner=new.user)
    reminder = Scheduled(UserRemind(user=new.user), at=event.time + REMIND_AFTER)
    new_row = UserRow(**asdict(new), name=new.user, since=event.time)
    return Outcome(new_row, emit=[welcome, folder, reminder])


@user.handles(UserRemind, emits=[EmailSend])
def remind(row: UserRow | None, event: Event[UserRemind]) -> Outcome[UserRow]:
    """A timer is never cancelled: for a user who was heard of, left or came back it finds nothing to do."""
    if row is None or row.heard is not None or row.since + REMIND_AFTER > event.time:
        return Outcome(row)
    mail = EmailSend(email=f"{event.key}/reminder", to=row.email, template="reminder", name=row.name)
    return Outcome(row, emit=[mail])


@user.handles(UserRename)
def rename(row: UserRow | None, event: Event[UserRename]) -> Outcome[UserRow]:
    """The key stays: only the name that other people see changes."""
    row = required(row, "there is no such user")
    return Outcome(replace(row, name=event.data.name, heard=event.time))


@user.handles(UserClose, emits=[FolderRemove])
def close(row: UserRow | None, event: Event[UserClose]) -> Outcome[UserRow]:
    """The row and the folder are removed; the event log keeps what happened."""
    required(row, "there is no such user")
    return Outcome(None, emit=[FolderRemove(folder=event.key)])
