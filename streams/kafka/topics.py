"""The topics: one table of their settings; missing topics are created, existing ones are checked.

Names, after the prefix: `user` (inbox), `user-log`, `user-table`, `user-parked`; `retold-schemas`, `retold-tasks`,
`retold-corrections` for all.

"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from streams.config import Config
from streams.errors import BrokerError, BrokerUnavailable, ConfigError, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.renewed_client import DROPPED, Admin

KIB, MIB, DAY = 1024, 1024 * 1024, 86_400_000
HEADERS = 64 * KIB
"""Bytes for a record's headers beside its value: foreign headers may hold 32 KiB."""
GROWTH = 64 * KIB
"""Bytes that the log's own header, or a parked record's traceback, may add to an inbox record (rule 8)."""
TIMEOUT = 10.0

Comparison = Literal["equal", "at least", "unchecked"]


class TopicSetting(NamedTuple):
    """A topic setting. `value` is a number, a text, or the name of a size in bytes that depends on the configuration."""

    name: str
    value: str
    comparison: Comparison


class TopicKind(NamedTuple):
    """One row of the table. `pattern` is the name without the prefix; `partitions` None means the configured number.

    A worker runs without an `optional` topic.
    """

    name: str
    pattern: str
    partitions: int | None
    settings: tuple[TopicSetting, ...]
    optional: bool = False


BROKER_TIME = TopicSetting("message.timestamp.type", "LogAppendTime", "equal")
"""Otherwise the broker would refuse records of a worker whose clock is hours ahead (rule 8). Receipts have this timestamp too."""
COMPACT = (
    TopicSetting("cleanup.policy", "compact", "equal"),
    TopicSetting("delete.retention.ms", str(7 * DAY), "at least"),
    BROKER_TIME,
)
TOPICS = (
    TopicKind("inbox", "{namespace}", None, (
        TopicSetting("cleanup.policy", "delete", "equal"),
        TopicSetting("retention.ms", "-1", "equal"),
        TopicSetting("retention.bytes", "-1", "equal"),
        BROKER_TIME,
        TopicSetting("max.message.bytes", "inbox record", "at least"),
    )),
    TopicKind("log", "{namespace}-log", None, (
        *COMPACT,
        TopicSetting("max.message.bytes", "largest record", "at least"),
    )),
    TopicKind("table", "{namespace}-table", None, (
        *COMPACT,
        TopicSetting("max.message.bytes", "largest record", "at least"),
        # Small segments, compacted often: a restore reads everything that is not compacted yet.
        TopicSetting("segment.bytes", str(128 * MIB), "unchecked"),
        TopicSetting("min.cleanable.dirty.ratio", "0.3", "unchecked"),
    )),
    TopicKind("parked", "{namespace}-parked", None, (
        *COMPACT,
        TopicSetting("max.message.bytes", "largest record", "at least"),
        TopicSetting("segment.bytes", str(128 * MIB), "unchecked"),
    )),
    TopicKind("due", "{namespace}-due", None, (
        *COMPACT,
        TopicSetting("max.message.bytes", "largest record", "at least"),
        TopicSetting("segment.bytes", str(128 * MIB), "unchecked"),
        TopicSetting("min.cleanable.dirty.ratio", "0.3", "unchecked"),
    )),
    TopicKind("schemas", "retold-schemas", 1, COMPACT),
    TopicKind("tasks", "retold-tasks", 1, (
        *COMPACT,
        TopicSetting("segment.bytes", str(MIB), "unchecked"),  # readers read all of it, and workers write often
        TopicSetting("min.cleanable.dirty.ratio", "0.1", "unchecked"),
    ), optional=True),
    TopicKind("corrections", "retold-corrections", 1, (
        *COMPACT,
        TopicSetting("max.message.bytes", "largest record", "at least"),
    ), optional=True),
)  # fmt: skip


class TopicNames(NamedTuple):
    """The topics of one namespace."""

    namespace: str
    inbox: str
    log: str
    table: str
    parked: str
    due: str

    @property
    def prefix(self) -> str:
        return self.inbox.removesuffix(self.namespace)


class TopicInfo(NamedTuple):
    """`id` is Kafka's topic id: a topic that was deleted and created again has another one."""

    id: str
    partitions: int


class TopicReport(NamedTuple):
    """`problems` are sentences, each with the actual and the expected value."""

    name: str
    kind: str
    created: bool
    partitions: int
    problems: tuple[str, ...] = ()
    optional: bool = False


