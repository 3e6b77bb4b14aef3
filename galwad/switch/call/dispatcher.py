"""Handles new calls, registrations and pings, and passes the SIP events of a call to the call.

Other requests outside a call are refused with 405.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import structlog

from galwad.switch.call.checkpoints import RingingCall
from galwad.switch.call.clocks import Now
from galwad.switch.call.context import CallContext
from galwad.switch.call.pbx import consulted_call
from galwad.switch.call.switch_call import SwitchCall
from galwad.switch.edge.admission import Admission, AdmissionControl, Rejection
from galwad.switch.edge.emergency import called_number
from galwad.switch.edge.locations import HELD_DOWN_S
from galwad.switch.edge.overload import RETRY_AFTER_S, OverloadControl
from telephony.b2bua import Leg, decline, find_call, leg_to_replace
from telephony.sip import events as sip
from telephony.sip.message.messages import Response
from telephony.sip.ua.server_request import ServerRequest
from telephony.sip.ua.uas import InviteServer

log = structlog.get_logger()


class EventDispatcher:
    """Handles every event of the SIP core.

    `calls` is the dict in which the switch itself stores its live calls, by call id.
    """

    def __init__(
        self,
        context: CallContext,
        admission_control: AdmissionControl,
        calls: dict[str, SwitchCall],
        load: OverloadControl,
        drained: Callable[[], bool],
    ) -> None:
        """`drained` returns whether the switch is stopping. If so, most new calls are refused."""
        self._context = context
        self._admission_control = admission_control
        self._calls = calls
        self._overload = load
        self._drained = drained
        self._ringing_calls: dict[str, RingingCall] = {}

    def continue_ringing(self, sip_call_id: str, ringing_call: RingingCall) -> None:
        """Prepare for the INVITE of a call that was ringing before a restart.

        The call was already admitted. `sip_call_id` is the Call-ID of the INVITE, and
        `ringing_call` is the saved state of the call. When the SIP core repeats the INVITE, the
        call continues with the saved state.
        """
        self._ringing_calls[sip_call_id] = ringing_call

    def on_event(self, event: sip.SipEvent, now: Now) -> None:
        """Handle one event of the SIP core immediately."""
        match event:
            case sip.IncomingInvite(invite):
                self._invite(invite, now)
            case sip.StandaloneRequest(transaction):
                self._standalone(transaction, now)
            case sip.MessageDropped(_, why):
                log.debug("sip.dropped", why=why)
            case _:
                if isinstance(event, sip.InviteFailed):
                    self._unanswered(event)
                self._of_a_call(event, now)

    def _invite(self, invite: InviteServer, now: Now) -> None:
        ringing_call = self._ringing_calls.pop(invite.request.call_id, None)
        # Whether the caller may use the reserve for emergency calls is only known after the check
        # of the password.
        called = called_number(self._context.settings, invite.request.uri)
        urgent = called in self._context.settings.sip.emergency_numbers
        if not urgent and self._refuses(invite, now, is_new=ringing_call is None):
            return
        admission = (
            ringing_call.checkpoint.admission
            if ringing_call
            else self._admission_control.invite(invite, now.mono)
        )
        if isinstance(admission, Rejection):
            invite.refuse_statelessly(admission.status, headers=admission.headers, now=now.mono)
            return
        if (
            urgent
            and not admission.emergency
            and self._refuses(invite, now, is_new=ringing_call is None)
        ):
            return
        replaced = leg_to_replace(self._context.endpoint, invite)
        if replaced is not None:
            self._replace(replaced, invite, admission, now)
            return
        route = self._context.router.route(
            admission.called, by_phone=admission.phone, emergency=admission.emergency
        )
        if route is None:
            log.info("call.no_route")
            if admission.emergency:
                self._context.links.alarm("emergency.failed", None, "SIP status 404")
            invite.respond(404, now=now.mono)
            return
        first = consulted_call(self._calls.values(), admission, invite.source, self._context.router)
        if first is not None:
            log.info("call.consultation", call_id=first.call_id)
            admission = replace(admission, recorded=False)
        call = SwitchCall.incoming(
            self._context,
            *(invite, admission, route, now),
            ringing_call=ringing_call,
            consults=first.call_id if first is not None else "",
        )
        self._calls[call.call_id] = call
        call.start(*self._context.router.ring_order(route, admission.called, now.mono), now)

    def _replace(
        self, replaced: Leg | int, invite: InviteServer, admission: Admission, now: Now
    ) -> None:
        """Give an advisor's place in a call to the sender of an INVITE with Replaces (RFC 3891).

        `replaced` is the advisor's leg, or the SIP status to send if the Replaces names no such
        leg. If the sender is not trusted or the call has ended, the response is 603.
        """
        call = None if isinstance(replaced, int) else self._calls.get(replaced.call.call_id)
        if isinstance(replaced, int):
            invite.respond(replaced, now=now.mono)
        elif call is None or not admission.trusted:
            invite.respond(603, now=now.mono)
        else:
            call.transfers.replace_advisor(replaced, invite, admission, now)

    def _unanswered(self, event: sip.InviteFailed) -> None:
        """If an INVITE failed because its address was silent or overloaded, mark this address.

        For some time, a marked address is tried after all other addresses (RFC 3263 section 4.3,
        RFC 3261 section 21.5.4).
        """
        locations, there = self._context.router.locations, event.client.destination
        if event.response is None and event.status in {408, 503}:
            locations.mark_failed(there)
        elif event.response is not None and event.status == 503:
            locations.mark_busy(there, _retry_after(event.response))

    def _refuses(self, invite: InviteServer, now: Now, *, is_new: bool) -> bool:
        """Refuse an INVITE with 503 if the switch is stopping or overloaded; return True if so.

        `is_new` is False if the call was ringing before a restart. Such a call is not additional
        work, so overload is no reason to refuse it.
        """
        if not (self._drained() or (is_new and self._too_much(invite, now))):
            return False
        invite.refuse_statelessly(503, headers=[("Retry-After", RETRY_AFTER_S)], now=now.mono)
        return True

    def _too_much(self, invite: InviteServer, now: Now) -> bool:
        request = invite.request
        number, branch = str(request.cseq.number), request.via.branch or ""
        copies = (request.call_id, request.from_.tag or "", number, branch)
        return self._overload.refuses(len(self._calls), copies, now.mono, now.mono - now.arrived)

    def _of_a_call(self, event: sip.SipEvent, now: Now) -> None:
        legs = find_call(event)
        if legs is None:
            if isinstance(event, sip.InviteAnswered):
                # `event` is a 2xx response to an INVITE that we sent before a restart. There is no
                # call for this INVITE any more.
                decline(event, now.mono)
            return
        call = self._calls.get(legs.call_id)
        if call is not None:
            if isinstance(event, sip.DialogRequest) and event.request.method == "BYE":
                self._context.relay.drain(*call.legs.legs)
            call.on_sip(event, now)
        else:
            # The call has ended, but its legs still handle events: a 2xx response that arrives
            # after the end of the call needs an ACK and a BYE.
            legs.handle(event, now.mono)

    def _standalone(self, transaction: ServerRequest, now: Now) -> None:
        match transaction.request.method:
            case "REGISTER":
                self._admission_control.register(transaction, now)
            case "OPTIONS":
                status = 503 if self._drained() else 200
                transaction.respond(status, headers=[("Accept", "application/sdp")], now=now.mono)
            case _:
                transaction.respond(405, headers=[("Allow", ALLOW)], now=now.mono)


def _retry_after(response: Response) -> float:
    """Return a 503's Retry-After in seconds, at most `HELD_DOWN_S`.

    Without a readable Retry-After, return `RETRY_AFTER_S`.
    """
    text = re.match(r"[0-9]{1,6}", (response.headers.get("Retry-After") or "").strip())
    return min(float(text[0]), HELD_DOWN_S) if text else float(RETRY_AFTER_S)


ALLOW = "INVITE, ACK, CANCEL, PRACK, BYE, OPTIONS, REGISTER, INFO, UPDATE, REFER, NOTIFY, MESSAGE"
