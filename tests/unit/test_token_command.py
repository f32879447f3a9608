"""`retold token`: tokens are made, listed and revoked, and the rest of the file stays as somebody wrote it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ConfigError
from streams.server.access.principal import digest_of
from streams.server.access.token_edit import parsed, with_entry, without_entry
from streams.server.access.token_file import TokenEntry
from tests.unit.test_cli import Project, demo, project

__all__ = ["demo", "project"]  # fixtures


@pytest.fixture
def here(demo: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("RETOLD_HTTP_TOKENS", "tokens.toml")
    return demo


def file_of(here: Project) -> Path:
    return here.folder / "tokens.toml"


def test_a_token_is_printed_once_and_kept_as_a_digest(here: Project) -> None:
    """The file is for its owner alone."""
    said = here.retold("token", "new", "web", "--publish", "user.signup", "--publish", "folder.*", "--read", "rows/user")
    token = said.out.strip()
    assert (said.code, token[:4], len(token)) == (0, "rtd_", 47)
    [entry] = tomllib.loads(file_of(here).read_text())["principal"]
    assert entry == {
        "name": "web", "sha256": digest_of(token.encode()).hex(), "publish": ["user.signup", "folder.*"], "read": ["rows/user"],
    }  # fmt: skip
    assert file_of(here).stat().st_mode & 0o077 == 0
    assert token not in file_of(here).read_text() + said.err


def test_every_right_can_be_given(here: Project) -> None:
    """Those of an entry that are not options are for who edits the file."""
    rights = {"publish": ["*"], "read": ["*"], "operate": ["user"], "correct": ["user", "email"]}
    words = [word for name, values in rights.items() for value in values for word in (f"--{name}", value)]
    assert here.retold("token", "new", "web", "--admin", *words).code == 0
    [entry] = tomllib.loads(file_of(here).read_text())["principal"]
    by_hand = {"name", "sha256", "sub", "rate", "only", "publish_only"}
    assert entry.keys() - by_hand == {*TokenEntry.__struct_fields__} - by_hand
    assert {name: entry[name] for name in rights} == rights


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('publish = ["user.singup"]', ["'shop'", "line 4", "user.singup"]),
        ("reed = []", ["line 7", "`reed`"]),
        ("publish = 7", ["line 7", "publish"]),
        ("rate = -1", ["line 7", "rate"]),
        ("publish = x", ["line 7"]),
    ],
)
def test_a_wrong_entry_is_said_with_its_line(here: Project, wrong: str, words: list[str]) -> None:
    """Of the entry, or of what stands in it; entries that are good are listed if all of them can be read."""
    entries = (f'[[principal]]\nname = "{name}"\nsha256 = "{digit * 64}"\n' for name, digit in (("web", "1"), ("shop", "2")))
    first, second = entries
    file_of(here).write_text(f"{first}{second}{wrong}\n\n")
    file_of(here).chmod(0o600)
    said = here.retold("token", "list")
    assert (said.code, [it for it in words if it not in " ".join(said.err.split())]) == (3, []), said.err
    assert ("web" in said.out) == ("singup" in wrong)


def test_rights_are_checked_before_anything_is_written(here: Project) -> None:
    """A misspelt one, a name that is there already, and a condition that is none."""
    assert here.retold("token", "new", "web", "--admin").code == 0
    before = file_of(here).read_text()
    for words, expected, code in (
        (["new", "shop", "--publish", "user.singup"], "user.signup", 3),
        (["new", "web"], "twice", 3),
        (["new", "a b"], "characters", 3),
        (["new", "shop", "--only", "user"], "a colon", 2),
        (["new", "shop", "--only", "user:plan=free", "--only", "user:plan=pro"], "twice", 2),
        (["new", "shop", "--only", "user:paln=free"], "plan", 3),
    ):
        said = here.retold("token", *words)
        assert (said.code, said.out, expected in said.err) == (code, "", True), said.err
    assert file_of(here).read_text() == before


def test_tokens_are_listed_without_their_digests(here: Project) -> None:
    """As a table for a person, as JSON for a program."""
    here.retold("token", "new", "web", "--read", "rows/user", "--only", "user:plan=free")
    assert "plan=free" in here.retold("token", "list").out
    listed = json.loads(here.retold("token", "list", "--json").out)
    assert (listed["name"], listed["only"], "sha256" in listed) == ("web", {"user": "plan=free"}, False)


def test_a_revoked_token_is_gone_and_the_others_stay(here: Project) -> None:
    """With comments, and with the mode of the file."""
    for name in ("web", "shop", "till"):
        here.retold("token", "new", name)
    file = file_of(here)
    file.write_text(file.read_text().replace('[[principal]]\nname = "till"', '# the till\n[[principal]]\nname = "till"'))
    file.chmod(0o640)
    assert here.retold("token", "revoke", "shop").code == 0
    assert [it.name for it in parsed(file.read_text()).principal] == ["web", "till"]
    assert ("# the till" in file.read_text(), file.stat().st_mode & 0o777) == (True, 0o640)
    said = here.retold("token", "revoke", "tell")
    assert (said.code, "till" in said.err) == (3, True)
    assert [it.name for it in here.folder.iterdir() if it.name.startswith("tokens")] == ["tokens.toml"]


def test_what_is_no_principal_stays(here: Project) -> None:
    """The last one ends where the issuer of other tokens begins."""
    here.retold("token", "new", "web", "--only", "user:plan=free")
    file, issuer = file_of(here), '\n[jwt]\nissuer = "https://id.example"\naudience = "retold"\n\n[role.support]\nread = ["*"]\n'
    file.write_text(file.read_text() + issuer)
    assert here.retold("token", "revoke", "web").code == 0
    assert file.read_text().strip() == issuer.strip()


def test_without_the_setting_it_says_how_to_set_it(demo: Project) -> None:
    """There is no file by default: a server would take one that somebody forgot."""
    said = demo.retold("token", "list")
    assert (said.code, "RETOLD_HTTP_TOKENS" in said.err) == (3, True)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ENTRIES = st.builds(
    TokenEntry, name=TEXTS, sha256=TEXTS, publish=st.tuples(TEXTS), read=st.lists(TEXTS, max_size=2).map(tuple),
    admin=st.booleans(), only=st.dictionaries(TEXTS, TEXTS, max_size=2),
)  # fmt: skip


@given(st.lists(ENTRIES, max_size=4, unique_by=lambda it: it.name), st.data())
def test_the_file_is_what_its_entries_say(entries: list[TokenEntry], data: st.DataObject) -> None:
    """Whatever is in them: it reads as what was written, and without one as the others."""
    text = "# principals\n"
    for each in entries:
        text = with_entry(text, each)
    assert [*parsed(text).principal] == entries
    if entries:
        gone = data.draw(st.sampled_from(entries))
        assert [*parsed(without_entry(text, gone.name)).principal] == [it for it in entries if it != gone]


def test_an_entry_that_cannot_be_cut_out_is_left_alone() -> None:
    """Written as an inline list, or with a header inside of a text, it is for a person."""
    other = 'principal = [{name = "a", sha256 = "x"}, {name = "b", sha256 = "y"}]\n'
    inside = '[[principal]]\nname = "a"\nsha256 = """\n[[principal]]"""\n'
    for text in (other, inside):
        with pytest.raises(ConfigError, match="editor"):
            without_entry(text, "a")
