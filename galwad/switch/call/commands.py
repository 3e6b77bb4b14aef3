"""The desk's commands: pause and resume calls, set a call's advisor, replace the phone accounts.

The acts of the page for an advisor's call, such as a transfer, are in `phone_control.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from galwad.messages import (
    CallStatus,
    ClaimCall,
    DialNumber,
    Pause,
    PauseReply,
    PhoneAct,
    PhoneCredentials,
    PhoneReply,
    Resume,
)
from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.phone_control import Dialler, act
from galwad.switch.call.switch_call import SwitchCall
from galwad.switch.edge.phones import Phones
from galwad.switch.edge.routing import AwayUsers
from recording.policy import RecordingState, Trigger

log = structlog.get_logger()


class DeskCommands:
    """Carries out the desk's commands on the live calls.

    `calls` is the dict in which the switch itself stores its live calls, by call id.
    """

    def __init__(self, calls: dict[str, SwitchCall], phones: Phones, away: AwayUsers) -> None:
        self._calls = calls
        self._phones = phones
        self._away = away
        self.dialler: Dialler | None = None
        """Places the calls that the page dials. The switch sets it when it can place calls."""

    async def pause(self, command: Pause) -> PauseReply:
        """Pause the recordings of the calls that `command` names, and return the reply.

        First, the gates of all these calls are shut. After that, this method waits until the disks
        have confirmed the pauses.
        """
        calls, trigger = self._meant(command), Trigger(command.trigger)
        pause = CallPause(command.holder, trigger, command.actor)
        arrived = read_clocks(command.arrived_mono or None).arrived
        confirmations = [call.pauses.pause(pause, arrived) for call in calls]
        for call in calls:
            call.recording.triggered(trigger, command.actor, arrived)
        durable = await asyncio.gather(*confirmations)
        return _reply(command.ref, calls, durable=all(durable))

    async def resume(self, command: Resume) -> PauseReply:
        """Remove `command.holder` from the pause holders of the calls that `command` names."""
        calls = self._meant(command)
        durable = await asyncio.gather(
            *(call.pauses.resume(command.holder, command.actor) for call in calls)
        )
        return _reply(command.ref, calls, durable=all(durable))

    async def act(self, command: PhoneAct) -> PhoneReply:
        """Carry out an act of the page for the advisor of a call, and return the reply."""
        try:
            refused = await act(self._calls.get(command.call_id), command)
        except Exception:  # the page must learn of a failure, whatever failed
            log.exception("phone.act_failed", call_id=command.call_id, act=command.act)
            refused = "failed"
        return PhoneReply(command.ref, refused)

    def dial(self, command: DialNumber) -> PhoneReply:
        """Ring the phone of a user, to call a number for it then, and return the reply."""
        try:
            refused = "failed" if self.dialler is None else self.dialler.dial(command)
        except Exception:  # the page must learn of a failure, whatever failed
            log.exception("phone.dial_failed")
            refused = "failed"
        return PhoneReply(command.ref, refused)

    def claim(self, command: ClaimCall) -> None:
        """Set the advisor of a call that a PBX has answered, if the advisor is not known."""
        call = self._calls.get(command.call_id)
        if call is not None:
            call.claim(command.advisor)

    def set_phones(self, accounts: tuple[PhoneCredentials, ...]) -> None:
        """Replace the phone accounts that the desk manages."""
        log.info("phones.set", count=len(accounts))
        self._phones.set_accounts(accounts)

    def set_away(self, users: tuple[str, ...]) -> None:
        """Replace the users who are on a break or in wrap-up."""
        log.info("away.set", users=len(users))
        self._away.set(users)

    def desk_lost(self) -> None:
        """Keep the users who are away only for a while, because no desk is connected any more."""
        self._away.keep_until_forgotten(read_clocks().mono)

    def live_calls(self) -> Iterable[CallStatus]:
        """Return the state of every live call."""
        return [call.state() for call in self._calls.values() if not call.hidden]

    def _meant(self, command: Pause | Resume) -> list[SwitchCall]:
        if command.call_id:
            call = self._calls.get(command.call_id)
            return [] if call is None else [call]
        return [
            call
            for call in self._calls.values()
            if call.concerns(extension=command.extension, user=command.user)
        ]


def _reply(ref: int, calls: list[SwitchCall], *, durable: bool) -> PauseReply:
    # A consultation is usually not recorded. If another call is, the reply says how that one is.
    recorded = [call for call in calls if call.admission.recorded] or calls
    states = [call.recording.state for call in recorded] or [RecordingState.NOT_STARTED]
    return PauseReply(
        ref=ref,
        calls=tuple(call.call_id for call in calls),
        state=states[-1].value,
        durable=durable,
    )
