"""The tree of errors is true: what it shows is there and raised, and what is raised elsewhere is named."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from streams import errors
from streams.errors import StreamsError
from tests.support.source import nodes_of

ROOT = Path(__file__).parents[2]
ELSEWHERE = [path for path in sorted((ROOT / "streams").rglob("*.py")) if path.name != "errors.py"]
CLASSES = {name: cls for name, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, StreamsError)}
TEXT = inspect.getdoc(errors) or ""
TREE, REST = TEXT.split("```")[1:]
LINE = re.compile(r"^(?P<before>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +(?P<status>\d{3})\b)?", re.MULTILINE)


def test_the_tree_is_the_classes() -> None:
    """Each class stands below its base, with its status where it differs from that of its base."""
    shown: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in LINE.finditer(TREE):
        depth = len(line["before"]) // 4
        above[depth:] = [line["name"]]
        shown[line["name"]] = (above[depth - 1] if depth else "Exception", line["status"])
    bases = {name: cls.__bases__[0] for name, cls in CLASSES.items()}
    said = {name: str(cls.status) if "status" in vars(cls) else None for name, cls in CLASSES.items()}
    assert shown == {name: (bases[name].__name__, said[name]) for name in CLASSES} | {
        "StreamsError": ("Exception", None)
    }


def test_every_error_is_made_somewhere() -> None:
    """A class that nothing makes promises an error that nobody meets. Bases are there to be caught."""
    made = {
        node.func.id
        for path in ELSEWHERE
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    bases = {base.__name__ for cls in CLASSES.values() for base in cls.__bases__}
    assert CLASSES.keys() - made - bases == set()


def test_every_error_outside_of_the_tree_is_named() -> None:
    """Beside the tree stand the errors that other modules define, and no others."""
    kinds = {"Exception", "RuntimeError", "ValueError", "KeyError", *CLASSES}
    defined = {
        node.name
        for path in ELSEWHERE
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in kinds for base in node.bases)
    }
    named = set(re.findall(r"`(?:streams\.)?([A-Z]\w+)`", REST.partition("Not in the tree:")[2]))
    assert named == defined
