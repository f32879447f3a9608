"""The certificate of a server, for gRPC: read again when its files change."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc

from streams.server.tls_files import TlsFiles

log = logging.getLogger("retold.server")


class RpcCertificate:
    """Asked by a thread of gRPC's for each connection. `TlsFiles` says whether files belong together: gRPC would not."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files, self._looked = (certificate, key), TlsFiles(certificate, key, ())
        self._context = self._looked.context()

    def credentials(self) -> grpc.ServerCredentials:
        fetcher: Any = self._changed  # it may give None, which its types do not say
        return grpc.dynamic_ssl_server_credentials(self._read(), fetcher)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """None: it stays as it is."""
        try:
            context = self._looked.context()
            if context is self._context:
                return None
            found, self._context = self._read(), context
            return found
        except OSError as error:  # they are just written: the next connection looks again
            log.error("the certificate of gRPC stays as it was: %s", error)
            return None

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate, key = self._files
        return grpc.ssl_server_certificate_configuration([(key.read_bytes(), certificate.read_bytes())])
