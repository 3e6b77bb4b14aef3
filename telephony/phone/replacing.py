"""An INVITE with Replaces (RFC 3891): which call of ours shall end for it."""

from __future__ import annotations

from telephony.errors import SipParseError
from telephony.phone.call import VoIPCall
from telephony.phone.state import CallState
from telephony.sip.endpoint import Endpoint
from telephony.sip.message import Request
from telephony.sip.replaces import Replaces


def replaced(endpoint: Endpoint, request: Request) -> VoIPCall | None:
    """The call whose place the INVITE takes; None if it takes none.

    Raises:
        SipParseError: it names none of ours (481), one that rings here (481), or wants it early
            and it is answered (486).
    """
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        raise SipParseError("more than one Replaces")
    named = Replaces.parse(values[0])
    dialog = endpoint.find_dialog(named.call_id, named.to_tag, named.from_tag)
    call = dialog.owner if dialog is not None else None
    if not isinstance(call, VoIPCall) or call.state is CallState.ENDED:
        raise SipParseError("no call of ours is to be replaced", status=481)
    if call.state is CallState.ANSWERED and named.early_only:
        raise SipParseError("the call is answered", status=486)
    if call.state is not CallState.ANSWERED and call.invite is not None:
        raise SipParseError("a call that rings here is not to be replaced", status=481)
    return call
