"""The application's own settings. Only `processors.app` reads them from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from processors.mailers import FileMailer, Mailer, Smtp, SmtpMailer
from streams.errors import ConfigError

MAIL, REMINDERS = "DEMO_MAIL", "DEMO_REMINDERS"
PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True)
class Settings:
    """`DEMO_MAIL` says where mails go, `DEMO_REMINDERS` (on or off) whether a silent user is reminded."""

    mailer: Mailer
    reminders: bool


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises ConfigError with the variable and what was expected, without a value that may contain a password."""
    reminders = environ.get(REMINDERS) or "on"
    if reminders not in ("on", "off"):
        raise ConfigError(f"{REMINDERS} is {reminders!r}; on or off was expected")
    return Settings(mailer(environ.get(MAIL) or "mail.mbox"), reminders == "on")


def mailer(where: str) -> Mailer:
    """`where` is a file's path, or smtp://[user:password@]host[:port], or smtps:// for TLS from the first byte."""
    if "://" not in where:
        return FileMailer(Path(where))
    try:
        url, port = urlsplit(where), urlsplit(where).port
    except ValueError:
        url, port = SplitResult("", "", "", "", ""), None
    if url.scheme not in PORTS or not url.hostname or url.path not in ("", "/"):
        raise ConfigError(f"{MAIL} is neither the path of a file nor a URL; expected a path, or a URL such as smtp://localhost:25")
    tls = url.scheme == "smtps"
    user, password = (None if text is None else unquote(text) for text in (url.username, url.password))
    return SmtpMailer(Smtp(url.hostname, port or PORTS[url.scheme], tls, user, password))
