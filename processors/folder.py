"""Folders: each belongs to a user, is created by the sign-up and removed with the account."""

from __future__ import annotations

from msgspec.structs import replace

from processors.events import FolderCreate, FolderRemove, FolderRename, FolderRow
from streams import Event, Namespace, Outcome, Rejected, required

folder = Namespace("folder", row=FolderRow)


@folder.handles(FolderCreate)
def create(row: FolderRow | None, event: Event[FolderCreate]) -> Outcome[FolderRow]:
    """A new folder is named after its key."""
    if row is not None:
        raise Rejected("this folder exists already")
    return Outcome(FolderRow(owner=event.data.owner, name=event.data.folder))


@folder.handles(FolderRename)
def rename(row: FolderRow | None, event: Event[FolderRename]) -> Outcome[FolderRow]:
    """The key stays: only the displayed name changes."""
    return Outcome(replace(required(row, "there is no such folder"), name=event.data.name))


@folder.handles(FolderRemove)
def remove(row: FolderRow | None, event: Event[FolderRemove]) -> Outcome[FolderRow]:  # noqa: ARG001 - every handler has one shape
    """The row is removed; the event log keeps what happened."""
    required(row, "there is no such folder")
    return Outcome(None)
