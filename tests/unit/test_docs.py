"""The documentation says what is there: what it names exists, and no setting, command or option is left out."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.process import exit_codes
from streams.config import SETTINGS, Setting
from streams.kafka.clients import RULED
from tests.support.commandline import commands, problem_of
from tests.support.source import parsed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS = [page for page in PAGES if page.name != "tutorial.md"]
"""The tutorial names files of the application that it makes; it is run as a whole."""
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
    for node in parsed(path).body:
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


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.relative_to(ROOT).as_posix())
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


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file is there, and the heading in it as GitHub names it."""
    file, _, heading = link.partition("#")
    target = page.parent / file if file else page
    if not heading or not target.exists():
        return target.exists()
    headings = re.findall(r"(?m)^#+ (.*)$", prose(target))
    return heading in {re.sub(r"[^\w\s-]", "", text.lower()).strip().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links inside the repository point at files and headings that are there."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    assert [link for link in links if not leads_somewhere(page, link)] == []


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
    """Also those that stand without their file, such as `Admission.take` in a paragraph about the engine."""
    spans = SPAN.findall(prose(ROOT / "docs" / page))
    named = {span for span in spans if re.fullmatch(r"[A-Z]\w*\.[a-z_]\w*|[A-Z]+[a-z]+[A-Z]\w*", span)}
    assert sorted(named - everything() - set(dir(builtins))) == []


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_as_it_is(setting: Setting) -> None:
    """The table of settings has a row for each, with today's default and words."""
    cells = (f"`{setting.name}`", f"`{setting.variable}`", setting.shown_default, setting.expected, setting.help)
    assert f"| {' | '.join(cells)} |" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()


def test_options_that_are_refused_are_documented() -> None:
    """Who reads the page need not find out by an error."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [option for option in sorted(RULED) if f"`{option}`" not in text] == []


def documented() -> dict[str, set[str]]:
    """The same, from the page: a heading names a command, the text below it the options. `--help` is everyone's."""
    found: dict[str, set[str]] = {}
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for heading, text in re.findall(r"(?ms)^### `(retold[^`]*)`$(.*?)(?=^##|\Z)", page):
        name = re.match(r"retold(?: [a-z]+(?:-[a-z]+)*)+", heading)
        assert name is not None, heading
        found.setdefault(name[0], set()).update(re.findall(r"`(--[a-z0-9-]+)", text))
    return found


def test_every_command_and_option_is_documented_and_no_other() -> None:
    """A new option without a word about it fails here, and so does a word about one that is gone."""
    real = {name: options - {"--help"} for name, options in commands().items()}
    assert documented() == real


BEFORE = r"(?:[A-Z_]+=\S+ |docker compose exec \w+ )*"
"""What may stand before a command: settings, and where to run it."""


def command_lines(page: Path) -> list[str]:
    """What a page says to type, in blocks and in sentences; `retold worker` in a table of words is one as well."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"(?ms)^```(?:console|sh)?[^\n]*\n(.*?)^```", text)
    typed = [line for block in blocks for line in re.findall(rf"(?m)^(?:\$ )?({BEFORE}retold .*)", block)]
    return typed + [span for span in re.findall(r"`([^`]+)`", prose(page)) if re.match(rf"{BEFORE}retold ", span)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_line_can_be_typed(page: Path) -> None:
    """A command and its long options exist, wherever a page names them."""
    lines = [re.sub(rf"^{BEFORE}", "", " ".join(line.split())) for line in command_lines(page)]
    words = [line.partition("#")[0].split() for line in lines]
    assert [problem for each in words if "COMMAND" not in each and (problem := problem_of(each))] == []


def test_every_exit_code_is_documented() -> None:
    """In the words of the table that the help is made of."""
    lines = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").splitlines()
    assert [code for code, meaning in exit_codes.MEANINGS.items() if f"| {code} | {meaning} |" not in lines] == []


def test_faust_lists_agents_and_tables_as_documented() -> None:
    """The commands on the page about Faust say today what the page says."""
    page = (ROOT / "docs" / "faust.md").read_text(encoding="utf-8")
    [block] = re.findall(r"(?ms)^```console$\n(.*?)^```$", page)
    steps = [step.split("\n", 1) for step in re.split(r"(?m)^\$ faust ", block)[1:]]
    faust = str(Path(sys.executable).with_name("faust"))
    asked = [
        subprocess.Popen([faust, *command.split()], cwd=ROOT, stdout=subprocess.PIPE, text=True) for command, _ in steps
    ]
    said = [process.communicate(timeout=240)[0] for process in asked]
    assert (said, [process.returncode for process in asked]) == ([expected for _, expected in steps], [0] * len(steps))


def test_the_readme_shows_the_handler_as_it_is() -> None:
    """What a newcomer sees first is code that runs, and short."""
    blocks = re.findall(r"(?ms)^```python$\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"))
    source = (ROOT / "processors" / "user.py").read_text(encoding="utf-8")
    assert [block in source for block in blocks] == [True]
    assert len(blocks[0].splitlines()) <= 12


def test_the_readme_and_the_changelog_name_every_command() -> None:
    """The table of commands has one row for each."""
    readme, changelog = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CHANGELOG.md"))
    names = {name.split()[1] for name in commands()}
    assert [name for name in sorted(names) if f"`retold {name}" not in readme] == []
    [listed] = re.findall(r"The command `retold`: `([a-z -]+)`", changelog)
    assert set(listed.split()) == names


def test_every_page_is_listed() -> None:
    """The index of the documentation links each page; a folder has an index of its own."""
    folder = ROOT / "docs"
    folders = {f"{it.parent.name}/README.md" for it in folder.glob("*/*.md")}
    pages = {it.name for it in folder.glob("*.md")} - {"README.md"} | folders
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [page for page in sorted(pages) if f"]({page})" not in text] == []


def test_every_decision_is_listed() -> None:
    """The list of decisions links each file beside it."""
    folder = ROOT / "docs" / "adr"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert [it.name for it in sorted(folder.glob("0*.md")) if f"]({it.name})" not in text] == []


def test_the_glossary_is_sorted_and_short() -> None:
    """One looks up a word there; more than two lines are for the page that it links."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"(?ms)^- \*\*(.+?)\*\*(.*?)(?=^- |\Z)", text)
    names = [name.lower() for name, _ in entries]
    assert (names, len(names) > 30) == (sorted(names), True)
    assert [name for name, entry in entries if entry.count("\n") > 2 or "](" not in entry] == []


@pytest.mark.parametrize("words", ["what happened, and what followed from it", "In numbers", "How long it took"])
def test_the_readme_shows_what_the_demo_says(words: str) -> None:
    """The demo's titles are those that the README promises."""
    said = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ops").glob("demo_*.py"))
    assert words in said
    assert words in (ROOT / "README.md").read_text(encoding="utf-8")
