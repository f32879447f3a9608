"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from streams.data import EventData, Record

__all__ = [
    "EmailBounced",
    "EmailRow",
    "EmailSend",
    "EmailSent",
    "FolderCreate",
    "FolderRemove",
    "FolderRename",
    "FolderRow",
    "UserClose",
    "UserRemind",
    "UserRename",
    "UserRow",
    "UserSignup",
]


class EmailRow(Record, frozen=True, kw_only=True):
    """What became of a mail."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"to","type":"string"},{"name":"status","type":{"name":"email.EmailStatus","symbols":["sent","bounced"],"type":"enum"}},{"name":"at","type":{"logicalType":"timestamp-micros","type":"long"}},{"default":null,"name":"receipt","type":["null","string"]},{"default":null,"name":"reason","type":["null","string"]}],"name":"email.row","type":"record"}',
    )

    to: str
    status: Literal["sent", "bounced"]
    at: datetime
    receipt: str | None = None
    reason: str | None = None


class EmailBounced(EventData, frozen=True, kw_only=True):
    """The mail server refused a mail for good."""

    event_type: ClassVar[str] = "email.bounced"
    key_field: ClassVar[str] = "email"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"email","type":"string"},{"name":"to","type":"string"},{"name":"reason","type":"string"}],"key":"email","name":"email.bounced","type":"record"}',
    )

    email: str
    to: str
    reason: str


class EmailSend(EventData, frozen=True, kw_only=True):
    """Send a mail; the gateway answers with email.sent or email.bounced."""

    event_type: ClassVar[str] = "email.send"
    key_field: ClassVar[str] = "email"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"email","type":"string"},{"name":"to","type":"string"},{"name":"template","type":"string"},{"default":"","name":"name","type":"string"}],"key":"email","name":"email.send","type":"record"}',
    )

    email: str
    to: str
    template: str
    name: str = ""


class EmailSent(EventData, frozen=True, kw_only=True):
    """A mail was taken by the mail server, or written to the mail file."""

    event_type: ClassVar[str] = "email.sent"
    key_field: ClassVar[str] = "email"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"email","type":"string"},{"name":"to","type":"string"},{"name":"receipt","type":"string"}],"key":"email","name":"email.sent","type":"record"}',
    )

    email: str
    to: str
    receipt: str


class FolderRow(Record, frozen=True, kw_only=True):
    """A folder and whose it is."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"owner","type":"string"},{"name":"name","type":"string"}],"name":"folder.row","type":"record"}',
    )

    owner: str
    name: str


class FolderCreate(EventData, frozen=True, kw_only=True):
    """Create a folder for a user."""

    event_type: ClassVar[str] = "folder.create"
    key_field: ClassVar[str] = "folder"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"folder","type":"string"},{"name":"owner","type":"string"}],"key":"folder","name":"folder.create","type":"record"}',
    )

    folder: str
    owner: str


class FolderRemove(EventData, frozen=True, kw_only=True):
    """Remove a folder; it follows from its owner's closing the account."""

    event_type: ClassVar[str] = "folder.remove"
    key_field: ClassVar[str] = "folder"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"folder","type":"string"}],"key":"folder","name":"folder.remove","type":"record"}',
    )

    folder: str


class FolderRename(EventData, frozen=True, kw_only=True):
    """Give a folder another name."""

    event_type: ClassVar[str] = "folder.rename"
    key_field: ClassVar[str] = "folder"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"folder","type":"string"},{"name":"name","type":"string"}],"key":"folder","name":"folder.rename","type":"record"}',
    )

    folder: str
    name: str


class UserRow(Record, frozen=True, kw_only=True):
    """A user who has signed up and has not closed the account."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"},{"name":"email","type":"string"},{"name":"name","type":"string"},{"name":"plan","type":"string"},{"name":"since","type":{"logicalType":"timestamp-micros","type":"long"}},{"default":null,"name":"created","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":null,"name":"last_seen","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":0,"name":"reputation","type":"long"},{"default":0,"name":"views","type":"long"},{"default":0,"name":"up_votes","type":"long"},{"default":0,"name":"down_votes","type":"long"}],"name":"user.row","type":"record"}',
        '{"fields":[{"name":"user","type":"string"},{"name":"email","type":"string"},{"name":"name","type":"string"},{"name":"plan","type":"string"},{"name":"since","type":{"logicalType":"timestamp-micros","type":"long"}},{"default":null,"name":"created","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":null,"name":"last_seen","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":0,"name":"reputation","type":"long"},{"default":0,"name":"views","type":"long"},{"default":0,"name":"up_votes","type":"long"},{"default":0,"name":"down_votes","type":"long"},{"default":null,"name":"heard","type":["null",{"logicalType":"timestamp-micros","type":"long"}]}],"name":"user.row","type":"record","version":2}',
    )

    user: str
    email: str
    name: str
    plan: str
    since: datetime
    created: datetime | None = None
    last_seen: datetime | None = None
    reputation: int = 0
    views: int = 0
    up_votes: int = 0
    down_votes: int = 0
    heard: datetime | None = None


class UserClose(EventData, frozen=True, kw_only=True):
    """Close a user's account."""

    event_type: ClassVar[str] = "user.close"
    key_field: ClassVar[str] = "user"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"}],"key":"user","name":"user.close","type":"record"}',
    )

    user: str


class UserRemind(EventData, frozen=True, kw_only=True):
    """Remind a user of whom nothing was heard; scheduled by the sign-up."""

    event_type: ClassVar[str] = "user.remind"
    key_field: ClassVar[str] = "user"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"}],"key":"user","name":"user.remind","type":"record"}',
    )

    user: str


class UserRename(EventData, frozen=True, kw_only=True):
    """Give a user another name."""

    event_type: ClassVar[str] = "user.rename"
    key_field: ClassVar[str] = "user"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"},{"name":"name","type":"string"}],"key":"user","name":"user.rename","type":"record"}',
    )

    user: str
    name: str


class UserSignup(EventData, frozen=True, kw_only=True):
    """Sign a user up. The columns of a public site's users travel along; only key and address are needed."""

    event_type: ClassVar[str] = "user.signup"
    key_field: ClassVar[str] = "user"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"},{"name":"email","type":"string"},{"default":"free","name":"plan","type":"string"},{"default":null,"name":"created","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":null,"name":"last_seen","type":["null",{"logicalType":"timestamp-micros","type":"long"}]},{"default":0,"name":"reputation","type":"long"},{"default":0,"name":"views","type":"long"},{"default":0,"name":"up_votes","type":"long"},{"default":0,"name":"down_votes","type":"long"}],"key":"user","name":"user.signup","type":"record"}',
    )

    user: str
    email: str
    plan: str = "free"
    created: datetime | None = None
    last_seen: datetime | None = None
    reputation: int = 0
    views: int = 0
    up_votes: int = 0
    down_votes: int = 0
