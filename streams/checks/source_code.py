"""The source of a function and the objects of its names: from the syntax tree and from the imported module."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from streams.syntax import parse

UNKNOWN = object()
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass(frozen=True, order=True)
class Breach:
    """A breach of a law, with its position. `line` counts from 1.

    `law` is a code for programs: BadName, BadSignature, ImpureHandler, MissingHandler, MissingSchema, NameError,
    UndeclaredEmission or UnknownField.
    """

    file: str
    line: int
    law: str
    message: str


def function_of(handler: Callable[..., Any]) -> FunctionType | None:
    """The plain function under partials, wrappers and methods; None if it is not a Python function."""
    found: Any = handler
    while isinstance(found, functools.partial):
        found = found.func
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType | MethodType):
        found = getattr(type(found), "__call__", None)  # noqa: B004 - the function itself is wanted, not whether it can be called
    found = found.__func__ if isinstance(found, MethodType) else found
    return found if isinstance(found, FunctionType) else None


def location_of(function: Callable[..., Any]) -> tuple[str, int]:
    """File and line of the function under partials, wrappers and methods."""
    found = function_of(function)
    return (found.__code__.co_filename, found.__code__.co_firstlineno) if found else ("<unknown>", 1)


def class_location(cls: type) -> tuple[str, int]:
    """File and line of a class."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None) or "<unknown>"
    return file, _class_lines(module).get(cls.__name__, 1)


def is_application(function: FunctionType | type) -> bool:
    """Whether it is the application's own code: neither Python's, nor an installed package's, nor retold's."""
    module = sys.modules.get(function.__module__ or "")
    return module is not None and is_application_module(module)


def is_application_module(module: ModuleType) -> bool:
    name, file = module.__name__, getattr(module, "__file__", None)
    if name.partition(".")[0] in {"streams", *sys.stdlib_module_names} or file is None:
        return False
    return not file.startswith(INSTALLED)


@functools.lru_cache(maxsize=256)
def tree_of(module: ModuleType | None) -> ast.Module:
    """The syntax tree of a module; empty if its source cannot be read."""
    try:
        return parse(inspect.getsource(module)) if module else ast.Module([], [])
    except (OSError, TypeError, SyntaxError):
        return ast.Module([], [])


def scopes_of(function: FunctionType) -> list[Scope]:
    """The syntax trees of a function. Lambdas on one line cannot be distinguished, so all of them are returned."""
    code = function.__code__
    module = sys.modules.get(function.__module__)
    return list(_scopes_in(module).get((code.co_firstlineno, code.co_name), ()))


@functools.lru_cache(maxsize=256)
def _scopes_in(module: ModuleType | None) -> Mapping[tuple[int, str], list[Scope]]:
    """The functions of a module by first line and name: a module of many handlers is walked once, not once for each."""
    found: dict[tuple[int, str], list[Scope]] = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, Scope):
            found.setdefault((_first_line(node), _name(node)), []).append(node)
    return found


@functools.lru_cache(maxsize=256)
def _class_lines(module: ModuleType | None) -> Mapping[str, int]:
    """The line of the first class of each name."""
    found: dict[str, int] = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef):
            found.setdefault(node.name, node.lineno)
    return found


def _first_line(node: Scope) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _name(node: Scope) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def chain_of(node: ast.AST) -> list[str] | None:
    """`["a", "b", "c"]` for `a.b.c`; None for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


class FunctionNames:
    """The objects of one function's names: modules, classes, functions and shared objects. Locals are unknown."""

    def __init__(self, function: FunctionType) -> None:
        self.local = set(_locals(function.__code__))
        self.globals = function.__globals__
        closure = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        self.free = {name: cell.cell_contents for name, cell in closure if _is_filled(cell)}
        self.imported = dict(_imported(function))
        """What names stand for that an import inside the function binds."""

    def first(self, name: str) -> object:
        if name in self.imported:
            return self.imported[name]
        if name in self.local:
            return UNKNOWN
        if name in self.free:
            return self.free[name]
        return self.globals.get(name, getattr(builtins, name, UNKNOWN))

    def along(self, chain: list[str]) -> Iterator[object]:
        """The object of each prefix of a chain, as long as it is known. Calls no property of an instance."""
        found = self.first(chain[0])
        for name in chain[1:]:
            if found is UNKNOWN:
                return
            yield found
            found = _attribute(found, name)
        if found is not UNKNOWN:
            yield found

    def resolve(self, chain: list[str]) -> object:
        objects = list(self.along(chain))
        return objects[-1] if len(objects) == len(chain) else UNKNOWN


