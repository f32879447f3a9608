"""The code that a change is compared with, taken out of git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streams.cli.process.base_code import base_folder
from streams.errors import ConfigError


def git(project: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "pyproject.toml").write_text("[tool.retold]\n")
    commit(tmp_path)
    return tmp_path


def commit(project: Path) -> None:
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "x")


def test_a_revision_is_extracted_and_removed_again(project: Path) -> None:
    """With the files as they were then."""
    (project / "pyproject.toml").write_text("[tool.other]\n")
    with base_folder(project, "HEAD") as (folder, name):
        assert (folder / "pyproject.toml").read_text() == "[tool.retold]\n"
        assert name.startswith("HEAD (")
    assert not folder.exists()


def test_files_that_cannot_be_extracted_are_a_sentence(project: Path) -> None:
    """A link that leads out of the project is not made."""
    (project / "out").symlink_to("/etc")
    commit(project)
    with pytest.raises(ConfigError, match=r"HEAD .* cannot be extracted: .*absolute.*--base"), base_folder(project, "HEAD"):
        pass


def test_files_that_git_does_not_have_are_a_sentence(project: Path) -> None:
    """As in a clone without all objects."""
    blob = git(project, "rev-parse", "HEAD:pyproject.toml").strip()
    (project / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigError, match=r"the files of HEAD "), base_folder(project, "HEAD"):
        pass


def test_what_is_no_revision_is_a_sentence(project: Path) -> None:
    """And neither is what would be an option of git."""
    with pytest.raises(ConfigError, match="neither a folder nor a revision"), base_folder(project, "nowhere"):
        pass
    with pytest.raises(ConfigError, match="a revision or a folder was expected"), base_folder(project, "--all"):
        pass
