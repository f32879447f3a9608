"""A process that follows, as a server starts it, and is in one fold for some time, in which none of its threads can run."""

from __future__ import annotations

import ctypes
import faulthandler
import signal
import sys

from streams.server.readmodel.fold_record import FoldRecord
from streams.server.readmodel.follower_report import FollowerReport
from tests.support.stopped_follower import tell


def sleep_with_the_lock() -> None:
    library = ctypes.PyDLL(None)
    for _ in range(3):  # a signal ends one of them
        library.sleep(1)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    record = FoldRecord(int(sys.argv[2]))
    tell(FollowerReport(faults={"disk": "it is full"}))
    record.begin("balances", "account.open", "account-3:7")
    sleep_with_the_lock()
    record.end()
    tell(FollowerReport(faults={"disk": "it is full", "later": "another"}))
    sys.stdin.read()
