"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.arguments.parsers import seconds

HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history", parser=Path, help="A past that `retold history --export` wrote; it needs no broker.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON, one object per line.")]
BrokerWait = Annotated[
    float, typer.Option("--wait", parser=seconds, help="Wait this long for a broker to start.", metavar="SECONDS")
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="If an error ends a namespace, keep the others going; default: stop.")
]
ResetBreaker = Annotated[
    bool, typer.Option("--reset-breaker", help="Forget that handlers raised for too many events before.")
]
EndsWithStdin = Annotated[
    bool, typer.Option("--ends-with-stdin", help="Stop when stdin closes, that is, with the program that started this.")
]
