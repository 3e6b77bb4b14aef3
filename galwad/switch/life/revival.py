"""Continuation of the calls of a switch process that died.

A call that was answered continues, and a call that was ringing rings again. A call that cannot be
continued is hung up on both sides. After a reboot of the machine, no call can be continued. All
this happens before the first received message is handled, because the message may belong to a
dialog of such a call.

The parties may have hung up while no process ran. If no media of a continued call arrives, its
parties are asked. If no party answers, and the call is not on hold, the call is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from galwad.messages import CallEnded
from galwad.switch.call.appended_files import LastingCall
from galwad.switch.call.checkpoints import (
    AnsweredState,
    Checkpoint,
    EndedCheckpoint,
    LeftBehind,
    RingingCall,
    UnreadableCheckpoint,
)
from galwad.switch.call.clocks import Now, read_clocks
from galwad.switch.call.context import CallContext
from galwad.switch.call.dispatcher import EventDispatcher
from galwad.switch.call.switch_call import SwitchCall
from telephony.b2bua import bye_from_checkpoint, bye_in_dialogs, cancel_branches, replay_invite
from telephony.errors import TelephonyError

MOST_AGE_S = 86_400.0
"""A lost call whose answer is more seconds ago than this gets no BYE."""
SKIPPED_CSEQS = 100
"""The number of CSeqs that a BYE of a lost call skips: the newest may not be on the disk."""
SILENT_S = 3.0
"""The parties are asked if no media has arrived within this time, in seconds."""
UNANSWERED_S = 4.0
"""The time in seconds within which one of the parties must answer, or send media."""
_NOBODY_LEFT = 'SIP;cause=408;text="No answer after a restart"'
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Revived:
    """The result of `revive`: the number of calls that continue, and of calls that were ended."""

    going_on: int
    cut_off: int

    def __str__(self) -> str:
        return f"{self.going_on} calls continue, {self.cut_off} were cut off"


def revive(
    context: CallContext, dispatcher: EventDispatcher, calls: dict[str, SwitchCall]
) -> Revived | None:
    """Continue every live call of an earlier process; return None if there was no such call.

    `calls` is the dict in which the switch stores its live calls. The continued calls are added to
    this dict. If a call cannot be continued, it is ended, and no exception is raised.
    """
    left = list(context.checkpoints.left_behind())
    for call_id, checkpoint in left:
        call = _try(context, dispatcher, call_id, checkpoint, read_clocks())
        if call is not None and not call.legs.ended:
            calls[call_id] = call
        context.flush()
    for call in calls.values():
        call.joins.resumed()
    loop = asyncio.get_running_loop()
    for call_id in calls:
        loop.call_later(SILENT_S, _ask_parties, context, calls, call_id)
    lost = _end_lost_calls(context, calls, read_clocks())
    if not left and not lost:
        return None
    going_on = sum(call_id in calls for call_id, _ in left)
    return Revived(going_on, len(left) - going_on + lost)


def _ask_parties(context: CallContext, calls: Mapping[str, SwitchCall], call_id: str) -> None:
    """Ask the parties of a continued call whether they still have it, unless one sends media.

    The timer keeps only the call's id, so that the memory of an ended call is freed.
    """
    call = calls.get(call_id)
    if call is None or call.legs.ended or _is_heard(context, call):
        return
    answers: list[bool] = []
    call.ask_parties(lambda: answers.append(True), read_clocks())
    loop = asyncio.get_running_loop()
    loop.call_later(UNANSWERED_S, _end_if_unanswered, context, calls, call_id, answers)


def _end_if_unanswered(
    context: CallContext, calls: Mapping[str, SwitchCall], call_id: str, answers: list[bool]
) -> None:
    """End a continued call whose parties neither answer nor send media, unless it is on hold."""
    call = calls.get(call_id)
    if call is None or call.legs.ended or call.legs.holding or answers:
        return
    if _is_heard(context, call):
        return
    log.warning("call.nobody_left", call_id=call.call_id)
    call.hangup(_NOBODY_LEFT, read_clocks())


def _is_heard(context: CallContext, call: SwitchCall) -> bool:
    """Return whether media of a party has arrived since the call was continued."""
    return any(context.relay.has_heard(leg_id) for leg_id in call.legs.legs)


def _end_lost_calls(context: CallContext, calls: Mapping[str, SwitchCall], now: Now) -> int:
    """Send a BYE to the parties of each call whose checkpoint is lost, usually by a reboot.

    Return the number of these calls. A call that was answered too long ago gets no BYE. The end of
    each call is reported to the desk.
    """
    lasting = context.checkpoints.lasting
    lost = lasting.lost(calls) if lasting is not None else ()
    for call in lost:
        sent = 0
        if now.wall - call.answered_at <= MOST_AGE_S:
            sent = _end_dialogs(context, call, now)
        log.warning("call.cut_off_by_reboot", call_id=call.call_id, byes=sent)
        context.checkpoints.remove(call.call_id)
        context.links.call_ended(
            CallEnded(
                call.call_id,
                now.wall,
                call.recorded,
                None,
                call.answered_at,
                for_ledger=call.recorded,
            )
        )
    context.flush()
    return len(lost)


def _end_dialogs(context: CallContext, call: LastingCall, now: Now) -> int:
    """Send a BYE in each dialog of a lost call, and return the number of BYEs."""
    try:
        return bye_in_dialogs(context.endpoint, call.dialogs, now.mono, skipped=SKIPPED_CSEQS)
    except Exception:
        # As in `_try`: an error in one call must not end all the other calls.
        log.exception("call.not_ended", call_id=call.call_id)
        return 0


def _try(
    context: CallContext,
    dispatcher: EventDispatcher,
    call_id: str,
    left: LeftBehind,
    now: Now,
) -> SwitchCall | None:
    if isinstance(left, UnreadableCheckpoint):
        cancel_branches(context.endpoint, left.legs, now.mono)
        _hang_up(context, call_id, left.legs, now)
        return None
    checkpoint = left.checkpoint if isinstance(left, EndedCheckpoint) else left
    try:
        call = _take_up(context, dispatcher, call_id, left, now)
    except TelephonyError as error:
        log.warning("call.not_resumed", call_id=call_id, reason=type(error).__name__)
        call = None
    except Exception:
        # An error in one call must not end all the other calls. Without this handler, each restart
        # would fail with the same error.
        log.exception("call.not_resumed", call_id=call_id)
        call = None
    if call is None:
        _hang_up(context, call_id, checkpoint.legs_values(), now)
        if checkpoint.answered is not None:
            _tell_its_end(context, call_id, checkpoint, checkpoint.answered, now)
    return call


def _tell_its_end(
    context: CallContext, call_id: str, checkpoint: Checkpoint, answered: AnsweredState, now: Now
) -> None:
    """Report to the desk that an answered call has ended.

    If the call was recorded, its spool is on the disk, and a recording will follow.
    """
    is_of_this_boot = 0 < answered.answered_at <= now.mono
    since = now.wall - (now.mono - answered.answered_at) if is_of_this_boot else answered.since
    recorded = checkpoint.admission.recorded
    context.links.call_ended(
        CallEnded(call_id, now.wall, recorded, None, since, for_ledger=recorded)
    )


def _take_up(
    context: CallContext,
    dispatcher: EventDispatcher,
    call_id: str,
    left: Checkpoint | EndedCheckpoint,
    now: Now,
) -> SwitchCall | None:
    """Continue an answered call, or let a ringing call ring again; return the continued call.

    Return None if the call has ended or cannot continue. Return None too if it was ringing: its
    INVITE then begins a new call.
    """
    checkpoint = left.checkpoint if isinstance(left, EndedCheckpoint) else left
    legs, admission = checkpoint.legs_values(), checkpoint.admission
    cancel_branches(context.endpoint, legs, now.mono)
    if isinstance(left, EndedCheckpoint):
        log.info("call.had_ended", call_id=call_id)
        return None
    route = context.router.route(
        admission.called, by_phone=admission.phone, emergency=admission.emergency
    )
    if checkpoint.answered is None:
        sip_call_id = replay_invite(context.endpoint, legs, now.mono)
        dispatcher.continue_ringing(sip_call_id, RingingCall(call_id, checkpoint))
        return None
    if route is None:
        log.warning("call.route_gone", call_id=call_id)
        return None
    if checkpoint.answered.answered_at > now.mono:
        # The runtime folder is on a disk, and its times are those of another boot.
        log.warning("call.of_another_boot", call_id=call_id)
        return None
    return SwitchCall.resumed(context, checkpoint, checkpoint.answered, route, now)


def _hang_up(context: CallContext, call_id: str, legs: Mapping[str, object], now: Now) -> None:
    """Send a BYE on each leg, and remove the checkpoint.

    If no leg of the checkpoint can be read, use the dialogs in `dialogs.jsonl`.
    """
    sent = bye_from_checkpoint(context.endpoint, legs, now.mono)
    lasting = context.checkpoints.lasting
    call = lasting.find(call_id) if lasting is not None else None
    if not sent and call is not None:
        _end_dialogs(context, call, now)
    context.checkpoints.remove(call_id)
