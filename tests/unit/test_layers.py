"""Who may import whom: cli → roles → adapters → formats → rules → words → errors, and never back."""

from __future__ import annotations

import ast
import functools
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path

import pytest

import streams
from streams.checks.purity import WHY
from streams.cli.command_table import COMMANDS
from tests.support.source import nodes_of

ROOT = Path(__file__).parents[2]
LAYERS = {
    "errors": ["errors"],
    "words": ["hints", "data", "query", "event", "outcome", "namespace", "gateway", "projection", "view", "app"],
    "rules": ["engine", "checks", "receipt", "syntax"],
    "formats": [
        "schemas", "codec", "code_digest", "prepared_event", "eventfiles", "query_parameters", "config", "load",
        "private_files",
    ],
    "adapters": [
        "clock", "listening", "kafka", "localbroker", "deliveries", "program_end", "undelivered", "confirmations", "routes",
        "prepared_publisher", "history",
    ],
    "roles": ["worker", "server", "client", "testing"],
    "cli": ["cli"],
}  # fmt: skip
"""From the lowest up; a package counts with all that is in it. config reads settings, and rules and words have none."""

RANK = {part: rank for rank, parts in enumerate(LAYERS.values()) for part in parts}
MODULES = sorted((ROOT / "streams").rglob("*.py"))
LINES_OF_A_CLASS = 200
PURE = [*LAYERS["errors"], *LAYERS["words"], *LAYERS["rules"]]
IMPURE = WHY.keys() - {"signal", "gc", "importlib"}
"""What a handler may not import either. errors spells the names of signals, which are the same in every run, and syntax lets
no garbage be collected meanwhile, which changes no result. checks imports what a handler imports, to see what it is."""
OURS = {"streams", "msgspec"}
"""What a pure module may import beside Python's own; whatever else is installed is a library, named nowhere here."""


def part_of(path: Path) -> str:
    """`engine` of streams/engine/batch.py, `app` of streams/app.py, empty for streams/__init__.py."""
    first = path.relative_to(ROOT / "streams").parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


@functools.cache
def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and full name of everything that a file imports, anywhere in it."""
    found: list[tuple[int, str]] = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "streams":
            found += [(node.lineno, f"streams.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            found.append((node.lineno, node.module or ""))
    return found


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of each import from streams; public names count as words."""
    for line, name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "streams":
            part = rest.partition(".")[0]
            yield line, part if part in RANK else "app"


def is_library(name: str) -> bool:
    return name.partition(".")[0] not in OURS | sys.stdlib_module_names


def is_impure(name: str) -> bool:
    """Also what is in an impure module, such as `os.path`."""
    return not IMPURE.isdisjoint(itertools.accumulate(name.split("."), "{}.{}".format))


def test_every_module_has_its_layer() -> None:
    """A module that no layer names would be free to import anything; a layer of what is not there would hold nothing."""
    assert {part_of(path) for path in MODULES} - {""} == RANK.keys()


def test_nothing_imports_from_above() -> None:
    """A module imports its own layer and those below."""
    above = []
    for path in MODULES:
        rank = RANK.get(part_of(path), RANK["cli"])
        above += [f"{path}:{line} imports {imported}" for line, imported in imported_parts(path) if RANK[imported] > rank]
    assert above == []


