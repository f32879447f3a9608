"""Random requests that are made from the OpenAPI. `make fuzz` sends them for minutes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fuzz.api_fuzz import ApiFuzz, fuzzed_shop

SEED = 1


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    with fuzzed_shop(tmp_path_factory.mktemp("state")) as found:
        yield found


def test_every_answer_is_described(asked: tuple[str, dict[str, Any]]) -> None:
    """None takes long, none is a fault of the server, and status, form and contents are as the OpenAPI says."""
    fuzz = ApiFuzz(*asked, SEED, examples=1)
    fuzz.run()
    print(f"seed {SEED}: {fuzz.statuses}")
    assert fuzz.findings == {}, f"seed {SEED}: {[*map(str, fuzz.findings.values())]}"
    assert fuzz.statuses.keys() >= {200, 404, 422}


def test_a_status_that_is_not_described_is_found(asked: tuple[str, dict[str, Any]]) -> None:
    """So that the test above could fail: here no operation tells of wrong parameters."""
    url, spec = asked
    wrong = copy.deepcopy(spec)
    wrong["paths"] = {"/events/order": wrong["paths"]["/events/order"]}
    del wrong["paths"]["/events/order"]["get"]["responses"]["422"]
    fuzz = ApiFuzz(url, wrong, SEED, examples=5)
    fuzz.run()
    assert [*fuzz.findings] == [("GET /events/order", "the status 422, which is not described")]
