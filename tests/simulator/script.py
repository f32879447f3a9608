"""Operations of which scripts are made that are played on a Kafka in memory and on a real one.

A script is stored as JSON: a list of operations, each a list of its name and its fields. Partitions are those of the script's
own topic. Of the producers, the first two have one transactional id: one that is made again, or in place of the other, fences
it. Members are of one group; `Know` takes the group's metadata that a later `Offsets` of this member commits with.
"""

from __future__ import annotations

import msgspec

PARTITIONS = 2
IDS = "aab"
"""The transactional id of each producer."""
MEMBERS = 2
LARGEST = 2_000
"""Bytes that the topic takes; a `Produce` of a `large` value has more."""


class _Operation(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """One of a script."""


class Init(_Operation):
    """Make a producer, and have the broker know it."""

    producer: int


class Begin(_Operation):
    producer: int


class Produce(_Operation):
    producer: int
    partition: int
    key: str
    value: str
    large: bool = False


class Offsets(_Operation):
    """Send an offset of the group within the transaction."""

    producer: int
    member: int
    partition: int
    offset: int


class Commit(_Operation):
    producer: int


class Abort(_Operation):
    producer: int


class Publish(_Operation):
    """Produce outside of transactions. A `value` of None is a tombstone."""

    partition: int
    key: str
    value: str | None


class Read(_Operation):
    """All records to the partition's end; without `begin`, from the first that is kept."""

    partition: int
    committed: bool
    begin: int | None = None


class Ends(_Operation):
    """The first offset that is kept, the last stable one, and the end."""

    partition: int


class Delete(_Operation):
    """Delete the records before an offset."""

    partition: int
    before: int


class Join(_Operation):
    member: int


class Leave(_Operation):
    member: int


class Know(_Operation):
    member: int


class Committed(_Operation):
    """The group's offset of a partition."""

    partition: int


Operation = Init | Begin | Produce | Offsets | Commit | Abort | Publish | Read | Ends | Delete | Join | Leave | Know | Committed
Script = list[Operation]

LOOKS = (Read, Ends, Committed, Join, Leave, Delete)
"""What these see may come a moment after the broker's answer to what caused it, and may be looked at again.

What is deleted is deleted again.
"""

_decoder = msgspec.json.Decoder(Script)


def text_of(script: Script) -> str:
    return msgspec.json.encode(script).decode()


def script_of(text: str) -> Script:
    """Raises msgspec.MsgspecError."""
    return _decoder.decode(text)


def with_ends(script: Script) -> Script:
    """With a look at all ends behind what may end a transaction: only then do later records come behind that end."""
    ends: Script = [Ends(at) for at in range(PARTITIONS)]
    return [each for it in script for each in (it, *(ends if isinstance(it, Init | Commit | Abort) else ()))]


def last_looks() -> Script:
    """At all that there is, when a script is over."""
    partitions = range(PARTITIONS)
    reads = [Read(at, committed) for at in partitions for committed in (True, False)]
    return [*(Ends(at) for at in partitions), *reads, *(Committed(at) for at in partitions)]
