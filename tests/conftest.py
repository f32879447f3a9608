from __future__ import annotations

import gc
import os
import signal
import sys
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from streams.localbroker import embedded
from tests.support.own_topics import delete_topics

os.environ["DEMO_MAIL"] = os.devnull
"""The demonstration's mails that no test looks at."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
"""Where it is set, each of some hundred processes compiles what it imports: a worker's start takes twice the CPU."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell has what it starts by `&` ignore Ctrl-C, which commands that tests end by it would inherit."""

hypothesis_settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")
"""A law holds, however fast it is tried."""


gc.disable()
"""Until all is collected: whatever is imported and collected lives to the end."""


def pytest_collection_finish() -> None:
    """Whenever Python looks for cycles, it leaves out what was imported and collected.

    Three files of unit tests took a tenth less CPU by it: 21.3 and 18.5 s before, 19.2 and 16.1 s with it. With Python's
    threshold of 700, looking for cycles still was 11 % of the CPU of laws (1,690 times in 11.7 s).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka that all tests of this session share; it starts with the first test that asks."""
    with embedded.start(tmp_path_factory.mktemp("broker")) as running:
        SHARED.append(AdminClient({"bootstrap.servers": running.address, "log_level": 0}))
        yield running.address
        SHARED.clear()


SHARED: list[AdminClient] = []
"""A client of the session's broker, while that runs."""


@pytest.fixture(scope="module", autouse=True)
def topics_of_a_file() -> Iterator[None]:
    """All topics of a file's tests are deleted from the session's broker when they have ended.

    Each costs the broker CPU while it is there, and each question for all topics too: idle with none it took 0.03 s of CPU
    a second, with 960 of them 0.17. Twelve are deleted for 0.08 s.
    """
    yield
    for admin in SHARED:
        delete_topics(admin)


@pytest.fixture
def prefix() -> Iterator[str]:
    """What a test puts before its topics' names, so that no two tests meet on the shared broker, which then loses them."""
    mine = f"t{uuid.uuid4().hex[:8]}."
    yield mine
    for admin in SHARED:
        delete_topics(admin, mine)
