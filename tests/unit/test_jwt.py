"""JSON Web Tokens of an issuer: whose they are, what they may do, and what is refused."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jwt

from streams.config import load
from streams.errors import ConfigError
from streams.server.access.jwt_keys import AGAIN, FETCH_SECONDS, KEPT, AddressKeys, body_of, fetch, keys_of
from streams.server.access.principal import Right
from streams.server.access.principals import Principals, is_jwt
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace
from tests.support.memory_server import MemoryServer
from tests.support.workers import until
from tests.unit.test_console import BROWSER, page_of

ISSUER, AUDIENCE = "https://id.example", "retold"
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"}, private=True)
OTHER = jwk.ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
SIGNED_BY = {"ES256": EC, "RS256": RSA, "Ed25519": ED}
ROLES = """
[role.support]
read = ["*"]
operate = ["order"]

[role.customer]
read = ["rows/order", "events/order"]
publish = ["order.place"]
only = { order = "customer={sub}" }
publish_only = { "order.place" = "customer={sub}" }
"""


def key_set(*keys: Any, private: bool = False) -> bytes:
    return json.dumps({"keys": [it.as_dict(private=private) for it in keys]}).encode()


def token(key: Any = EC, alg: str = "ES256", kid: str | None = None, **claims: object) -> str:
    """A good one, but for these claims; None takes one away."""
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "c7", "exp": int(time.time()) + 600, "roles": ["customer"], **claims}
    header = {"alg": alg} | ({} if kid == "" else {"kid": kid or key.kid})
    return jwt.encode(header, {name: it for name, it in given.items() if it is not None}, key, algorithms=[alg])


def write(folder: Path, roles: str = ROLES, keys: bytes | None = None) -> Path:
    (folder / "keys.json").write_bytes(keys or key_set(EC, RSA, ED))
    new = folder / "tokens.new"
    new.write_text(f'[jwt]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\nkeys = "keys.json"\n{roles}')
    new.chmod(0o600)
    return new.rename(folder / "tokens.toml")


def principals_in(folder: Path) -> Principals:
    return Principals(replace(load({}, folder), http_tokens=folder / "tokens.toml"), shop.app())


@pytest.fixture(scope="module")
def principals(tmp_path_factory: pytest.TempPathFactory) -> Principals:
    folder = tmp_path_factory.mktemp("tokens")
    write(folder)
    return principals_in(folder)


@pytest.mark.parametrize("alg", SIGNED_BY)
def test_a_token_has_the_rights_of_its_role(principals: Principals, alg: str) -> None:
    """Its principal is named after its subject, which its conditions are about, and lasts as long as it does."""
    found = principals.of_token(token(SIGNED_BY[alg], alg, aud=["other", AUDIENCE]).encode())
    assert found is not None
    principal = found.principal
    assert (principal.name, principal.bounded) == ("jwt:c7", True)
    assert (principal.may(Right("publish", "order.place")), principal.may(Right("operate", "order"))) == (True, False)
    assert [it.value for it in principal.only["order"]] == ["c7"]
    assert 0 < found.until - time.time() <= 660
    assert principals.is_current(principal)


def test_the_first_role_of_the_file_counts(principals: Principals) -> None:
    """Two roles together would show what neither does; one that the file does not have gives nothing."""
    found = principals.of_token(token(roles=["x", "customer", "support"]).encode())
    assert found is not None
    assert found.principal.may(Right("operate", "order"))
    assert principals.of_token(token(roles="customer").encode()) is not None


NOW = int(time.time())


@pytest.mark.parametrize(
    "shown",
    [
        token(iss="https://id.elsewhere"), token(iss=None), token(aud="other"), token(aud=None), token(exp=NOW - 120),
        token(exp=None), token(exp="soon"), token(sub=None), token(sub=""), token(sub=7), token(sub="c7\n"), token(sub="c" * 300),
        token(nbf=NOW + 86_400), token(roles=None), token(roles=["admin"]), token(roles=7), token(kid=""), token(kid="ed"),
        token(kid="unknown"), token(OTHER), token(x="y" * 9_000),
        token(jwk.import_key(EC.as_dict(private=True), "EC", {"kid": "ec"}), "ES256")[:-4] + "AAAA",
        token(jwk.OctKey.import_key(key_set(EC)), "HS256", "ec"),
        token(jwk.RSAKey.import_key(RSA.as_dict(private=True)), "PS256", "rsa"), token(RSA, "RS512"),
        "eyJhbGciOiJub25lIiwia2lkIjoiZWMifQ." + token().split(".")[1] + ".", "ey.ey.ey", token() + ".x", token() + "\n",
    ],
)  # fmt: skip
def test_any_other_token_is_nobodys(principals: Principals, shown: str) -> None:
    """Of another issuer or audience, past, without a claim that it needs, by another key or algorithm, or changed."""
    assert principals.of_token(shown.encode()) is None


@given(st.binary(max_size=60) | st.text().map(lambda it: f"ey{it}.{it}.{it}".encode()))
def test_whatever_somebody_sends_is_refused(principals: Principals, shown: bytes) -> None:
    """In silence, and without an error."""
    assert principals.of_token(shown) is None


def test_a_token_that_was_taken_ends_all_the_same(tmp_path: Path) -> None:
    """It is not verified again each time; its end and that of its role count at once."""
    write(tmp_path)
    now = int(time.time())
    principals, shown = principals_in(tmp_path), token(exp=now + 30).encode()
    verifier: Any = principals._verifier
    found = principals.of_token(shown)
    assert found is not None
    verifier._clock = lambda: now + 89.0
    assert principals.of_token(shown) is not None, "clocks may differ by a minute"
    verifier._clock = lambda: now + 91.0
    assert principals.of_token(shown) is None
    write(tmp_path, ROLES.replace('publish = ["order.place"]\n', ""))
    assert not principals.is_current(found.principal)


def test_keys_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    """A new key is taken, and one that is gone is not; a file that does not read leaves those that there were."""
    write(tmp_path)
    principals = principals_in(tmp_path)
    assert principals.of_token(token(OTHER).encode()) is None
    (tmp_path / "keys.json").write_bytes(key_set(OTHER))
    assert principals.of_token(token(OTHER, sub="c8").encode()) is not None
    assert principals.of_token(token(ED, "Ed25519").encode()) is None
    (tmp_path / "keys.json").write_bytes(b"{")
    assert principals.of_token(token(OTHER, sub="c9").encode()) is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "no set of keys"), (b"[]", "no set of keys"), (b'{"keys": [{"kty": "EC"}]}', "no set of keys"),
        (b'{"keys": []}', "no public key"), (key_set(EC, private=True), "private key"),
        (b'{"keys": [{"kty": "oct", "kid": "a", "k": "x"}]}', "no public key"),
    ],
)  # fmt: skip
def test_keys_that_are_none_are_refused(content: bytes, words: str) -> None:
    """A private one, too: whoever reads it makes tokens."""
    with pytest.raises(ConfigError, match=words):
        keys_of(content, "keys.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keys": "http://id.example/keys"}, "https"), ({"keys": "gone.json"}, "cannot be read"),
        ({"issuer": "id.example", "keys": ""}, "https"), ({"claims": "x"}, "claims"),
    ],
)  # fmt: skip
def test_what_is_wrong_about_the_issuer_is_a_sentence(tmp_path: Path, change: Mapping[str, str], words: str) -> None:
    """When the server starts."""
    write(tmp_path)
    entry = {"issuer": ISSUER, "audience": AUDIENCE, "keys": "keys.json"} | dict(change)
    (tmp_path / "tokens.toml").write_text("[jwt]\n" + "".join(f'{name} = "{it}"\n' for name, it in entry.items()))
    with pytest.raises(ConfigError, match=words):
        principals_in(tmp_path)


class Issuer:
    """Answers instead of the network, and counts how often."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked = list[str]()

    def fetch(self, address: str) -> bytes:
        self.asked.append(address)
        if address not in self.answers:
            raise OSError("no route")
        return self.answers[address]


