"""The broker of a benchmark: a given one, or the embedded Kafka in a folder of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def broker(address: str | None, folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Its address. The embedded one ends with the block."""
    if address:
        yield address
        return
    from streams.localbroker import embedded  # only here: with a broker given, Kafka's jars are not needed

    with embedded.start(folder, on_progress=say) as running:
        yield running.address
