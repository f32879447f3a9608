"""Ctrl-C within a request to Kafka's admin client."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.renewed_client import Admin


class Interrupted:
    """As confluent-kafka's client when a signal's handler has raised within a call, which returns a result all the same."""

    def __init__(self, raised: BaseException | None) -> None:
        self._raised = raised

    def describe_topics(self, *_: object, **__: object) -> object:
        raise SystemError("<built-in method describe_topics> returned a result with an exception set") from self._raised


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(143)])
def test_a_signal_within_a_request_ends_it_as_anywhere_else(raised: BaseException) -> None:
    """A command that is interrupted says nothing and gives 130; it said that retold has a fault."""
    admin = Admin(lambda: Interrupted(raised))  # type: ignore[arg-type, return-value]  # it has what is asked of it
    with pytest.raises(type(raised)) as found:
        admin.request(AdminClient.describe_topics, ["t"], timeout=1.0, read=str)
    assert found.value is raised


def test_another_fault_of_the_client_stays_one() -> None:
    """It is no signal."""
    admin = Admin(lambda: Interrupted(None))  # type: ignore[arg-type, return-value]  # as above
    with pytest.raises(SystemError):
        admin.request(AdminClient.describe_topics, ["t"], timeout=1.0, read=str)
