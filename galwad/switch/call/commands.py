"""The desk's commands, such as to pause a call, to dial, or to replace the phone accounts.

The desk also sends the acts of the page: answer, hang up, hold, resume, transfer and dial. To
answer, the switch sends the phone the event "talk", which the phone must know. The other acts work
with any phone, because the switch owns both legs of a call. A transfer is handled like a REFER.
`docs/page.md` describes the acts for advisors.

To dial, the switch first rings the user's phone. When the phone answers, the switch calls the
number with the route and the rules that the phone itself would get.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable
from typing import Final

import structlog

from galwad.messages import (
    CallStatus,
    ClaimCall,
    DialNumber,
    Party,
    Pause,
    PauseReply,
    PhoneAct,
    PhoneCredentials,
    PhoneReply,
    Resume,
)
from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import Now, read_clocks
from galwad.switch.call.context import CallContext
from galwad.switch.call.switch_call import SwitchCall, acts_of
from galwad.switch.edge.admission import phone_admission
from galwad.switch.edge.emergency import called_number
from galwad.switch.edge.phones import Phones
from galwad.switch.edge.routing import AwayUsers
from recording.policy import RecordingState, Trigger
from telephony.b2bua import CallerInvite
from telephony.errors import ParseError, ProtocolError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri, escape_user

_SEPARATORS: Final = re.compile(r"[\s().\-]")
_PHONE_ANSWERS_S: Final = 1.5
"""The longest wait for a phone's response, in seconds. The desk waits 2 s for the switch."""
_ANSWER_ITSELF: Final = (
    ("Answer-Mode", "Auto"),
    ("Call-Info", "<sip:galwad.invalid>;answer-after=0"),
    ("Alert-Info", "<http://galwad.invalid>;info=alert-autoanswer;delay=0"),
)
"""The header fields with which phones are asked to answer by themselves: RFC 5373, and the customs
of several makers of phones."""
log = structlog.get_logger()


def address_of(number: str) -> NameAddr | None:
    """Return the address of a number or destination that was typed or clicked on the page.

    Spaces, dots, hyphens and brackets are left out. Return None if nothing is left. The host of the
    address is only a placeholder, and is never dialled.
    """
    dialled = _SEPARATORS.sub("", number)
    if not dialled:
        return None
    return NameAddr("", Uri(user=escape_user(dialled), host="galwad.invalid"), ())


async def act(call: SwitchCall | None, command: PhoneAct) -> str:
    """Carry out an act for the advisor or a ringing user; return the reason of a failure, or "".

    `call` is None if the call has ended.
    """
    if call is None:
        return "no_call"
    if command.act == "answer":
        return await _answer(call, command)
    if not _has(call.advisor_side.advisor, command):
        return "not_yours"
    possible = {each.act: each.refused for each in acts_of(call.legs)}
    if command.act not in possible:
        return "not_now"
    if possible[command.act]:
        return possible[command.act]
    call.log.info("phone.act", act=command.act)
    return _carry_out(call, command, read_clocks())


async def _answer(call: SwitchCall, command: PhoneAct) -> str:
    """Ask the user's phone to answer the call, and wait for the phone's response."""
    if not any(_has(party, command) for party in call.advisor_side.ringing):
        return "not_yours"
    targets = [(leg, leg.target) for leg in call.legs.answerable if leg.target is not None]
    own = [leg for leg, target in targets if _has(Party(target.name, target.user), command)]
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def then(_response: Response | None, status: int, _now: float) -> None:
        if not answered.done():
            answered.set_result(status)

    now = read_clocks()
    if not own or not call.legs.ask_to_answer(own[0], then, now.mono):
        return "answer_on_phone"
    call.log.info("phone.act", act="answer")
    call.settle(now)
    try:
        async with asyncio.timeout(_PHONE_ANSWERS_S):
            status = await answered
    except TimeoutError:
        return "phone_silent"
    return "" if 200 <= status < 300 else "phone_refused"


def _has(advisor: Party | None, command: PhoneAct) -> bool:
    """Return whether the party `advisor` is the person who sent `command`."""
    if advisor is None:
        return False
    if advisor.user:
        return advisor.user == command.user
    return bool(command.extension) and advisor.extension == command.extension


