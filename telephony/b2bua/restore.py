"""Restoring a call of an earlier process from its checkpoint (`checkpoint.py`).

Dialogs, media, session timers and the joined pair of legs are restored. Steps that were in progress
are lost: an offer without an answer is forgotten, and a transfer counts as failed. If the sender of
the REFER has already left the call, the caller has no other party, so we ring the sender again.
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
    session_from_text,
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
"""The errors that can occur while a damaged checkpoint is restored.

The values of such a checkpoint have the right types but cannot be used.
"""
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
    """Cancel our INVITEs that had no final response when the earlier process ended.

    `data` is a checkpoint as plain values (dicts, lists, strings and numbers). Entries that
    are not valid are skipped. A target may answer with a 2xx before it gets our CANCEL. The
    endpoint then emits an `InviteAnswered`. No call needs this event, so the application must pass
    the event to `attempt.decline`.
    """
    branches = data.get("branches")
    for branch in branches if isinstance(branches, list) else ():
        with contextlib.suppress(ProtocolError, TypeError):
            endpoint.cancel_restored(branch, now=now)


def replay_invite(endpoint: Endpoint, data: Mapping[str, Any], now: float) -> str:
    """Handle a caller's INVITE that the earlier process had received but not answered.

    `data` is a checkpoint as plain values (dicts, lists, strings and numbers). The endpoint emits
    the same event as for a new INVITE. Return the Call-ID of the INVITE.

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
    """Create the legs of a call from its checkpoint, and join the two legs that were joined before.

    If an error is raised, no leg remains.

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

    Such a leg had sent the REFER of a completed transfer. The earlier process ended before it sent
    the BYE to this leg.
    """
    for leg in list(core.legs.values()):
        if leg.side is Side.CALLEE and leg is not core.callee:
            core.end_leg(leg, EndCause.TRANSFERRED, now)


def _offer_new_keys(core: CallCore, alignment: Alignment, now: float) -> None:
    """Offer new keys to each of the two joined legs, if the leg uses SRTP.

    Such a leg has no media until its peer has accepted the new keys.
    """
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
    ours, theirs = session_from_text(facts.ours), session_from_text(facts.theirs)
    media.last_sent = session_from_text(facts.said)
    media.holds_other = facts.holding
    if facts.protected:
        # The SRTP keys in `theirs` are not used, only the codecs. We will send an offer with new
        # keys.
        media.remote_description = theirs
    elif ours is not None and theirs is not None:
        media.agree(ours, theirs)
