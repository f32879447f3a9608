"""What `mkdocs.yml` asks for: the pages as they are written for GitHub, made ready for the site.

GitHub takes a list or a table right below a paragraph, and a file's name behind a block's language; MkDocs takes neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BESIDE = {"README.md": "retold.md", "CONTRIBUTING.md": "contributing.md", "LICENSE": "LICENSE.txt"}
"""Files that stand outside of docs/, and their names on the site."""
FENCE = re.compile(r"(?ms)^(```)(\w*)([^\n]*)\n(.*?)^```$")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")
WIDER = ".md-grid { max-width: 76rem; }\n"
"""Room for code of 100 columns, as it is written here."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Folders in the navigation become their pages."""
    config.nav = _expanded(config.nav or [], Path(config.docs_dir))
    return config


def _expanded(entries: list[Any], docs: Path) -> list[Any]:
    return [
        {title: _pages(below, docs) for title, below in entry.items()} if isinstance(entry, dict) else entry
        for entry in entries
    ]


def _pages(below: str | list[Any], docs: Path) -> str | list[Any]:
    if isinstance(below, list):
        return _expanded(below, docs)
    if not below.endswith("/"):
        return below
    others = sorted(page.name for page in (docs / below).glob("*.md") if page.name != "README.md")
    return [below + name for name in ("README.md", *others)]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages beside docs/ join the others."""
    for name, page in BESIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_from_root(text)))
    files.append(File.generated(config, "assets/wider.css", content=WIDER))
    return files


def _from_root(text: str) -> str:
    """Links of a page of the root, as they lead from docs/."""
    for name, page in BESIDE.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text.replace("](docs/", "](")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Blocks get titles, lists and tables an empty line above, links to the pages beside docs/ their new names."""
    pieces, end = list[str](), 0
    for fence in FENCE.finditer(markdown):
        pieces += [_prose(markdown[end : fence.start()]), _fence(*fence.groups())]
        end = fence.end()
    return "".join([*pieces, _prose(markdown[end:])])


def _prose(text: str) -> str:
    for name, page in BESIDE.items():
        text = text.replace(f"](../{name}", f"]({page}")
    return "".join(_spaced(text.splitlines(keepends=True)))


def _spaced(lines: list[str]) -> Iterator[str]:
    """With an empty line between a paragraph or a heading and a list or a table right below it."""
    above = ""
    for line in lines:
        if (line.startswith("|") and not above.startswith("|")) or (ITEM.match(line) and not ITEM.match(above)):
            yield "\n" if above.strip() and not above.startswith(" ") else ""
        yield line
        above = line


def _fence(ticks: str, language: str, rest: str, body: str) -> str:
    """`rest` names a file: `excerpt tests/x.py`, or `shop/item.py append`; `background` names none."""
    files = [word for word in rest.split() if "." in word]
    title = f' title="{files[0]}"' if files else ""
    return f"\n{ticks}{language}{title}\n{body}{ticks}\n"