class ExpectedTopic(NamedTuple):
    """A topic as it should be; `checks` has the settings to compare of an existing one."""

    name: str
    kind: str
    partitions: int
    settings: dict[str, str]
    checks: Mapping[str, Comparison]
    optional: bool = False
    namespace: str | None = None
    """None for a topic that all namespaces share."""


@lru_cache(1024)
def topic_names(prefix: str, namespace: str) -> TopicNames:
    patterns = [kind.pattern for kind in TOPICS if "{namespace}" in kind.pattern]
    return TopicNames(namespace, *(prefix + pattern.format(namespace=namespace) for pattern in patterns))


def schemas_topic(prefix: str) -> str:
    return f"{prefix}retold-schemas"


def tasks_topic(prefix: str) -> str:
    return f"{prefix}retold-tasks"


SHARED_PARTITION = 0
"""The one partition of a topic that all namespaces share which is written and read. By their keys, records would go to others where
somebody has added some, and nobody would read them."""


def corrections_topic(prefix: str) -> str:
    return f"{prefix}retold-corrections"


def group_of(prefix: str, namespace: str) -> str:
    """The consumer group of a namespace's workers: one application per namespace (rule 27)."""
    return f"{prefix}retold.{namespace}"


def inbox_bytes(max_event_bytes: int) -> int:
    """max.message.bytes of an inbox. Never below 1 MiB: foreign producers send batches of that size."""
    return max(max_event_bytes, MIB) + HEADERS


def largest_bytes(max_event_bytes: int) -> int:
    """The largest max.message.bytes of any topic: an inbox record, with what the log adds, fits into the log."""
    return inbox_bytes(max_event_bytes) + GROWTH


def wanted(config: Config, namespaces: Iterable[str]) -> list[ExpectedTopic]:
    """Every topic of these namespaces and the shared ones, according to the table and the configuration."""
    spaces = list(namespaces)
    sizes = {
        "inbox record": str(inbox_bytes(config.max_event_bytes)),
        "largest record": str(largest_bytes(config.max_event_bytes)),
    }
    found: list[ExpectedTopic] = []
    for kind in TOPICS:
        settings = {setting.name: sizes.get(setting.value, setting.value) for setting in kind.settings}
        # One broker may be down without a write being refused, and an acknowledged write is on two.
        settings["min.insync.replicas"] = str(max(1, config.replication - 1))
        checks = {setting.name: setting.comparison for setting in kind.settings if setting.comparison != "unchecked"}
        partitions = kind.partitions or config.partitions
        for space in spaces if kind.partitions is None else [None]:
            name = config.prefix + (kind.pattern if space is None else kind.pattern.format(namespace=space))
            found.append(ExpectedTopic(name, kind.name, partitions, settings, checks, kind.optional, space))
    return found


def ensure(admin: Admin, config: Config, namespaces: Iterable[str], *, create: bool = True) -> list[TopicReport]:
    """Create missing topics and compare existing ones. Without `create`, a missing one is a problem.

    An optional one that cannot be created or described is a problem too. Raises BrokerUnavailable, BrokerError or
    ConfigError. `raise_for_problems(reports)` turns problems into TopicMismatch.
    """
    asked = wanted(config, namespaces)
    reports = _ensure(admin, config, [topic for topic in asked if not topic.optional], create)
    for topic in asked:
        if topic.optional:
            try:
                reports += _ensure(admin, config, [topic], create)
            except BrokerError as error:
                reports.append(_report(topic, 0, (str(error),)))
    return reports


def _ensure(admin: Admin, config: Config, asked: list[ExpectedTopic], create: bool) -> list[TopicReport]:
    existing = describe(admin, [topic.name for topic in asked])
    missing = [topic for topic in asked if topic.name not in existing]
    if create and missing:
        existing |= _create(admin, missing, config.replication)
    settings = settings_of(admin, list(existing))
    made = (it for it in asked if it.namespace is not None and (create or it.name in existing))
    counts = {existing[it.name].partitions if it.name in existing else it.partitions for it in made}
    reports = []
    for topic in asked:
        if (info := existing.get(topic.name)) is not None:
            reports.append(_report(topic, info.partitions, _problems(topic, info, settings[topic.name], config.prefix, counts)))
        elif create:
            reports.append(_report(topic, topic.partitions, created=True))
        else:
            kept = "bring it back from a backup if there were corrections, or " if topic.kind == "corrections" else ""
            how = f"{kept}make it with `retold topics --create`, or start a worker, which does"
            reports.append(_report(topic, 0, (f"the topic {topic.name} is missing: {how}",)))
    return reports


