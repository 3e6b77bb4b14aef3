"""Which headers cross from one leg to the other, and with whose name on them.

Three kinds: those that belong to one leg and are made anew there; those that name people and
pass by trust and privacy (RFC 3323, 3325); the rest, which survives unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from telephony.errors import SipParseError
from telephony.sip.headers import NameAddr, header_key
from telephony.sip.message import Headers, Request, Response
from telephony.sip.uri import Uri

Fields = tuple[tuple[str, str], ...]

_REGENERATED = frozenset(
    [
        "via",
        "route",
        "record-route",
        "path",
        "service-route",
        "contact",
        "call-id",
        "cseq",
        "from",
        "to",
        "max-forwards",
        "max-breadth",
        "supported",
        "require",
        "proxy-require",
        "unsupported",
        "allow",
        "allow-events",
        "accept",
        "accept-encoding",
        "rseq",
        "rack",
        "session-expires",
        "min-se",
        "authorization",
        "proxy-authorization",
        "www-authenticate",
        "proxy-authenticate",
        "authentication-info",
        "content-length",
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-language",
        "user-agent",
        "server",
        "replaces",
        "join",
        "target-dialog",
        "refer-to",
        "refer-sub",
        "security-client",
        "security-server",
        "security-verify",
        "p-charging-vector",
        "p-charging-function-addresses",
        "p-access-network-info",
        "timestamp",
        "session-id",
        "sip-etag",
        "sip-if-match",
        "recv-info",
        "record",
    ]
)
"""Made anew on each leg, or of no meaning on another."""

_NAMING = frozenset(
    [
        "p-asserted-identity",
        "p-preferred-identity",
        "remote-party-id",
        "diversion",
        "history-info",
        "identity",
        "identity-info",
        "referred-by",
        "privacy",
        "p-asserted-service",
        "p-called-party-id",
        "p-associated-uri",
    ]
)
"""Pass only inside the trust domain."""

_TELLING = frozenset(["call-info", "organization", "subject", "reply-to", "in-reply-to"])
"""Freely written, yet they may name a caller who asked for privacy (RFC 3323 4.1)."""

_PRIVATE = frozenset({"id", "user", "header", "full"})
ANONYMOUS = NameAddr("Anonymous", Uri.parse("sip:anonymous@anonymous.invalid"), ())


def wants_privacy(headers: Headers) -> bool:
    """Whether the sender asked to be withheld: Privacy, or Remote-Party-ID with privacy."""
    words = {w.strip().lower() for v in headers.get_all("Privacy") for w in re.split("[;,]", v)}
    if words & _PRIVATE:
        return True
    rows = (value.lower().replace(" ", "") for value in headers.get_all("Remote-Party-ID"))
    return any("privacy=" in row and "privacy=off" not in row for row in rows)


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may name whom: both ends must be inside the trust domain for an identity to pass."""

    sender: bool
    receiver: bool
    shown: bool = False
    """The receiver is a phone, which shows names to a person: a withheld one stops before it."""

    def passes(self, headers: Headers) -> bool:
        """Whether the identities in these headers may cross."""
        return self.sender and self.receiver and not (self.shown and wants_privacy(headers))


def survivors(headers: Headers, trust: Trust) -> Fields:
    """The headers that cross to the other leg, in their order."""
    names_pass = trust.passes(headers)
    withheld = wants_privacy(headers) and not names_pass
    kept = []
    for name, value in headers.items():
        known = header_key(name)
        if known in _REGENERATED or (known in _NAMING and not names_pass):
            continue
        if withheld and known in _TELLING:
            continue
        kept.append((name, value))
    return tuple(kept)


def naming(headers: Headers, trust: Trust) -> Fields:
    """How the sender names itself from now on, as far as the other leg may know."""
    if not trust.passes(headers):
        return ()
    known = ("p-asserted-identity", "remote-party-id", "privacy")
    return tuple((name, value) for name, value in headers.items() if header_key(name) in known)


def presented(request: Request, trust: Trust) -> NameAddr:
    """The From that the other leg is shown, without a tag."""
    if wants_privacy(request.headers) and not trust.passes(request.headers):
        return ANONYMOUS
    return untagged(request.from_)


def untagged(address: NameAddr) -> NameAddr:
    """The same party without its dialog's tag."""
    return address.with_tag(None)


def body_fields(message: Request | Response) -> Fields:
    """What describes a body that is passed on as it is."""
    if not message.body:
        return ()
    names = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language")
    found = ((name, message.headers.get(name)) for name in names)
    return tuple((name, value) for name, value in found if value is not None)


IDENTITY_HEADERS: Final = ("P-Asserted-Identity", "Remote-Party-ID", "Contact")
"""Where a party names itself, the weightiest first."""


def identity_of(message: Request | Response) -> tuple[NameAddr, str] | None:
    """How a party names itself, and the header that says so."""
    for name in IDENTITY_HEADERS:
        for value in message.headers.get_all(name):
            try:
                return NameAddr.parse_list(value)[0], name
            except (SipParseError, IndexError):
                continue
    return None


def identity_key(identity: NameAddr, header: str) -> str:
    """What makes two identities the same: a Contact's host and port say where, not who."""
    user = identity.uri.number if identity.uri.scheme == "tel" else identity.uri.user or ""
    return user if header == "Contact" else f"{user}@{(identity.uri.host or '').lower()}"
