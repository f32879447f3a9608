"""What a World refuses a worker refuses, and the other way round: a test in memory must not pass where Kafka will not."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from streams.codec import codec_of
from streams.data import EventData
from streams.errors import InvalidEvent
from streams.testing.codec import MemoryCodec
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge

APP = shop.app()


class Text(StrEnum):
    IT = "it"


class Number(IntEnum):
    ONE = 1


class Own(str):
    """As a library's header or path object is."""

    __slots__ = ("more",)


def charge(order: Any, amount: Any) -> PaymentCharge:
    return PaymentCharge(order=order, amount=amount)


WRONG = [
    charge(Text.IT, 1),
    charge(Own("it"), 1),
    charge("o", Number.ONE),
    charge("o", True),
    charge("o", "1"),
    charge("o", 1.5),
    charge("o", 2**63),
    charge("o", None),
    charge("\ud800", 1),
    OrderPlace(order="o", customer=Text.IT, lines=()),
    OrderPlace(order="o", customer="c", lines=(Line(sku=Own("s"), quantity=1),)),
    OrderPlace(order="o", customer="c", lines=("no line",)),  # type: ignore[arg-type]  # that is the point
]


@pytest.mark.parametrize("make", [codec_of, MemoryCodec], ids=["avro", "memory"])
@pytest.mark.parametrize("data", WRONG, ids=repr)
def test_both_refuse(data: EventData, make: Callable[[Any], Any]) -> None:
    """A subclass of a plain type, whose own attributes nobody would get back; a number of another kind; no text at all."""
    with pytest.raises(InvalidEvent):
        make(APP).encode(data)
