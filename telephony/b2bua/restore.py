"""Going on with a call of an earlier life of the process (the other half of `checkpoint.py`).

Dialogs, media, session timers and the pair that talks are as they were. What was under way is
not: an offer that nobody answered was never made, a transfer has failed, and a caller whom nobody
talked with any more has the advisor rung again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from telephony.b2bua.checkpoint import VERSION, session_from, target_from
from telephony.b2bua.core import CallCore, Cause
from telephony.b2bua.events import Side
from telephony.b2bua.leg import LegState
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.session_timer import SessionTimer
from telephony.errors import NoPortsError, ParseError, ProtocolError, TelephonyError
from telephony.sdp import LocalMedia, Origin, Srtp
from telephony.sip.endpoint import Endpoint
from telephony.sip.message import Request, parse_message

if TYPE_CHECKING:
    from telephony.b2bua.alignment import Alignment
    from telephony.b2bua.call import BackToBackCall
    from telephony.b2bua.transfer import Transfers

_NOT_ONE = (LookupError, TypeError, ValueError, AttributeError, ParseError)
"""What comes of reading plain values that are not what we wrote."""
_NO_CHECKPOINT = "not the checkpoint of a call"


def invite_of(data: Mapping[str, Any]) -> Request:
    """The INVITE that the call began with.

    Raises:
        ProtocolError: it is no checkpoint, or that of another version.
    """
    try:
        if data["version"] != VERSION or not isinstance(data["call_id"], str):
            raise ProtocolError(_NO_CHECKPOINT)
        request = parse_message(data["transfers"]["request"].encode("latin-1"))
    except _NOT_ONE as error:
        raise ProtocolError(_NO_CHECKPOINT) from error
    if not isinstance(request, Request):
        raise ProtocolError(_NO_CHECKPOINT)
    return request


def give_up_branches(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> None:
    """Cancel the branches that rang when the process died; what is no branch is passed over.

    A 2xx that crosses the CANCEL comes as an `InviteAnswered` of no call: `decline` it.
    """
    branches = data.get("branches")
    for branch in branches if isinstance(branches, list) else ():
        with contextlib.suppress(ProtocolError, TypeError):
            endpoint.give_up(branch, now=now)


def ring_anew(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> str:
    """Let the INVITE of a caller who was not answered yet come in once more; its Call-ID.

    Raises:
        ProtocolError: there is none in the checkpoint.
    """
    invite = data.get("invite")
    if not isinstance(invite, Mapping):
        raise ProtocolError(_NO_CHECKPOINT)
    return endpoint.serve_again(invite, now)


def restore(
    call: BackToBackCall,
    core: CallCore,
    data: Mapping[str, Any],
    now: float,
    *,
    transfers: Transfers,
    alignment: Alignment,
) -> None:
    """Make the legs anew and join the two that talked; all of it, or nothing.

    Raises:
        ProtocolError: it is no checkpoint; there is no caller in it; a dialog is not ours.
        NoPortsError: a leg's ports are not to be had.
    """
    try:
        for row in data["legs"]:
            _restore_leg(call, core, row)
        partner = data["partner"]
        core.partner = None if partner is None else core.legs[partner]
        _require_caller(core)
        transfers.resume(data["transfers"], now)
    except (*_NOT_ONE, TelephonyError) as error:
        _undo(core)
        if isinstance(error, ProtocolError | NoPortsError):
            raise
        raise ProtocolError(_NO_CHECKPOINT) from error
    core.reconnect()
    _part_from_leavers(core, now)
    _offer_new_keys(core, alignment, now)


def _part_from_leavers(core: CallCore, now: float) -> None:
    """Advisor-side legs that wait for nothing but their BYE get it."""
    for leg in list(core.legs.values()):
        if leg.side is Side.ADVISOR and leg is not core.partner:
            core.end_leg(leg, Cause.TRANSFERRED, now)


def _offer_new_keys(core: CallCore, alignment: Alignment, now: float) -> None:
    """SRTP legs of the pair that talks are silent until they have agreed to new keys."""
    partner = core.partner
    if partner is not None:
        for leg, other in ((core.caller, partner), (partner, core.caller)):
            if leg.media.ours is None:
                alignment.align(leg, other, now)


def _restore_leg(call: BackToBackCall, core: CallCore, row: Mapping[str, Any]) -> None:
    facts, side, target = row["media"], Side(row["side"]), target_from(row["target"])
    srtp = Srtp.REQUIRED if facts["protected"] else Srtp(facts["srtp"])
    origin, again = Origin(*facts["origin"]), LocalMedia(facts["host"], facts["port"])
    media = LegMedia(core.plane, str(row["leg_id"]), origin, srtp, again=again)
    leg = core.restore_leg(call, side, target, media)
    leg.state = LegState.TALKING
    leg.timer = SessionTimer(*row["timer"]) if row["timer"] is not None else None
    leg.min_se = int(row["min_se"])
    leg.allow = frozenset(row["allow"])
    leg.identity = None if row["identity"] is None else (row["identity"][0], row["identity"][1])
    leg.dialog = core.endpoint.restore_dialog(row["dialog"])
    leg.dialog.owner = leg
    _agree(media, facts)
    core.negotiated(leg)


def _require_caller(core: CallCore) -> None:
    if not core.legs or core.caller.side is not Side.CALLER:
        raise ProtocolError("a call without a caller")


def _agree(media: LegMedia, facts: Mapping[str, Any]) -> None:
    ours, theirs = session_from(facts["ours"]), session_from(facts["theirs"])
    media.said = session_from(facts["said"])
    media.holding = bool(facts["holding"])
    if facts["protected"]:
        media.theirs = theirs  # says what codecs there are; an offer with new keys comes next
    elif ours is not None and theirs is not None:
        media.agree(ours, theirs)


def _undo(core: CallCore) -> None:
    core.partner = None
    for leg in core.legs.values():
        leg.media.close()
        if leg.dialog is not None:
            leg.dialog.owner = None
            leg.dialog.forget("not restored")
    core.legs.clear()
    core.events.clear()
