"""Users: they sign up, choose a name, and close their account."""

from __future__ import annotations

from msgspec.structs import replace

from processors.events import FolderCreate, FolderRemove, UserClose, UserRename, UserRow, UserSignup
from streams import Event, Namespace, Outcome, Rejected, required

user = Namespace("user", row=UserRow)


@user.handles(UserSignup, emits=[FolderCreate])
def signup(row: UserRow | None, event: Event[UserSignup]) -> Outcome[UserRow]:
    """A new user has a folder from the start, under the user's own key."""
    if row is not None:
        raise Rejected("this user has already signed up")
    new = event.data
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
        emit=[FolderCreate(folder=new.user, owner=new.user)],
    )


@user.handles(UserRename)
def rename(row: UserRow | None, event: Event[UserRename]) -> Outcome[UserRow]:
    """The key stays: only what other people see is another name."""
    return Outcome(replace(required(row, "there is no such user"), name=event.data.name))


@user.handles(UserClose, emits=[FolderRemove])
def close(row: UserRow | None, event: Event[UserClose]) -> Outcome[UserRow]:
    """The user goes and the folder with it; the event log keeps what happened."""
    required(row, "there is no such user")
    return Outcome(None, emit=[FolderRemove(folder=event.key)])