def _report(topic: ExpectedTopic, partitions: int, problems: Iterable[str] = (), *, created: bool = False) -> TopicReport:
    return TopicReport(topic.name, topic.kind, created, partitions, tuple(problems), topic.optional)


def raise_for_problems(reports: Iterable[TopicReport]) -> None:
    """Raises TopicMismatch with every problem of topics that are not optional, one a line."""
    problems = [problem for report in reports if not report.optional for problem in report.problems]
    if problems:
        raise TopicMismatch("\n".join(problems))


def describe(
    admin: Admin, topics: Sequence[str], *, timeout: float = TIMEOUT, cancelled: Cancelled = never_cancelled
) -> dict[str, TopicInfo]:
    """Ids and partition counts of those topics that exist."""
    found = {}
    if topics:
        asked = TopicCollection(list(topics))
        answers = admin.request(AdminClient.describe_topics, asked, timeout=timeout, read=as_is, cancelled=cancelled)
        for name, answer in answers.items():
            description = result(answer, f"asking for the topic {name}", KafkaError.UNKNOWN_TOPIC_OR_PART)
            if description is not None:
                found[name] = TopicInfo(str(description.topic_id), len(description.partitions))
    return found


def too_small(admin: Admin, config: Config, namespace: str, targets: Collection[str] = ()) -> str:
    """A sentence about a topic that takes smaller records than it should; empty if none does, or nobody tells.

    One of a namespace, or one of `targets`, which are inboxes that it emits into: also those of other applications, that may
    not be there yet.
    """
    asked = [topic for topic in wanted(config, [namespace]) if topic.namespace is not None]
    [inbox] = [topic for topic in asked if topic.kind == "inbox"]
    asked += [inbox._replace(name=target) for target in sorted({*targets} - {inbox.name})]
    try:
        there = describe(admin, [topic.name for topic in asked])
        found = settings_of(admin, list(there))
    except BrokerError:
        return ""
    name, asked = "max.message.bytes", [it for it in asked if it.name in found]
    problems = (setting_problem(it.name, name, it.checks[name], it.settings[name], found[it.name].get(name, "")) for it in asked)
    return next(filter(None, problems), "")


def after_recreation(names: TopicNames, *topics: str, missing: bool) -> str:
    """What to do about some of a namespace's topics that were deleted, whether they were made again or are `missing`.

    One that was made again may hold what a worker wrote before it knew. The offsets of the group would be ahead of a new table.
    """
    others = [name for name in names[2:] if not (missing and name in topics)]
    if names.inbox in topics:
        then = f"then start a worker: it handles {names.inbox} from its first record"
    else:
        then = (
            f"then start a worker: it handles all of {names.inbox} again, from its first record, and calls gateways again for "
            "what they were called before"
        )
    delete = f"copy what you need of its topics, delete those that no longer fit: {', '.join(others)}, and" if others else "delete"
    group = group_of(names.prefix, names.namespace)
    return f"Stop this namespace's workers, {delete} the group's offsets, too: {without_group(group)}; {then}"


def without_group(group: str) -> str:
    """The command that deletes a group without members."""
    return f"kafka-consumer-groups --delete --group {group}"


def after_repartition(names: TopicNames) -> str:
    """What to do about a namespace's topics that got more partitions."""
    return (
        "Kafka cannot take partitions away, and no setting makes them fit. Stop this namespace's workers, copy what you need of "
        f"its topics, delete all of them ({', '.join(names[1:])}) or take another RETOLD_PREFIX, start a worker, which makes "
        "them anew, and publish the events again"
    )


def as_is(answer: Any) -> Any:
    return answer


def result(answer: Any, doing: str, *absent: int) -> Any:
    """The answer to an admin request; None for an error whose code is among `absent`.

    Raises BrokerUnavailable if there was no answer, else BrokerError.
    """
    if not isinstance(answer, KafkaException):
        return answer
    cause: KafkaError = answer.args[0]
    if cause.code() in absent:
        return None
    if cause.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, DROPPED):
        raise BrokerUnavailable(f"{doing}: the broker did not answer ({cause.str()}). Is it running?") from answer
    raise BrokerError(f"{doing}: the broker refused ({cause.name()}: {cause.str()})") from answer


