"""Calls that the page dials: the user's phone rings first, then the number is called for it.

The number gets the route that it would get if the phone had dialled it, and the call is admitted
with the same facts and rules (`admission.py`). So the page reaches no number that the phone could
not reach.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import structlog

from galwad.messages import DialNumber
from galwad.switch.admission import phone_admission
from galwad.switch.call import SwitchCall
from galwad.switch.clocks import read_clocks
from galwad.switch.context import CallContext
from galwad.switch.emergency import called_number
from galwad.switch.phone_control import address_of
from galwad.switch.phones import Phones
from telephony.b2bua import CallerInvite
from telephony.errors import ParseError, ProtocolError
from telephony.sip.message.headers import NameAddr

_ANSWER_ITSELF: Final = (
    ("Answer-Mode", "Auto"),
    ("Call-Info", "<sip:galwad.invalid>;answer-after=0"),
    ("Alert-Info", "<http://galwad.invalid>;info=alert-autoanswer;delay=0"),
)
"""The header fields with which phones are asked to answer by themselves: RFC 5373, and the customs
of several makers of phones."""
log = structlog.get_logger()


class Dialler:
    """Places the calls that the page dials.

    `calls` is the dict in which the switch itself stores its live calls, by call id. `stopping`
    returns whether the switch is ending, and so takes no new call. `placed` is called after a call
    was placed.
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
        """Ring the phone of a user; when the user answers, call the number for this phone.

        Return the reason why the phone does not ring; "" if it rings.
        """
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
        if self._stopping():
            return "failed"
        if any(call.concerns(extension=extension) for call in calls):
            return "busy"
        full = len(calls) >= self._context.settings.sip.max_calls and not urgent
        return "full" if full else ""
