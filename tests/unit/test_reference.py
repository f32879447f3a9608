"""The Python reference: every public name has its page, every parameter its words, and every example runs."""

from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import streams
from streams import errors, testing
from streams.data import EventData, Record
from streams.history.branch.change import InsertedEvent
from streams.history.branch.shrinking import Shrunk
from streams.history.difference.difference import (
    CallChange,
    ChangedEvent,
    Difference,
    Origin,
    RaisedEvent,
    RowChange,
    TimerChange,
    UntoldRow,
)
from streams.history.history_table import HistoryTable
from streams.history.recorded_event import RecordedEvent
from streams.history.story.story import KeyStory, Story, StoryStep
from streams.history.when.when import Turn
from streams.receipt import EventOutcome, PublishOutcome, Receipt
from streams.view import Table
from tests.support.pages import blocks, run

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
PAGES = [page for page in sorted(FOLDER.glob("*.md")) if page.name != "README.md"]
ON_KAFKA = {"client.md", "receipt.md"}
"""tests/integration/test_client.py runs these."""
OF_THE_PAST = (
    RecordedEvent, Turn, Story, KeyStory, StoryStep,
    Difference, ChangedEvent, RowChange, CallChange, Origin, RaisedEvent, UntoldRow, TimerChange, Shrunk,
)  # fmt: skip
BESIDE: list[Any] = [EventData, Record, Receipt, EventOutcome, PublishOutcome, Table, HistoryTable, InsertedEvent, *OF_THE_PAST]
"""What public functions give or take, and nobody needs to import."""
PUBLIC = [getattr(module, name) for module in (streams, testing) for name in module.__all__ if name != "START"] + BESIDE
DIRECTIVE = re.compile(r"(?m)^::: ([\w.]+)$")
SECTION = re.compile(r"(?ms)^(Args|Attributes|Raises):\n(.*?)(?=^\S|\Z)")
ENTRY = re.compile(r"(?m)^    (\w+)(?: \(\w+\))?:")


def shown_on(page: Path) -> list[str]:
    """The last part of each name that a page asks for."""
    return [name.rpartition(".")[2] for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))]


def test_every_public_name_has_its_page() -> None:
    """A name that is exported without a page is found by reading code only."""
    shown = [name for page in PAGES for name in shown_on(page)]
    assert sorted(shown) == sorted([*(it.__name__ for it in PUBLIC), "errors"])
    assert "## START" in (FOLDER / "testing.md").read_text(encoding="utf-8")


def test_every_page_is_listed() -> None:
    """In the index beside them."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"]({page.name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_has_an_example_that_runs(page: Path) -> None:
    """As a reader would paste it; what it asserts is so."""
    assert blocks(page) != []
    if page.name not in ON_KAFKA:
        run(page)


def documented() -> Iterator[tuple[str, Any, Callable[..., Any] | None]]:
    """Each public class, function, method and property: its name, itself, and what has its parameters."""
    for it in PUBLIC:
        yield it.__name__, it, it if inspect.isfunction(it) else constructor_of(it)
        for name, member in vars(it).items() if inspect.isclass(it) else ():
            if not name.startswith("_") and inspect.isfunction(member):
                yield f"{it.__name__}.{name}", member, member
            elif not name.startswith("_") and isinstance(member, property):
                yield f"{it.__name__}.{name}", member, None


MADE_BY_RETOLD = (
    Record, streams.Event, Receipt, EventOutcome, testing.Result, testing.Unhandled, testing.FailedCall, streams.History,
    *OF_THE_PAST,
)  # fmt: skip
"""Nobody calls their constructors, or a generated class has its own; their attributes are documented."""


def constructor_of(cls: Any) -> Callable[..., Any] | None:
    return None if issubclass(cls, MADE_BY_RETOLD) else cls


ALL = [pytest.param(it, parameters, id=name) for name, it, parameters in documented()]


@pytest.mark.parametrize(("it", "parameters"), ALL)
def test_docstrings_name_every_parameter_and_true_errors(it: Any, parameters: Callable[..., Any] | None) -> None:
    """`help()` and the site say what each parameter is; an error that is named is one that there is."""
    text = inspect.getdoc(it) or ""
    sections = {kind: ENTRY.findall(body) for kind, body in SECTION.findall(text)}
    assert text != ""
    if parameters is not None:
        said = sections.get("Args") or (sections.get("Attributes", []) if inspect.isclass(it) else [])
        assert said == [name for name in inspect.signature(parameters).parameters if name != "self"]
    known = vars(errors) | vars(builtins) | vars(streams)
    assert [name for name in sections.get("Raises", []) if name not in known] == []


@pytest.mark.parametrize("cls", [it for it in MADE_BY_RETOLD if it is not Record], ids=lambda cls: cls.__name__)
def test_every_attribute_is_documented(cls: Any) -> None:
    """Of what retold makes and a program reads."""
    fields = getattr(cls, "__struct_fields__", None) or getattr(cls, "_fields", None) or cls.__annotations__
    text = "\n".join(inspect.getdoc(it) or "" for it in cls.__mro__ if it.__module__.startswith("streams"))
    found = {name for kind, body in SECTION.findall(text) if kind == "Attributes" for name in ENTRY.findall(body)}
    fields = fields if cls is not Receipt else Receipt.__slots__
    assert {name for name in fields if not name.startswith("_")} - found == set()


OUTSIDE = re.compile(r"""<(?:link|script|img|iframe|source)\b[^>]*?(?:href|src)=["']?(?:https?:)?//[^>]*>""")
IMPORTED = re.compile(r"""(?:@import\s+|url\(\s*)["']?(?:https?:)?//""")


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """In strict mode: each link and anchor leads somewhere. No page asks the network for fonts, scripts or pictures."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    pages, styles = (sorted((tmp_path / "site").rglob(kind)) for kind in ("*.html", "*.css"))
    assert len(pages) > len(PAGES)
    assert [str(page) for page in pages if OUTSIDE.search(page.read_text(encoding="utf-8"))] == []
    assert [str(style) for style in styles if IMPORTED.search(style.read_text(encoding="utf-8"))] == []
