"""A process that tells a server that all is read, as its follower does, stops itself, and goes on when it is told to."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from streams.server.readmodel.follower_report import FollowerReport


def tell(report: FollowerReport) -> None:
    print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    tell(FollowerReport(waits=None, behind=None, faults={"disk": "it is full"}))
    Path("pid").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
    tell(FollowerReport())
    sys.stdin.read()
