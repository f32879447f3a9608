"""What needs an operator, in the application as it was seen last and in this server."""

from __future__ import annotations

import time
from collections.abc import Iterator

from streams.kafka.alarms import FOREIGN, Check, checks, generations_of
from streams.server.http.parts import ServerParts
from streams.server.readmodel.disk_room import room_of

READ_WARN, READ_BAD = 5.0, 30.0
"""s by which this server may be behind what is committed."""
DISK_WARN, DISK_BAD = 0.10, 0.03
"""The part of the disk that must be free. A few percent of a large disk are still room for months, so that only warns."""
FOLLOWING = {
    **dict.fromkeys(("following", "follower"), "See the server's log. What is there is answered meanwhile, and grows old."),
    "corrections": "Bring the topic back from a backup.",
    "fold": "Correct the fold and start the server again: the log has where it is.",
}
"""What to do about a fault, by what it is about."""
NOT_OURS = "it was not written by a retold worker"


def all_checks(parts: ServerParts) -> list[Check]:
    """Computed from memory, in a moment, so that a health check waits for nothing."""
    found, observed = list(_of_server(parts)), parts.observed
    if observed.is_old:
        why = f": {observed.why}" if observed.why else ""
        what = f"The state of the application is not known{why}."
        found.append(Check("status", "bad", what, "See whether Kafka answers: `retold status`."))
    if (status := observed.status) is not None:
        found += checks(status, time.time_ns() // 1000, observed.unowned, generations_of(parts.app))
    return found


def _of_server(parts: ServerParts) -> Iterator[Check]:
    model = parts.model
    waits, faults = model.waits, dict(model.faults)
    yield Check("server", "good") if waits is None else Check("server", "bad", f"{waits}.", "Wait, or see the server's log.")
    for space in parts.states.ended:  # it is known sooner than the status
        what = f"An error has ended {space}, or it waits for its rows."
        yield Check(f"ended.{space}", "bad", what, "`retold status` has the reason.")
    broker = faults.pop("broker", None)
    if broker is None:
        yield Check("kafka", "good")
    else:
        where = parts.moved()
        yield Check("kafka", "bad", f"{broker}.", f"{where[0].upper()}{where[1:]}." if where else "See whether Kafka runs.")
    for what, fault in faults.items():
        otherwise = f"{FOREIGN}." if NOT_OURS in fault else "Deploy a server of the application that wrote it."
        todo = FOLLOWING.get(what, otherwise)
        yield Check(f"reading.{what}", "bad", f"{fault}.", todo)
    behind = model.lag_ages.oldest(time.monotonic())
    if behind > READ_WARN and waits is None:
        yield Check(
            "reading", "bad" if behind > READ_BAD else "warn", f"The server is {behind:.0f} s behind what is committed.",
            "A fold may be slow, or the machine too small.",
        )  # fmt: skip
    if (room := room_of(model.file)) is not None and room.share < DISK_WARN:
        yield Check(
            "disk", "bad" if room.share < DISK_BAD else "warn",
            f"The disk of the server's file has {room.free:,} bytes left, {room.share:.1%} of it.",
            "Make room, or set `state` to a folder of a larger disk.",
        )  # fmt: skip
    if parts.questions.fault is not None:
        yield Check("questions", "bad", f"{parts.questions.fault}.", "Start the server again: views and the past are not answered.")
    if parts.principals.fault:
        yield Check("tokens", "bad", f"{parts.principals.fault}.", "Correct the file; it is read again at once.")
    for name, fault in model.stopped.items():
        yield Check(f"projection.{name}", "bad", f"{fault}.", "Correct its fold and start the server again.")
