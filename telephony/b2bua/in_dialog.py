"""Handle the requests within a dialog: pass a request on to the other leg or respond to it.

`exchange.py` handles the offers in a confirmed dialog, `transfer.py` a REFER. INFO, MESSAGE and
NOTIFY that `judge_request` permits are passed on in sequence: in each direction, each waits until
the previous one has its response. The bodies may contain DTMF digits and are passed on unread. The
body of a response is not passed on. A BYE does not wait for these requests.

A NOTIFY can reboot a phone (`check-sync`) or make it answer (`talk`), and a MESSAGE shows a text to
the advisor. So a peer outside the trust domain can send a phone neither of them. A trusted PBX can
send a phone a MESSAGE, or a NOTIFY of `talk` or `hold`, only if the settings allow it. No NOTIFY of
`check-sync` is ever passed on.

An INFO with a `Record` header field (a phone's record key) is not passed on. If it comes from the
callee, or from a caller at one of our own phones, the call's owner gets `RecordRequested` and
decides about the response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.bodies import ACCEPT
from telephony.b2bua.core import CallCore, EndCause, answer
from telephony.b2bua.events import InfoReceived, RecordRequested
from telephony.b2bua.exchange import Exchange
from telephony.b2bua.headers import (
    HeaderFields,
    Trust,
    answered_elsewhere,
    identity_fields,
    passed_fields,
    passed_reason,
)
from telephony.b2bua.leg import Leg, QueuedRequest
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.settings import PeerKind
from telephony.b2bua.transfer import ReferTransfers
from telephony.errors import SipParseError
from telephony.sip.message.grammar import find_parameter, is_token, parse_parameters
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.server_request import ServerRequest

_STATUS_FOR_SENDER: Final = {401: 500, 407: 500}
"""Maps the other leg's status to the sender's: 401 and 407 challenge us, and not the sender."""
_STATUS_WITHOUT_RESPONSE: Final = {408: 504, 481: 500}
"""Maps our own status for a missing response of the other leg to the status for the sender.

