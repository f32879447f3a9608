"""A process that tells a server, as its follower does, that something was committed; it ends with its input."""

from __future__ import annotations

import sys

import msgspec

from streams.server.readmodel.follower_report import FollowerReport

if __name__ == "__main__":
    print(msgspec.json.encode(FollowerReport(committed=True)).decode(), flush=True)
    sys.stdin.read()
