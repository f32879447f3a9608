"""The code that a change is compared with, from git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streams.cli.process.base_code import base_folder
from streams.errors import ConfigError


def git(project: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True, text=True).stdout.strip()


def a_project(folder: Path, *, below: str = ".") -> Path:
    """A repository with a commit."""
    (folder / below).mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / below / "pyproject.toml").write_text("")
    (folder / "notes").write_text("some")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return folder / below


@pytest.mark.parametrize(("name", "below"), [("plain", "."), ("trailing ", "."), ("a b", "c d "), ("folder", "ö\udcff")])
def test_a_revision_is_extracted(tmp_path: Path, name: str, below: str) -> None:
    """Whatever its folder is called; what was left behind is gone again."""
    with base_folder(a_project(tmp_path / name, below=below), "main") as (folder, called):
        assert (folder / "pyproject.toml").is_file()
        assert called.startswith("main (")
    assert not folder.exists()


def test_a_link_to_elsewhere_is_left_out(tmp_path: Path) -> None:
    """And the rest is there."""
    project = a_project(tmp_path / "links")
    (project / "absolute").symlink_to("/etc/hostname")
    (project / "outside").symlink_to("../../elsewhere")
    (project / "inside").symlink_to("notes")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=links")
    with base_folder(project, None) as (folder, _):
        assert sorted(it.name for it in folder.iterdir()) == ["inside", "notes", "pyproject.toml"]


@pytest.mark.parametrize("base", ["", "-x", "a" * 5000, "HEAD..HEAD", "HEAD:notes", "\x1b[31m"])
def test_what_is_no_revision_is_refused(tmp_path: Path, base: str) -> None:
    """An empty one too: it is no name for the current folder."""
    project = a_project(tmp_path / "project")
    words = r"a revision or a folder was expected|neither a folder nor a revision"
    with pytest.raises(ConfigError, match=words) as refused, base_folder(project, base):
        pass
    assert "\x1b" not in str(refused.value)


def test_a_repository_that_lacks_files_is_refused(tmp_path: Path) -> None:
    """By a sentence."""
    project = a_project(tmp_path / "damaged")
    blob = git(project, "rev-parse", "HEAD:notes")
    (project / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigError, match=r"the files of the last commit .*cannot be extracted"), base_folder(project, None):
        pass


def test_without_a_repository_or_a_commit_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words of ours, whatever language git speaks."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    plain = tmp_path / "plain"
    plain.mkdir()
    for base in (None, "main"):
        with pytest.raises(ConfigError, match=r"plain is in no repository of git.*Name the folder"), base_folder(plain, base):
            pass
    git(plain, "init", "--quiet")
    with pytest.raises(ConfigError, match=r"has no commit yet.*Name the folder"), base_folder(plain, None):
        pass