def _imported(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Each name that an import in the function binds. The module is imported for it, as the handler would do."""
    package = str(function.__globals__.get("__package__") or "")
    for scope in scopes_of(function):
        for node in walk(scope):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    module = _module(alias.name, "")
                    top = sys.modules.get(alias.name.partition(".")[0], UNKNOWN)
                    yield alias.asname or alias.name.partition(".")[0], module if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                home = _module("." * node.level + (node.module or ""), package)
                for alias in node.names:
                    found = getattr(home, alias.name, UNKNOWN)
                    if found is UNKNOWN and isinstance(home, ModuleType):
                        found = _module(f"{home.__name__}.{alias.name}", "")
                    yield alias.asname or alias.name, found


def _module(name: str, package: str) -> object:
    try:
        return importlib.import_module(name, package or None)
    except KeyboardInterrupt:  # Ctrl-C
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the handler meets it too
        return UNKNOWN


def _attribute(owner: object, name: str) -> object:
    """An attribute; of an application's own object only its class's, so that none of its code runs."""
    if isinstance(owner, ModuleType | type | list | dict | set | bytearray):
        return getattr(owner, name, UNKNOWN)
    return inspect.getattr_static(type(owner), name, UNKNOWN) if is_application(type(owner)) else UNKNOWN


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not UNKNOWN
    except ValueError:
        return False


def _locals(code: CodeType) -> Iterator[str]:
    """Names that are bound in a function and in its nested functions."""
    yield from code.co_varnames
    yield from code.co_cellvars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _locals(constant)


@dataclass(frozen=True, eq=False)
class ReachedFunction:
    """A function that a handler may call, with its syntax tree, and the application's functions that it names itself.

    There is one object for each function within a check, so what is found in it may be kept by it.
    """

    function: FunctionType
    file: str
    scopes: list[Scope]
    names: FunctionNames
    named: tuple[FunctionType, ...]


def reached_functions(function: FunctionType) -> list[ReachedFunction]:
    """The function and, by the names in them, the application's functions and classes that it may call."""
    seen: dict[FunctionType, ReachedFunction] = {}
    queue = deque([function])
    while queue:
        at = queue.popleft()
        if at not in seen:
            seen[at] = _read(at)
            queue += seen[at].named
    return list(seen.values())


@functools.cache
def _read(function: FunctionType) -> ReachedFunction:
    """Once for each function, however many handlers reach it; `forget` begins anew."""
    scopes, names = scopes_of(function), FunctionNames(function)
    named = dict.fromkeys(to for scope in scopes for to in _functions_named(scope, names))
    return ReachedFunction(function, function.__code__.co_filename, scopes, names, tuple(named))


def forget() -> None:
    """Forget which functions were read: what their names stand for may have changed since."""
    _read.cache_clear()


def _functions_named(scope: Scope, names: FunctionNames) -> Iterator[FunctionType]:
    for node in walk(scope):
        if not isinstance(node, ast.Name | ast.Attribute) or (chain := chain_of(node)) is None:
            continue
        found = names.resolve(chain)
        if isinstance(found, type) and is_application(found) and not issubclass(found, BaseException):
            yield from (value for value in vars(found).values() if isinstance(value, FunctionType))
        elif isinstance(found, FunctionType | MethodType | functools.partial):
            plain = function_of(found)
            if plain is not None and is_application(plain):
                yield plain


def walk(scope: Scope) -> Iterator[ast.AST]:
    """The nodes that determine what the function does: body and defaults, without decorators and annotations."""
    body: list[ast.stmt] | list[ast.expr] = scope.body if isinstance(scope.body, list) else [scope.body]
    for part in (*body, *scope.args.defaults, *filter(None, scope.args.kw_defaults)):
        yield from ast.walk(part)
