"""A row as it was, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from streams.engine.envelope import to_micros
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from streams.testing.world import START
from tests.applications import shop
from tests.applications.shop.events import StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.stored_pasts import forget_schemas
from tests.unit.test_server_errors import assert_problem

FRONTIER = START + timedelta(hours=3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """The shop, which received five, an hour later two, and a day later is told of one of the first hour."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state")) as server:
        world = server.kafka.world
        for hours, quantity, happened in ((0, 5, 0), (1, 2, 1), (2, 1, 0)):
            world.now = START + timedelta(hours=hours)
            time = START + timedelta(hours=happened, minutes=1)
            server.kafka.publish(
                StockReceive(sku="x", quantity=quantity, price=3), id=f"receive-{hours}", source="depot", time=time
            )
            world.settle()
        server.kafka.show()
        fill(server)
        yield server


def fill(server: MemoryServer) -> None:
    """As the follower's process does."""

    def write(db: object) -> None:
        while fill_high_water(db, to_micros(FRONTIER)):  # type: ignore[arg-type]  # a connection
            pass
        put_frontier(db, to_micros(FRONTIER))  # type: ignore[arg-type]  # as above

    server.kafka.store.completed()
    server.kafka.store.write(write)


def free(server: MemoryServer, **times: object) -> int:
    query = "&".join(f"_{name}={quote(str(time))}" for name, time in times.items())
    found = server.http.get(f"/rows/stock/x?{query}")
    assert found.status_code == 200, found.text
    return int(found.json()["row"]["free"])


def test_a_row_has_two_times(server: MemoryServer) -> None:
    """What had happened, and what was known of it: the late delivery counts from the time on that its shelf had reached."""
    hour, minute = timedelta(hours=1), timedelta(minutes=2)
    assert free(server, as_of=START + minute) == 5
    assert free(server, as_of=START + hour + minute) == 8
    assert free(server, as_of=START + hour + minute, known=START + hour + minute) == 7
    assert free(server, known=START + minute) == 5
    assert free(server, known=FRONTIER) == 8


def test_an_answer_about_the_past_is_the_same_for_ever(server: MemoryServer) -> None:
    """With both times its ETag stays; without one the answer says which it is."""
    first = server.http.get(f"/rows/stock/x?_as_of={quote(str(START + timedelta(minutes=2)))}")
    known = first.json()["known"]
    again = server.http.get(f"/rows/stock/x?_as_of={quote(first.json()['as_of'])}&_known={quote(known)}")
    assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])
    headers = {"If-None-Match": first.headers["ETag"]}
    assert server.http.get(str(again.request.url), headers=headers).status_code == 304


def test_what_cannot_be_told_is_a_problem(server: MemoryServer) -> None:
    """A row that was not there yet, a time that is none, and one that may still change."""
    before = quote(str(START - timedelta(days=1)))
    problem = assert_problem(server.http.get(f"/rows/stock/x?_as_of={before}"), 404, "had no row 'x' then")
    assert problem["known"]
    assert_problem(server.http.get("/rows/stock/x?_as_of=yesterday"), 422, "a time with a zone", field="_as_of")
    for beyond in ("_as_of=0001-01-01T00:00:00%2B14:00", "_known=9999-12-31T23:59:59-14:00"):
        got = server.http.get(f"/rows/stock/x?{beyond}")
        assert_problem(got, 422, "a time with a zone", field=beyond.partition("=")[0])
    late = quote(str(FRONTIER + timedelta(seconds=1)))
    got = server.http.get(f"/rows/stock/x?_known={late}")
    assert_problem(got, 503, "what is known for ever goes to")
    assert got.headers["Retry-After"]


def test_a_schema_that_the_server_has_not_met_is_learnt_from_the_file(server: MemoryServer) -> None:
    """The row is told at once."""
    forget_schemas(server.codec)
    assert free(server, known=FRONTIER) == 8
