"""Assembles a worker from settings, topics, codec, engine, transactions and Faust."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import structlog

from streams.app import App, emits_into
from streams.codec import AvroCodec, codec_of
from streams.config import Config
from streams.data import namespace_of
from streams.engine.calls import parked_request
from streams.kafka.clients import TRANSACTION, Clients
from streams.kafka.commit import Destination, TransactionWriter
from streams.kafka.dead_workers import OLD, DeadWorkers
from streams.kafka.named_producer import completion_of, named_producer
from streams.kafka.offsets import TopicAndPartition, ends
from streams.kafka.open_transactions import worker_ids
from streams.kafka.owners import listed_members, owners
from streams.kafka.producer import Complete
from streams.kafka.quarantine_commands import QuarantineCommandReader
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import SchemaReader, add_schemas, publish_schemas
from streams.kafka.task_reports import WAITS, ReportReader, ReportWriter, forgotten
from streams.kafka.topics import (
    TopicInfo,
    TopicNames,
    describe,
    ensure,
    group_of,
    raise_for_problems,
    too_small,
    topic_names,
)
from streams.kafka.written_partitions import partitions_held_up
from streams.listening import ListenAddress, listen_at
from streams.localbroker.moved import where_it_went
from streams.worker.attempt_watch import AttemptWatch, StuckNote
from streams.worker.bodies import Bodies
from streams.worker.breaker import CircuitBreaker, trip_note
from streams.worker.call_queues import BODIES
from streams.worker.caller import Caller, RetryPolicy
from streams.worker.cycle import Cycle, CycleParts
from streams.worker.deadman import AttemptRecord, Deadman, dead_attempts, remove_old_stacks, untold_stacks
from streams.worker.due_bodies import IN_MEMORY as DUE_IN_MEMORY
from streams.worker.due_bodies import DueBodies
from streams.worker.faust_app import FaustApp, faust_app_of
from streams.worker.gateway_calls import Came, GatewayCalls
from streams.worker.gateway_loop import GatewayLoop
from streams.worker.group_watch import ASKED, GroupWatch
from streams.worker.inbox_ends import InboxEnds
from streams.worker.meter import UNMETERED, Meter
from streams.worker.metrics_access import refusal_for
from streams.worker.metrics_listener import MetricsListener
from streams.worker.notes import Note, folder_of
from streams.worker.pace import Pace
from streams.worker.parked_bodies import IN_MEMORY, ParkedBodies
from streams.worker.partition_restore import restorer_of, standby_of
from streams.worker.reporter import Reporter, report_end, standby_report
from streams.worker.restore import Restorer
from streams.worker.rows_wait import RowsWait, TablePlace
from streams.worker.runner import NamespaceRunner
from streams.worker.runtime import Runtime
from streams.worker.slots import Slot
from streams.worker.stalls import StallContext, Stalls
from streams.worker.standby import Standby
from streams.worker.tasks import Tasks
from streams.worker.topic_comparison import TopicComparison
from streams.worker.unblocker import Unblocker
from streams.worker.wall_clock import WallClock
from streams.worker.warm_up import WarmUp, join_at_once
from streams.worker.worker_metrics import WorkerMetrics

log = structlog.get_logger("retold.worker")

RESTORES = 2
"""Partitions of a namespace that are restored at the same time."""
ENDS = 1.0
"""s that the broker has to give the ends of an inbox, before timers fire: meanwhile the worker does not poll."""
LAST_CALLS = 3.0
"""s that a stopping worker gives its gateways: most answer by then, and are not called a second time."""


def worker(
    app: App, config: Config, address: str, namespaces: Sequence[str], runtime: Runtime, deadman: Deadman | None = None
) -> FaustApp:
    """A worker of `namespaces` (all, if none is named), ready to `run`. Its topics are created or checked.

    `deadman` is given by a process that is only a worker.

    Raises DefinitionError, TopicMismatch, BrokerUnavailable or ConfigError: nothing has started then.
    """
    chosen = [app.namespace(name).name for name in namespaces or [space.name for space in app.namespaces]]
    clients = Clients.of(config, address, runtime.clock)
    clients.check_broker()
    raise_for_problems(ensure(clients.admin(), config, [space.name for space in app.namespaces]))
    codec = codec_of(app)
    add_schemas(codec.add_schema, publish_schemas(clients, config.prefix, codec))
    faust_app = faust_app_of(app, config)
    acting = {namespace_of(gateway.data.event_type) for gateway in app.gateways} & set(chosen)
    faust_app.gateways = gateways = GatewayLoop(config.gateway_calls * len(acting))
    metrics = None if config.worker_metrics_port is None else WorkerMetrics()
    if metrics is not None:
        faust_app.metrics = _metrics_listener(metrics, config)
    parts = WorkerParts(
        app, config, clients, codec, runtime, gateways.get, deadman, ends_dead=True, metrics=metrics, waits=len(chosen) > 1
    )
    for name in chosen:
        faust_app.add(name, _runner(parts, name))
    for stacks in untold_stacks(folder_of(config)):
        log.error(
            "an earlier process crashed, or was ended because it stood still",
            detail=f"the stacks of its threads are in {stacks}, and are removed after a day",
        )
    remove_old_stacks(folder_of(config))
    return faust_app


@dataclass(frozen=True)
class WorkerParts:
    """What the cycles of one worker have in common. `gateways` returns the event loop that gateways are called on.

    `ends_dead`: it ends the transactions of workers that are gone, whose producers a broker in memory does not tell.
    `parked_bytes`: so much of each partition's latest parked events may be in memory, and `due_bytes` of timers and calls.
    `call_bytes`: so much of a namespace's requests may wait in memory for their calls. `waits`: a namespace whose rows are not
    built waits for them, since others go on.
    """

    app: App
    config: Config
    clients: Clients
    codec: AvroCodec
    runtime: Runtime
    gateways: Callable[[], asyncio.AbstractEventLoop]
    deadman: Deadman | None = None
    ends_dead: bool = False
    metrics: WorkerMetrics | None = None
    parked_bytes: int = IN_MEMORY
    due_bytes: int = DUE_IN_MEMORY
    call_bytes: int = BODIES
    waits: bool = False

    def meter(self, namespace: str) -> Meter:
        return UNMETERED if self.metrics is None else self.metrics.meter(namespace)


def _metrics_listener(metrics: WorkerMetrics, config: Config) -> MetricsListener:
    host, token = config.worker_metrics_host, config.worker_metrics_token
    at = ListenAddress(
        host, config.worker_metrics_port or 0, "RETOLD_WORKER_METRICS_HOST", "RETOLD_WORKER_METRICS_PORT",
        "RETOLD_WORKER_METRICS_TOKEN", "worker", "see its metrics",
    )  # fmt: skip
    return MetricsListener(partial(listen_at, at, needs_token=token is not None), metrics.text, refusal_for(token, host))


def _runner(parts: WorkerParts, namespace: str) -> NamespaceRunner:
    config, clients = parts.config, parts.clients
    slot = Slot(config.state / "slots", f"{config.prefix}{namespace}")
    breaker = CircuitBreaker(namespace, trip_note(config, namespace))
    cycle = cycle_of(parts, namespace, slot.number, breaker)
    topics = topic_names(config.prefix, namespace)
    stalls = Stalls(clients, StallContext(topics, cycle.tasks, clients.admin(), config.prefix, parts.app.name))
    reporting = clients.admin()  # of all that tells others: each admin client has connections and threads of its own
    writer, worker_id = ReportWriter(clients, reporting, config.prefix), _worker_id(parts, namespace, slot.number)
    reporter = Reporter(
        namespace, worker_id, cycle.tasks.all, writer.write, parts.runtime.clock, cycle.members.attempts.slow,
        cycle.members.calls.trouble,
    )  # fmt: skip
    reporter.standby = partial(standby_report, cycle, worker_id)
    reports = ReportReader(clients, reporting, config.prefix)
    reporter.forgotten = lambda cancelled: forgotten(reports.read(cancelled=cancelled), namespace, parts.runtime.clock.now())
    beside = [stalls.watch, reporter.report, cycle.members.topics.watch]
    if (standby := cycle.members.standby) is not None:
        beside.append(partial(standby.follow, cycle.tasks.partitions))
    inbox_ends = InboxEnds(topics.inbox, cycle.tasks.partitions, partial(ends, reporting, timeout=ENDS))
    if parts.metrics is not None:
        beside.append(inbox_ends.follow)
    if (rows := cycle.members.rows) is not None:
        waits = ReportWriter(clients, reporting, config.prefix)
        rows.tell = partial(report_end, namespace, worker_id, waits.write, parts.runtime.clock, state=WAITS)
        beside.append(rows.watch)
    last_writer = ReportWriter(clients, reporting, config.prefix)
    tell_end = partial(report_end, namespace, worker_id, last_writer.write, parts.runtime.clock)
    runner = NamespaceRunner(cycle, slot, beside, clients.check_broker, tell_end, parts.runtime)
    if parts.metrics is not None:
        parts.metrics.add(namespace, runner, lambda: inbox_ends.known)
    return runner


def _attempts(parts: WorkerParts, topics: TopicNames, topic_id: str, slot: int) -> AttemptWatch:
    """With what earlier processes have left: they may have been ended in a handler."""
    config, folder, deadman = parts.config, folder_of(parts.config), parts.deadman
    name = f"{config.prefix}{topics.namespace}"

    def note(partition: int) -> Note[StuckNote]:
        return Note(folder / f"{name}-{partition}.stuck.json", StuckNote)

    if deadman is None:
        return AttemptWatch(topics.inbox, topic_id, note, parts.runtime.clock)
    dead = list(dead_attempts(folder, name))
    record = AttemptRecord(folder / f"{name}.{slot}.attempt", topic_id, deadman.file.name)
    watch = AttemptWatch(topics.inbox, topic_id, note, parts.runtime.clock, deadman, record)
    for attempt in dead:
        watch.note_dead(attempt)
    return watch


def _worker_id(parts: WorkerParts, namespace: str, slot: int) -> str:
    """The worker's transactional id, which is also its client id in the group."""
    return f"{parts.config.prefix}retold.{parts.app.name}.{namespace}.{parts.config.instance}.{slot}"


