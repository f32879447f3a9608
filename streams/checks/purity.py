"""Checks that handlers are pure: they use nothing that differs between runs, and change nothing that outlives the call (law 1).

What it cannot see (a set's order, a clock behind an object's method) the purity run finds: `streams.testing.purity_run`.
"""

from __future__ import annotations

import ast
import datetime
import functools
import sys
import types
import uuid
from collections.abc import Iterable, Iterator
from typing import Final

from streams.checks.source_code import Breach, FunctionNames, ReachedFunction, Scope, chain_of, walk

IMPURE_MODULES: Final = {
    "the clock": ("time", "sched", "timeit"),
    "chance": ("random", "secrets", "_random"),
    "this machine": ("os", "posix", "nt", "platform", "locale", "getpass", "pwd", "resource", "signal", "gc"),
    "files": ("io", "_io", "pathlib", "shutil", "tempfile", "glob", "fileinput", "sqlite3", "dbm", "shelve", "mmap"),
    "the network": (
        *("socket", "_socket", "socketserver", "ssl", "select", "selectors", "http.client", "http.server"),
        *("urllib.request", "ftplib", "smtplib", "imaplib", "poplib", "xmlrpc", "requests", "httpx", "aiohttp"),
        *("urllib3", "websockets", "grpc", "paramiko", "boto3", "botocore", "redis", "psycopg", "psycopg2"),
        *("sqlalchemy", "pymongo", "confluent_kafka", "kafka", "faust"),
    ),
    "code that nobody can check": ("importlib", "runpy", "ctypes"),
    "other processes and threads": (
        *("subprocess", "threading", "_thread", "multiprocessing", "concurrent", "asyncio", "trio", "anyio", "queue"),
    ),
}
WHY: Final = {module: why for why, modules in IMPURE_MODULES.items() for module in modules}
IMPURE_BUILTINS: Final = {
    **dict.fromkeys(("open", "input"), "the outside world"),
    **dict.fromkeys(("exec", "eval", "compile", "__import__", "breakpoint"), "code that nobody can check"),
    **dict.fromkeys(("id", "hash"), "this process: it gives another number in the next"),
}
ZONELESS: Final = {"astimezone": 0, "fromtimestamp": 1}
"""Calls that use this machine's time zone if they get no more arguments than this."""
CLOCKS: Final = {"now", "utcnow", "today"}
IMPURE_UUIDS: Final = {"uuid1", "uuid4", "getnode"}
CHANGERS: Final = {
    *("append", "extend", "insert", "pop", "popitem", "remove", "clear", "update", "setdefault", "add", "discard"),
    *("sort", "reverse", "__setitem__", "__delitem__", "intersection_update", "difference_update"),
}


def impurities(subject: str, reached: Iterable[ReachedFunction]) -> Iterator[Breach]:
    """Every breach in what `subject` may call, once for each line and cause."""
    for part in reached:
        for line, what in _impurities_in(part):
            yield Breach(part.file, line, "ImpureHandler", f"{subject} {what}; the same event must always do the same")


@functools.lru_cache(maxsize=4096)
def _impurities_in(part: ReachedFunction) -> tuple[tuple[int, str], ...]:
    """Line and cause of each, in order; the same whoever calls the function."""
    return tuple(sorted(set(_impurities_of_all(part))))


def _impurities_of_all(part: ReachedFunction) -> Iterator[tuple[int, str]]:
    free = set(part.function.__code__.co_freevars)
    for scope in part.scopes:
        if isinstance(scope, ast.AsyncFunctionDef):
            yield scope.lineno, "is async: it may wait for the outside world"
        nodes = list(walk(scope))
        shorter = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}  # `a.b` of `a.b.c`
        for node in nodes:
            if id(node) not in shorter:
                yield from _impurities_of(node, part.names, free)


