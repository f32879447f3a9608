"""The password of an embedded broker: made once for each state folder, known to whoever can read that folder, and shown nowhere.

Broker and controller both authenticate, and the only user may do everything: there are no rights for anybody else. The
connections are on loopback, where nobody but root can listen, so they are not encrypted.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

from streams.config import Config
from streams.kafka.local_access import client_file, options_of
from streams.private_files import write_private

USER = "retold"
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
PROTOCOL, OPEN = "SASL_PLAINTEXT", "PLAINTEXT"
JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SERVER = """\
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.broker.plain.sasl.jaas.config={jaas} username="{user}" password="{secret}" user_{user}="{secret}";
listener.name.controller.plain.sasl.jaas.config={jaas} username="{user}" password="{secret}" user_{user}="{secret}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user}
allow.everyone.if.no.acl.found=false
"""
CLIENT = """\
bootstrap.servers={address}
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.username={user}
sasl.password={secret}
"""
JAVA = """\
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config={jaas} username="{user}" password="{secret}";
"""


def set_up(folder: Path, address: str) -> str:
    """Lines of the broker's settings; its clients' options are written to the state folder `folder`."""
    file = folder / "kafka" / "secret"
    secret = ""
    with contextlib.suppress(FileNotFoundError):
        secret = file.read_text(encoding="utf-8", errors="replace").strip()
    if not SECRET.fullmatch(secret):
        secret = secrets.token_urlsafe(32)
        write_private(file, f"{secret}\n")
    values = {"jaas": JAAS, "user": USER, "secret": secret, "address": address}
    write_private(client_file(folder), CLIENT.format(**values))
    write_private(java_file(folder), JAVA.format(**values))
    return SERVER.format(**values)


def take_down(folder: Path) -> None:
    """Without a password, clients must not offer one."""
    for file in (client_file(folder), java_file(folder)):
        file.unlink(missing_ok=True)


def java_file(folder: Path) -> Path:
    """Options for Kafka's own tools: `--command-config`."""
    return folder / "kafka" / "java.properties"


def access_sentence(config: Config) -> str | None:
    """Who reaches the broker that runs for this project; None for one that RETOLD_BROKER names."""
    if config.broker:
        return None
    if options_of(config):
        return (
            "It has a password, which commands in this project find. Other clients: `kcat -F "
            f"{client_file(config.state)}`, or Kafka's tools with `--command-config {java_file(config.state)}`."
        )
    if config.needs_token:
        return (
            "It has no password, though RETOLD_HTTP_TOKEN or RETOLD_HTTP_TOKENS is set: it was started without, or in Docker. "
            "Every user of this machine can read and change its topics."
        )
    return (
        "It has no password: every user of this machine can read and change its topics. With RETOLD_HTTP_TOKEN set, it has one."
    )
