"""What the type checker says of programs that use the public API wrongly: one file of tests/types/ a program.

A wrong line ends in `# wrong: <mypy's error code>`. The Python of the reference and of the how-to pages is right.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

from tests.support.pages import blocks

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "tests/types").glob("*.py"))
FOLDERS = (ROOT / "docs" / "reference", ROOT / "docs" / "howto")
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md")) if blocks(page)]
ERROR = re.compile(r"(?P<file>.+?):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]$")
EXPECTED = re.compile(r"# wrong: ([a-z-]+)$")

Errors = list[tuple[int, str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Errors]:
    """The errors in each program, by file name: line and code. A page's blocks are one program."""
    folder = tmp_path_factory.mktemp("pages")
    for page in PAGES:
        (folder / program_of(page)).write_text("\n".join(blocks(page)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        options = ["--strict", "--namespace-packages", "--explicit-package-bases", "--no-error-summary", "--no-pretty"]
        report, complaint, _ = api.run([*options, "tests/types", str(folder)])
    assert complaint == ""
    errors: dict[str, Errors] = {}
    for match in filter(None, map(ERROR.match, report.splitlines())):
        if (ROOT / match["file"]).parent in (ROOT / "tests/types", folder):
            errors.setdefault(Path(match["file"]).name, []).append((int(match["line"]), match["code"]))
    return errors


def program_of(page: Path) -> str:
    return f"{page.parent.name}_{page.stem.replace('-', '_')}_page.py"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_each_wrong_program_is_reported_where_it_is_wrong(program: Path, found: dict[str, Errors]) -> None:
    """Run strictly, mypy reports exactly the lines that are marked as wrong, and nothing in the right program."""
    lines = enumerate(program.read_text().splitlines(), start=1)
    expected = [(number, match[1]) for number, line in lines if (match := EXPECTED.search(line))]
    assert found.get(program.name, []) == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_what_a_page_shows_passes_strictly(page: Path, found: dict[str, Errors]) -> None:
    """An application and its tests, written as documented, give the type checker nothing to say."""
    assert found.get(program_of(page), []) == []


def test_every_wrong_program_is_there() -> None:
    """The mistakes that the types promise to catch each have a program; only one program is right."""
    wrong = {path.stem for path in PROGRAMS if "# wrong:" in path.read_text()}
    promised = {"wrong_event_class", "wrong_row_class", "forgotten_none", "mutated_row", "misspelt_field"}
    assert promised | {"mismatched_gateway"} <= wrong
    assert {path.stem for path in PROGRAMS} - wrong == {"right"}
