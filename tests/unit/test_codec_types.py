"""Values whose class is close to what a schema says, and is not it: refused before anybody writes them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import pytest

from streams.codec import codec_of
from streams.data import EventData
from streams.errors import InvalidEvent
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge

CODEC = codec_of(shop.app())


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


@pytest.mark.parametrize("data", WRONG, ids=repr)
def test_only_plain_types_are_written(data: EventData) -> None:
    """A subclass of a plain type, whose own attributes nobody would get back; a number of another kind; no text at all."""
    with pytest.raises(InvalidEvent):
        CODEC.encode(data)
