"""The documentation says what is there: every file, function, setting and command that it names exists, and none is left out."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("streams", "processors", "schemas", "tests", "ops", "docs")
SPAN = re.compile(r"`([^`\n]+)`")
FILE = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
JOINED = re.compile(r"[\s,]*(and\s+)?")
"""What may stand between a file and its names: `file` `a`, `b` and `c`."""


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes, constants, and methods and fields as `Class.name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found |= set(_names(node))
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for child in node.body for name in _names(child)}
    return frozenset(found)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def mentions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each file that a text names, with the names that stand behind it."""
    file, names, end = "", list[str](), 0
    for span in SPAN.finditer(text):
        word, between = span[1], text[end : span.start()]
        end = span.end()
        if FILE.fullmatch(word):
            if file:
                yield file, names
            file, names = word, []
        elif file and JOINED.fullmatch(between) and NAME.fullmatch(word):
            names.append(word)
        elif file:
            yield file, names
            file, names = "", []
    if file:
        yield file, names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_and_function_that_is_named_exists(page: Path) -> None:
    """A page that names `streams/x.py` `Thing.method` is wrong as soon as that is moved or renamed."""
    wrong = []
    for file, names in mentions(prose(page)):
        path = ROOT / file
        if not path.exists():
            wrong.append(file)
        elif path.suffix == ".py":
            wrong += [f"{file} {name}" for name in names if name not in names_in(path)]
        elif names:
            wrong.append(f"{file} is no module, and {names} stand behind it")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links inside the repository point at files that are there."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]
    inside = [link for link in links if link and "://" not in link]
    assert [link for link in inside if not (page.parent / link).exists()] == []


def test_the_architecture_names_every_part_of_streams() -> None:
    """The table of layers has every module and package."""
    text = prose(ROOT / "docs" / "architecture.md")
    parts = [f"streams/{it.name}/" for it in (ROOT / "streams").iterdir() if (it / "__init__.py").exists()]
    parts += [f"streams/{it.name}" for it in (ROOT / "streams").glob("*.py") if it.name != "__init__.py"]
    assert [part for part in sorted(parts) if f"`{part}`" not in text] == []


def everything() -> set[str]:
    """Every name of every module of streams."""
    return {name for path in (ROOT / "streams").rglob("*.py") for name in names_in(path)}


@pytest.mark.parametrize("page", ["architecture.md", "correctness.md", "faust.md"])
def test_every_class_and_method_that_is_named_exists(page: str) -> None:
    """Also those that stand without their file, such as `Turn.take` in a paragraph about the engine."""
    spans = SPAN.findall(prose(ROOT / "docs" / page))
    named = {span for span in spans if re.fullmatch(r"[A-Z]\w*\.[a-z_]\w*|[A-Z]+[a-z]+[A-Z]\w*", span)}
    assert sorted(named - everything()) == []
