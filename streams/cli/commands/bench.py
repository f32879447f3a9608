"""`retold bench`: how fast one worker handles generated events of an application on its Kafka."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from streams.app import App
from streams.cli.arguments.fields import pairs
from streams.cli.arguments.lookup import event_class
from streams.cli.arguments.options import Json
from streams.cli.arguments.parsers import seconds, whole
from streams.cli.benchmark.bench_run import BenchResult, BenchRun
from streams.cli.benchmark.random_events import RandomEvents
from streams.cli.benchmark.visibility import LAST
from streams.cli.output.screen import json_line, plural, say, talk
from streams.cli.process.session import connect
from streams.data import EventData, namespace_of
from streams.errors import ConfigError

SECONDS, RATE, KEYS, SEED = 20.0, 100, 10_000, 1


def bench(
    event_type: Annotated[str, typer.Argument(help="Event type, such as user.signup.", metavar="TYPE")],
    values: Annotated[
        list[str] | None, typer.Argument(help="Fields that are not random, each as name=value.", metavar="NAME=VALUE")
    ] = None,
    lasting: Annotated[
        float, typer.Option("--seconds", parser=seconds, help="Measure each of two windows this long.", metavar="SECONDS")
    ] = SECONDS,
    rate: Annotated[
        int, typer.Option("--rate", parser=whole(1, 100_000), help="Events a second of the second window.", metavar="N")
    ] = RATE,
    keys: Annotated[
        int,
        typer.Option(
            "--keys", parser=whole(0, 10_000_000), help="Number of keys; 0: each event has its own.", metavar="N"
        ),
    ] = KEYS,
    seed: Annotated[int, typer.Option("--seed", parser=whole(0), help="Other random events.", metavar="N")] = SEED,
    as_json: Json = False,
) -> None:
    """Measure how fast a worker handles generated events, and how soon they are visible.

    Topics of its own are made on your Kafka and deleted at the end; yours are neither read nor written, and no gateway is called.
    One worker of the event's namespace runs on this machine. First it has more events than it can handle; then they come
    evenly, --rate a second.

    Example: [bold]retold bench user.rename --seconds 20[/]
    """
    session = connect()
    data = event_class(session.app, event_type)
    raise_if_a_gateway_would_be_called(session.app, data)
    if lasting < 1:
        raise ConfigError(f"--seconds is {lasting:g}; 1 or more was expected")
    events = RandomEvents(data, session.codec, pairs(values or []), keys, seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the topics are deleted then too
    result = BenchRun(session, data, events).go(lasting, rate)
    if as_json:
        json_line(_as_json(event_type, result))
    else:
        _show(event_type, result, rate)


def raise_if_a_gateway_would_be_called(app: App, data: type[EventData]) -> None:
    """Whether a worker of its namespace would come to handle a request. Raises ConfigError."""
    home, flow = namespace_of(data.event_type), app.flow()
    requests = {gateway.data.event_type for gateway in app.gateways}
    reached, left = set[str](), [data.event_type]
    while left:
        name = left.pop()
        if name not in reached and namespace_of(name) == home:
            reached.add(name)
            left += flow.get(name, ())
    called = sorted(reached & requests, key=lambda name: name != data.event_type)
    if called:
        leads = "is" if called[0] == data.event_type else f"leads in its own namespace to {called[0]}, which is"
        raise ConfigError(
            f"{data.event_type} {leads} handled by a gateway, and a worker would call it: what it does outside would be real. "
            "Choose an event that reaches none within its namespace"
        )


def _show(event_type: str, result: BenchResult, rate: int) -> None:
    found, seen = result.throughput, result.visibility
    say(f"{event_type}, by one worker: {found.rate:,.0f} events/s ({found.events:,} in {found.seconds:.1f} s)")
    if found.cpu_micros is not None:
        say(f"CPU of the worker's process: {found.cpu_micros:.1f} µs an event")
    if result.followed:
        share = f"{result.followed / (found.published or 1):,.1f} for each"
        say(f"That counts events that followed from others in {namespace_of(event_type)}, too: {share} that was published")
    at = f"Published to visible, at {seen.rate:,.0f}/s"
    if seen.seen:
        say(f"{at}: p50 {seen.p50:.1f} ms, p99 {seen.p99:.1f} ms ({plural(seen.seen, 'event')})")
    else:
        say(f"{at}: none was visible; events that are set aside are not in the log")
    if seen.seen and seen.unseen:
        left = plural(seen.unseen, "event")
        say(f"Without {left} that the log had not {LAST:.0f} s after the last one: set aside, or more than the worker handles")
    shares = ", ".join(f"{count:,} {outcome}" for outcome, count in result.handled.items() if count)
    say(f"In all: {shares}")
    talk(f"The load of this machine was {result.load:.1f}; it has {plural(result.cores, 'core')}. Its topics are deleted.")
    if seen.rate < rate:
        talk(f"{rate:,}/s are more than this machine publishes.")
    if found.waited:
        talk("The worker waited for events at times, so it may be faster than that: the machine that publishes is the limit.")
    if result.handled["rejected"] > result.handled["accepted"] and seen.reasons:
        reason, _ = seen.reasons.most_common(1)[0]
        talk(
            f'Most events were rejected, as a rule with "{reason}". NAME=VALUE fixes fields, and --keys 0 gives each event its own '
            "key."
        )


def _as_json(event_type: str, result: BenchResult) -> dict[str, object]:
    found, seen = result.throughput, result.visibility
    visible = {"rate": round(seen.rate), "p50": round(seen.p50, 2), "p99": round(seen.p99, 2), "events": seen.seen}
    return {
        "event": event_type, "events_per_second": round(found.rate), "seconds": round(found.seconds, 2), "events": found.events,
        "followed": result.followed, "cpu_us_per_event": None if found.cpu_micros is None else round(found.cpu_micros, 1),
        "worker_waited": found.waited,
        "visible_ms": visible if seen.seen else None, "unseen": seen.unseen, **result.handled,
        "load": round(result.load, 1), "cores": result.cores,
    }  # fmt: skip
