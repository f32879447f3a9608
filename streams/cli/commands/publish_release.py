"""`retold publish --release IMPORT`: ends an import whose publisher has died."""

from __future__ import annotations

from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.operator_name import operator_name
from streams.cli.process.session import connect
from streams.engine.readable import harmless
from streams.kafka.import_clock import ImportClockWriter
from streams.kafka.status import status


def release(name: str) -> int:
    """Gives the exit code: 1 if no such import has a clock."""
    session = connect()
    read = status(session.clients, session.config.prefix, session.namespaces, session.codec)
    known = sorted({each for space in read.namespaces for each in space.imports})
    if name not in known:
        others = ", ".join(map(harmless, known)) or "none"
        talk(f"No import {harmless(name)[:200]!r} has a clock now. Imports that have one: {others}.")
        return exit_codes.NO
    ImportClockWriter(session.clients, session.config.prefix, session.namespaces, name, operator_name()).say(None)
    talk(f"The import {harmless(name)} is over: its timers that are due fire now.")
    return exit_codes.OK
