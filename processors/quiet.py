"""The users without reminders, for `DEMO_REMINDERS=off`: the same handlers, and no timer."""

from __future__ import annotations

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
from processors.user import close, rename, signup
from streams import Event, Namespace, Outcome, Scheduled

user = Namespace("user", row=UserRow)
user.handles(UserRename)(rename)
user.handles(UserClose, emits=[FolderRemove])(close)


@user.handles(UserSignup, emits=[EmailSend, FolderCreate, UserRemind])
def signup_without_reminder(row: UserRow | None, event: Event[UserSignup]) -> Outcome[UserRow]:
    """What `signup` decides, without what it schedules."""
    outcome = signup(row, event)
    return replace(outcome, emit=[each for each in outcome.emit if not isinstance(each, Scheduled)])


@user.handles(UserRemind)
def ignore(row: UserRow | None, event: Event[UserRemind]) -> Outcome[UserRow]:  # noqa: ARG001 - every handler has one shape
    """A timer that was scheduled before the setting was changed finds nothing to do."""
    return Outcome(row)
