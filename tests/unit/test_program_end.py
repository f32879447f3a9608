"""What a program published and no broker confirmed: it hears of it, however it ends. The producer is real, and has no broker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.deliveries import Deliveries
from streams.errors import BrokerError, ClientClosed
from streams.prepared_event import prepare
from streams.receipt import Receipt
from tests.applications.probe.events import EchoHear

PROJECT = Path(__file__).parents[2]


def alone(seconds: float) -> Deliveries:
    """Of a producer that nobody answers, and that gives its events up after `seconds`."""
    return Deliveries(Producer({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": round(seconds * 1000), "log_level": 0}))


def sent(deliveries: Deliveries, event_id: str = "e1") -> Receipt:
    data = EchoHear(name="theirs")
    receipt = Receipt("echo", data.event_type, data.key, event_id)
    deliveries.send("echo", [], prepare(data, b"", event_id, "here", None), receipt)
    return receipt


def program(*lines: str) -> subprocess.CompletedProcess[str]:
    """One that publishes an event, and then does this."""
    begin = ["import os, sys", "from streams import deliveries, program_end", "from tests.unit.test_program_end import alone, sent"]
    code = "\n".join([*begin, "program_end.AT_EXIT = 0.1", "it = alone(60)", "sent(it)", *lines])
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_program_that_ends_without_leaving_a_block_says_what_is_not_confirmed() -> None:
    """It ended with exit code 0 and without a word, while its events were lost."""
    done = program()
    assert done.stderr.startswith("retold: 1 published event was not confirmed by the broker when this program ended."), done


def test_a_program_with_a_log_of_its_own_has_it_there() -> None:
    """And not twice."""
    done = program("import logging", "logging.basicConfig(format='LOG %(message)s')")
    assert done.stderr.count("1 published event was not confirmed") == 1, done
    assert done.stderr.startswith("LOG retold: 1 published event"), done


def test_what_was_told_at_the_end_of_a_block_is_not_told_at_the_end_of_the_program() -> None:
    """Nor waited for once more."""
    done = program("deliveries.AT_AN_ERROR = 0.1", "it.leave(ValueError())")
    assert "when this program ended" not in done.stderr, done


@pytest.mark.parametrize("end", [SystemExit(0), GeneratorExit()])
def test_a_block_that_is_left_by_the_end_of_a_program_or_generator_waits_for_all(end: BaseException) -> None:
    """Nobody is shown a note of these: sys.exit() in a block gave the exit code 0 for events that were lost."""
    deliveries = alone(0.2)
    sent(deliveries)
    with pytest.raises(BrokerError, match="1 event was not delivered"):
        deliveries.leave(end)


class Interrupted:
    """Ctrl-C while it is flushed for long; it never confirms anything."""

    def __len__(self) -> int:
        return 3

    def flush(self, seconds: float) -> int:
        if seconds > 10:
            raise KeyboardInterrupt
        return len(self)


def test_ctrl_c_while_a_block_waits_says_what_is_not_confirmed(caplog: pytest.LogCaptureFixture) -> None:
    """In the log, too: a program shows nothing of a KeyboardInterrupt that it expects."""
    producer: Any = Interrupted()
    producer.poll = None
    with pytest.raises(KeyboardInterrupt) as ended:
        Deliveries(producer).leave(None)
    assert ended.value.__notes__ == ["besides, 3 published events were not confirmed by the broker"]
    assert caplog.messages == ["3 published events were not confirmed by the broker"]


def test_a_forked_process_is_refused_what_would_never_leave() -> None:
    """Kafka's client has no threads there: events went into its queue, and were lost without a word."""
    done = program(
        "from tests.unit.test_program_end import refused_all",
        "sys.stdout.flush()",
        "child = os.fork()",
        "if child == 0: refused_all(it)",
        "print(os.waitpid(child, 0)[1], sent(it, 'e3').id)",
    )
    assert done.stdout.splitlines() == ["refused"] * 3 + ["0 e3"], done


def refused_all(deliveries: Deliveries) -> None:
    """What a process that was forked is told; it leaves the block at once, since the events are those of the process before."""
    receipt = Receipt("echo", EchoHear.event_type, "theirs", "e1")
    for act in (lambda: sent(deliveries, "e2"), lambda: deliveries.flush(0.1), lambda: deliveries.confirm(receipt, 0.1)):
        with pytest.raises(ClientClosed, match="this client was made before this process was forked"):
            act()
        print("refused")
    deliveries.leave(None)
    sys.stdout.flush()
    os._exit(0)
