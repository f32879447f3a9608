"""A producer that writes any bytes as a header's name, as a program in C or Go may; Python's clients write text."""

from __future__ import annotations

import ctypes as c
from pathlib import Path

import confluent_kafka

TOPIC, PARTITION, VALUE, KEY, FLAGS, HEADERS = 1, 3, 4, 5, 7, 10
COPY = 2


class Bytes(c.Structure):
    _fields_ = (("at", c.c_char_p), ("size", c.c_size_t))


class Value(c.Union):
    _fields_ = (("text", c.c_char_p), ("number", c.c_int32), ("bytes", Bytes), ("at", c.c_void_p), ("room", c.c_char * 64))


class Argument(c.Structure):
    _fields_ = (("kind", c.c_int), ("value", Value))


def write(address: str, topic: str, partition: int, key: bytes, value: bytes, header: tuple[bytes, bytes]) -> None:
    """One record, delivered when this returns; by the library that is inside Confluent's client."""
    [file] = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*")
    library = c.CDLL(str(file))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new", "rd_kafka_produceva"):
        getattr(library, name).restype = c.c_void_p
    said = c.create_string_buffer(512)
    settings = c.c_void_p(library.rd_kafka_conf_new())
    assert library.rd_kafka_conf_set(settings, b"bootstrap.servers", address.encode(), said, len(said)) == 0, said.value
    producer = c.c_void_p(library.rd_kafka_new(0, settings, said, len(said)))
    assert producer, said.value
    headers = c.c_void_p(library.rd_kafka_headers_new(1))
    name, text = header
    library.rd_kafka_header_add(headers, name, c.c_ssize_t(len(name)), text, c.c_ssize_t(len(text)))
    arguments = (Argument * 6)(
        Argument(TOPIC, Value(text=topic.encode())),
        Argument(PARTITION, Value(number=partition)),
        Argument(VALUE, Value(bytes=Bytes(value, len(value)))),
        Argument(KEY, Value(bytes=Bytes(key, len(key)))),
        Argument(FLAGS, Value(number=COPY)),
        Argument(HEADERS, Value(at=headers)),
    )
    assert library.rd_kafka_produceva(producer, arguments, c.c_size_t(len(arguments))) is None
    assert library.rd_kafka_flush(producer, 20_000) == 0
    library.rd_kafka_destroy(producer)
