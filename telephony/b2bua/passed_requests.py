"""The requests within a call that are passed on: by method, content type and event package.

A NOTIFY can reboot a phone (`check-sync`) or make it answer (`talk`), and a MESSAGE shows a text to
the advisor. So a peer outside the trust domain can send a phone neither of them, and a trusted peer
only if the settings allow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.headers import HeaderFields, Trust
from telephony.b2bua.trust import PeerKind
from telephony.errors import SipParseError
from telephony.sip.message.grammar import find_parameter, is_token, parse_parameters
from telephony.sip.message.messages import Request

PASSED_METHODS: Final = frozenset({"INFO", "MESSAGE", "NOTIFY"})
"""Passed on as they are. INVITE, UPDATE, PRACK, REFER and BYE we write ourselves."""
INFO_TYPES: Final = frozenset(
    [
        "application/dtmf",
        "application/dtmf-relay",
        "application/media_control+xml",
        "application/vnd.nortelnetworks.digits",
        "audio/telephone-event",
    ]
)
"""Content types of an INFO that every peer may send: pressed keys, a request for a picture."""
INFO_TYPES_INSIDE: Final = frozenset({"application/hook-flash"})
"""Further content types of an INFO from a peer inside the trust domain."""
MESSAGE_TYPES: Final = frozenset({"text/plain"})
EVENT_PACKAGES: Final = {
    "dialog": frozenset({"application/dialog-info+xml", "message/sipfrag"}),
    "conference": frozenset({"application/conference-info+xml"}),
}
"""The event packages of a NOTIFY, each with the content types of its body."""
EVENT_PACKAGES_INSIDE: Final = {
    "message-summary": frozenset({"application/simple-message-summary"}),
}
"""Further event packages from a peer inside the trust domain to another peer inside it."""
EVENT_PACKAGES_GRANTED: Final = {"talk": frozenset[str](), "hold": frozenset[str]()}
"""By these, a PBX makes a phone answer or hold a call (`Grants.auto_answer`)."""

_PARAMETERS: Final = ("charset", "version")
"""The parameters of Content-Type that are passed on."""


@dataclass(frozen=True, slots=True)
class PassedRequest:
    """The header fields of a request to pass on, besides those that every message may have."""

    headers: HeaderFields


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """The response to a request that is not passed on."""

    status: int
    headers: HeaderFields = ()


def judge_request(request: Request, trust: Trust) -> PassedRequest | RefusedRequest:
    """Decide whether an INFO, MESSAGE or NOTIFY is passed on."""
    inside = trust.sender is not PeerKind.OUTSIDE and trust.receiver is not PeerKind.OUTSIDE
    if request.method == "NOTIFY":
        return _notify(request, trust, inside=inside)
    if request.method == "MESSAGE":
        shown = trust.sender is PeerKind.TRUSTED and trust.receiver is PeerKind.PHONE
        allowed = inside and (not shown or trust.grants.messages)
        return _typed(request, MESSAGE_TYPES) if allowed else RefusedRequest(403)
    if "Info-Package" in request.headers:
        return RefusedRequest(469, (("Recv-Info", ""),))
    return _typed(request, INFO_TYPES | (INFO_TYPES_INSIDE if inside else frozenset()))


def _notify(request: Request, trust: Trust, *, inside: bool) -> PassedRequest | RefusedRequest:
    event = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
    allowed = {} if trust.receiver is PeerKind.PHONE and not inside else dict(EVENT_PACKAGES)
    if inside:
        allowed |= EVENT_PACKAGES_INSIDE
    if inside and trust.grants.auto_answer:
        allowed |= EVENT_PACKAGES_GRANTED
    if event not in allowed:
        return RefusedRequest(489, (("Allow-Events", ", ".join(allowed)),))
    judged = _typed(request, allowed[event])
    if isinstance(judged, RefusedRequest):
        return judged
    names = ("Event", "Subscription-State")
    values = ((name, request.headers.get(name)) for name in names)
    state = tuple((name, value) for name, value in values if value is not None)
    return PassedRequest((*state, *judged.headers))


def _typed(request: Request, types: frozenset[str]) -> PassedRequest | RefusedRequest:
    """Pass a request on if it has no body, or a body of one of these types without an encoding."""
    if not request.body:
        return PassedRequest(())
    encoding = (request.headers.get("Content-Encoding") or "identity").strip().lower()
    if request.content_type not in types or encoding != "identity":
        return RefusedRequest(
            415, (("Accept", ", ".join(sorted(types))), ("Accept-Encoding", "identity"))
        )
    return PassedRequest((("Content-Type", request.content_type + _parameters(request)),))


def _parameters(request: Request) -> str:
    semicolon = (request.headers.get("Content-Type") or "").partition(";")[1:]
    try:
        given = parse_parameters("".join(semicolon))
    except SipParseError:
        return ""
    values = ((name, find_parameter(given, name)) for name in _PARAMETERS)
    return "".join(f";{name}={value}" for name, value in values if _is_word(value))


def _is_word(value: str | None) -> bool:
    return value is not None and is_token(value)
