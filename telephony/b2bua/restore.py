"""Restoring a call of an earlier process from its checkpoint (`checkpoint.py`).

Steps that were in progress are lost: an offer without an answer is forgotten, and a transfer counts
as failed. If the sender of the REFER has already left the call, it is rung again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from telephony.b2bua.alignment import Alignment
from telephony.b2bua.checkpoint import (
    CallCheckpoint,
    LegCheckpoint,
    MediaCheckpoint,
)
from telephony.b2bua.core import CallCore, EndCause
from telephony.b2bua.events import Side
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.transfer import ReferTransfers
from telephony.errors import NoPortsError, ParseError, ProtocolError, TelephonyError
from telephony.sdp import LocalMedia, Origin, Srtp
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.messages import Request, parse_message

_DAMAGED = (LookupError, ValueError, ParseError)
"""Errors from a damaged checkpoint, whose values have the right types but cannot be used."""
_NO_CHECKPOINT = "not the checkpoint of a call"


def invite_of(checkpoint: CallCheckpoint) -> Request:
    """Return the caller's INVITE that created the call.

    Raises:
        ProtocolError: The checkpoint holds no readable INVITE.
    """
    try:
        request = parse_message(checkpoint.transfers.request.encode("latin-1"))
    except _DAMAGED as error:
        raise ProtocolError(_NO_CHECKPOINT) from error
    if not isinstance(request, Request):
        raise ProtocolError(_NO_CHECKPOINT)
    return request


def cancel_branches(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> None:
    """Cancel the INVITEs of a checkpoint that had no final response; skip invalid entries.

    If a 2xx crosses our CANCEL, the endpoint emits an `InviteAnswered` that no call needs: the
    application must pass it to `attempt.decline`.
    """
    branches = data.get("branches")
    for branch in branches if isinstance(branches, list) else ():
        with contextlib.suppress(ProtocolError, TypeError):
            endpoint.cancel_restored(branch, now=now)


def replay_invite(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> str:
    """Handle an INVITE that the earlier process did not answer, like a new one.

    Return its Call-ID.

    Raises:
        ProtocolError: The checkpoint holds no such INVITE.
    """
    invite = data.get("invite")
    if not isinstance(invite, Mapping):
        raise ProtocolError(_NO_CHECKPOINT)
    return endpoint.restore_invite(invite, now)


def restore(
    core: CallCore,
    transfers: ReferTransfers,
    alignment: Alignment,
    checkpoint: CallCheckpoint,
    now: float,
) -> None:
    """Create and join the legs of a call from its checkpoint. After an error, no leg remains.

    Raises:
        ProtocolError: The checkpoint is damaged, it has no caller, or we no longer have the local
            address of a dialog.
        NoPortsError: The ports that a leg had before are not available.
    """
    try:
        for leg in checkpoint.legs:
            _restore_leg(core, leg)
        _require_caller(core)
        if checkpoint.partner is not None:
            core.join(core.legs[checkpoint.partner])
            core.set_owner_hold(held=checkpoint.owner_holds is True)
        transfers.resume(checkpoint.transfers, now)
    except (*_DAMAGED, TelephonyError) as error:
        core.forget_legs()
        if isinstance(error, ProtocolError | NoPortsError):
            raise
        raise ProtocolError(_NO_CHECKPOINT) from error
    _hang_up_leavers(core, now)
    _offer_new_keys(core, alignment, now)


def _hang_up_leavers(core: CallCore, now: float) -> None:
    """Send a BYE to each callee leg that is not joined with the caller after the restart.

    It had sent the REFER of a completed transfer, and the earlier process ended before its BYE.
    """
    for leg in list(core.legs.values()):
        if leg.side is Side.CALLEE and leg is not core.callee:
            core.end_leg(leg, EndCause.TRANSFERRED, now)


def _offer_new_keys(core: CallCore, alignment: Alignment, now: float) -> None:
    """Offer new keys to each joined leg with SRTP, which has no media until they are accepted."""
    callee = core.callee
    if callee is not None:
        for leg, other in ((core.caller, callee), (callee, core.caller)):
            if leg.media.local_description is None:
                alignment.align(leg, other, now)


def _restore_leg(core: CallCore, before: LegCheckpoint) -> None:
    facts = before.media
    srtp = Srtp.REQUIRED if facts.protected else facts.srtp
    origin, ports = Origin(*facts.origin), LocalMedia(facts.host, facts.port)
    target = before.target.target() if before.target is not None else None
    media = LegMedia(core.plane, before.leg_id, origin, srtp, restored=ports)
    leg = core.restore_leg(before.side, target, media)
    leg.timer = SessionTimer(*before.timer) if before.timer is not None else None
    leg.min_se = before.min_se
    leg.allow = frozenset(before.allow)
    leg.identity = before.identity
    if before.dialog is None:
        raise ProtocolError(_NO_CHECKPOINT)
    leg.dialog = core.endpoint.restore_dialog(before.dialog)
    leg.dialog.owner = leg
    _agree(media, facts)
    core.emit_media(leg)


def _require_caller(core: CallCore) -> None:
    if not core.legs or core.caller.side is not Side.CALLER:
        raise ProtocolError("the checkpoint has no caller")


def _agree(media: LegMedia, facts: MediaCheckpoint) -> None:
    ours = facts.ours.description if facts.ours is not None else None
    theirs = facts.theirs.description if facts.theirs is not None else None
    media.last_sent = facts.said.description if facts.said is not None else None
    media.holds_other = facts.holding
    if facts.protected:
        # The SRTP keys in `theirs` are not used, only the codecs. We will send an offer with new
        # keys.
        media.remote_description = theirs
    elif ours is not None and theirs is not None:
        media.agree(ours, theirs)
