"""The ceiling: consume, read the headers, decode. No state, no output, no transaction.

It writes nothing to Kafka, so it says itself how far it is: `<monotonic seconds> <events> <CPU seconds>` a line. When it has
read the inbox it begins again.
"""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader

SCHEMA = parse_schema(json.loads(Path(os.environ["BENCH_SCHEMA"]).read_text()))
PARTITIONS = 4
EVENTS = int(os.environ["BENCH_EVENTS"])


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_BROKER"],
            "group.id": os.environ["BENCH_NAME"],
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "queued.min.messages": 200_000,
        }
    )
    inbox = os.environ["BENCH_INBOX"]
    beginning = [TopicPartition(inbox, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)]
    consumer.assign(beginning)
    handled, until = 0, EVENTS
    while True:
        if handled == until:
            consumer.assign(beginning)
            until += EVENTS
        for message in consumer.consume(5000, 0.1):
            dict(message.headers())
            body = io.BytesIO(message.value())
            body.seek(5)
            schemaless_reader(body, SCHEMA)
            handled += 1
        print(time.monotonic(), handled, time.process_time(), flush=True)


if __name__ == "__main__":
    main()
