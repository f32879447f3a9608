"""The application's own settings, read from the environment by `processors.app` and by nobody else."""

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
    """Raises ConfigError naming the variable and what was expected; a value that may hold a password is not shown."""
    reminders = environ.get(REMINDERS) or "on"
    if reminders not in ("on", "off"):
        raise ConfigError(f"{REMINDERS} is {reminders!r}; on or off was expected")
    return Settings(mailer(environ.get(MAIL) or "mail.mbox"), reminders == "on")


def mailer(where: str) -> Mailer:
    """From a file's path, or from smtp://[user:password@]host[:port], or smtps:// for TLS from the first byte."""
    if "://" not in where:
        return FileMailer(Path(where))
    try:
        url, port = urlsplit(where), urlsplit(where).port
    except ValueError:
        url, port = SplitResult("", "", "", "", ""), None
    if url.scheme not in PORTS or not url.hostname or url.path not in ("", "/"):
        raise ConfigError(f"{MAIL} is no path of a file and no URL like smtp://localhost:25; one of these was expected")
    tls = url.scheme == "smtps"
    user, password = (None if text is None else unquote(text) for text in (url.username, url.password))
    return SmtpMailer(Smtp(url.hostname, port or PORTS[url.scheme], tls, user, password))
