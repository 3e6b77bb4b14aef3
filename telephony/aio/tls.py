"""TLS contexts for SIP (RFC 3261 26.2.1, RFC 5922). They accept only TLS 1.2 and later."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS contexts of one local address."""

    server: ssl.SSLContext | None = None
    """The context for incoming connections; without one, none are accepted."""
    client: ssl.SSLContext | None = None
    """The context for connections that we open; without one, none are opened."""


def server_context(
    certificate: Path, key: Path | None, *, client_ca: Path | None = None
) -> ssl.SSLContext:
    """Return a context that shows `certificate`; with a `client_ca` the peer must show one too.

    The certificate's file may also contain its key.

    Raises:
        OSError: A file cannot be read, or cannot be used (ssl.SSLError is an OSError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return a context that verifies the peer and its name.

    The trust anchors are those in `ca`, or else the system's. `certificate` and `key` are shown to
    a peer that asks for them.

    Raises:
        OSError: A file cannot be read, or cannot be used (ssl.SSLError is an OSError).
    """
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
