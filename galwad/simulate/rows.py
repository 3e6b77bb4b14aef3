"""A row of a matrix, and the call that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

from galwad.simulate.api import LATE, attempts
from galwad.simulate.judgement import ExpectedGap
from galwad.simulate.phones import ADVISOR, CALLER, Answerer, Fate, Phase, Voice
from galwad.simulate.report import StepError, call_error
from galwad.simulate.site import Need, Site
from telephony.errors import TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall

T = TypeVar("T")

_TALK_S: Final = 1.5
"""The length of a phase in seconds, to which `[recording] erase_back` is added."""
_SETTLE_S: Final = 0.3
"""The seconds to wait before the next phase, so that packets on their way arrive first."""
NOTE: Final = "Test call by galwad simulate"
"""The purpose in the contact note of each simulated call."""
_END_WITHIN_S: Final = 2.0
_SHOWN_WITHIN_S: Final = 5.0
_HEARD: Final = 0.2
"""The least share of a phase's packets that each party must receive. If fewer arrive, the speech
may be missing in the recording only because it never reached the server.
"""
_FRAME_S: Final = 0.02


class LiveRow:
    """The call of one row. With `at_pbx`, it is placed to the line of the PBX.

    A method that waits for an event raises a `StepError` if the event is late. `end` does not.
    """

    def __init__(self, site: Site, *, at_pbx: bool = False) -> None:
        self.site = site
        self.pbx = site.pbx if at_pbx else None
        self.phone = self.pbx.advisor if self.pbx else site.phones[Need.ADVISOR]
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
        self._voices: list[Voice] = []
        self._legs: list[VoIPCall] = []

    @property
    def extension(self) -> str:
        """The advisor's extension."""
        return self.phone.extension

    # --- beginning and end --------------------------------------------------------------------

    async def ring(self) -> VoIPCall:
        """Call the line, and return the advisor's ringing leg. `site.ringing` must be held."""
        site, known = self.site, {pop["call_id"] for pop in await self.calls()}
        try:
            line = self.pbx.line.number if self.pbx else site.plan.number
            placed = self.leg(await site.caller.call(line))
        except TelephonyError as error:
            raise StepError(f"the call cannot be placed: {error}") from None
        refused = asyncio.ensure_future(placed.wait_for(CallState.ANSWERED))
        ringing = asyncio.ensure_future(self.next_ringing(self.phone))
        try:
            await asyncio.wait({refused, ringing}, return_when=asyncio.FIRST_COMPLETED)
            if refused.done() and isinstance(refused.exception(), CallFailedError):
                raise call_error(site.plan, 0 if placed.unreachable else placed.status)
            rung = await ringing
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
        """Answer the call at the advisor's phone, and let both parties speak."""
        await self.answer_leg(rung)
        placed = self._legs[0]
        await self.within(placed.wait_for(CallState.ANSWERED), "the call is not answered")
        found = await self._wait_for_call("answered", lambda pop: pop["call_id"] == self.call_id)
        self.shown_at = found["extension"]
        if self.pbx is None and self.shown_at != self.extension:
            raise StepError(f"the API shows the call at {self.shown_at}, not {self.extension}")
        if self.pbx is not None and self.shown_at == self.pbx.line.dialled != self.extension:
            self.faults.append(
                f"the PBX did not name {self.extension} when this phone answered: the API shows "
                f"the call at {self.shown_at}"
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

    async def save_note(self) -> None:
        """Wait for the call's end, and save a note in the call if the API still shows it."""
        state = ""
        async for _ in attempts(_SHOWN_WITHIN_S):
            state = await self.shown("state")
            if state in {"wrapup", ""}:
                break
        else:
            raise StepError(
                f'all phones have hung up, but the state of the call is still "{state}"'
            )
        if state:
            path = f"/calls/{self.call_id}/contact"
            (await self.site.api.send("officer", "PUT", path, {"purpose": NOTE})).accepted()

    async def sealed_manifest(self) -> str | None:
        """Wait until the recording is sealed; return its manifest, or None if it is unreadable."""
        try:
            recording = await self.site.api.sealed(self.call_id)
        except StepError as error:
            raise StepError(
                f"{LATE}, there is no recording: {error.message}",
                "see the journal of galwad-finaliser",
            ) from None
        manifest: str | None = recording["manifest"]
        return manifest

    def leg(self, call: VoIPCall) -> VoIPCall:
        """Remember a leg, so that it is hung up at the end of the row, and return it."""
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

    async def next_ringing(self, phone: Answerer, *callers: str) -> VoIPCall:
        """Return the next call at `phone` from one of `callers`, by default from the plan's caller.

        Other calls are ignored, so that a real phone can answer them. `site.ringing` must be held.
        """
        plan = self.site.plan
        try:
            async with asyncio.timeout(plan.timeout):
                while True:
                    call = await phone.next_ringing()
                    if _is_from(call, callers or (plan.caller,)):
                        return self.leg(call)
        except TimeoutError:
            raise StepError(
                f"{phone.extension} did not ring within {plan.timeout:g} s",
                "see the log of galwad-switch",
            ) from None

    # --- speech -------------------------------------------------------------------------------

    async def settle(self, seconds: float = _SETTLE_S) -> None:
        """Wait, while the parties speak words that are not judged."""
        await asyncio.sleep(seconds)

    async def talk(self, phase: str, fate: Fate, *voices: Voice) -> None:
        """Let `voices`, by default caller and advisor, speak for a phase, and keep their speech.

        Raises StepError if one of their legs has ended, or hears too little of the other party.
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
        return list((await self.site.api.send("officer", "GET", "/calls")).accepted())

    async def shown(self, field: str) -> str:
        """Return a field of the call, such as "state"; "" if the API does not show the call."""
        found = {pop["call_id"]: pop[field] for pop in await self.calls()}
        return str(found.get(self.call_id) or "")

    async def shows(self, wanted: str) -> None:
        """Wait for the state `wanted` of the recording; raise StepError after five seconds."""
        state = ""
        async for _ in attempts(_SHOWN_WITHIN_S):
            state = await self.shown("recording") or "ended"
            if state == wanted:
                return
        raise StepError(f'the state of the recording is "{state}", not "{wanted}"')

    async def _wait_for_call(self, state: str, fits: Callable[[Any], bool]) -> Any:
        pops: list[Any] = []
        async for _ in attempts(_SHOWN_WITHIN_S):
            pops = [pop for pop in await self.calls() if pop["state"] == state and fits(pop)]
            if len(pops) == 1:
                return pops[0]
        raise StepError(
            f'the API shows {len(pops)} calls in the state "{state}" that can be this one, not one',
            "try again without other calls" if pops else "compare with `galwad calls list`",
        )

    async def within(self, doing: Awaitable[T], otherwise: str) -> T:
        """Return the result of `doing`; raise StepError(`otherwise`) if it fails or is late."""
        try:
            return await asyncio.wait_for(doing, self.site.plan.timeout)
        except (TelephonyError, TimeoutError) as error:
            raise StepError(f"{otherwise} ({type(error).__name__})") from None


def _is_from(call: VoIPCall, callers: Iterable[str]) -> bool:
    """Return whether one of `callers` placed the call, which may show "+44" for a leading 0."""
    user = call.remote.uri.user or ""
    return any(user == caller or user.endswith(caller.lstrip("0")) for caller in callers)


# --- the rows ---------------------------------------------------------------------------------

RowStep: TypeAlias = Callable[[LiveRow], Awaitable[None]]
"""One step of a row. It fails by raising a `StepError`."""


@dataclass(frozen=True, slots=True)
class GapRule:
    """A gap that the recording of a row must have.

    Attributes:
        reason: Its reason in the manifest, such as "payment".
        trigger: Its trigger in the manifest, such as "page".
        actor: Returns its actor in the manifest, such as "phone:201".
        at_request: True if the gap is expected only with `point_of_transfer` "request".
    """

    reason: str
    trigger: str
    actor: Callable[[LiveRow], str]
    at_request: bool = False

    def expected(self, row: LiveRow) -> ExpectedGap | None:
        """Return the gap; None if the settings do not lead to it."""
        if self.at_request and not row.site.ceases_at_request:
            return None
        return ExpectedGap(self.reason, self.trigger, self.actor(row))


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of pause or transfer. `before` are the steps while the call rings.

    A row that acts on all calls of the phone is `alone`. `segments` is the number of segments that
    the recording must have. None means that any number is right.
    """

    name: str
    steps: tuple[RowStep, ...]
    gaps: tuple[GapRule, ...] = ()
    needs: frozenset[Need] = frozenset()
    before: tuple[RowStep, ...] = ()
    alone: bool = False
    segments: int | None = 2

    @property
    def at_pbx(self) -> bool:
        """True if the advisor's phone is registered at the PBX, not at Galwad."""
        return Need.PBX in self.needs

    def missing(self, site: Site) -> str:
        """Return what must be configured before the row can be run; "" if it can be run."""
        needs = self.needs if self.at_pbx else self.needs | {Need.ADVISOR}
        return "; ".join(filter(None, (site.missing(need) for need in Need if need in needs)))


def advisors_phone(row: LiveRow) -> str:
    """Return the actor of a gap that the advisor's phone causes, such as "phone:201"."""
    return f"phone:{row.extension}"


@dataclass(frozen=True, slots=True)
class Talk:
    """Caller and advisor speak, and nothing else happens. `phase` names the stretch in a verdict.

    With `longer`, they first speak unjudged for `[recording] quarantine` seconds. In this time, a
    stream is not stored if its timestamps do not show when it was sent.
    """

    phase: str
    fate: Fate = Fate.STORED
    longer: bool = False

    async def __call__(self, row: LiveRow) -> None:
        """Speak."""
        if self.longer:
            await row.settle(row.site.settings.recording.quarantine)
        await row.talk(self.phase, self.fate)


Side: TypeAlias = Literal["caller", "advisor"]


@dataclass(frozen=True, slots=True)
class HangUp:
    """One side hangs up, and the leg of the other side must end."""

    side: Side

    async def __call__(self, row: LiveRow) -> None:
        """Hang up."""
        ends = (row.caller, row.advisor)
        first, second = ends if self.side == "caller" else ends[::-1]
        await row.within(first.call.hangup(), f"the {self.side} cannot hang up")
        await row.within(
            second.call.wait_for(CallState.ENDED), "the other side did not see the hang-up"
        )