def settled() -> None:
    until(lambda: not any(it.name == "jwt keys" for it in threading.enumerate()), "the keys are asked for still")


def test_keys_of_an_address_are_asked_for_again_in_measure() -> None:
    """After an hour, and for a key that is not known at most once a minute, whatever is sent; a failure leaves what there is."""
    issuer, now = Issuer(), 0.0
    found = f"{ISSUER}/.well-known/openid-configuration"
    issuer.answers = {found: json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}).encode(), f"{ISSUER}/keys": key_set(EC)}
    keys = AddressKeys(ISSUER, "", issuer.fetch, lambda: now, wait=60)
    assert (keys.get("ec") is not None, issuer.asked) == (True, [found, f"{ISSUER}/keys"])
    for _ in range(50):
        assert keys.get("ed") is None
    now = AGAIN
    issuer.answers[f"{ISSUER}/keys"] = key_set(ED)
    keys.get("ed")
    settled()
    for _ in range(50):
        assert (keys.get("ed") is not None, keys.get("ec")) == (True, None)
    assert len(issuer.asked) == 4
    now, issuer.answers = AGAIN + KEPT + 1, {}
    assert keys.get("ed") is not None
    settled()
    assert (keys.get("ed") is not None, len(issuer.asked)) == (True, 5)


