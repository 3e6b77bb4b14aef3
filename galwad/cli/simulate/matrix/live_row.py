"""The call of one row: its parties, what they have said so far, and what the API shows of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from galwad.cli.simulate.errors import call_error
from galwad.cli.simulate.matrix.site import RingingPhone, Site
from galwad.cli.simulate.matrix.voices import ADVISOR, CALLER, Fate, Phase, Voice
from galwad.cli.simulate.steps import StepError
from telephony.errors import TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall

T = TypeVar("T")

_TALK_S: Final = 1.5
"""The length of a phase in seconds, without what a pause may erase of it."""
_SETTLE_S: Final = 0.3
"""The seconds between an event and the next phase, so that all of its packets arrive meanwhile."""
NOTE: Final = "Test call by galwad simulate"
"""The purpose in the contact note of each simulated call."""
_SEALED_WITHIN_S: Final = 30.0
_END_WITHIN_S: Final = 2.0
_SHOWN_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.1
_HEARD: Final = 0.2
"""The least share of a phase's packets that the other party must receive. Otherwise the recording
could lack the speech only because it never reached the server.
"""
_FRAME_S: Final = 0.02


class LiveRow:
    """One row's call, from its INVITE to its end; with `at_pbx`, on the line of the PBX."""

    def __init__(self, site: Site, *, at_pbx: bool = False) -> None:
        """Set up the row; raise StepError if this run has no such advisor's phone."""
        self.site = site
        pbx = site.pbx if at_pbx else None
        phone = pbx.advisor if pbx else site.advisor
        if phone is None:
            raise StepError("there is no advisor's phone")
        self.pbx = pbx
        self.phone = phone
        self.call_id = ""
        self.faults: list[str] = []
        """The faults that were seen in the call, and that did not end it."""
        self.shown_at = ""
        """The extension at which the API shows the answered call."""
        self.phases: list[Phase] = []
        self.caller: Voice
        self.advisor: Voice
        """The party that has the call now, at first the advisor."""
        self.advisor_user = ""
        self.payment_token = ""
        self.payment_holder = ""
        self.held_from: Voice | None = None
        """The advisor's leg of the caller's call while the advisor consults."""
        self._voices: list[Voice] = []
        self._legs: list[VoIPCall] = []

    @property
    def extension(self) -> str:
        """The advisor's extension."""
        return self.phone.extension

    # --- beginning and end --------------------------------------------------------------------

    async def ring(self) -> VoIPCall:
        """Call the line, and return the call as it rings; hold `site.ringing` meanwhile.

        Raises:
            StepError: The call is refused, or the advisor's phone does not ring.
        """
        site, known = self.site, {pop["call_id"] for pop in await self.calls()}
        try:
            line = self.pbx.line.number if self.pbx else site.plan.number
            placed = self.leg(await site.caller.call(line))
        except TelephonyError as error:
            raise StepError(f"the call cannot be placed: {error}") from None
        refused = asyncio.ensure_future(placed.wait_for(CallState.ANSWERED))
        ringing = asyncio.ensure_future(site.next_ringing(self.phone, site.plan.caller))
        try:
            await asyncio.wait({refused, ringing}, return_when=asyncio.FIRST_COMPLETED)
            if refused.done() and isinstance(refused.exception(), CallFailedError):
                raise call_error(site.plan, 0 if placed.unreachable else placed.status)
            rung = self.leg(await ringing)
        finally:
            for each in (refused, ringing):
                each.cancel()
        found = await self._wait_for_call(
            "ringing", lambda pop: pop["call_id"] not in known and self._is_ours(pop)
        )
        self.call_id = found["call_id"]
        return rung

    def _is_ours(self, pop: Any) -> bool:
        digits = [each for each in pop["caller"]["number_display"] or "" if each.isdigit()]
        shown, ours = "".join(digits), self.site.plan.caller.lstrip("0")
        return not shown or shown.endswith(ours)

    async def answer(self, rung: VoIPCall) -> None:
        """Answer the call at the advisor's phone, and let both parties speak.

        Raises:
            StepError: The call is not answered, or is not recorded.
        """
        await self.answer_leg(rung)
        placed = self._legs[0]
        await self.within(placed.wait_for(CallState.ANSWERED), "the call is not answered")
        found = await self._wait_for_call("answered", lambda pop: pop["call_id"] == self.call_id)
        self.shown_at = found["extension"]
        if self.pbx is None and self.shown_at != self.extension:
            raise StepError(f"the API shows the call at {self.shown_at}, not {self.extension}")
        if self.pbx is not None and self.shown_at == self.pbx.line.dialled != self.extension:
            self.faults.append(
                f"the PBX has not named {self.extension} when it answered: the call is shown at "
                f"{self.shown_at}"
            )
        self.advisor_user = found["advisor"] or ""
        self.caller = self.voice("the caller", CALLER, placed)
        self.advisor = self.voice("the advisor", ADVISOR, rung)
        await self.settle()

    async def end(self) -> None:
        """Hang up every leg of the row, and stop all voices."""
        for voice in self._voices:
            await voice.stop()
        # A leg that does not end in time is ended when its phone stops.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                await asyncio.gather(*(leg.hangup() for leg in self._legs), return_exceptions=True)

    async def save_note(self) -> tuple[str, ...]:
        """Save a contact note which says that the call was simulated; return no faults.

        Raises:
            StepError: The call goes on after all phones have hung up, or the note is refused.
        """
        limit = time.monotonic() + _SHOWN_WITHIN_S
        while (state := await self._state()) not in {"wrapup", ""}:
            if time.monotonic() > limit:
                raise StepError(f"all phones have hung up, but the call is still {state}")
            await asyncio.sleep(_POLL_S)
        if state:
            note = {"purpose": NOTE}
            saved = await self.site.api.officer("PUT", f"/calls/{self.call_id}/contact", note)
            saved.accepted()
        return ()

    async def _state(self) -> str:
        """Return the call's state, such as "wrapup"; "" if the API does not show the call."""
        found = {pop["call_id"]: pop["state"] for pop in await self.calls()}
        return str(found.get(self.call_id, ""))

    async def sealed(self) -> None:
        """Wait until the recording is sealed; raise StepError after thirty seconds."""
        limit = time.monotonic() + _SEALED_WITHIN_S
        while True:
            answer = await self.site.api.officer("GET", f"/recordings/{self.call_id}")
            if answer.status == 200:
                return
            if time.monotonic() > limit:
                raise StepError(
                    f"after {_SEALED_WITHIN_S:.0f} s, there is no recording: {answer.error}",
                    "see the journal of galwad-finaliser",
                )
            await asyncio.sleep(_POLL_S)

    def leg(self, call: VoIPCall) -> VoIPCall:
        """Note a leg, so that it is hung up at the end of the row, and return it."""
        self._legs.append(call)
        return call

    def voice(self, who: str, channel: int, call: VoIPCall) -> Voice:
        """Let a party speak on an answered leg, and return its voice."""
        voice = Voice(who, channel, call)
        self._voices.append(voice)
        return voice

    async def answer_leg(self, call: VoIPCall) -> None:
        """Answer a leg; raise StepError if it no longer rings or there is no common media."""
        try:
            await call.answer()
        except CallFailedError as error:
            raise call_error(self.site.plan, error.status) from None
        except TelephonyError as error:
            raise StepError(f"a phone cannot answer: {error}") from None

    async def next_ringing(self, phone: RingingPhone | None, *callers: str) -> VoIPCall:
        """Wait for this row's call at `phone`; the caller of this method holds `site.ringing`."""
        if phone is None:
            raise StepError("this row has no such phone")
        return self.leg(await self.site.next_ringing(phone, *callers))

    # --- speech -------------------------------------------------------------------------------

    async def settle(self, seconds: float = _SETTLE_S) -> None:
        """Wait, while the parties speak words that are not judged."""
        await asyncio.sleep(seconds)

    async def talk(self, phase: str, fate: Fate, *voices: Voice) -> None:
        """Note what `voices` say from now on as a phase; by default caller and advisor speak.

        Raises:
            StepError: A party was not heard by the other, or its call has ended.
        """
        both = voices or (self.caller, self.advisor)
        began, starts = time.monotonic(), [voice.position for voice in both]
        before = [voice.call.reception.received for voice in both]
        await asyncio.sleep(_TALK_S + self.site.settings.recording.erase_back)
        seconds = time.monotonic() - began
        parts = [v.part(at, v.position) for v, at in zip(both, starts, strict=True)]
        self.phases.append(Phase(phase, fate, seconds, tuple(parts)))
        for voice, received in zip(both, before, strict=True):
            if voice.call.state is CallState.ENDED:
                raise StepError(f"{phase}: the call of {voice.who} has ended")
            if voice.call.reception.received - received < _HEARD * seconds / _FRAME_S:
                raise StepError(f"{phase}: {voice.who} does not hear the other party")

    # --- the API ------------------------------------------------------------------------------

    async def calls(self) -> list[Any]:
        """Return the calls in progress, as the signed-in user sees them."""
        return list((await self.site.api.officer("GET", "/calls")).accepted())

    async def shows(self, *wanted: str) -> None:
        """Wait until the recording has one of these states; raise StepError after five seconds."""
        limit = time.monotonic() + _SHOWN_WITHIN_S
        while True:
            found = {pop["call_id"]: pop["recording"] for pop in await self.calls()}
            state = found.get(self.call_id, "ended")
            if state in wanted:
                return
            if time.monotonic() > limit:
                raise StepError(f"the page shows the recording as {state}, not {wanted[0]}")
            await asyncio.sleep(_POLL_S)

    async def shown_extension(self) -> str:
        """Return the extension at which the API shows the call now; "" if it does not show it."""
        found = {pop["call_id"]: pop["extension"] for pop in await self.calls()}
        return str(found.get(self.call_id) or "")

    async def _wait_for_call(self, state: str, fits: Callable[[Any], bool]) -> Any:
        limit = time.monotonic() + _SHOWN_WITHIN_S
        while True:
            pops = [pop for pop in await self.calls() if pop["state"] == state and fits(pop)]
            if len(pops) == 1:
                return pops[0]
            if time.monotonic() > limit:
                raise StepError(
                    f"the API shows {len(pops)} such calls that are {state}, not one",
                    "try again when it is quiet" if pops else "see `galwad calls list`",
                )
            await asyncio.sleep(_POLL_S)

    async def within(self, doing: Awaitable[T], otherwise: str) -> T:
        """Return the result of `doing`; raise StepError(`otherwise`) if it fails or is late."""
        try:
            return await asyncio.wait_for(doing, self.site.plan.timeout)
        except (TelephonyError, TimeoutError) as error:
            raise StepError(f"{otherwise} ({type(error).__name__})") from None
