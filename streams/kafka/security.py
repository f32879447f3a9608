"""Translates librdkafka's security options for aiokafka, so that both connect to the same broker, or names what it cannot."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MAPPED = frozenset({
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
    "ssl.endpoint.identification.algorithm", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
})  # fmt: skip


class UnmappedOption(Exception):
    """An option that aiokafka has no equivalent of. It names the option, never its value, which may be a secret."""


def connection_options(options: Mapping[str, str]) -> dict[str, Any]:
    """The connection options for aiokafka. Raises UnmappedOption, or OSError for a certificate that cannot be read."""
    protocol = options.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in PROTOCOLS:
        raise UnmappedOption("security.protocol")
    found: dict[str, Any] = {"security_protocol": protocol}
    if "SSL" in protocol:
        _refuse_others(options, "ssl.", "enable.ssl.")
        found["ssl_context"] = _context(options)
    if "SASL" in protocol:
        _refuse_others(options, "sasl.", "enable.sasl.")
        found |= _sasl(options)
    return found


def _refuse_others(options: Mapping[str, str], *kinds: str) -> None:
    for name in sorted(options):
        if name.startswith(kinds) and name not in MAPPED:
            raise UnmappedOption(name)


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    ca_location = options.get("ssl.ca.location")
    if ca_location is None or ca_location == "probe":
        context = ssl.create_default_context()
    elif Path(ca_location).is_dir():
        context = ssl.create_default_context(capath=ca_location)
    else:
        context = ssl.create_default_context(cafile=ca_location)
    context.check_hostname = options.get("ssl.endpoint.identification.algorithm", "https") != "none"
    if certificate := options.get("ssl.certificate.location"):
        context.load_cert_chain(certificate, options.get("ssl.key.location"), options.get("ssl.key.password", ""))
    return context


def _sasl(options: Mapping[str, str]) -> dict[str, str]:
    mechanism = (options.get("sasl.mechanisms") or options.get("sasl.mechanism") or "GSSAPI").upper()
    if mechanism not in MECHANISMS:
        raise UnmappedOption("sasl.mechanisms")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": options.get("sasl.username", ""),
        "sasl_plain_password": options.get("sasl.password", ""),
    }