def module_of(path: Path) -> str:
    """`streams.engine` of streams/engine/__init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, known: Set[str]) -> set[str]:
    """All that are imported anywhere in it, also late or for types alone; a package is not what is in it."""
    found: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & known or {node.module or ""}
    return (found & known) - {module_of(path)}


def circles(imports: Mapping[str, Set[str]]) -> set[str]:
    """What is left when those are gone that import nothing that is left, or that nothing left imports."""
    left = {module: set(found) for module, found in imports.items()}
    while gone := {module for module, found in left.items() if not found} | (left.keys() - set().union(*left.values())):
        left = {module: found - gone for module, found in left.items() if module not in gone}
    return set(left)


def test_no_modules_import_each_other() -> None:
    """Not even over others, late, or for types alone: each can be read after those that it imports."""
    known = {module_of(path) for path in MODULES}
    imports = {module_of(path): imported_modules(path, known) for path in MODULES}
    assert imports["streams.engine.engine"] >= {"streams.engine.batch"}
    assert circles(imports) == set()


def public_classes(path: Path) -> set[str]:
    return {node.name for node in nodes_of(path) if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}


def test_a_class_is_short() -> None:
    """At most 200 lines: a longer one has more than one reason to change."""
    classes = [(path, node) for path in MODULES for node in nodes_of(path) if isinstance(node, ast.ClassDef)]
    lines = {f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in classes}
    assert {name: count for name, count in lines.items() if count > LINES_OF_A_CLASS} == {}


def test_a_name_says_where_a_thing_lives() -> None:
    """No two modules and no two public classes have one name, but modules of the command line that are named after a command."""
    inside = [path for path in MODULES if not path.stem.startswith("__")]
    commands = {f"{entry.name.replace('-', '_')}.py" for entry in COMMANDS}
    files = Counter(path.name for path in inside if path.parent.name != "commands" or path.name not in commands)
    classes = Counter(name for path in MODULES for name in public_classes(path))
    assert [name for name, count in files.items() if count > 1] == []
    assert [name for name, count in classes.items() if count > 1] == []


@pytest.mark.parametrize("forbidden", [is_impure, is_library], ids=["the outside world", "libraries"])
def test_rules_and_words_are_pure(forbidden: Callable[[str], bool]) -> None:
    """Neither a clock, nor chance, files, processes or a broker: what they need is given to them."""
    found = [
        f"{path}:{line} imports {name}"
        for path in MODULES
        if part_of(path) in PURE
        for line, name in imports_of(path)
        if forbidden(name)
    ]
    assert found == []


def test_rules_and_words_read_no_clock() -> None:
    """`datetime` is there for times that are given, not for the time it is."""
    assert clocks_read(*PURE) == []


def clocks_read(*parts: str) -> list[str]:
    """Where `datetime.now` and the like stand in them."""
    return [
        f"{path}:{node.lineno}"
        for path in MODULES
        if part_of(path) in parts
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
        if isinstance(node.value, ast.Name | ast.Attribute) and ast.unparse(node.value).endswith(("datetime", "date"))
    ]


def test_testing_knows_rules_and_the_codec() -> None:
    """A World writes what a worker writes. A user's tests need neither a broker, nor files of schemas, nor settings.

    What a World has handled may be asked as a past, which knows no broker either.
    """
    allowed = {*LAYERS["errors"], *LAYERS["words"], *LAYERS["rules"], "schemas", "codec", "history", "testing"}
    found = {
        f"{path}:{line} imports {part}"
        for path in MODULES
        if part_of(path) == "testing"
        for line, part in imported_parts(path)
        if part not in allowed
    }
    assert found == set()


def test_roles_do_not_know_each_other() -> None:
    """A worker, a server, a client and a test each stand alone."""
    found = {
        f"{path}:{line} imports {part}"
        for path in MODULES
        for line, part in imported_parts(path)
        if part_of(path) in LAYERS["roles"] and part in LAYERS["roles"] and part != part_of(path)
    }
    assert found == set()


def test_faust_is_imported_in_one_file() -> None:
    """So it can be looked at, pinned and replaced in one place."""
    importers = {
        path.relative_to(ROOT / "streams").as_posix()
        for path in MODULES
        for _, name in imports_of(path)
        if name.partition(".")[0] in {"faust", "mode"}
    }
    assert importers == {"worker/faust_app.py"}


def test_a_server_loads_neither_fastapi_nor_pydantic() -> None:
    """Typer brings the latter, and loads it where it is needed, which is nowhere here."""
    program = "import sys, streams.server.serve; print({'fastapi', 'pydantic'} & sys.modules.keys() or 'none')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "none"


def test_the_read_model_knows_no_http() -> None:
    """What is kept in memory is asked by routes today, and may be asked by others tomorrow."""
    http = {"starlette", "uvicorn", "anyio"}
    found = [
        f"{path}:{line} imports {name}"
        for path in MODULES
        if path.parent == ROOT / "streams/server/readmodel"
        for line, name in imports_of(path)
        if name.partition(".")[0] in http or name.startswith("streams.server.http")
    ]
    assert found == []


def test_kafka_does_not_know_who_starts_brokers() -> None:
    """Both are adapters; the arrow goes from the broker's side to the client's."""
    assert [
        f"{path}:{line}"
        for path in MODULES
        if part_of(path) == "kafka"
        for line, part in imported_parts(path)
        if part == "localbroker"
    ] == []


def test_messages_are_taken_apart_in_one_module() -> None:
    """Rows, markers and events of logs are made of Kafka's messages by the reading port alone."""
    makers = {"LogEvent", "StoredRow", "ParkedMessage", "marker.decode", "read_logged"}
    found = {
        path.relative_to(ROOT / "streams").as_posix()
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in makers
    }
    assert found == {"kafka/messages.py", "engine/fold.py"}, "fold reads bytes of a World too"