@dataclass(frozen=True)
class _Place:
    """Where a worker of a namespace works: its topics, all that it writes to, its group and its own id."""

    names: TopicNames
    targets: Set[str]
    described: Mapping[str, TopicInfo]
    group: str
    worker_id: str

    @classmethod
    def of(cls, parts: WorkerParts, admin: Admin, namespace: str, slot: int) -> Self:
        """Of a namespace whose topics exist."""
        prefix, names = parts.config.prefix, topic_names(parts.config.prefix, namespace)
        targets = {topic_names(prefix, name).inbox for name in emits_into(parts.app, namespace)}
        described = describe(admin, sorted({*names[1:], *targets}))
        return cls(names, targets, described, group_of(prefix, namespace), _worker_id(parts, namespace, slot))

    @property
    def count(self) -> int:
        """Of partitions."""
        return self.described[self.names.inbox].partitions

    @property
    def ids(self) -> dict[str, str]:
        """Of its own topics."""
        return {topic: it.id for topic, it in self.described.items() if topic in self.names[1:]}

    @property
    def written(self) -> list[TopicAndPartition]:
        topics = sorted({*self.names[1:], *self.targets})  # into its own inbox, too: what is in another partition than its key
        return [(topic, number) for topic in topics for number in range(self.described[topic].partitions)]