def test_an_issuer_that_names_another_one_is_not_believed() -> None:
    """Nor is an address without TLS asked."""
    issuer = Issuer()
    issuer.answers = {f"{ISSUER}/.well-known/openid-configuration": b'{"issuer": "https://id.elsewhere", "jwks_uri": "https://x"}'}
    assert AddressKeys(ISSUER, "", issuer.fetch, wait=60).get("ec") is None
    with pytest.raises(ValueError, match="https"):
        fetch("http://127.0.0.1:1/keys")


def test_no_request_waits_for_an_issuer(tmp_path: Path) -> None:
    """Its tokens are refused until its keys are here: an issuer that is slow would hold up everybody."""
    write(tmp_path)
    principals = principals_in(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = (tmp_path / "tokens.toml").read_text()
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/keys"
        (tmp_path / "tokens.toml").write_text(text.replace('"keys.json"', f'"{address}"'))
        begin = time.monotonic()
        assert principals.of_token(token().encode()) is None
        assert time.monotonic() - begin < FETCH_SECONDS / 2
    assert principals.fault == ""
    may_answer = threading.Event()

    def fetch_slowly(address: str) -> bytes:
        may_answer.wait(60)
        return key_set(EC)

    keys = AddressKeys(ISSUER, f"{ISSUER}/keys", fetch_slowly)
    assert keys.get("ec") is None
    may_answer.set()
    until(lambda: keys.get("ec") is not None, "the keys are not here")
    settled()


def test_an_answer_that_comes_bit_by_bit_is_given_up() -> None:
    """It would never end, though no read of it takes long."""
    now = 0.0

    class Dripping:
        def read1(self, size: int, /) -> bytes:
            nonlocal now
            now += 1.0
            return b" "

    with pytest.raises(TimeoutError, match="6 bytes"):
        body_of(Dripping(), lambda: now)
    assert body_of(io.BytesIO(b"{}")) == b"{}"


def test_a_server_takes_tokens_of_an_issuer(tmp_path: Path) -> None:
    """In requests, streams and the console, with the rows of their subject; a role that changes ends what it had."""
    tokens = write(tmp_path)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server:
        for number, customer in ((1, "c7"), (2, "c8")):
            server.kafka.publish(OrderPlace(order=f"o{number}", customer=customer, lines=(Line(sku="x", quantity=1),)))
        shown = token()
        headers = {"Authorization": f"Bearer {shown}"}
        assert [it["key"] for it in server.http.get("/rows/order", headers=headers).json()["rows"]] == ["o1"]
        assert server.http.get("/rows/order", headers={"Authorization": f"Bearer {token(OTHER)}"}).status_code == 401
        with httpx.Client(base_url=server.http.base_url, headers=BROWSER) as browser:
            assert browser.post("/-/login", data={"token": shown, "next": "/"}).status_code == 303
            assert "o1" in page_of(browser.get("/rows/order")).text
        with server.http.stream("GET", "/live/order", headers=headers) as stream:
            assert stream.status_code == 200
            until(lambda: server.parts.watching, "nobody watches")
            write(tmp_path, "[role.support]\nread = [\"*\"]\n")
            until(lambda: not server.parts.watching, "the stream goes on")
        assert server.http.get("/rows/order", headers=headers).status_code == 401


def test_a_token_that_no_cookie_holds_is_told(tmp_path: Path) -> None:
    """A browser would drop it in silence, and be asked to log in again and again."""
    tokens = write(tmp_path)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server:
        long = token(x="y" * 3_000)
        got = server.http.post("/-/login", data={"token": long, "next": "/"})
        assert (got.status_code, "set-cookie" in got.headers, "too long" in got.text) == (401, False, True)
        assert server.http.get("/rows/order", headers={"Authorization": f"Bearer {long}"}).status_code == 200


def test_no_token_of_ours_looks_like_one_of_an_issuer() -> None:
    """Nor the other way round."""
    assert is_jwt(token().encode())
    assert not is_jwt(b"rtd_" + b"x" * 43)
