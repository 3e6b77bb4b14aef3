"""TLS contexts: TLS 1.2 and later. Those for SIP follow RFC 3261 section 26.2.1 and RFC 5922."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL:!aDSS"
"""The suites for TLS 1.2, in OpenSSL's notation: forward secrecy and AEAD, without CBC.

All suites of TLS 1.3 are of this kind, so they are not listed.
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS contexts of one local address, for incoming and for outgoing connections."""

    server: ssl.SSLContext | None = None
    """For incoming connections. If None, no connection is accepted."""
    client: ssl.SSLContext | None = None
    """For connections that we open. If None, no connection is opened."""


def server_context(
    certificate: Path, key: Path | None, *, client_ca: Path | None = None
) -> ssl.SSLContext:
    """Return a context for incoming connections.

    `key` is None if `certificate` contains it. With `client_ca`, the peer must send a certificate
    from one of these authorities. Raises `OSError` if a file cannot be read or used (ssl.SSLError
    is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    *,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    ciphers: str | None = CIPHERS,
) -> ssl.SSLContext:
    """Return a context for connections that we open. It verifies the peer's certificate and name.

    `ca` None means the system's authorities. `certificate` is for a peer that requests one. `key`
    is None if `certificate` contains it. `ciphers` are the suites for TLS 1.2; None means Python's
    own, which servers over HTTP may need. Raises `OSError` if a file cannot be read or used
    (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def certificate_fault(error: BaseException | None) -> str:
    """Return why TLS rejected a peer's certificate; "" if that is not the cause of `error`."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return "" if error is None else str(error.verify_message)
