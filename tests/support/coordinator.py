"""A group's coordinator that answers as a test says: librdkafka's own mock cluster, in this process, on loopback.

As a program, `python -m tests.support.coordinator CODE TIMES SECONDS`: its coordinator gives the error CODE so often, and is
asked for a committed offset, which is given up after SECONDS, and a second after a transaction was heard to hold it up: then
"held" is printed. An error inside
librdkafka ends that process alone.
"""

from __future__ import annotations

import ctypes
import sys
import time
from functools import partial
from pathlib import Path

import confluent_kafka

from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.committed import CommittedOffsets
from tests.support.steps import run

GROUP, TOPIC, OFFSET = "retold.user", "user", 7
OFFSET_FETCH = 9
"""Kafka's number of that request."""


class Coordinator:
    """A cluster of one broker that has `TOPIC`, with a commit of `GROUP` in its partition 0, and none in 1."""

    def __init__(self) -> None:
        [path] = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka-*.so*")
        self._library = ctypes.CDLL(str(path))
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        said = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        client = ctypes.c_void_p(self._library.rd_kafka_new(0, conf, said, 512))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(client, 1))
        self._library.rd_kafka_mock_topic_create(self._cluster, TOPIC.encode(), 2, 1)
        self.address = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def commit(self) -> None:
        consumer = Clients(self.address).asking_consumer(GROUP)
        consumer.commit(offsets=[confluent_kafka.TopicPartition(TOPIC, 0, OFFSET)], asynchronous=False)
        consumer.close()

    def refuse(self, code: int, times: int) -> None:
        """The next `times` questions for offsets get this error."""
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(OFFSET_FETCH), ctypes.c_size_t(times), (ctypes.c_int * times)(*[code] * times)
        )


def main(code: int, times: int, seconds: float) -> None:
    coordinator = Coordinator()
    coordinator.commit()
    clients = Clients(coordinator.address)
    committed = CommittedOffsets(partial(clients.asking_consumer, GROUP), clients.admin(), TOPIC)
    coordinator.refuse(code, times)
    deadline = time.monotonic() + seconds
    heard: list[bool] = []

    def hear(held: bool) -> None:
        nonlocal deadline
        if held and not heard:
            deadline = time.monotonic() + 1
            print("held", flush=True)
            heard.append(held)

    for partition in (0, 1):
        try:
            print(run(committed.offset(partition, lambda: time.monotonic() > deadline, hear), time.sleep).offset, flush=True)
        except BrokerError as error:
            print(f"{type(error).__name__}: {error}", flush=True)
    committed.close()
    print("alive", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
