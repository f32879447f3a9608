"""Users: they sign up, choose a name, are reminded if nothing is heard of them, and close their account."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

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


def users(*, reminders: bool) -> Namespace[UserRow]:
    """The namespace. Made by a function because a setting of the application decides on the reminders."""
    user = Namespace("user", row=UserRow)

    @user.handles(UserSignup, emits=[EmailSend, FolderCreate, UserRemind])
    def signup(row: UserRow | None, event: Event[UserSignup]) -> Outcome[UserRow]:
        """A new user gets a mail and a folder at once, and perhaps a reminder in thirty days."""
        if row is not None:
            raise Rejected("this user has already signed up")
        new = event.data
        welcome = EmailSend(email=f"{new.user}/welcome", to=new.email, template="welcome", name=new.user)
        folder = FolderCreate(folder=new.user, owner=new.user)
        reminder = Scheduled(UserRemind(user=new.user), at=event.time + REMIND_AFTER)
        return Outcome(
            UserRow(
                user=new.user,
                email=new.email,
                name=new.user,
                plan=new.plan,
                since=event.time,
                created=new.created,
                last_seen=new.last_seen,
                reputation=new.reputation,
                views=new.views,
                up_votes=new.up_votes,
                down_votes=new.down_votes,
            ),
            emit=[welcome, folder, reminder] if reminders else [welcome, folder],
        )

    @user.handles(UserRemind, emits=[EmailSend])
    def remind(row: UserRow | None, event: Event[UserRemind]) -> Outcome[UserRow]:
        """Nothing is ever cancelled: the reminder of a user who was heard of, left or came back finds nothing to do."""
        if not reminders or row is None or row.heard is not None or row.since + REMIND_AFTER > event.time:
            return Outcome(row)
        mail = EmailSend(email=f"{event.key}/reminder", to=row.email, template="reminder", name=row.name)
        return Outcome(row, emit=[mail])

    @user.handles(UserRename)
    def rename(row: UserRow | None, event: Event[UserRename]) -> Outcome[UserRow]:
        """The key stays: only what other people see is another name."""
        row = required(row, "there is no such user")
        return Outcome(replace(row, name=event.data.name, heard=event.time))

    @user.handles(UserClose, emits=[FolderRemove])
    def close(row: UserRow | None, event: Event[UserClose]) -> Outcome[UserRow]:
        """The user goes and the folder with it; the event log keeps what happened."""
        required(row, "there is no such user")
        return Outcome(None, emit=[FolderRemove(folder=event.key)])

    return user
