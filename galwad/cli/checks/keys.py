"""Who can open recordings: the signed set; and the page's certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from config.settings import Settings
from galwad.cli.checks.finding import Finding, fault, fine, warning
from recording.errors import KeySetError
from recording.keys import RecipientSet

_SOON = timedelta(days=30)


def look(settings: Settings) -> Iterator[Finding]:
    """The set of recipients, recovery, TLS."""
    yield _recipients(settings)
    if settings.recording.unattended_recovery:
        yield warning(
            "recovery",
            "spools are recovered unattended: whoever has this disk can read calls in progress",
            "set [recording] unattended_recovery = false, and recover after a reboot by hand",
        )
    yield from _tls(settings)


def _recipients(settings: Settings) -> Finding:
    path = settings.recipients
    try:
        found = RecipientSet.load(path, settings.recording.officer_key)
    except KeySetError as error:
        return fault("recipients", str(error), error.hint)
    names = ", ".join(entry.name for entry in found.named)
    if len(found.named) == 1:
        return warning(
            "recipients",
            f"only {names} can open recordings: a lost key loses all of them",
            "sign a second recipient: galwad keys sign --recipient NAME=age1…",
        )
    return fine("recipients", f"set number {found.serial}, signed; {names} can open recordings")


def _tls(settings: Settings) -> Iterator[Finding]:
    certificate, key = settings.desk.tls_certificate, settings.desk.tls_key
    if certificate is None or key is None:
        if settings.desk.origin.startswith("https:"):
            yield fine("tls", "none here: a proxy on this machine speaks it")
        else:
            yield warning(
                "tls", "none: the page is for this machine alone", "see [desk] in the example"
            )
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ssl.SSLError, ValueError):
        yield fault(
            "tls",
            f"{certificate} and {key} cannot be used together",
            "a PEM certificate, and its own key, readable for the service's user",
        )
        return
    left = parsed.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta():
        yield fault("tls", f"{certificate} has expired", "renew it")
    elif left < _SOON:
        yield warning("tls", f"{certificate} expires in {left.days} days", "renew it")
    else:
        yield fine("tls", f"{certificate} is good for {left.days} days")
