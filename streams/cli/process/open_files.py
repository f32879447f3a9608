"""How many files and sockets a worker's process may open: each namespace has several Kafka clients, each with its connections."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger("retold.worker")

MOST = 65_536
"""As many as are asked for, where the system lets this process have more than it has."""
OF_A_PROCESS, OF_A_NAMESPACE = 30, 42
"""What a worker has open with a single broker (159 for three namespaces)."""


def raise_open_files_limit(namespaces: int) -> None:
    """As far as the system allows it. Warns if that is too few for so many namespaces."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    needed = OF_A_PROCESS + OF_A_NAMESPACE * namespaces
    if soft != resource.RLIM_INFINITY and soft < needed:
        log.warning(
            "this worker may open too few files to reach Kafka: raise `ulimit -n`, or run fewer namespaces in a process",
            may_open=soft, needs_about=needed, namespaces=namespaces,
        )  # fmt: skip
