"""The header fields and the identities that we copy from one leg of a call to the other leg.

There are three kinds of header fields. The first kind concerns only one leg and is never copied.
The second kind identifies people. It is copied only if the rules for trust and privacy permit this
(RFC 3323, RFC 3325). All other header fields are copied unchanged.
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
"""Header fields that are not copied.

Some of them we write ourselves on each leg. The others have no meaning on another leg.
"""

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
"""Header fields that identify people.

These header fields are copied only if both peers are in the trust domain (RFC 3325).
"""

_FREE_TEXT = frozenset(["call-info", "organization", "subject", "reply-to", "in-reply-to"])
"""Header fields with free text, which may contain the sender's name.

These header fields are not copied if the sender asks for privacy and the receiver may not get the
sender's identity (RFC 3323 4.1).
"""

_PRIVATE = frozenset({"id", "user", "header", "full"})
ANONYMOUS = NameAddr("Anonymous", Uri.parse("sip:anonymous@anonymous.invalid"), ())


def wants_privacy(headers: Headers) -> bool:
    """Return whether a Privacy or Remote-Party-ID header field asks for privacy."""
    words = {w.strip().lower() for v in headers.get_all("Privacy") for w in re.split("[;,]", v)}
    if words & _PRIVATE:
        return True
    rows = (value.lower().replace(" ", "") for value in headers.get_all("Remote-Party-ID"))
    return any("privacy=" in row and "privacy=off" not in row for row in rows)


@dataclass(frozen=True, slots=True)
class Trust:
    """The rules for copying header fields from one peer (the sender) to another (the receiver).

    An identity is copied only if both peers are in the trust domain (RFC 3325).
    """

    sender: bool
    """True if the sending peer is inside the trust domain."""
    receiver: bool
    """True if the receiving peer is inside the trust domain."""
    shown: bool = False
    """True if the receiving peer is a phone, which shows names to a person.

    The identity of a sender who asks for privacy is never copied to a phone.
    """

    def passes(self, headers: Headers) -> bool:
        """Return whether the receiver may get the identities in these header fields."""
        return self.sender and self.receiver and not (self.shown and wants_privacy(headers))


def passed_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the header fields that are copied to the other leg, in the same sequence."""
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
    """Return the header fields in `headers` that state the sender's identity or ask for privacy.

    The result is empty if the receiver may not get the identity.
    """
    if not trust.passes(headers):
        return ()
    known = ("p-asserted-identity", "remote-party-id", "privacy")
    return tuple((name, value) for name, value in headers.items() if header_key(name) in known)


def from_for(request: Request, trust: Trust) -> NameAddr:
    """Return the From header field that we send to the other leg, without a tag.

    If the sender asks for privacy and the receiver may not get the sender's identity, the From is
    anonymous. In all other cases, it is the From of `request`.
    """
    if wants_privacy(request.headers) and not trust.passes(request.headers):
        return ANONYMOUS
    return without_tag(request.from_)


def without_tag(address: NameAddr) -> NameAddr:
    """Return `address` without the tag of its dialog."""
    return address.with_tag(None)


def body_fields(message: Request | Response) -> HeaderFields:
    """Return the header fields that describe a message's body. They are copied with the body."""
    if not message.body:
        return ()
    names = ("Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language")
    found = ((name, message.headers.get(name)) for name in names)
    return tuple((name, value) for name, value in found if value is not None)


IDENTITY_HEADERS: Final = ("P-Asserted-Identity", "Remote-Party-ID", "Contact")
"""The header fields in which a party states its identity. The most reliable one is first."""


def identity_of(message: Request | Response) -> tuple[NameAddr, str] | None:
    """Return the sender's identity, and the name of the header field that contains it.

    None means that the message has no readable header field with an identity.
    """
    for name in IDENTITY_HEADERS:
        for value in message.headers.get_all(name):
            try:
                return NameAddr.parse_list(value)[0], name
            except (SipParseError, IndexError):
                continue
    return None


def identity_key(identity: NameAddr, header: str) -> str:
    """Return a text by which an identity is compared with other identities.

    If two identities have the same text, they count as the same party. `header` is the name of the
    header field that contained the identity. For a Contact, the text is only the user part, because
    the host and port of a Contact can change while the party stays the same.
    """
    user = identity.uri.number if identity.uri.scheme == "tel" else identity.uri.user or ""
    return user if header == "Contact" else f"{user}@{(identity.uri.host or '').lower()}"
