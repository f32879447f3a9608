"""The note of a verification, as it is kept in a file."""

from __future__ import annotations

import msgspec

from streams.errors import UNREADABLE_JSON, ConfigError

FORMAT = 1
EVERY = 1_000
"""Records of one digest: those with the sequences 1 to 1000, 1001 to 2000, and so on."""


class NotedLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One log: the sequences of its first and last record, 0 if it had none, and the digests from that of the first on, as hex."""

    first: int
    last: int
    digests: list[str]


class VerificationNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs by name, such as `user-3`, as they were read at `taken` (an ISO 8601 time)."""

    format: int
    application: str
    prefix: str
    taken: str
    logs: dict[str, NotedLog]

    @property
    def records(self) -> int:
        """Of all logs, by their sequences."""
        return sum(it.last - it.first + 1 for it in self.logs.values() if it.first)


class _AnyNote(msgspec.Struct):
    """A note of any format, as far as all have it."""

    format: int


def decoded_note(content: bytes, name: str, application: str, prefix: str) -> VerificationNote:
    """Raises ConfigError for what is no note, or one of other logs."""
    try:
        known = msgspec.json.decode(content, type=_AnyNote).format
        note = msgspec.json.decode(content, type=VerificationNote) if known == FORMAT else None
    except UNREADABLE_JSON as error:
        raise ConfigError(f"{name} is no note of a verification ({error}): `retold verify --note {name}` writes one") from error
    if note is None:
        raise ConfigError(f"{name} is a note of format {known}, and this version of retold reads format {FORMAT}")
    if (note.application, note.prefix) != (application, prefix):
        raise ConfigError(
            f"{name} was taken of the application {note.application!r} with the prefix {note.prefix!r}; these are the logs of "
            f"{application!r} with the prefix {prefix!r}"
        )
    for log, noted in note.logs.items():
        if not _is_noted(noted):
            raise ConfigError(
                f"{name} has {len(noted.digests)} digests for the records {noted.first} to {noted.last} of {log[:100]!r}, which no "
                "verification writes: it was edited"
            )
    return note


def digest_numbers(first: int, last: int, every: int) -> range:
    """The numbers of the digests that records of these sequences have."""
    return range((first - 1) // every, (last - 1) // every + 1) if first else range(0)


def _is_noted(log: NotedLog) -> bool:
    there = (0 < log.first <= log.last) or log.first == log.last == 0
    return there and len(log.digests) == len(digest_numbers(log.first, log.last, EVERY))
