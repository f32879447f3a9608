"""The certificate and the key of a server, and TLS with them."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streams.config import Config
from streams.errors import ConfigError

log = logging.getLogger("retold.server")
Stamp = tuple[tuple[int, int, int], ...]
HTTP_1: Final = ("http/1.1",)
HTTP_2: Final = ("h2", "http/1.1")


def tls_of(config: Config, protocols: Sequence[str] = HTTP_1) -> TlsFiles | None:
    """TLS as the settings have it; None: without. Raises ConfigError for files that cannot be used."""
    certificate, key = config.http_tls_cert, config.http_tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, there = ("cert", "key") if certificate is None else ("key", "cert")
        raise ConfigError(
            f"http_tls_{there} is set and http_tls_{missing} is not; both were expected. Set RETOLD_HTTP_TLS_{missing.upper()}, "
            f"`http_tls_{missing}` in [tool.retold], or --tls-{missing}."
        )
    return TlsFiles(certificate, key, protocols)


class TlsFiles:
    """Read again when they change, for connections from then on. Raises ConfigError if they cannot be used at first.

    `protocols` are what may be agreed on.
    """

    def __init__(self, certificate: Path, key: Path, protocols: Sequence[str]) -> None:
        self._files, self._protocols = (certificate, key), protocols
        self._stamp = self._stamps()
        self._context = self._read()

    def context(self) -> ssl.SSLContext:
        """With the files as they are now; if those do not read, with those before: they may be written just now."""
        if (stamp := self._stamps()) != self._stamp:
            self._stamp = stamp
            try:
                self._context = self._read()
                log.info("%s is read again", self._files[0])
            except ConfigError as error:
                log.error("%s; the certificate before stays in use", str(error).removesuffix("."))
        return self._context

    def _stamps(self) -> Stamp:
        found = []
        for file in self._files:
            try:
                it = file.stat()
            except OSError:
                continue
            found.append((it.st_mtime_ns, it.st_size, it.st_ino))
        return tuple(found)

    def _read(self) -> ssl.SSLContext:
        certificate, key = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 at least
        context.options |= ssl.OP_NO_RENEGOTIATION
        if self._protocols:
            context.set_alpn_protocols([*self._protocols])
        try:
            context.load_cert_chain(certificate, key, _no_password)
        except (OSError, ValueError) as error:  # OSError: also what OpenSSL says
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise ConfigError(
                f"http_tls_cert is {str(certificate)!r} and http_tls_key {str(key)!r}, and they cannot be used: {reason}. A "
                "certificate with those that lead to a known one, and its key without a password, both in PEM, were expected."
            ) from error
        return context


def _no_password() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    raise ValueError("the key has a password")
