"""Continuation of the calls of a switch that died.

An answered call continues; a call that was ringing rings again. A call that cannot be continued is
hung up on both sides. All this happens before the first datagram is read, so that no request finds
its dialog missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from galwad.messages import CallEnded
from galwad.switch.call import LiveCall
from galwad.switch.checkpoint import Heir, Memo, Talk
from galwad.switch.checkpoint_store import Unreadable
from galwad.switch.clocks import read_clocks
from galwad.switch.context import Switchboard
from galwad.switch.dispatcher import Reception
from recording.spool import Clock
from telephony.b2bua import bye_from_checkpoint, cancel_branches, replay_invite
from telephony.errors import TelephonyError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Revived:
    """The numbers of calls that were continued and of calls that were cut off."""

    going_on: int
    cut_off: int

    def __str__(self) -> str:
        return f"{self.going_on} calls go on, {self.cut_off} were cut off"


def revive(board: Switchboard, reception: Reception, calls: dict[str, LiveCall]) -> Revived | None:
    """Continue every call that an earlier process left; return None if there were no calls.

    `calls` is the switch's own dict. No exception escapes: a call that cannot be continued is
    ended.
    """
    left = list(board.checkpoints.left_behind())
    for call_id, memo in left:
        call = _try(board, reception, call_id, memo, read_clocks())
        if call is not None and not call.legs.ended:
            calls[call_id] = call
        board.flush()
    if not left:
        return None
    going_on = sum(call_id in calls for call_id, _ in left)
    return Revived(going_on, len(left) - going_on)


def _try(
    board: Switchboard,
    reception: Reception,
    call_id: str,
    memo: Memo | Unreadable,
    now: Clock,
) -> LiveCall | None:
    if isinstance(memo, Unreadable):
        cancel_branches(board.endpoint, memo.legs, now.mono)
        _hang_up(board, call_id, memo.legs, now)
        return None
    try:
        call = _take_up(board, reception, call_id, memo, now)
    except TelephonyError as error:
        log.warning("call.not_resumed", call_id=call_id, reason=type(error).__name__)
        call = None
    except Exception:
        # A bug in one call must not end the others, again at each restart.
        log.exception("call.not_resumed", call_id=call_id)
        call = None
    if call is None:
        _hang_up(board, call_id, memo.legs_values(), now)
        if memo.talk is not None:
            _tell_its_end(board, call_id, memo, memo.talk, now)
    return call


def _tell_its_end(board: Switchboard, call_id: str, memo: Memo, talk: Talk, now: Clock) -> None:
    """Report that the call ended when the switch died; a spool of it is on the disk."""
    since = now.wall - (now.mono - talk.answered) if talk.answered else talk.since
    recorded = memo.admission.recorded
    board.hub.call_ended(CallEnded(call_id, now.wall, recorded, None, since, owed=recorded))


def _take_up(
    board: Switchboard, reception: Reception, call_id: str, memo: Memo, now: Clock
) -> LiveCall | None:
    """Return the continued call; None if it cannot be continued, or rings again as a new call."""
    legs, admission = memo.legs_values(), memo.admission
    cancel_branches(board.endpoint, legs, now.mono)
    route = board.router.route(admission.called, by_phone=admission.phone)
    if memo.talk is None:
        sip_call_id = replay_invite(board.endpoint, legs, now.mono)
        reception.serve_anew(sip_call_id, Heir(call_id, memo))
        return None
    if route is None:
        log.warning("call.route_gone", call_id=call_id)
        return None
    return LiveCall.resumed(board, memo, memo.talk, route, now)


def _hang_up(board: Switchboard, call_id: str, legs: Mapping[str, object], now: Clock) -> None:
    bye_from_checkpoint(board.endpoint, legs, now.mono)
    board.checkpoints.remove(call_id)