def cycle_of(parts: WorkerParts, namespace: str, slot: int, breaker: CircuitBreaker | None = None) -> Cycle:
    """The cycle of one namespace, whose topics exist. `slot` distinguishes the workers of one instance."""
    config, clients, runtime = parts.config, parts.clients, parts.runtime
    admin, clock, began = clients.admin(), runtime.clock, runtime.clock.monotonic()
    at = _Place.of(parts, admin, namespace, slot)
    complete: Complete = lambda _: None  # noqa: E731 - a broker in memory completes its commits
    if parts.ends_dead:
        complete = completion_of(clients, admin, config.prefix, namespace, at.written)
    restorer, standby = _restoring(parts, at, admin, complete)
    meter, topics = parts.meter(namespace), at.names
    calls = _gateway_calls(parts, restorer, meter)
    tasks = Tasks(topics.inbox, restorer, runtime.background(f"restore-{namespace}", RESTORES), calls.closed, clock.now, meter)
    members = partial(listed_members, clients.admin(), at.group, ASKED)
    place = TablePlace(topics.table, at.count, restorer.engine.generation, clients.consumer, admin)
    rows = RowsWait(namespace, place, clock.monotonic) if parts.waits else None
    return Cycle(
        CycleParts(
            namespace,
            restorer.engine,
            partial(clients.group_consumer, at.group, at.worker_id),
            _may_join(parts, at, admin, standby, rows),
            _transactions(parts, at, admin, complete),
            tasks,
            _unblocker(parts, topics),
            calls,
            _bodies(parts, restorer),
            TopicComparison(
                topics, at.targets, at.described, admin, began, partial(too_small, admin, config, namespace, at.targets),
                partial(where_it_went, config, clients.address),
            ),
            WallClock(topics.inbox, partial(ends, admin, timeout=ENDS), clock),
            CircuitBreaker(namespace) if breaker is None else breaker,
            _attempts(parts, topics, at.ids[topics.inbox], slot),
            GroupWatch(namespace, at.group, at.worker_id, members, lambda: bool(tasks.partitions()), clock),
            Pace(config.transaction_events, config.transaction_seconds),
            clock,
            runtime.flag(),
            OLD,
            min(LAST_CALLS, config.gateway_seconds),
            standby,
            meter,
            rows,
        )
    )