TIMELESS = ("worker", "kafka", "engine")
OUTSIDE = {"time", "threading", "concurrent", "asyncio", "random"}
KNOWN = {
    "worker/run.py": "makes the real clock and threads, and runs the event loop",
    "worker/threads.py": "the threads themselves",
    "worker/deadman.py": "of a real process only; its files are of another process, whose clock is the calendar",
    "worker/gateway_loop.py": "the thread of gateways, and their event loop",
    "worker/runner.py": "awaits the namespace's thread for Faust",
    "worker/faust_app.py": "Faust lives on an event loop",
    "worker/bounded_call.py": "a gateway's coroutine, within a time limit of the loop that runs it",
    "worker/call_try.py": "the loop, whose clock limits a try, is given",
    "worker/caller.py": "gateways are coroutines; the loop is given",
    "worker/call_queues.py": "names the types of a call's task and timer",
    "worker/assemble.py": "names the type of that loop",
    "worker/metrics_listener.py": "answers scrapes on the event loop of the process",
    "worker/standby.py": "a lock: copies are taken by the threads of restores",
    "kafka/renewed_client.py": "clients are shared by threads; confluent-kafka answers in futures",
    "kafka/dead_workers.py": "a lock: two restores may find the same transaction",
    "kafka/active_producers.py": "aiokafka lives on an event loop",
}


def test_time_threads_and_chance_are_given() -> None:
    """So a test or a simulator gives its own. Each module that names them all the same has its reason."""
    named = {
        file: sorted({name for _, name in imports_of(path)} & OUTSIDE)
        for path in MODULES
        if part_of(path) in TIMELESS
        for file in [path.relative_to(ROOT / "streams").as_posix()]
        if any(name.partition(".")[0] in OUTSIDE for _, name in imports_of(path))
    }
    assert named.keys() == KNOWN.keys(), named
    assert clocks_read(*TIMELESS) == []


def test_config_alone_reads_the_environment() -> None:
    """Settings are read in one place, from one table."""
    readers = {
        path.relative_to(ROOT / "streams").as_posix()
        for path in MODULES
        for node in nodes_of(path)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "environb", "getenv"})
    }
    assert readers == {"config.py"}


def test_processors_know_the_public_names() -> None:
    """An application needs nothing of retold's inside."""
    public = {"streams", "streams.data", "streams.errors", "streams.testing"}
    public |= {f"streams.{name}" for name in streams.__all__}
    found = [
        f"{path}:{line} imports {name}"
        for path in sorted((ROOT / "processors").rglob("*.py"))
        for line, name in imports_of(path)
        if name.partition(".")[0] == "streams" and name not in public
    ]
    assert found == []


def test_a_users_test_loads_no_broker() -> None:
    """Importing `streams.testing` loads no library but those of the codec: a test starts at once."""
    program = "import sys; before = {*sys.modules}; import streams.testing; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split() if is_library(name)}
    of_the_codec = {"fastavro", "cython_runtime", "typing_extensions"}
    assert {name for name in loaded if not name.startswith("_cython_")} <= of_the_codec