408 and 481 would end the sender's own dialog (RFC 3261 12.2.1.2), although only the other leg has
failed.
"""


class InDialogRequests:
    """Handles each request within a dialog, or passes the request to another component."""

    def __init__(
        self, core: CallCore, exchange: Exchange, refresh: Refresh, transfers: ReferTransfers
    ) -> None:
        self._core = core
        self._exchange = exchange
        self._refresh = refresh
        self._transfers = transfers
        self._serial = 0
        self._keys: dict[int, ServerRequest] = {}
        """The `Record` INFOs without a response, by `RecordRequested.request_id`."""

    def request(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        """Handle a request that the peer of `leg` has sent within its dialog."""
        method = request.method
        if method == "BYE":
            answer(transaction, 200, now)
            self._bye(leg, request, now)
        elif not leg.alive:
            answer(transaction, 481, now)
        elif method == "OPTIONS":
            answer(transaction, 200, now, headers=ACCEPT)
        elif method == "PRACK":
            # this PRACK contains an offer, but no callee has answered the call yet
            answer(transaction, 488, now)
        elif method == "UPDATE" and not leg.talking:
            self._early_update(leg, transaction, request, now)
        elif not leg.talking:
            answer(transaction, 480, now)
        elif method in {"INVITE", "UPDATE"}:
            self._session(leg, transaction, request, now)
        elif method == "REFER":
            self._transfers.on_refer(leg, transaction, request, now)
        elif method in PASSED_METHODS:
            self._pass_on(leg, transaction, request, now)
        else:
            answer(transaction, 501, now)

    def _session(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        has_new_name = self._core.learn_from(leg, request)
        self._exchange.incoming(leg, transaction, request, now)
        if has_new_name and not self._exchange.is_forwarding(transaction):
            self._send_new_name(leg, request, now)

    def _send_new_name(self, leg: Leg, request: Request, now: float) -> None:
        """Send the identity of the party on `leg` to the other peer (RFC 4916), if permitted."""
        other = self._core.other(leg)
        if other is None or not other.talking:
            return
        fields = identity_fields(request.headers, self._core.trust_between(leg, other))
        if fields:
            self._refresh.send_fields(other, fields, now)

    def _early_update(
        self, leg: Leg, transaction: ServerRequest, request: Request, now: float
    ) -> None:
        """Answer an UPDATE before the 2xx: 500 if it has an offer (RFC 3311 5.2), otherwise 200."""
        if request.body:
            answer(transaction, 500, now, headers=(("Retry-After", "5"),))
            return
        if leg.client_invite is None:
            self._core.learn_from(leg, request)
        else:
            self._core.learn_early(leg, request)
        answer(transaction, 200, now)

    def _bye(self, leg: Leg, request: Request, now: float) -> None:
        if not leg.alive:
            return
        if leg.client_invite is not None and not leg.talking:
            # A callee may not send BYE before it answers our INVITE (RFC 3261 15). Ignore this BYE
            # and wait for the final response.
            return
        other = self._core.other(leg)
        headers = passed_fields(request.headers, self._core.trust_between(leg, other or leg))
        cause = EndCause.CALLEE_HUNG_UP
        if leg is self._core.caller and answered_elsewhere(request.headers):
            cause = EndCause.ANSWERED_ELSEWHERE
        self.on_dialog_ended(leg, cause, now, headers)

    def on_dialog_ended(
        self, leg: Leg, cause: str, now: float, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Handle the end of a dialog, for example by a BYE or 481: end its leg, or the whole call.

        Only the leg ends if this is a step of a transfer, or if `leg` is a callee leg that is not
        joined. The call then ends too if no other leg is left.
        """
        leg.dialog = None
        if leg is self._core.caller:
            ours = EndCause.CALLER_HUNG_UP if cause == EndCause.CALLEE_HUNG_UP else cause
            self._core.end(ours, now, headers)
        elif self._transfers.on_leg_left(leg, now) or leg is not self._core.callee:
            self._core.end_leg(leg, EndCause.TRANSFERRED, now)
            if not any(other.alive for other in self._core.legs.values()):
                # All other legs have ended or moved to another call.
                self._core.end(EndCause.TRANSFERRED, now)
        else:
            self._core.end(cause, now, headers)

    def _pass_on(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        if request.method == "INFO" and "Record" in request.headers:
            self._record_key(leg, transaction, request, now)
            return
        if request.method == "NOTIFY" and _is_refer(request):
            answer(transaction, 481, now)  # we never subscribed to the peer's REFER events
            return
        other = self._core.other(leg)
        trust = self._core.trust_between(leg, other or leg)
        judged = judge_request(request, trust)
        if isinstance(judged, RefusedRequest):
            answer(transaction, judged.status, now, headers=judged.headers)
            return
        if request.method == "INFO":
            self._core.emit(InfoReceived(leg.id, leg.side, request))
        if other is None or not other.talking:
            answer(transaction, 480, now)
            return

        def then(response: Response | None, status: int, at: float) -> None:
            back = self._core.trust_between(other, leg)
            _answer_back(transaction, response, status, back, at)

        headers = (*passed_fields(request.headers, trust), *judged.headers)
        queued = QueuedRequest(request.method, headers, request.body, then)
        if not other.requests.add(queued, now):
            answer(transaction, 503, now, headers=(("Retry-After", "5"),))

    def _record_key(
        self, leg: Leg, transaction: ServerRequest, request: Request, now: float
    ) -> None:
        if leg is self._core.caller and not self._core.settings.caller_is_phone:
            # A caller outside the centre cannot control the recording. Such a caller always gets
            # 200, which does not reveal whether the call is recorded.
            answer(transaction, 200, now)
        elif self._core.other(leg) is None:
            answer(transaction, 480, now)
        else:
            self._serial += 1
            self._keys[self._serial] = transaction
            value = ", ".join(request.headers.get_all("Record"))
            self._core.emit(RecordRequested(self._serial, leg.id, leg.side, value))

    def answer_record(self, request_id: int, status: int, reason: str | None, now: float) -> None:
        """Respond to a `Record` INFO, unless it already has a response."""
        transaction = self._keys.pop(request_id, None)
        if transaction is not None:
            answer(transaction, status, now, reason=reason)


def _answer_back(
    transaction: ServerRequest, response: Response | None, status: int, trust: Trust, now: float
) -> None:
    others = _STATUS_FOR_SENDER if response is not None else _STATUS_WITHOUT_RESPONSE
    shown = others.get(status, status)
    if response is None or shown != status:
        answer(transaction, shown, now)
        return
    answer(
        transaction,
        status,
        now,
        reason=passed_reason(response, trust),
        headers=passed_fields(response.headers, trust),
    )


def _is_refer(request: Request) -> bool:
    event = (request.headers.get("Event") or "").partition(";")[0]
    return event.strip().lower() == "refer"


PASSED_METHODS: Final = frozenset({"INFO", "MESSAGE", "NOTIFY"})
"""The methods that are passed on. For all others, we respond, or send a request of our own."""
INFO_TYPES: Final = frozenset(
    [
        "application/dtmf",
        "application/dtmf-relay",
        "application/media_control+xml",
        "application/vnd.nortelnetworks.digits",
        "audio/telephone-event",
    ]
)
"""Content types of an INFO that every peer may send: pressed keys and requests for a picture."""
INFO_TYPES_INSIDE: Final = frozenset({"application/hook-flash"})
"""Further content types of an INFO from a peer inside the trust domain."""
MESSAGE_TYPES: Final = frozenset({"text/plain"})
EVENT_PACKAGES: Final = {
    "dialog": frozenset({"application/dialog-info+xml", "message/sipfrag"}),
    "conference": frozenset({"application/conference-info+xml"}),
}
"""Event packages of a NOTIFY and their content types. None passes from outside to a phone."""
EVENT_PACKAGES_INSIDE: Final = {
    "message-summary": frozenset({"application/simple-message-summary"}),
}
"""Further event packages that pass only between peers inside the trust domain."""
EVENT_PACKAGES_GRANTED: Final = {"talk": frozenset[str](), "hold": frozenset[str]()}
"""Event packages by which a PBX makes a phone answer or hold (`Grants.auto_answer`)."""

_PARAMETERS: Final = ("charset", "version")
"""The parameters of Content-Type that are passed on."""


@dataclass(frozen=True, slots=True)
class PassedRequest:
    """The header fields to pass on with a request, in addition to those of `passed_fields`."""

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