def _impurities_of(node: ast.AST, names: FunctionNames, free: set[str]) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Import() | ast.ImportFrom():
            for module in filter(why_module, _modules_of(node)):
                yield node.lineno, f"imports {module}, which depends on {why_module(module)}"
        case ast.Global(names=changed):
            yield node.lineno, f"changes the global {', '.join(changed)}"
        case ast.Nonlocal(names=changed) if set(changed) & free:
            yield node.lineno, f"changes {', '.join(changed)} of the function around it"
        case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
            if (owner := _shared_root(node, names)) is not None:
                yield node.lineno, f"changes {owner}, which outlives the call"
        case ast.Call(func=ast.Attribute(attr=called), args=given, keywords=[]) if ZONELESS.get(called) == len(given):
            yield node.lineno, f"calls {called} without a time zone, which depends on this machine's"
        case ast.Name() | ast.Attribute() | ast.Call(func=ast.Name(id="getattr")):
            if (chain := _chain_of(node)) and (why := _why_chain(chain, names)):
                yield node.lineno, why


def _chain_of(node: ast.AST) -> list[str] | None:
    """As `chain_of`; also of `getattr(a.b, "c")`."""
    match node:
        case ast.Call(args=[owner, ast.Constant(value=str(name)), *_]):
            chain = chain_of(owner)
            return None if chain is None else [*chain, name]
    return chain_of(node)


def _modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """`from urllib import request` may import `urllib.request`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    home = node.module or ""
    return [home] if why_module(home) else [f"{home}.{alias.name}" for alias in node.names]


def _shared_root(node: ast.expr, names: FunctionNames) -> str | None:
    """The name of a shared object, if the changed expression belongs to one."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if not isinstance(node, ast.Name) or node.id in names.local:
        return None
    return node.id if node.id in names.globals or node.id in names.free else None


def _why_chain(chain: list[str], names: FunctionNames) -> str | None:
    """What is impure in `a.b.c`, as the end of a sentence."""
    text = ".".join(chain)
    objects = list(names.along(chain))
    for found in objects:
        if isinstance(found, types.ModuleType):
            if why := why_module(found.__name__):
                return f"uses {text}, which depends on {why}"
        elif why := why_object(found):
            return f"uses {text}, which depends on {why}"
    if len(objects) == len(chain) and len(chain) > 1 and chain[-1] in CHANGERS and _is_shared(objects[-2]):
        return f"calls {text}, which changes what outlives the call"
    return None


def _is_shared(value: object) -> bool:
    return isinstance(value, list | dict | set | bytearray)


def why_module(name: str) -> str | None:
    """Why code may not use a module, or one of its parent packages; None if it may."""
    while name:
        if name in WHY:
            return WHY[name]
        name = name.rpartition(".")[0]
    return None


def why_object(found: object) -> str | None:
    """Why code may not use an object; None if it may."""
    name = getattr(found, "__name__", "")
    owner = getattr(found, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, datetime.date) and name in CLOCKS:
        return "the clock"
    home = str(getattr(found, "__module__", None) or "")
    if home == uuid.__name__ and name in IMPURE_UUIDS:
        return "chance"
    if found is sys.modules["builtins"].__dict__.get(name) and name in IMPURE_BUILTINS:
        return IMPURE_BUILTINS[name]
    if isinstance(found, types.FunctionType | types.BuiltinFunctionType | types.MethodType | type):
        return why_module(home)
    return why_module(type(found).__module__)


def idle_imports(module: ast.Module, handlers: list[Scope]) -> Iterator[tuple[int, str, str]]:
    """Impure imports of a handler's module that only its handlers could use: line, module, why.

    A gateway or a factory in the same file may use the network or the clock.
    """
    inside = {id(node) for scope in handlers for node in ast.walk(scope)}
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name) and id(node) not in inside}
    wanted = {node.id for scope in handlers for node in ast.walk(scope) if isinstance(node, ast.Name)}
    for node in module.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        bound = {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        for source in _modules_of(node):
            if (why := why_module(source)) and not bound & (used | wanted):
                yield node.lineno, source, why
