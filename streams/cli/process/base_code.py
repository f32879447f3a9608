"""The code that a change is compared with: a revision of the project, or another folder, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.engine.readable import named
from streams.errors import ConfigError

BRANCHES = ("origin/main", "main", "origin/master", "master")
"""Of which the first that there is, is the main branch."""
SECONDS, SECONDS_TO_END = 30.0, 10.0


@contextmanager
def base_folder(project: Path, base: str | None) -> Iterator[tuple[Path, str]]:
    """The folder of the project as it was, and what it is called. Raises ConfigError.

    `base` is a folder or a revision; None: where this branch left the main one. A revision is extracted, and removed again.
    """
    if base is not None and os.path.isdir(base):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        yield Path(base).resolve(), f"the folder {named(base)}"
        return
    revision, name = _revision(project, base)
    below = _git(project, "rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory(prefix="retold-base-") as temporary:
        _extract(Path(_git(project, "rev-parse", "--show-toplevel")), revision, name, temporary)
        found = Path(temporary) / below
        if not (found / "pyproject.toml").is_file():
            raise ConfigError(f"{name} has no pyproject.toml in {below or 'its root'}: the project was not there yet")
        yield found, name


def _extract(top: Path, revision: str, name: str, into: str) -> None:
    with subprocess.Popen(["git", "archive", "--format=tar", revision], cwd=top, stdout=subprocess.PIPE) as archive:
        assert archive.stdout is not None
        try:
            with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
                files.extractall(into, filter=_inside)
        except (tarfile.TarError, OSError) as error:
            raise ConfigError(
                f"the files of {name} cannot be extracted: {error}. Name a folder that has them with --base"
            ) from error
    if archive.returncode != 0:
        raise ConfigError(f"git could not give the files of {name}")


def _inside(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """As tarfile's own filter, but what points outside of the project is left out and no error."""
    try:
        return tarfile.data_filter(member, path)
    except tarfile.FilterError:
        return None


def _revision(project: Path, base: str | None) -> tuple[str, str]:
    if base is not None:
        if not base or base.startswith("-"):
            raise ConfigError(f"--base is {named(base)!r}; a revision or a folder was expected")
        wrong = f"{named(base)} is neither a folder nor a revision of git"
        revision = _git(project, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", wrong=wrong)
        return revision, f"{named(base)} ({revision[:9]})"
    nothing = (
        f"the repository of {named(str(project))} has no commit yet, so there is no revision to compare with. Name the folder "
        "of the other code with --base"
    )
    last = _git(project, "rev-parse", "--verify", "--quiet", "HEAD", wrong=nothing)
    for branch in BRANCHES:
        try:
            revision = _git(project, "merge-base", "HEAD", branch)
        except ConfigError:
            continue
        if revision != last:
            return revision, f"{branch} (where this branch left it: {revision[:9]})"
        break
    return last, f"the last commit ({last[:9]})"


def _git(project: Path, *words: str, wrong: str = "") -> str:
    try:
        found = subprocess.run(
            ["git", *words], cwd=project, capture_output=True, timeout=SECONDS, check=False,
            encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip
    except FileNotFoundError:
        raise ConfigError("git is not installed: name the folder of the other code with --base") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"git {words[0]} did not end within {SECONDS:.0f} s") from None
    if found.returncode != 0:
        why = found.stderr.strip().splitlines()
        if not any((folder / ".git").exists() for folder in (project, *project.parents)):
            raise ConfigError(
                f"{named(str(project))} is in no repository of git, so there is no revision to compare with. Name the folder "
                "of the other code with --base, such as a copy of what is deployed"
            )
        raise ConfigError(wrong or f"git {words[0]}: {named(why[0]) if why else 'it failed'}. Name the other code with --base")
    return found.stdout.removesuffix("\n")  # a folder's name may end with spaces


class CodeProcess:
    """The handlers of the project in a folder, in a process of their own, which leaving the block ends."""

    def __init__(self, folder: Path, python: str | None = None) -> None:
        try:
            self._process = subprocess.Popen(
                # -P: what lies in the folder hides none of the modules that retold imports
                [python or sys.executable, "-P", "-m", "streams.cli.process.code_process"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise ConfigError(f"{named(python or sys.executable)} cannot be started: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.requests, self.answers = self._process.stdin, self._process.stdout

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> CodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.requests, self.answers):
            with suppress(OSError):  # it has ended
                pipe.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
