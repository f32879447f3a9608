"""The file of principals: what is in it, what is refused, and that it is read again when it changes."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config import Config, load
from streams.errors import ConfigError
from streams.private_files import make_private
from streams.server.access.console_secret import FILE, console_secret
from streams.server.access.principal import Principal, Right, covers
from streams.server.access.principals import Principals
from streams.server.listen import listen
from tests.applications import bank, shop
from tests.support.memory_server import MemoryServer
from tests.support.tokens import token_of, write_tokens

APP = shop.app()
ENTRY = 'name = "web"\nsha256 = "' + "0" * 64 + '"\n'


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return replace(load({"RETOLD_STATE": str(tmp_path / "state")}, tmp_path), http_tokens=tmp_path / "tokens.toml", http_port=0)


def file_of(config: Config) -> Path:
    assert config.http_tokens is not None
    return config.http_tokens


def put(config: Config, text: str) -> None:
    """As an editor saves it."""
    new = file_of(config).with_suffix(".editor")
    new.write_text(text)
    new.rename(file_of(config))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[principal]", ["tokens.toml", "cannot be used"]),
        ("\xff", ["cannot be used"]),
        ('[[principal]]\nname = "web"\n', ["sha256", "principal[0]"]),
        (f"[[principal]]\n{ENTRY}publsh = []\n", ["publsh"]),
        ("[[principals]]\n", ["principals"]),
        (f"[[principal]]\n{ENTRY.replace('web', 'a b')}", ["'a b'", "characters"]),
        (f"[[principal]]\n{ENTRY.replace('web', 'token')}", ["'token'", "retold's own"]),
        (f"[[principal]]\n{ENTRY.replace('web', 'loopback')}", ["retold's own"]),
        (f"[[principal]]\n{ENTRY.replace('0000', 'zzzz')}", ["digest"]),
        (f"[[principal]]\n{ENTRY}\n[[principal]]\n{ENTRY}", ["'web'", "twice"]),
        (f"[[principal]]\n{ENTRY}\n[[principal]]\n{ENTRY.replace('web', 'shop')}", ["'shop'", "of another one"]),
        (f'[[principal]]\n{ENTRY}publish = ["order.plaice"]', ["'web'", "order.plaice", "order.place"]),
        (f'[[principal]]\n{ENTRY}publish = ["or*"]', ["or*"]),
        (f'[[principal]]\n{ENTRY}publish = "order.place"', ["publish", "array"]),
        (f'[[principal]]\n{ENTRY}read = ["order"]', ["'order'", "rows/order"]),
        (f'[[principal]]\n{ENTRY}read = ["rows/orders"]', ["rows/orders", "rows/order"]),
        (f'[[principal]]\n{ENTRY}read = ["views/orders"]', ["views/orders", "views/orders-of"]),
        (f'[[principal]]\n{ENTRY}operate = ["orders"]', ["'orders'", "order"]),
        (f'[[principal]]\n{ENTRY}correct = ["nowhere"]', ["'nowhere'"]),
        (f'[[principal]]\n{ENTRY}admin = "yes"', ["admin", "bool"]),
        ("#" * (1024 * 1024 + 1), ["bytes"]),
    ],
)
def test_what_is_wrong_in_the_file_is_a_sentence(config: Config, text: str, words: list[str]) -> None:
    """With the principal, the value, and what was expected: a misspelt right would grant nothing in silence."""
    file_of(config).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        Principals(config, APP)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_file_that_is_not_there_or_that_others_write_is_refused(config: Config) -> None:
    """Whoever may write it has every right."""
    with pytest.raises(ConfigError, match=r"tokens\.toml.*cannot be used"):
        Principals(config, APP)
    write_tokens(file_of(config), {}).chmod(0o664)
    with pytest.raises(ConfigError, match="chmod go-w"):
        Principals(config, APP)


def test_a_change_of_the_file_counts_at_once(config: Config) -> None:
    """A new token is taken, one that is gone is not, and neither is that of another principal."""
    write_tokens(file_of(config), {"web": {}, "shop": {"admin": True}})
    principals = Principals(config, APP)
    held, shop_before = principals.of_token(token_of("web").encode()), principals.named("shop")
    assert held is not None
    web = held.principal
    assert web.name == "web"
    assert principals.of_token(token_of("batch").encode()) is None
    write_tokens(file_of(config), {"shop": {}, "batch": {}})
    assert principals.of_token(token_of("web").encode()) is None
    assert principals.of_token(token_of("batch").encode()) is not None
    assert shop_before is not None
    assert not principals.is_current(shop_before), "it has lost a right"
    assert not principals.is_current(web)


def test_a_file_that_does_not_read_any_more_changes_nothing(config: Config) -> None:
    """It is said, and over when the file reads again; of a file that is gone nobody has access."""
    write_tokens(file_of(config), {"web": {}})
    principals, token = Principals(config, APP), token_of("web").encode()
    put(config, "[[principal]")
    assert principals.of_token(token) is not None
    assert "stay as they were" in principals.fault
    write_tokens(file_of(config), {"web": {}, "shop": {}})
    assert (principals.of_token(token) is not None, principals.fault) == (True, "")
    file_of(config).unlink()
    assert principals.of_token(token) is None
    assert "nobody in it has access" in principals.fault


def test_nobody_is_found_by_no_token(config: Config) -> None:
    """Nor by a digest, which the file shows to whoever reads it."""
    write_tokens(file_of(config), {"web": {}})
    principals = Principals(replace(config, http_token="t" * 16), APP)
    web = principals.named("web")
    assert web is not None
    for shown in (b"", web.digest, web.digest.hex().encode(), b"web"):
        assert principals.of_token(shown) is None
    own = principals.of_token(b"t" * 16)
    assert own is not None
    assert own.principal.name == "token"
    assert principals.local() is None


def test_a_file_of_principals_lets_a_server_listen_to_others(config: Config) -> None:
    """As RETOLD_HTTP_TOKEN does; without either it is refused."""
    write_tokens(file_of(config), {})
    listen(replace(config, http_host="0.0.0.0")).close()
    with pytest.raises(ConfigError, match="RETOLD_HTTP_TOKENS"):
        listen(replace(config, http_host="0.0.0.0", http_tokens=None))


def test_a_server_without_a_token_makes_a_secret_once(config: Config) -> None:
    """For cookies: nobody else may read it, a broken one is made anew, and it is none of the file of principals."""
    made = console_secret(config)
    file = config.state / FILE
    assert (console_secret(config), len(made), file.stat().st_mode & 0o077) == (made, 43, 0)
    assert [it.name for it in config.state.iterdir()] == [FILE]
    file.write_text("short")
    assert len(console_secret(config)) == 43
    assert console_secret(replace(config, http_token="t" * 16)) == b"t" * 16


def test_a_server_whose_secret_cannot_be_kept_answers(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that is full, or a folder that is gone, made each request of any kind a fault. No half of a file is left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    make_private(config.state)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        made = console_secret(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (len(made), [*config.state.iterdir()], "cannot be kept (File too large)" in caplog.text) == (43, [], True)
    assert len(console_secret(config)) == 43
    assert (config.state / FILE).exists()


def test_a_server_makes_its_secret_before_it_answers(tmp_path: Path) -> None:
    """And not at the first request, when the disk may be full."""
    with MemoryServer(bank.app(), tmp_path) as server:
        assert "console_secret" in vars(server.parts)


NAMES = st.sampled_from(["order.place", "orders.place", "rows/order", "rows/orders", "rows/order/x", "order", "*", ""])


@given(NAMES, NAMES)
def test_a_pattern_covers_itself_and_what_is_below_it(pattern: str, name: str) -> None:
    """No other name, however alike."""
    below = name.startswith(f"{pattern}/")
    assert covers(pattern, name) == (pattern == "*" or pattern == name or below)
    assert covers("*", name)
    assert covers(f"{pattern}.*", f"{pattern}.{name}")
    assert not covers("order.*", name) or name.startswith("order.")


def test_a_right_is_of_its_kind_alone() -> None:
    """Who may read everything may publish nothing; who may do everything else does not look after the server."""
    all_ = ("*",)
    assert not Principal("a", read=all_).may(Right("publish", "order.place"))
    assert not Principal("a", publish=all_, read=all_, operate=all_, correct=all_).may(Right("admin"))
    assert not Principal("a", read=("rows/*", "events/*", "projections/*", "views/*")).may(Right("read", "*"))
