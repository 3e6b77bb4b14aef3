"""The search for the call that an INVITE with Replaces (RFC 3891) asks to replace."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.phone.call import VoIPCall
from telephony.phone.state import CallState
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.header_values import Replaces
from telephony.sip.message.messages import Request


def replaced_call(endpoint: Endpoint, request: Request) -> VoIPCall | None:
    """Return the call that a received INVITE asks to replace; None without a Replaces.

    Raises:
        SipParseError: 400 if the Replaces is not valid; 481 if it names no call of this phone, or a
            received call that still rings; 486 if it has `early-only` and its call is answered.
    """
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        raise SipParseError("the INVITE has more than one Replaces")
    named = Replaces.parse(values[0])
    dialog = endpoint.find_dialog(named.call_id, named.to_tag, named.from_tag)
    call = dialog.owner if dialog is not None else None
    if not isinstance(call, VoIPCall) or call.state is CallState.ENDED:
        raise SipParseError("no call matches the Replaces", status=481)
    if call.state is CallState.ANSWERED and named.early_only:
        raise SipParseError("the call that early-only Replaces names is answered", status=486)
    if call.state is not CallState.ANSWERED and call.invite is not None:
        raise SipParseError("the call that Replaces names still rings here", status=481)
    return call
