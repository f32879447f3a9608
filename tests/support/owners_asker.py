"""Asks for owners again and again, while its connections are cut: `python -m tests.support.owners_asker BROKER SECONDS`."""

from __future__ import annotations

import random
import sys
import threading
import time
from contextlib import suppress

from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.owners import owners
from tests.chaos.network import Link

THREADS = 3
NAMESPACES = ["x", "y", "z"]


def main(broker: str, seconds: float) -> None:
    """Prints how many questions were asked."""
    stop, dice, asked = threading.Event(), random.Random(1), [0]
    with Link(broker) as link:

        def ask() -> None:
            admin = Clients(link.address).admin()
            while not stop.is_set():
                with suppress(BrokerError):
                    owners(admin, "", NAMESPACES, timeout=1.0)
                asked[0] += 1

        threads = [threading.Thread(target=ask) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            link.call(link.network.cut)
            time.sleep(dice.uniform(0.01, 0.3))
        stop.set()
        for thread in threads:
            thread.join()
    print(asked[0])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
