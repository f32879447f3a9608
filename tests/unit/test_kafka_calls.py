"""No call to Kafka waits for ever (rule 35): read from the source."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.support.source import nodes_of

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "streams").rglob("*.py"))
ADMIN = {name for name, _ in inspect.getmembers(AdminClient, callable) if not name.startswith("_")} - {"poll"}
TIMED = {"list_topics", "list_groups", "committed", "offsets_for_times", "get_watermark_offsets"}
"""What clients of every kind can do, with `timeout` or from what they have in memory."""


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.attr


def test_every_request_has_a_time_out() -> None:
    """An AdminClient is asked through `Admin.request` only, which gives it one; all others are given theirs in place."""
    assert [each for path in MODULES for each in endless(path)] == []


def endless(path: Path) -> Iterator[str]:
    """Requests of a module that have none."""
    file = str(path.relative_to(ROOT))
    for call, name in calls(path):
        given = {keyword.arg for keyword in call.keywords}
        if name in TIMED:
            wrong = not given & {"timeout", "cached"} and ast.unparse(call.func) not in OURS
        elif name == "result":
            wrong = not call.args and file not in WITHOUT_KAFKA
        else:
            wrong = name in ADMIN
        if wrong:
            yield f"{file}:{call.lineno}: {ast.unparse(call)}"


WITHOUT_KAFKA = {
    "streams/server/readmodel/commit_thread.py", "streams/server/http/shared_stream.py", "streams/server/http/web_sockets.py",
    "streams/server/rpc/rpc_server.py", "streams/testing/world_io.py",
}  # fmt: skip
"""Their futures are of work on this machine, such as a file's, and tasks of the event loop that have ended."""

OURS = {
    "members.pace.committed", "members.meter.committed", "self.members.calls.committed", "self.members.bodies.committed",
    "self._parked.committed", "self._due.committed",
    "recent.committed", "self._model.committed", "self.committed",
}  # fmt: skip
"""Functions of our own that are called as a consumer's."""


TO_A_COORDINATOR = {
    "describe_consumer_groups", "list_consumer_group_offsets", "alter_consumer_group_offsets", "delete_consumer_group_offsets",
    "delete_consumer_groups",
}  # fmt: skip
"""Requests of an AdminClient that may end the process: if its broker goes away and comes back, or (`list_consumer_group_offsets`)
if it is told that another broker coordinates, as a broker says whose topic of offsets is new."""


def test_no_group_is_asked_for_by_a_request_that_may_end_the_process() -> None:
    """But to delete groups: by a command that can be given again, and in tests. A test ends all tests of its lane."""
    found = {
        (str(path.relative_to(ROOT)), node.attr)
        for path in (*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "ops").rglob("*.py"))
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr in TO_A_COORDINATOR
    }
    assert found == {
        ("streams/kafka/deletion.py", "delete_consumer_groups"),
        ("tests/chaos/topic_accidents.py", "delete_consumer_groups"),
        ("tests/integration/test_topics_change.py", "delete_consumer_groups"),
        ("tests/integration/test_worker.py", "delete_consumer_groups"),
    }


def test_a_server_tells_each_publisher_of_its_own_events_alone() -> None:
    """It publishes for many: one would be refused for another's event that was not delivered, and read its key."""
    servers = ROOT / "streams" / "cli" / "commands" / "server.py"
    made = [call for call in nodes_of(servers) if isinstance(call, ast.Call) and ast.unparse(call.func) == "LoopClient"]
    assert len(made) == 1
    assert {it.arg: ast.unparse(it.value) for it in made[0].keywords}["confirm_each"] == "True"