def _create(admin: Admin, missing: list[ExpectedTopic], replication: int) -> dict[str, TopicInfo]:
    """Create topics. Returns those that another program created meanwhile: their settings must be checked."""
    new = [NewTopic(topic.name, topic.partitions, replication, config=topic.settings) for topic in missing]
    answers = admin.request(AdminClient.create_topics, new, timeout=TIMEOUT, read=as_is, operation_timeout=TIMEOUT)
    ours = {name for name, answer in answers.items() if made(name, answer, replication)}
    known = _wait_until_known(admin, [topic.name for topic in missing])
    return {name: info for name, info in known.items() if name not in ours}


def made(name: str, answer: Any, replication: int) -> bool:
    """Whether this request created the topic; if not, it existed already.

    Raises ConfigError for a replication factor above the number of brokers, else as `result` does.
    """
    if isinstance(answer, KafkaException) and answer.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return False
    try:
        result(answer, f"making the topic {name}")
    except BrokerError as error:
        cause = error.__cause__
        if isinstance(cause, KafkaException) and cause.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR:
            raise ConfigError(
                f"RETOLD_REPLICATION is {replication}, and the topic {name} cannot be kept on so many brokers "
                f"({cause.args[0].str()}). Set it to the number of brokers at most, or start more"
            ) from error
        raise
    return True


def _wait_until_known(admin: Admin, topics: list[str]) -> dict[str, TopicInfo]:
    """Wait for the broker's metadata: it has a new topic a moment after the controller created it."""
    deadline = admin.clock.monotonic() + TIMEOUT
    while len(known := describe(admin, topics)) < len(topics):
        if admin.clock.monotonic() > deadline:
            raise BrokerError(
                f"the topics {', '.join(topics)} were made, and the broker does not show them after {TIMEOUT:.0f} s"
            )
        admin.clock.sleep(0.05)
    return known


def settings_of(admin: Admin, topics: list[str]) -> dict[str, Mapping[str, str]]:
    """By topic, the value of each setting. Raises BrokerError, also if this user may not see them."""
    if not topics:
        return {}
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    answers = admin.request(AdminClient.describe_configs, asked, timeout=TIMEOUT, read=as_is)
    return {
        resource.name: {
            name: entry.value for name, entry in result(answer, f"asking for the settings of {resource.name}").items()
        }
        for resource, answer in answers.items()
    }


def _advice(topic: ExpectedTopic, info: TopicInfo, prefix: str, counts: Collection[int]) -> str:
    start_over = after_repartition(topic_names(prefix, topic.namespace or ""))
    if len(counts) > 1:
        return f"The namespaces' topics differ, so partitions were added. {start_over}"
    return (
        f"If the topics were made with {info.partitions}, set RETOLD_PARTITIONS={info.partitions}. If partitions were added to "
        f"topics in use, that is refused too: {start_over[0].lower()}{start_over[1:]}"
    )


def _problems(
    topic: ExpectedTopic, info: TopicInfo, settings: Mapping[str, str], prefix: str, counts: Collection[int]
) -> Iterable[str]:
    """`counts` are the partition counts of all existing topics of namespaces: equal ones were probably made so.

    A topic that all namespaces share may have more than one: only its first is written and read.
    """
    if info.partitions != topic.partitions and topic.namespace is not None:
        yield (
            f"the topic {topic.name} has {info.partitions} partitions; {topic.partitions} were expected. The number "
            f"is fixed, because keys would move. {_advice(topic, info, prefix, counts)}"
        )
    for name, comparison in topic.checks.items():
        if problem := setting_problem(topic.name, name, comparison, topic.settings[name], settings.get(name, "")):
            yield problem


def setting_problem(topic: str, name: str, comparison: Comparison, expected: str, found: str) -> str:
    """A sentence about a topic's setting that is not as expected; empty if it is."""
    if found == expected if comparison == "equal" else found.isdigit() and int(found) >= int(expected):
        return ""
    least = "at least " if comparison == "at least" else ""
    return (
        f"the topic {topic} has {name}={found}; {least}{expected} was expected. "
        f"Set it: kafka-configs --alter --topic {topic} --add-config {name}={expected}"
    )
