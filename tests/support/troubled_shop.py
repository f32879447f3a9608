"""The shop, whose card company may be down, and which cannot handle a delivery of y while it is broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from streams import App, Event, Outcome
from tests.applications import shop
from tests.applications.shop.events import (
    Line,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    StockReceive,
    StockRow,
)
from tests.support.memory_server import MemoryServer


class Trouble(shop.CardApi):
    """Both is off in the beginning."""

    def __init__(self) -> None:
        self.down = self.broken = False

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        if self.down:
            raise ConnectionError("the card company does not answer")
        return await super().charge(event)


def troubled_shop() -> tuple[App, Trouble]:
    trouble, app = Trouble(), shop.app()
    stock: Any = copy.copy(app.namespace("stock"))
    stock.handlers = dict(stock.handlers)
    right = stock.handlers[StockReceive]

    def receive(row: StockRow | None, event: Event[StockReceive]) -> Outcome[StockRow]:
        if trouble.broken and event.key == "y":
            raise ZeroDivisionError("a <b>bug</b> that somebody deployed")
        made: Outcome[StockRow] = right(row, event)
        return made

    stock.handlers[StockReceive] = receive
    spaces = [stock if it.name == "stock" else it for it in app.namespaces]
    gateways = [replace_call(it, trouble.charge) if it.data is PaymentCharge else it for it in app.gateways]
    return replace(app, namespaces=spaces, gateways=gateways), trouble


def replace_call(gateway: Any, call: Any) -> Any:
    found = copy.copy(gateway)
    found.call = call
    return found


@contextmanager
def troubled_server(state: Path) -> Iterator[tuple[MemoryServer, Trouble]]:
    """With a delivery whose handler raised and another behind it, and an order whose card company did not answer."""
    app, trouble = troubled_shop()
    with MemoryServer(app, state, answering=True) as server:
        publish(server, StockReceive(sku="x", quantity=5, price=3))
        trouble.broken = trouble.down = True
        publish(server, StockReceive(sku="y", quantity=5, price=3))
        publish(server, StockReceive(sku="y", quantity=7, price=3))
        publish(server, OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),)))
        yield server, trouble


def publish(server: MemoryServer, data: Any) -> None:
    """With all that follows."""
    server.kafka.publish(data)
    server.kafka.world.settle(parked="allow")
    server.kafka.show()
