"""How many requests and streams a principal may have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.server.access.request_rates import BURST, MOST, RequestRates
from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.support.tokens import bearer, token_of, write_tokens
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

RATE = 3
OWN = "correct-horse-battery"
STREAMS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    folder = tmp_path_factory.mktemp("state")
    rights: dict[str, object] = {"read": ["*"], "admin": True}
    tokens = write_tokens(folder / "tokens.toml", {"busy": rights, "other": rights, "fast": {**rights, "rate": 1000},
                                                    "writer": {"publish": ["*"]}})  # fmt: skip
    settings = {"http_tokens": str(tokens), "http_rate": str(RATE), "http_streams": str(STREAMS)}
    with MemoryServer(shop.app(), folder / "state", OWN, **settings) as server:
        yield server


def statuses(server: MemoryServer, count: int, headers: dict[str, str], url: str = "/rows/order") -> list[int]:
    return [server.http.get(url, headers=headers).status_code for _ in range(count)]


def test_more_requests_than_a_principal_may_send_are_refused(server: MemoryServer) -> None:
    """With the time after which one is taken. Others are not held up, nor are probes and who has the server's own token."""
    burst = RATE * BURST
    found = statuses(server, 4 * burst, bearer("busy"))
    assert (found[:burst], 429 in found) == ([200] * burst, True)
    refused = next(got for _ in range(50) if (got := server.http.get("/rows/order", headers=bearer("busy"))).status_code == 429)
    assert_problem(refused, 429, "busy sends more than 3 requests a second")
    assert (refused.headers["retry-after"], refused.json()["type"]) == ("1", "/-/problems/too-many-requests")
    assert statuses(server, 2, bearer("other")) == [200, 200]
    assert 429 not in statuses(server, 4 * burst, bearer("fast"))
    assert 429 not in statuses(server, 4 * burst, {"Authorization": f"Bearer {OWN}"})
    assert 429 not in statuses(server, 4 * burst, bearer("busy"), "/-/live")
    assert server.parts.connections.refused["rate"] >= 1


def test_a_principal_has_so_many_streams(server: MemoryServer) -> None:
    """The next one is refused until one of them ends; others have their own."""
    headers, own = bearer("fast"), {"Authorization": f"Bearer {OWN}"}
    with ExitStack() as stack:
        streams = [stack.enter_context(server.http.stream("GET", url, headers=headers)) for url in ("/live", "/live/order")]
        assert [it.status_code for it in streams] == [200] * STREAMS
        until(lambda: len(server.parts.watching) == STREAMS, "they do not watch")
        for url in ("/live", "/live/order"):
            assert_problem(server.http.get(url, headers=headers), 429, f"fast has {STREAMS} streams open")
        with server.http.stream("GET", "/live", headers=own) as other:
            assert other.status_code == 200
    until(lambda: not server.parts.watching, "they watch still")
    with server.http.stream("GET", "/live", headers=headers) as again:
        assert again.status_code == 200


def test_a_batch_counts_as_its_events(server: MemoryServer) -> None:
    """It may be larger than what is there, and the next request waits until it is paid for: of it nothing is published."""
    lines = b'{"type": "stock.receive", "data": {"sku": "A", "quantity": 1, "price": 1}}\n' * (20 * RATE)
    headers = {**bearer("writer"), "Content-Type": "application/x-ndjson"}
    before = len(server.kafka.published)
    assert server.http.post("/events", content=lines, headers=headers).status_code == 202
    refused = server.http.post("/events", content=lines, headers=headers)
    assert_problem(refused, 429, "writer sends more than 3 requests a second")
    assert 10 < int(refused.headers["retry-after"]) <= 20
    assert len(server.kafka.published) == before + 20 * RATE


@given(st.integers(1, 20), st.lists(st.integers(1, 500), min_size=1, max_size=10))
def test_of_batches_that_come_together_one_is_owed_for(rate: int, sizes: list[int]) -> None:
    """All have come in, and what they hold is counted then."""
    rates = RequestRates()
    arrived = [size for size in sizes if rates.take("a", rate, 0.0) == 0]
    taken = [size for size in arrived if rates.take_more("a", rate, 0.0, size) == 0]
    assert sum(taken[:-1]) <= rate * BURST
    assert rates.take("a", rate, 600.0 * max(sizes)) == 0


def test_a_page_counts_as_one_request(server: MemoryServer) -> None:
    """However often it asks the API."""
    with httpx.Client(base_url=server.http.base_url, headers={"Accept": "text/html"}) as browser:
        browser.post("/-/login", data={"token": token_of("other"), "next": "/"})
        found = [browser.get("/").status_code for _ in range(RATE)]
    assert found == [200] * RATE


TIMES = st.lists(st.floats(0, 0.7), min_size=1, max_size=60)


@given(TIMES, st.integers(1, 20))
def test_no_time_has_more_than_the_rate_and_a_burst(gaps: list[float], rate: int) -> None:
    """Whenever requests come. Who waits as long as it was told is served."""
    rates, now, served = RequestRates(), 0.0, list[float]()
    for gap in gaps:
        now += gap
        wait = rates.take("a", rate, now)
        if wait == 0:
            served.append(now)
            continue
        now += wait + 1e-9
        assert rates.take("a", rate, now) == 0
        served.append(now)
    for first, begin in enumerate(served):
        for last in range(first, len(served)):
            assert last - first + 1 <= rate * BURST + rate * (served[last] - begin) + 1e-3


def test_principals_that_were_not_seen_for_long_are_forgotten() -> None:
    """So memory is bounded, however many there are."""
    rates = RequestRates()
    for number in range(MOST + 5):
        rates.take(str(number), 1, 0.0)
    assert len(rates._buckets) == MOST
    assert [rates.take("x", 1, 0.0) > 0 for _ in range(BURST + 1)] == [False] * BURST + [True]
