"""The arguments and options of `retold publish`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from streams.cli.arguments.parsers import seconds, span, time_with_zone, whole

TypeArgument = Annotated[str | None, typer.Argument(help="Event type, such as user.signup.", metavar="TYPE")]
ValuesArgument = Annotated[
    list[str] | None, typer.Argument(help="Fields of the event, each as name=value.", metavar="NAME=VALUE")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Publish a file: jsonl, csv, tsv or avro; - reads stdin.", metavar="FILE"),
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="Format of the file; default: from its suffix.", metavar="FORMAT"),
]
WithOption = Annotated[
    str | None,
    typer.Option("--with", help="Function that makes an event from a row.", metavar="MODULE:FUNCTION"),
]
OnErrorOption = Annotated[
    str,
    typer.Option(
        "--on-error", help="If a line is broken: stop before publishing any, or skip it.", metavar="stop|skip"
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", parser=whole(1), help="Read only the first N rows.", metavar="N")
]
IdColumnOption = Annotated[
    str | None, typer.Option("--id-column", help="Column with the event's id.", metavar="COLUMN")
]
TimeColumnOption = Annotated[
    str | None, typer.Option("--time-column", help="Column with the event's time.", metavar="COLUMN")
]
AsItHappenedOption = Annotated[
    bool,
    typer.Option("--as-it-happened", help="Publish in the order of the events' times, and let timers fire in between."),
]
StepOption = Annotated[
    timedelta | None,
    typer.Option(
        "--step", parser=span, help="Let timers fire once in so much time, such as 1d; default: exactly.", metavar="SPAN"
    ),
]
ReleaseOption = Annotated[
    str | None,
    typer.Option("--release", help="End an import whose publisher died: its timers fire.", metavar="IMPORT"),
]
IdOption = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="Id of the event. The same event with the same id is handled once; a different event of that key is "
        "quarantined.",
        metavar="ID",
    ),
]
TimeOption = Annotated[
    datetime | None,
    typer.Option(
        "--time",
        parser=time_with_zone,
        help="Time of the event, such as 2026-01-31T12:00:00Z; default: now.",
        metavar="TIME",
    ),
]
ExpectedVersionOption = Annotated[
    int | None,
    typer.Option(
        "--expected-version",
        parser=whole(0),
        help="Reject the event unless its row has this version; 0: no row.",
        metavar="N",
    ),
]
WaitOption = Annotated[
    float | None,
    typer.Option("--wait", parser=seconds, help="Wait this long for the outcome.", metavar="SECONDS"),
]
