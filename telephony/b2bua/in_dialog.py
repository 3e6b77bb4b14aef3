"""Requests within a dialog, other than offers: they cross to the other leg or are answered here.

INFO, MESSAGE and NOTIFY cross in order, one at a time for each leg and direction; a BYE overtakes
them. Their bodies (key presses among them) are never read. An INFO with a `Record` header comes
from a phone's record key. It does not cross: the owner answers it if it came from the callee that
is joined with the caller.

A PRACK comes here only if it holds an offer. It gets 488, because no callee has answered yet that
could answer the offer. An UPDATE with an offer before the answer gets 500 with Retry-After (RFC
3311 5.2); the same UPDATE after the answer is passed on.
"""

from __future__ import annotations

from typing import Final

from telephony.b2bua.core import CallCore, EndCause, answer
from telephony.b2bua.events import InfoReceived, RecordRequested
from telephony.b2bua.exchange import Exchange
from telephony.b2bua.headers import Trust, body_fields, identity_fields, passed_fields
from telephony.b2bua.leg import Leg
from telephony.b2bua.refresh import Refresh
from telephony.b2bua.request_queue import QueuedRequest
from telephony.b2bua.transfer import ReferTransfers
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.server_request import ServerRequest

_PASSED_ON: Final = frozenset({"INFO", "MESSAGE", "NOTIFY"})
_STATUS_FOR_SENDER: Final = {401: 500, 407: 500}
"""Failures between us and the other leg, and the statuses that the sender gets in their place."""
_STATUS_WITHOUT_RESPONSE: Final = {408: 504, 481: 500}
"""Failures without a response, and the statuses that the sender gets in their place.

408 and 481 would end the sender's own dialog (RFC 3261 12.2.1.2), although only the other leg has
gone.
"""
_ACCEPT: Final = (("Accept", "application/sdp, multipart/mixed"),)


class InDialogRequests:
    """Handles each request within a dialog, or hands it to the component that does."""

    def __init__(
        self, core: CallCore, exchange: Exchange, refresh: Refresh, transfers: ReferTransfers
    ) -> None:
        """Create the object; no request is in progress."""
        self._core = core
        self._exchange = exchange
        self._refresh = refresh
        self._transfers = transfers
        self._serial = 0
        self._keys: dict[int, ServerRequest] = {}
        """INFOs of record keys that wait for the owner's answer, by request id."""

    def request(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        """Handle a request from a leg's peer."""
        method = request.method
        if method == "BYE":
            answer(transaction, 200, now)
            self._bye(leg, request, now)
        elif not leg.alive:
            answer(transaction, 481, now)
        elif method == "OPTIONS":
            answer(transaction, 200, now, headers=_ACCEPT)
        elif method == "PRACK":
            answer(transaction, 488, now)  # it holds an offer, and no callee can answer that yet
        elif method == "UPDATE" and not leg.talking:
            self._early_update(leg, transaction, request, now)
        elif not leg.talking:
            answer(transaction, 480, now)
        elif method in {"INVITE", "UPDATE"}:
            self._session(leg, transaction, request, now)
        elif method == "REFER":
            self._transfers.on_refer(leg, transaction, request, now)
        elif method in _PASSED_ON:
            self._pass_on(leg, transaction, request, now)
        else:
            answer(transaction, 501, now)

    def _session(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        has_new_name = self._core.learn_from(leg, request)
        self._exchange.incoming(leg, transaction, request, now)
        if has_new_name and not self._exchange.is_forwarding(transaction):
            self._send_new_name(leg, request, now)

    def _send_new_name(self, leg: Leg, request: Request, now: float) -> None:
        """Send the other leg the new name of this leg's party (RFC 4916), if trust allows it."""
        other = self._core.other(leg)
        if other is None or not other.talking:
            return
        fields = identity_fields(request.headers, self._core.trust_between(leg, other))
        if fields:
            self._refresh.send_fields(other, fields, now)

    def _early_update(
        self, leg: Leg, transaction: ServerRequest, request: Request, now: float
    ) -> None:
        """Handle an UPDATE before the answer; it can only change a name (RFC 3311 section 5.2)."""
        if request.body:
            answer(transaction, 500, now, headers=(("Retry-After", "5"),))
            return
        self._core.learn_from(leg, request)
        answer(transaction, 200, now)

    def _bye(self, leg: Leg, request: Request, now: float) -> None:
        if not leg.alive:
            return
        if leg.client_invite is not None and not leg.talking:
            # a callee may not send BYE now (RFC 3261 15); its answer to the INVITE still counts
            return
        other = self._core.other(leg)
        headers = passed_fields(request.headers, self._core.trust_between(leg, other or leg))
        self.on_dialog_ended(leg, EndCause.CALLEE_HUNG_UP, now, headers)

    def on_dialog_ended(
        self, leg: Leg, cause: str, now: float, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Handle the end of a leg's dialog: the peer hung up, or no longer knows the dialog."""
        leg.dialog = None
        if leg is self._core.caller:
            ours = EndCause.CALLER_HUNG_UP if cause == EndCause.CALLEE_HUNG_UP else cause
            self._core.end(ours, now, headers)
        elif self._transfers.on_leg_left(leg, now) or leg is not self._core.callee:
            self._core.end_leg(leg, EndCause.TRANSFERRED, now)
            if not any(other.alive for other in self._core.legs.values()):
                # another call has taken over the last other leg
                self._core.end(EndCause.TRANSFERRED, now)
        else:
            self._core.end(cause, now, headers)

    def _pass_on(self, leg: Leg, transaction: ServerRequest, request: Request, now: float) -> None:
        if request.method == "INFO":
            if "Record" in request.headers:
                self._record_key(leg, transaction, request, now)
                return
            self._core.emit(InfoReceived(leg.id, leg.side, request))
        if request.method == "NOTIFY" and _is_refer(request):
            answer(transaction, 481, now)  # we never subscribed
            return
        other = self._core.other(leg)
        if other is None or not other.talking:
            answer(transaction, 480, now)
            return

        def then(response: Response | None, status: int, at: float) -> None:
            trust = self._core.trust_between(other, leg)
            _answer_back(transaction, response, status, trust, at)

        headers = passed_fields(request.headers, self._core.trust_between(leg, other))
        headers = (*headers, *body_fields(request))
        queued = QueuedRequest(request.method, headers, request.body, then)
        if not other.requests.add(queued, now):
            answer(transaction, 503, now, headers=(("Retry-After", "5"),))

    def _record_key(
        self, leg: Leg, transaction: ServerRequest, request: Request, now: float
    ) -> None:
        if leg is self._core.caller:
            # the caller cannot control the recording, and learns nothing about it
            answer(transaction, 200, now)
        elif leg is not self._core.callee:
            answer(transaction, 480, now)
        else:
            self._serial += 1
            self._keys[self._serial] = transaction
            value = ", ".join(request.headers.get_all("Record"))
            self._core.emit(RecordRequested(self._serial, leg.id, value))

    def answer_record(self, request_id: int, status: int, reason: str | None, now: float) -> None:
        """Answer the INFO of a record key; a second call changes nothing."""
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
        reason=response.reason,
        headers=(*passed_fields(response.headers, trust), *body_fields(response)),
        body=response.body,
    )


def _is_refer(request: Request) -> bool:
    event = (request.headers.get("Event") or "").partition(";")[0]
    return event.strip().lower() == "refer"