def _carry_out(call: SwitchCall, command: PhoneAct, now: Now) -> str:
    match command.act:
        case "hangup":
            call.legs.hang_up_callee(now.mono)
            call.settle(now)
        case "hold" | "resume":
            call.set_hold(now, held=command.act == "hold")
        case "transfer":
            there = address_of(command.number)
            if there is None:
                return "unknown_number"
            return call.transfers.order(there, command.actor, now)
    return ""


class Dialler:
    """Places the calls that the page dials.

    `calls` is the dict in which the switch itself stores its live calls, by call id. `stopping`
    returns whether the switch is stopping. If so, only emergency calls are placed. `placed` is
    called after a call was placed.
    """

    def __init__(
        self,
        context: CallContext,
        phones: Phones,
        calls: dict[str, SwitchCall],
        stopping: Callable[[], bool] = lambda: False,
        placed: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._phones = phones
        self._calls = calls
        self._stopping = stopping
        self._placed = placed

    def dial(self, command: DialNumber) -> str:
        """Ring a user's phone, then call the number; return why the phone does not ring, or ""."""
        settings = self._context.settings
        there = address_of(command.number)
        called = "" if there is None else called_number(settings, there.uri)
        urgent = called in settings.sip.emergency_numbers
        route = (
            None
            if there is None
            else self._context.router.route(called, by_phone=True, emergency=urgent)
        )
        if there is None or route is None:
            return "unknown_number"
        refused = self._refusal(
            command.user, command.extension, self._calls.values(), urgent=urgent
        )
        if refused:
            return refused
        now = read_clocks()
        targets = self._context.router.phone_targets(command.extension, now.mono)
        if not targets:
            return "not_registered"
        target = targets[0]  # the device with the highest q value
        try:
            invite = CallerInvite(
                target,
                NameAddr.parse(
                    self._context.endpoint.contact(there.uri.user or "", target.destination)
                ),
                _ANSWER_ITSELF if command.answers_itself else (),
            )
            own = NameAddr.parse(
                self._context.endpoint.contact(command.extension, target.destination)
            ).uri
        except (ParseError, ProtocolError):
            return "failed"
        admission = phone_admission(settings, self._phones, command.extension, own.host, called)
        call = SwitchCall.placed(self._context, admission, route, invite, now)
        log.info("call.placed", call_id=call.call_id)
        self._calls[call.call_id] = call
        self._placed()
        call.settle(now)
        return ""

    def _refusal(
        self, user: str, extension: str, calls: Collection[SwitchCall], *, urgent: bool
    ) -> str:
        if not user or self._phones.user_of(extension) != user:
            return "no_phone"
        if self._stopping() and not urgent:
            return "failed"
        if any(call.concerns(extension=extension) for call in calls):
            return "busy"
        full = len(calls) >= self._context.settings.sip.max_calls and not urgent
        return "full" if full else ""


class DeskCommands:
    """Carries out the desk's commands on the live calls.

    `calls` is the dict in which the switch itself stores its live calls, by call id.
    """

    def __init__(self, calls: dict[str, SwitchCall], phones: Phones, away: AwayUsers) -> None:
        self._calls = calls
        self._phones = phones
        self._away = away
        self.dialler: Dialler | None = None
        """Places the calls that the page dials; None until the switch can place calls."""

    async def pause(self, command: Pause) -> PauseReply:
        """Shut the gates of the calls that `command` names; reply whether the disk confirms it."""
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
        """Carry out an act of the page (see the function `act`), and return the reply."""
        try:
            refused = await act(self._calls.get(command.call_id), command)
        except Exception:  # the page must learn of a failure, whatever failed
            log.exception("phone.act_failed", call_id=command.call_id, act=command.act)
            refused = "failed"
        return PhoneReply(command.ref, refused)

    def dial(self, command: DialNumber) -> PhoneReply:
        """Ring a user's phone, to call a number when it answers, and return the reply."""
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
        """Forget after a while which users are away, because no desk is connected any more."""
        self._away.keep_until_forgotten(read_clocks().mono)

    def live_calls(self) -> Iterable[CallStatus]:
        """Return the state of every live call that the desk shows."""
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
    # If only some of the calls are recorded, reply with the state of a recorded call.
    recorded = [call for call in calls if call.admission.recorded] or calls
    states = [call.recording.state for call in recorded] or [RecordingState.NOT_STARTED]
    return PauseReply(
        ref=ref,
        calls=tuple(call.call_id for call in calls),
        state=states[-1].value,
        durable=durable,
    )