def _restoring(parts: WorkerParts, at: _Place, admin: Admin, complete: Complete) -> tuple[Restorer, Standby | None]:
    """With copies of what other workers own, if they are to be kept, and the end of what dead ones have left open."""
    config, clients, topics = parts.config, parts.clients, at.names
    restorer = restorer_of(parts.app, config, clients, parts.codec, topics.namespace, at.described)
    restorer = replace(restorer, due_bytes=parts.due_bytes)
    standby = standby_of(clients, restorer) if config.standbys else None
    if standby is not None:
        restorer = replace(restorer, copies=standby)
    if parts.ends_dead:
        ours = [(topic, number) for topic in (topics.inbox, topics.log) for number in range(at.count)]
        ids = worker_ids(config.prefix, parts.app.name, topics.namespace)
        dead = DeadWorkers(clients, admin, ids, at.group, at.worker_id, ours, complete)
        committed = partial(restorer.committed, end_dead=dead.end_offsets)
        restorer = replace(restorer, end_dead=dead.end_transactions, committed=committed)
    return restorer, standby


def _may_join(
    parts: WorkerParts, at: _Place, admin: Admin, standby: Standby | None, rows: RowsWait | None
) -> Callable[[], bool]:
    def all_owned() -> bool:
        return len(owners(admin, parts.config.prefix, [at.names.namespace])) == at.count

    warm = join_at_once if standby is None else WarmUp(at.names.namespace, standby, all_owned, parts.runtime.clock).may_join
    return warm if rows is None else lambda: rows.may_join() and warm()


def _transactions(parts: WorkerParts, at: _Place, admin: Admin, complete: Complete) -> TransactionWriter:
    held_up = partial(partitions_held_up, admin, at.written)
    producer = named_producer(
        parts.clients, at.worker_id, at.names.inbox, timeout=TRANSACTION, complete=complete, held_up=held_up
    )
    prefix = parts.config.prefix
    to = Destination(at.names, lambda name: topic_names(prefix, name).inbox, parts.app.name, at.ids, at.count, at.worker_id)
    return TransactionWriter(producer, to)


def _unblocker(parts: WorkerParts, topics: TopicNames) -> Unblocker:
    clients = parts.clients
    schemas, commands = partial(SchemaReader, clients, parts.config.prefix), QuarantineCommandReader(clients, topics.inbox)
    return Unblocker(topics.inbox, schemas, parts.codec.add_schema, commands, parts.runtime.clock.monotonic)


def _bodies(parts: WorkerParts, restorer: Restorer) -> Bodies:
    topics, request = restorer.names, partial(parked_request, restorer.engine.wire)
    waits = parts.runtime.flag().wait
    parked = ParkedBodies(topics.parked, request, restorer.consumer, restorer.admin, waits, parts.parked_bytes)
    return Bodies(parked, _due_bodies(parts, restorer), parts.runtime.clock)


def _due_bodies(parts: WorkerParts, restorer: Restorer) -> DueBodies:
    waits = parts.runtime.flag().wait
    return DueBodies(restorer.names.due, restorer.engine.wire, restorer.consumer, restorer.admin, waits, parts.due_bytes)


def _gateway_calls(parts: WorkerParts, restorer: Restorer, meter: Meter) -> GatewayCalls:
    config, runtime = parts.config, parts.runtime
    gateways = {gateway.data: gateway for gateway in parts.app.gateways}
    policy = RetryPolicy(config.gateway_calls, config.gateway_seconds, config.gateway_tries, bodies=parts.call_bytes)

    def caller(done: Callable[[Came], None]) -> Caller:
        return Caller(gateways, restorer.engine.answer_value, policy, parts.gateways(), done, runtime.flag(), meter)

    return GatewayCalls(caller, runtime.clock.monotonic, _due_bodies(parts, restorer).read)
