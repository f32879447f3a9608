"""Which Python `make` and continuous integration take. What is tried are stand-ins, the only programs that there are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash") or "/bin/bash"
WORKS, BROKEN, SILENT = "echo works", "exit 1", "exit 0"
REAL = f'exec {sys.executable} "$@"'
MINOR = sys.version_info.minor
MAKES = """case $1 in
    -I) echo works ;;
    -m) mkdir -p .venv/bin && printf '#!/bin/sh' > .venv/bin/python && chmod +x .venv/bin/python ;;
esac"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def put(programs: Path, **bodies: str) -> None:
    """`python3_12` is the program python3.12."""
    for name, body in bodies.items():
        file = programs / name.replace("_", ".")
        file.write_text(f"#!{BASH}\n{body}\n")
        file.chmod(0o755)


def run(programs: Path, *command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(programs)}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def chosen(programs: Path, *names: str) -> str:
    done = run(programs, BASH, ".ci/python", *names)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_that_works_is_taken(programs: Path) -> None:
    """One that is broken, or says nothing, is passed over."""
    put(programs, python3_11=BROKEN, python3_12=SILENT, python3_13=WORKS, python3_14=WORKS)
    assert chosen(programs) == "python3.13"
    put(programs, python3_11=WORKS)
    assert chosen(programs) == "python3.11"


def test_a_python_is_what_its_name_says(programs: Path) -> None:
    """Else the tests would run on another than they say."""
    other = 11 if MINOR != 11 else 12
    put(programs, **{f"python3_{other}": REAL, f"python3_{MINOR}": REAL})
    assert chosen(programs) == f"python3.{MINOR}"
    done = run(programs, BASH, ".ci/python", f"python3.{other}")
    assert f"python3.{other} (is Python 3.{MINOR})" in done.stderr


def test_a_python_without_venv_is_not_taken(programs: Path) -> None:
    """As Debian's and Ubuntu's are, until python3-venv is installed."""
    without = f'exec {sys.executable} -I -c "import sys; sys.modules[\'ensurepip\'] = None; exec(sys.argv[1])" "$3" "$4"'
    put(programs, python3=without)
    done = run(programs, BASH, ".ci/python", "python3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "python3 (lacks ensurepip)" in done.stderr


def test_none_is_one_sentence(programs: Path) -> None:
    """What was tried, and what to install."""
    put(programs, python3_12=BROKEN)
    done = run(programs, BASH, ".ci/python")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "No Python works here: python3.11 (not found), python3.12 (does not run), python3.13 (not found), "
        "python3.14 (not found). Install one of 3.11 to 3.14 with venv (Debian and Ubuntu: apt-get install python3 "
        "python3-venv), or name yours: make PYTHON=/path/to/python setup\n"
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile and what it is built with, and nothing to install."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def linked(programs: Path, *names: str) -> str:
    """These programs are the machine's own; gives the path of the first."""
    for name in names:
        found = shutil.which(name)
        assert found is not None, f"this test needs {name}"
        (programs / name).symlink_to(found)
    return str(programs / names[0])


@pytest.mark.parametrize(("words", "taken"), [((), "python3.12"), (("PYTHON=mine",), "mine")])
def test_make_says_which_it_takes(programs: Path, project: Path, words: tuple[str, ...], taken: str) -> None:
    """The first that works, or the one that was named."""
    put(programs, python3_11=BROKEN, python3_12=MAKES, mine=MAKES)
    done = run(programs, linked(programs, "make", "bash", "mkdir", "chmod"), ".venv/bin/uv", *words, folder=project)
    assert (done.returncode, done.stdout) == (0, f"making .venv with {taken}\n"), done.stderr


def test_make_without_a_python_ends_with_the_sentence(programs: Path, project: Path) -> None:
    """And makes nothing."""
    put(programs, mine=BROKEN)
    done = run(programs, linked(programs, "make", "bash"), ".venv/bin/uv", "PYTHON=mine", folder=project)
    assert done.returncode != 0
    assert done.stderr.startswith("No Python works here: mine (does not run). Install ")
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(("there", "installed"), [(WORKS, ""), (BROKEN, "install -y -qq python3 python3-venv\n")])
def test_continuous_integration_installs_a_python_only_if_none_works(
    programs: Path, project: Path, there: str, installed: str
) -> None:
    """The distribution's own, whatever its version."""
    put(programs, python3_13=there, chromium="", make='echo "make $*"', **{"apt-get": '[[ $1 == update ]] || echo "$@"'})
    linked(programs, "bash", "dirname")
    done = run(programs, BASH, ".ci/run", folder=project)
    assert (done.returncode, done.stdout) == (0, f"{installed}make setup browser\nmake test\n"), done.stderr
