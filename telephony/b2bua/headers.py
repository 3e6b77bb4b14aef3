"""Header fields that cross from one leg to the other, and the names that they may carry.

There are three kinds. Some belong to one leg and are written again for the other. Some name people
and pass by the rules of trust and privacy (RFC 3323, RFC 3325). The rest crosses unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from telephony.errors import SipParseError
from telephony.sip.message.headers import NameAddr, header_key
from telephony.sip.message.messages import Headers, Request, Response
from telephony.sip.message.uri import Uri

HeaderFields = tuple[tuple[str, str], ...]

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
"""Header fields that each leg writes for itself, or that mean nothing on another leg."""

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
"""Header fields that pass only inside the trust domain."""

_FREE_TEXT = frozenset(["call-info", "organization", "subject", "reply-to", "in-reply-to"])
"""Header fields with free text, which may name a caller who asked for privacy (RFC 3323 4.1)."""

_PRIVATE = frozenset({"id", "user", "header", "full"})
ANONYMOUS = NameAddr("Anonymous", Uri.parse("sip:anonymous@anonymous.invalid"), ())


def wants_privacy(headers: Headers) -> bool:
    """Return whether the sender asks for privacy, by Privacy or by Remote-Party-ID."""
    words = {w.strip().lower() for v in headers.get_all("Privacy") for w in re.split("[;,]", v)}
    if words & _PRIVATE:
        return True
    rows = (value.lower().replace(" ", "") for value in headers.get_all("Remote-Party-ID"))
    return any("privacy=" in row and "privacy=off" not in row for row in rows)


@dataclass(frozen=True, slots=True)
class Trust:
    """The rules for one direction: an identity passes only if both ends are in the trust domain."""

    sender: bool
    """True if the sending peer is inside the trust domain."""
    receiver: bool
    """True if the receiving peer is inside the trust domain."""
    shown: bool = False
    """True for a phone, which shows names to a person: a private name does not pass to it."""

    def passes(self, headers: Headers) -> bool:
        """Return whether the identities in these header fields may cross."""
        return self.sender and self.receiver and not (self.shown and wants_privacy(headers))


def passed_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the header fields that cross to the other leg, in their order."""
    names_pass = trust.passes(headers)
    withheld = wants_privacy(headers) and not names_pass
    kept = []
    for name, value in headers.items():
        known = header_key(name)
        if known in _REGENERATED or (known in _NAMING and not names_pass):
            continue
        if withheld and known in _FREE_TEXT:
            continue
        kept.append((name, value))
    return tuple(kept)


def identity_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the header fields with the sender's new name, as far as the other leg may see it."""
    if not trust.passes(headers):
        return ()
    known = ("p-asserted-identity", "remote-party-id", "privacy")
    return tuple((name, value) for name, value in headers.items() if header_key(name) in known)


def from_for(request: Request, trust: Trust) -> NameAddr:
    """Return the From that the other leg sees, without a tag."""
    if wants_privacy(request.headers) and not trust.passes(request.headers):
        return ANONYMOUS
    return without_tag(request.from_)


def without_tag(address: NameAddr) -> NameAddr:
    """Return the address without its dialog's tag."""
    return address.with_tag(None)


def body_fields(message: Request | Response) -> HeaderFields:
    """Return the header fields that describe a body that is passed on unchanged."""
    if not message.body:
        return ()
    names = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language")
    found = ((name, message.headers.get(name)) for name in names)
    return tuple((name, value) for name, value in found if value is not None)


IDENTITY_HEADERS: Final = ("P-Asserted-Identity", "Remote-Party-ID", "Contact")
"""The header fields in which a party names itself, the most reliable one first."""


def identity_of(message: Request | Response) -> tuple[NameAddr, str] | None:
    """Return the address that a party gives as its own, and the header field's name; or None."""
    for name in IDENTITY_HEADERS:
        for value in message.headers.get_all(name):
            try:
                return NameAddr.parse_list(value)[0], name
            except (SipParseError, IndexError):
                continue
    return None


def identity_key(identity: NameAddr, header: str) -> str:
    """Return a text that is the same for two addresses of one identity.

    Of a Contact only the user counts, because its host and port are an address and no name.
    """
    user = identity.uri.number if identity.uri.scheme == "tel" else identity.uri.user or ""
    return user if header == "Contact" else f"{user}@{(identity.uri.host or '').lower()}"
