"""The header fields and the identities that we pass from one leg of a call to the other.

Only what is listed here is passed on, some of it only between trusted peers. The fields that name
people follow the rules for trust and privacy (RFC 3323, RFC 3325). A phone's own identity is
replaced by its account's. All else is dropped, unless the settings allow a trusted peer to send it.

Fields such as Alert-Info, Call-Info and Answer-Mode change how a phone rings. They can make a phone
answer by itself, so that a caller can listen to the room. Their URI can make a phone fetch a file.
So we never copy such a field. We write it again, with only the ring tone or automatic answer that
the settings allow (`Grants`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from telephony.b2bua.settings import NO_GRANTS, Grants, PeerKind
from telephony.errors import SipParseError
from telephony.sip.message.grammar import find_parameter, parse_parameters, split_list
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri

HeaderFields = tuple[tuple[str, str], ...]

PASSED: Final = frozenset(
    ["accept-language", "expires", "mime-version", "reason", "retry-after", "warning"]
)
"""Header fields passed on to every peer. They make no phone ring, answer or fetch a file."""

PASSED_TRUSTED: Final = frozenset(
    [
        "date",
        "in-reply-to",
        "organization",
        "p-early-media",
        "priority",
        "reply-to",
        "subject",
        "user-to-user",
    ]
)
"""Header fields passed on between trusted peers, such as a trunk and a PBX.

A phone may show such a field to a person, or treat a call differently because of it. Strangers can
be behind a trusted trunk. So a phone gets the field only if the settings allow the field's name.
"""

NAMING: Final = frozenset(
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
"""Header fields that identify people, passed on within the trust domain (RFC 3325).

Of those that a phone sends, only Privacy is passed on.
"""

_IDENTITIES = frozenset({"p-asserted-identity", "p-preferred-identity", "remote-party-id"})
"""Fields in which a phone states its identity; our own P-Asserted-Identity replaces them."""

_FREE_TEXT = frozenset(["organization", "subject", "reply-to", "in-reply-to"])
"""Header fields that may contain the sender's name in free text or in an address.

They are not passed on if the sender asks for privacy and the receiver may not get the sender's
identity (RFC 3323 4.1).
"""

_OURS = frozenset(
    [
        "accept",
        "accept-encoding",
        "allow",
        "allow-events",
        "authentication-info",
        "authorization",
        "call-id",
        "contact",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-type",
        "cseq",
        "event",
        "from",
        "join",
        "max-breadth",
        "max-forwards",
        "min-se",
        "path",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-require",
        "rack",
        "record",
        "record-route",
        "recv-info",
        "refer-sub",
        "refer-to",
        "replaces",
        "require",
        "route",
        "rseq",
        "server",
        "service-route",
        "session-expires",
        "sip-etag",
        "sip-if-match",
        "subscription-state",
        "supported",
        "target-dialog",
        "timestamp",
        "to",
        "unsupported",
        "user-agent",
        "via",
        "www-authenticate",
    ]
)
"""Header fields that belong to one leg: they are never passed on, whatever the settings allow."""

_PRIVATE = frozenset({"id", "user", "header", "full"})
_TURNING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_DIRECTIONS = re.compile(f"[{_TURNING}]")
"""Characters that change the direction in which a display shows text."""
_CONTROLS = re.compile(rf"[\x00-\x1f\x7f{_TURNING}]")
"""Characters that control a display, also the direction in which it shows text."""
_ELSEWHERE = re.compile(
    r"(?:SIP\s*;(?:.*;)?\s*cause\s*=\s*200|Q\.850\s*;(?:.*;)?\s*cause\s*=\s*26)(?![0-9])",
    re.IGNORECASE,
)
"""The values of Reason by which a proxy or PBX says that another party has answered."""
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
    """The rules for what passes from one peer (the sender) to another (the receiver).

    An asserted identity is passed on only if both peers are in the trust domain (RFC 3325).
    """

    sender: PeerKind
    receiver: PeerKind
    grants: Grants = NO_GRANTS
    """The grants of the sender."""
    account: NameAddr | None = None
    """The address by which others see the sender, if it is a phone with a known extension."""

    @property
    def inside(self) -> bool:
        """True if both peers are inside the trust domain."""
        return PeerKind.OUTSIDE not in {self.sender, self.receiver}

    def passes(self, headers: Headers) -> bool:
        """Return whether the receiver may get the identities in these header fields.

        A phone shows names to a person, so it never gets the name of a sender who asks for privacy.
        """
        return self.inside and not (self.receiver is PeerKind.PHONE and wants_privacy(headers))


def passed_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the header fields to pass on, in the same order, and a phone's account identity."""
    kept = []
    for key, name, value in headers.rows:
        passed = None if key in _OURS else _passed(key, value, headers, trust)
        sent = None if passed is None else _shown(passed, trust)
        if sent is not None:
            kept.append((name, sent))
    return (*kept, *_account_fields(headers, trust))


