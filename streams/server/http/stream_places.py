"""The ids of a stream's events: where the stream stands in each partition, so that it can go on there.

For a principal that sees some rows alone they are sealed: read one after the other, they would tell how much happens in others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from streams.history.recorded_event import NamespacePartition
from streams.server.access.principal import Principal
from streams.server.access.seal import Seal
from streams.server.http.problems import Problem

ID: Final = re.compile(r"\d{1,6}:\d{1,18}(,\d{1,6}:\d{1,18})*")
Places = dict[NamespacePartition, int]


class StreamPlaces:
    """Of one stream. `0:12,1:40` is sequence 12 in partition 0 and 40 in partition 1."""

    def __init__(self, partitions: Sequence[NamespacePartition], principal: Principal, secret: bytes) -> None:
        self._partitions, self._name = partitions, partitions[0][0]
        self.is_sealed = self._name in principal.only
        self._seal, self._about = Seal(secret, "places of streams"), f"{principal.name} {self._name}"

    def text(self, places: Mapping[NamespacePartition, int]) -> str:
        plain = ",".join(f"{partition[1]}:{sequence}" for partition, sequence in places.items())
        return self._seal.sealed(plain, self._about) if self.is_sealed else plain

    def read(self, given: str) -> Places:
        """Raises a 422 problem for what is no id of an event of this stream."""
        text = self._seal.opened(given, self._about) if self.is_sealed else given
        steps = [part.partition(":") for part in text.split(",")] if text is not None and ID.fullmatch(text) else []
        if sorted(int(number) for number, _, _ in steps) == [number for _, number in self._partitions]:
            return {(self._name, int(number)): int(sequence) for number, _, sequence in steps}
        numbers = ", ".join(str(number) for _, number in self._partitions)
        such = "from a server with the same secret" if self.is_sealed else "such as 0:12,1:40"
        names = "" if self.is_sealed else f", which names its partitions, {numbers}"
        raise Problem(
            422, f"Last-Event-ID is {given[:100]!r}; the id of an event of this stream, {such}, was expected{names}",
            field="Last-Event-ID",
        )  # fmt: skip
