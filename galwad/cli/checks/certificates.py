"""Checks of the certificates of the page and of SIP over TLS.

A certificate must be readable, valid now, and issued for the names of the hosts that use it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from galwad.cli.checks.credentials import stored, unreadable
from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.settings import EXAMPLE, Settings

_SOON = timedelta(days=30)


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check the page's certificate, the SIP certificate, and the CA certificates for SIP peers."""
    yield from _page(settings)
    sip = settings.sip
    if sip.tls_certificate is not None and sip.tls_key is not None:
        hosts = sip.advertise or tuple(
            listener.host
            for listener in sip.listen
            if listener.transport == "tls" and not ip_address(listener.host).is_unspecified
        )
        yield from pair("sip tls", sip.tls_certificate, sip.tls_key, hosts)
    for path in (sip.tls_client_ca, sip.tls_ca):
        if path is not None:
            yield _authorities(path)


def _page(settings: Settings) -> Iterator[CheckResult]:
    desk = settings.desk
    if desk.tls_certificate is not None and desk.tls_key is not None:
        host = urlsplit(desk.origin).hostname or ""
        named = () if _is_wild(host) else (host,)
        yield from pair("tls", desk.tls_certificate, desk.tls_key, named)
    elif desk.origin.startswith("https:"):
        yield fine("tls", "not used here: a proxy on this machine provides it")
    else:
        yield warning(
            "tls",
            "not used: only this machine can open the page",
            f"see [desk] in {EXAMPLE}",
        )


def pair(name: str, certificate: Path, key: Path, hosts: tuple[str, ...]) -> Iterator[CheckResult]:
    """Check a certificate and its private key.

    Both must be readable and must belong together, and the certificate must name all `hosts`.
    `name` is the name of this check in its results.
    """
    certificate, key = stored(certificate), stored(key)
    for path in (certificate, key):
        problem = unreadable(path)
        if problem:
            yield fault(name, f"{path} {problem}", "put it there, readable for the service's user")
            return
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError:
        yield fault(
            name, f"{certificate} holds no certificate", "use a PEM file, the server's first"
        )
        return
    try:
        secret = load_pem_private_key(key.read_bytes(), password=None)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (TypeError, ValueError):
        yield fault(name, f"{key} holds no unencrypted key", "use a PEM file, not encrypted")
        return
    except ssl.SSLError:
        secret = None
    if secret is None or secret.public_key() != parsed.public_key():
        yield fault(
            name,
            f"{key} is not the key of {certificate}",
            "use a certificate and a key that belong together",
        )
        return
    yield _dates(name, certificate, parsed)
    missing = [host for host in hosts if not _names(parsed, host)]
    if missing:
        yield fault(
            name,
            f"{certificate} does not name {', '.join(missing)}: peers would refuse it",
            "use a certificate with that subject alternative name",
        )


def _dates(name: str, path: Path, parsed: x509.Certificate) -> CheckResult:
    now = datetime.now(UTC)
    left = parsed.not_valid_after_utc - now
    if left < timedelta():
        return fault(name, f"{path} has expired", "renew it")
    if parsed.not_valid_before_utc > now:
        return fault(name, f"{path} is not valid yet", "check this machine's clock, or wait")
    if left < _SOON:
        return warning(name, f"{path} expires in {left.days} days", "renew it")
    return fine(name, f"{path} is valid for {left.days} days")


def _names(parsed: x509.Certificate, host: str) -> bool:
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        wild = "*." + host.lower().partition(".")[2]
        return host.lower() in known or wild in known


def _authorities(path: Path) -> CheckResult:
    path = stored(path)
    problem = unreadable(path)
    if problem:
        return fault(
            "sip tls", f"{path} {problem}", "put it there, readable for the service's user"
        )
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
    except ssl.SSLError:
        return fault("sip tls", f"{path} holds no authority", "use a PEM file of authorities")
    return fine("sip tls", f"{path} holds {len(context.get_ca_certs())} authorities")


def _is_wild(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