def _passed(known: str, value: str, headers: Headers, trust: Trust) -> str | None:
    """Return a header field's value to pass on, by its lookup name; None if it is dropped."""
    from_phone = trust.sender is PeerKind.PHONE
    if known in NAMING:
        passes = trust.passes(headers) and (not from_phone or known == "privacy")
        return value if passes else None
    if known in PASSED:
        return value
    if from_phone or not trust.inside:
        return None
    if known in ALERTING:
        return granted_alert(known, value, trust.grants)
    if known in _FREE_TEXT and not trust.passes(headers):
        return None
    usual = known in PASSED_TRUSTED and trust.receiver is PeerKind.TRUSTED
    return value if usual or known in trust.grants.headers else None


def _account_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the account identity of a phone that wrote an identity, if the receiver may get it."""
    if trust.account is None:
        return ()
    wrote = any(key in _IDENTITIES for key, _, _ in headers.rows)
    if not wrote or not trust.passes(headers):
        return ()
    hidden = wants_privacy(headers) and "Privacy" not in headers
    return (
        ("P-Asserted-Identity", str(trust.account)),
        *((("Privacy", "id"),) if hidden else ()),
    )


def identity_fields(headers: Headers, trust: Trust) -> HeaderFields:
    """Return the header fields that state the sender's identity or ask for privacy.

    Empty if the receiver may not get the identity, or if the sender is a phone: a phone's name
    never changes.
    """
    if trust.sender is PeerKind.PHONE or not trust.passes(headers):
        return ()
    known = ("p-asserted-identity", "remote-party-id", "privacy")
    rows = tuple((name, value) for key, name, value in headers.rows if key in known)
    return tuple((name, shown) for name, value in rows if (shown := _shown(value, trust)))


def _shown(value: str, trust: Trust) -> str | None:
    """Return a value as the receiver may see it; None if it is dropped.

    A phone shows names, so characters that turn the direction of text are removed from them.
    """
    if trust.receiver is not PeerKind.PHONE or not _DIRECTIONS.search(value):
        return value
    try:
        return ", ".join(map(str, map(_plain, NameAddr.parse_list(value))))
    except SipParseError:
        return None


def _plain(address: NameAddr) -> NameAddr:
    return replace(address, display_name=_CONTROLS.sub("", address.display_name).strip())


def from_for(request: Request, trust: Trust) -> NameAddr:
    """Return the From header field for the other leg, without a tag.

    It is anonymous if the sender asks for privacy and the receiver may not get the identity. For a
    phone with a known extension, it is the account's address. In any other case, it is the From of
    `request` as `shown_address` returns it.
    """
    if wants_privacy(request.headers) and not trust.passes(request.headers):
        return ANONYMOUS
    if trust.sender is PeerKind.PHONE and trust.account is not None:
        return trust.account
    return shown_address(request.from_, trust)


def shown_address(address: NameAddr, trust: Trust) -> NameAddr:
    """Return an address that the sender wrote, as the receiver may see it, without a tag.

    Only a trusted trunk or PBX may send parameters other than `user` and `phone-context`: a
    parameter could claim that a number was verified. A phone gets no display name from an untrusted
    sender.
    """
    if trust.sender is PeerKind.TRUSTED:
        named = address.with_tag(None)
    else:
        named = NameAddr(address.display_name, _bare(address.uri), ())
    if trust.receiver is not PeerKind.PHONE:
        return named
    untrusted = trust.sender is PeerKind.OUTSIDE
    return replace(named, display_name="") if untrusted else _plain(named)


def _bare(uri: Uri) -> Uri:
    """Return a URI without a password, and with no parameters but `user` and `phone-context`."""
    kept = tuple(pair for pair in uri.parameters if pair[0].lower() in {"user", "phone-context"})
    user = None if uri.user is None else uri.user.partition(";")[0] or None
    return Uri(uri.scheme, user, None, uri.host, uri.port, kept)


def passed_reason(response: Response, trust: Trust) -> str | None:
    """Return the reason phrase for the other leg; None means the usual phrase of the status.

    A phone shows the phrase to a person, so it gets the usual one instead of an untrusted peer's.
    """
    hidden = trust.sender is PeerKind.OUTSIDE and trust.receiver is PeerKind.PHONE
    if hidden or trust.receiver is not PeerKind.PHONE:
        return None if hidden else response.reason
    return _CONTROLS.sub("", response.reason)


def answered_elsewhere(headers: Headers) -> bool:
    """Return whether a message says that another party has answered the call.

    Reason says so with the status 200 of SIP (RFC 3326 section 2), or the cause 26 of Q.850,
    "non-selected user clearing".
    """
    return any(
        _ELSEWHERE.match(reason.strip()) is not None
        for value in headers.get_all("Reason")
        for reason in value.split(",")
    )


IDENTITY_HEADERS: Final = ("P-Asserted-Identity", "Remote-Party-ID", "Contact")
"""The header fields in which a party states its identity. The most reliable one is first."""


def identity_of(message: Request | Response) -> tuple[NameAddr, str] | None:
    """Return the sender's identity, and the name of its header field; None without one."""
    for name in IDENTITY_HEADERS:
        for value in message.headers.get_all(name):
            try:
                return NameAddr.parse_list(value)[0], name
            except (SipParseError, IndexError):
                continue
    return None


