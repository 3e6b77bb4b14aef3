"""TLS for SIP (RFC 3261 26.2.1, RFC 5922): contexts as we want them. 1.2 and later alone."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """What a TLS address of ours needs."""

    server: ssl.SSLContext | None = None
    """For connections that come; without it none are accepted."""
    client: ssl.SSLContext | None = None
    """For connections that we open; without it none are."""


def server_context(
    certificate: Path, key: Path | None, *, client_ca: Path | None = None
) -> ssl.SSLContext:
    """A context that shows `certificate` and, given a `client_ca`, demands one of the peer.

    The certificate's file may hold its key, too.

    Raises:
        OSError: a file cannot be read (ssl.SSLError is one: it cannot be used).
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
    """A context that verifies the peer and its name against `ca`, or else the system's.

    With `certificate` and `key` it proves itself to a peer that asks.

    Raises:
        OSError: a file cannot be read (ssl.SSLError is one: it cannot be used).
    """
    context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
