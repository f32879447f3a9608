"""`python -m ops.bench.fold_log`: reads the log of the race and folds it into rows, as a rebuild does, and writes nothing.

It says how far it is as the raw consumer does, and begins again with empty rows when it has read the log.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from ops.bench.application import app
from ops.bench.work import PARTITIONS
from streams.cli.process.collector import spare_the_collector
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.fold import fold
from streams.engine.image import Image
from streams.kafka.bounded_read import headers_of


def fold_messages(engine: Engine, images: dict[int, Image], messages: Iterable[Message]) -> int:
    """Returns how many."""
    parts: dict[int, list[Message]] = defaultdict(list)
    for message in messages:
        parts[message.partition()].append(message)
    for partition, some in parts.items():
        fold(engine, images[partition], ((message.value(), headers_of(message)) for message in some))
    return sum(map(len, parts.values()))


def main() -> None:
    log, events = os.environ["BENCH_LOG"], int(os.environ["BENCH_EVENTS"])
    application = app()
    engine = Engine(application, "bench", codec_of(application))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_BROKER"],
            "group.id": os.environ["BENCH_NAME"],
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "queued.min.messages": 200_000,
            "log_level": 2,
        }
    )
    beginning = [TopicPartition(log, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)]
    spare_the_collector()
    handled, until = 0, 0
    while True:
        if handled == until:
            consumer.assign(beginning)
            images = {partition: engine.image(partition) for partition in range(PARTITIONS)}
            until += events
        handled += fold_messages(engine, images, consumer.consume(5000, 0.1))
        print(time.monotonic(), handled, time.process_time(), flush=True)


if __name__ == "__main__":
    main()