def identity_key(identity: NameAddr, header: str) -> str:
    """Return a text that is equal for identities of the same party.

    For a Contact, it is only the user part: the host can change while the party stays the same.
    """
    user = identity.uri.number if identity.uri.scheme == "tel" else identity.uri.user or ""
    return user if header == "Contact" else f"{user}@{(identity.uri.host or '').lower()}"


ALERTING: Final = frozenset(
    ["alert-info", "call-info", "answer-mode", "priv-answer-mode", "p-auto-answer"]
)
"""The lookup names of the header fields that `granted_alert` handles."""

_AUTO_ANSWER: Final = (
    "alert-autoanswer",
    "Auto Answer",
    "Auto-Answer",
    "AutoAnswer",
    "Ring Answer",
    "Ring-Answer",
    "RingAnswer",
    "Intercom",
)
"""The texts in Alert-Info that make common phones answer by themselves."""

_ELEMENT: Final = re.compile(r'(?:<([^<>]*)>|"([^"]*)"|([^;,<>"]+))?[ \t]*(;.*)?', re.DOTALL)
_ANSWER_MODE: Final = re.compile(r"(auto|manual)[ \t]*(;[ \t]*require)?", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{1,4}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")
_NOWHERE: Final = "<http://127.0.0.1>"
"""The URI that we write into Alert-Info or Call-Info if only a parameter has a meaning."""


def granted_alert(name: str, value: str, grants: Grants) -> str | None:
    """Return the value to send in a field of `ALERTING`; None if nothing of it is granted."""
    if name == "alert-info":
        return _joined(_ring_tone(element, grants) for element in _elements(value))
    if not grants.auto_answer:
        return None
    if name == "call-info":
        return _joined(_answer_after(element) for element in _elements(value))
    if name == "p-auto-answer":
        return "normal" if value.strip().lower() == "normal" else None
    mode = _ANSWER_MODE.fullmatch(value.strip())
    return None if mode is None else mode[1].capitalize() + (";require" if mode[2] else "")


def _joined(values: Iterable[str | None]) -> str | None:
    return ", ".join(value for value in values if value is not None) or None


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of a list: its URI, quoted text or plain words, and its parameters."""

    uri: str | None
    quoted: str | None
    words: str | None
    parameters: str

    @property
    def text(self) -> str:
        return (self.uri or self.quoted or self.words or "").strip()


def _elements(value: str) -> list[_Element]:
    try:
        parts = split_list(value)
    except SipParseError:
        return []
    found = (_ELEMENT.fullmatch(part) for part in parts)
    return [_Element(each[1], each[2], each[3], each[4] or "") for each in found if each]


def _parameter(text: str, name: str) -> str | None:
    try:
        return find_parameter(parse_parameters(text), name)
    except SipParseError:
        return None


def _ring_tone(element: _Element, grants: Grants) -> str | None:
    """Return an element of Alert-Info with only its tone and delay; None if not granted."""
    known = (*grants.ring_tones, *(_AUTO_ANSWER if grants.auto_answer else ()))
    names = {name.lower(): name for name in known}
    tone = names.get(element.text.lower())
    if tone is not None:
        if element.uri is not None or tone.lower().startswith("urn:"):
            return f"<{tone}>"
        return tone if element.quoted is None else f'"{tone}"'
    tone = names.get((_parameter(element.parameters, "info") or "").strip().lower())
    if tone is None:
        return None
    delay = _parameter(element.parameters, "delay") or ""
    waits = f";delay={delay}" if grants.auto_answer and _DIGITS.fullmatch(delay) else ""
    written = tone if _PLAIN.fullmatch(tone) else f'"{tone}"'
    return f"{_NOWHERE};info={written}{waits}"


def _answer_after(element: _Element) -> str | None:
    """Return an element of Call-Info with only its parameter `answer-after`; None without it."""
    bare = f";{element.words}" if element.words else ""
    delay = _parameter(bare + element.parameters, "answer-after") or ""
    return f"{_NOWHERE};answer-after={delay}" if _DIGITS.fullmatch(delay) else None
