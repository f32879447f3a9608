"""How a server stands, in a few words: what each page says at its top."""

from __future__ import annotations

from typing import Literal, NamedTuple

from streams.server.readmodel.model import ReadModel


class ServerState(NamedTuple):
    """`kind` is the colour, `words` the same without colour, `why` the sentence behind it; empty if all is well."""

    kind: Literal["good", "warn", "bad"]
    words: str
    why: str = ""


def server_state(model: ReadModel) -> ServerState:
    """The most urgent first."""
    if "broker" in model.faults:
        return ServerState("bad", "broker away", model.faults["broker"])
    if model.waits is not None:
        return ServerState("bad", "not ready", model.waits)
    if model.faults:
        return ServerState("bad", "in trouble", next(iter(model.faults.values())))
    if model.stopped:
        return ServerState("bad", "a projection is stopped", next(iter(model.stopped.values())))
    if model.rebuilding:
        name, percent = next(iter(model.rebuilding.items()))
        return ServerState("warn", f"rebuilding {percent} %", f"{name} is made again, {percent} % are done")
    if model.behind is not None:
        return ServerState("warn", "catching up", model.behind)
    if lag := sum(model.lags.values()):
        return ServerState("warn", f"{lag:,} behind", f"{lag:,} committed records are not read here yet")
    return ServerState("good", "up to date")
