"""What a follower tells those who answer: how it goes, and that there is something new in the file."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from streams.server.readmodel.commit_times import CommitTotals

Lag = tuple[str, str, int, int, float | None]
"""Kind of topic, namespace, partition, records that are not read, and since when it is behind by the monotonic clock (None:
it is not)."""


class FollowerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has changed since the report before; what is unset has not.

    `file` is the one that is to be read from now on; `partitions` has their number by namespace. `waits` says why nothing can
    be answered yet, `behind` why what is answered may be old, `faults` what is wrong now, by what it is about, and `stuck`
    why a log is not read on. `rebuilding` has the tables that are made again beside what is answered, and how many percent are
    done; `reshaped` are those of them whose rows have another schema. `missing` are namespaces that are read, and projections
    that are folded, for the first time: nothing is there to be answered. `held` has those into which nothing is folded
    meanwhile, and up to which sequence of each partition, such as `user-3`, they are.
    """

    file: str | msgspec.UnsetType = msgspec.UNSET
    partitions: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    waits: str | msgspec.UnsetType | None = msgspec.UNSET
    behind: str | msgspec.UnsetType | None = msgspec.UNSET
    faults: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    stuck: list[tuple[str, int, str]] | msgspec.UnsetType = msgspec.UNSET
    stopped: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    rebuilding: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    reshaped: list[str] | msgspec.UnsetType = msgspec.UNSET
    missing: list[str] | msgspec.UnsetType = msgspec.UNSET
    held: dict[str, dict[str, int]] | msgspec.UnsetType = msgspec.UNSET
    lags: list[Lag] = []
    committed: bool = False
    commit: float | None = None
    """s that a transaction took."""
    store_errors: int = 0
    """Times that the file could not be written."""
    before: CommitTotals | None = None
    """Of all transactions before this report, for who has not heard of them."""
    log: tuple[int, str, str] | None = None
    """Level, logger and text of what is logged."""


Tell = Callable[[FollowerReport], None]
