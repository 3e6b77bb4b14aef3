"""The acts of the page for an advisor's own call: answer, hang up, hold, resume and transfer.

The switch owns both legs of a call, so most acts need nothing of the advisor's phone. Only to
answer, the phone must know the event "talk", with which a switch asks it to answer. Each act has
the effect that the same key of the phone would have: a transfer takes the path of a REFER
(`transfers.py`), and a hold is recorded as a hold of the phone. An act is carried out only for the
advisor who has the call. `docs/page.md` describes the acts for advisors.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from galwad.messages import ActState, Party, PhoneAct
from galwad.switch.advisor_side import AdvisorSide
from galwad.switch.clocks import Now, read_clocks
from galwad.switch.transfers import CallTransfers
from telephony.b2bua import BackToBackCall
from telephony.b2bua import events as sip
from telephony.sip.message.messages import Response
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import Uri, escape_user

_SEPARATORS: Final = re.compile(r"[\s().\-]")
_PHONE_ANSWERS_S: Final = 1.5
"""The longest wait for a phone's response, in seconds. The desk waits two for the switch."""
log = structlog.get_logger()


class ControlledCall(Protocol):
    """The parts of a live call that the acts of the page use."""

    advisor_side: AdvisorSide
    legs: BackToBackCall
    log: structlog.stdlib.BoundLogger

    @property
    def transfers(self) -> CallTransfers:
        """The transfers of this call."""

    def set_hold(self, now: Now, *, held: bool) -> None:
        """Put the caller on hold for the advisor, or end this hold."""

    def settle(self, now: Now) -> None:
        """Handle the events that the legs of the call have emitted."""


def acts_of(legs: BackToBackCall) -> tuple[ActState, ...]:
    """Return the acts that the page can offer the advisor of a call, and what prevents each."""
    if legs.joined is None:
        return ()
    by_phone = sip.Side.CALLEE in legs.holding and not legs.held_by_owner
    hold = ActState("hold", "on_hold" if by_phone else "")
    return (
        ActState("hangup"),
        ActState("resume") if legs.held_by_owner else hold,
        ActState("transfer", "transferring" if legs.transferring else ""),
    )


def answerable_of(legs: BackToBackCall) -> tuple[Party, ...]:
    """Return the ringing phones that the switch can ask to answer."""
    targets = [leg.target for leg in legs.answerable if leg.target and leg.target.is_phone]
    return tuple(Party(target.name, target.user) for target in targets)


def address_of(number: str) -> NameAddr | None:
    """Return the address of a number or destination that was typed or clicked on the page.

    Spaces, dots, hyphens and brackets are left out. As with a Refer-To, the host does not matter.
    None means that nothing else is in `number`.
    """
    dialled = _SEPARATORS.sub("", number)
    if not dialled:
        return None
    return NameAddr("", Uri(user=escape_user(dialled), host="galwad.invalid"), ())


class PhoneControl:
    """Carries out the acts of the page. `find` returns the live call with a given call id."""

    def __init__(self, find: Callable[[str], ControlledCall | None]) -> None:
        self._find = find

    async def act(self, command: PhoneAct) -> str:
        """Carry out an act for the advisor of a call, or answer for a user whose phone rings.

        Return the reason why nothing was done; "" if the act has begun.
        """
        call = self._find(command.call_id)
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


async def _answer(call: ControlledCall, command: PhoneAct) -> str:
    """Ask the phone of the user to answer, and wait for its response to this."""
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
    """Return whether this party is the person who asks."""
    if advisor is None:
        return False
    if advisor.user:
        return advisor.user == command.user
    return bool(command.extension) and advisor.extension == command.extension


def _carry_out(call: ControlledCall, command: PhoneAct, now: Now) -> str:
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
