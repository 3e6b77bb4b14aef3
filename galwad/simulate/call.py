"""One simulated call: register, ring, answer, talk, press keys, pause, transfer, hang up."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from galwad.simulate.api import ApiClient
from galwad.simulate.phones import Answerer, CallAudio, Heard, calling_phone, converse
from galwad.simulate.plan import PauseBy, Plan
from galwad.simulate.report import (
    LOG,
    Report,
    StepError,
    call_error,
    elapsed_ms,
    pause_error,
    socket_error,
    transfer_error,
    unreachable_error,
)
from galwad.simulate.sound import Samples, speech
from telephony.errors import ProtocolError, TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

_AFTERWARDS_S: Final = 2.0
"""The seconds for which the parties talk after a pause, and also after a transfer."""
_TRANSFER_WITHIN_S: Final = 60.0
"""The maximum time in seconds that a transfer may take."""
_HANG_UP_S: Final = 5.0
_RING_S: Final = 60.0
"""The maximum ringing time in seconds of a phone that a person answers."""
_GOOD_SIMILARITY: Final = 0.9
"""The similarity (0 to 1) below which the report has a warning. On a good line it is almost 1,
unless the path converts the audio from G.711 to another codec.
"""
_MIN_SIMILARITY: Final = 0.5
_LOSS: Final = 0.01
_JITTER: Final = 0.03
_POOR: Final = "check the network, transcoders on the path, and the load of this machine"
_RTP: Final = (
    "RTP does not get through: check [media] advertise, the firewalls between this machine and "
    "[media] ports, and `source` of the trunk or route"
)
_OTHER_SOUND: Final = (
    "sound arrives, but not what was said: look for a device on the path that sends other sound"
)
_NOT_REACHED: Final = {
    CallState.RINGING: (
        "no ringing",
        "the log of galwad-switch says what happened to the call",
    ),
    CallState.ANSWERED: (
        "no answer",
        "answer the phone that rings, or let this command answer: --answer EXTENSION",
    ),
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """The audio that each party sent in one phase of the call, such as the talk after a pause."""

    phase: str
    caller: Samples = field(repr=False)
    answerer: Samples = field(repr=False)


@dataclass(slots=True)
class SimulatedCall:
    """One simulated call, and the data with which its recording is checked after the call."""

    answerers: list[Answerer]
    caller: CallAudio
    """The caller's leg: the call as the calling phone sees it."""
    answerer: CallAudio | None
    """The leg of the phone that has the call; None if this command does not control that phone."""
    call_id: str = ""
    spoken: list[Spoken] = field(default_factory=list)


async def simulate(
    plan: Plan, report: Report, api: ApiClient | None = None
) -> SimulatedCall | None:
    """Run a call and report its steps; return None if a step failed that other steps need."""
    async with AsyncExitStack() as stack:
        try:
            call = await _connected(plan, report, stack, api)
            if call.answerer is not None:
                await _talk(report, call, "talk", plan.talk)
                await _act(plan, report, call, call.answerer, api)
            else:
                await _listen(plan, report, call.caller)
            await _hang_up(report, call)
        except StepError:
            return None
        return call


# --- ring and answer --------------------------------------------------------------------------


async def _connected(
    plan: Plan, report: Report, stack: AsyncExitStack, api: ApiClient | None
) -> SimulatedCall:
    async with report.step("server"):  # a wrong --server or token is found before a phone rings
        known = await api.calls() if api is not None else set()
    answerers = await registered(plan, report, stack)
    phone = await started(plan, report, stack, "ring")
    async with report.step("ring"):
        placed = await place(plan, phone)
    call = await _answered(plan, report, answerers, placed)
    if api is not None:
        async with report.step("recording"):
            call.call_id = await api.new_call(known, plan)
    return call


async def registered(plan: Plan, report: Report, stack: AsyncExitStack) -> list[Answerer]:
    """Register the phones that answer, each as a reported step, until `stack` closes."""
    answerers = [Answerer(plan, account) for account in plan.answering]
    for answerer in answerers:
        name, began = f"register {answerer.extension}", time.monotonic()
        async with report.step(name):
            await stack.enter_async_context(answerer)
        took = elapsed_ms(began)
        report.ok(name, f"200 after {took} ms, {plan.addresses}", ms=took)
    return answerers


async def started(plan: Plan, report: Report, stack: AsyncExitStack, step: str) -> VoIPPhone:
    """Start the calling phone until `stack` closes; report a failure as the step `step`."""
    async with report.step(step):
        try:
            return await stack.enter_async_context(calling_phone(plan))
        except OSError as error:
            raise socket_error(plan, error) from None


async def place(plan: Plan, phone: VoIPPhone) -> VoIPCall:
    """Call the planned number from `phone`; raise StepError if the call cannot be placed."""
    try:
        return await phone.call(plan.number)
    except TelephonyError as error:
        raise StepError(
            f"the call cannot be placed: {error}", "check that this machine has free media ports"
        ) from None


async def _answered(
    plan: Plan, report: Report, answerers: list[Answerer], placed: VoIPCall
) -> SimulatedCall:
    began, rung = time.monotonic(), None
    async with report.step("ring"):
        await _reach(plan, placed, CallState.RINGING, plan.timeout)
        took = elapsed_ms(began)
        if answerers:
            rung = await _next_ringing(plan, answerers[0], placed)
    if placed.state is CallState.RINGING:
        report.ok("ring", f"180 after {took} ms", ms=took)
    async with report.step("answer"):
        picked = time.monotonic() if rung else began
        if rung is not None:
            try:
                await rung.answer()
            except CallFailedError as error:
                raise call_error(plan, error.status) from None
        await _reach(plan, placed, CallState.ANSWERED, plan.timeout if rung else _RING_S)
    took = elapsed_ms(picked)
    came = list(placed.statuses)
    how = "SRTP" if placed.protected else "plain RTP"
    text = f"200 {took} ms after the answer; {how}; statuses {' '.join(map(str, came))}"
    report.ok("answer", text, ms=took, setup_ms=elapsed_ms(began), media=how, statuses=came)
    answerer = CallAudio(answerers[0].extension, rung) if rung else None
    return SimulatedCall(answerers, CallAudio(plan.caller_name, placed), answerer)


async def _reach(plan: Plan, call: VoIPCall, state: CallState, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await call.wait_for(state)
    except CallFailedError as error:
        raise call_error(plan, 0 if error.unreachable else error.status) from None
    except TimeoutError:
        if not call.statuses:
            raise unreachable_error(plan) from None
        what, hint = _NOT_REACHED[state]
        came = " ".join(map(str, call.statuses))
        raise StepError(f"{what} within {seconds:g} s; statuses {came}", hint) from None


async def _next_ringing(plan: Plan, answerer: Answerer, placed: VoIPCall) -> VoIPCall:
    rung = asyncio.ensure_future(answerer.next_ringing())
    ended = asyncio.ensure_future(placed.wait_for(CallState.ANSWERED))
    try:
        done, _ = await asyncio.wait(
            {rung, ended}, timeout=plan.timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if rung in done:
            return rung.result()
        if ended in done and ended.exception() is not None:
            raise call_error(plan, 0 if placed.unreachable else placed.status)
    finally:
        for waiting in (rung, ended):
            waiting.cancel()
    answered = "another phone answered" if ended in done else "no phone answered"
    raise StepError(
        f"{answerer.extension} did not ring; {answered}",
        f"check that the route of {plan.number} rings {answerer.extension}",
    )


# --- talk -------------------------------------------------------------------------------------


async def _talk(report: Report, call: SimulatedCall, phase: str, seconds: float) -> None:
    if call.answerer is None:
        return
    said = speech(seconds, secrets.randbits(60)), speech(seconds, secrets.randbits(60))
    async with report.step(phase):
        both = await converse(call.caller, call.answerer, said)
    call.spoken.append(Spoken(phase, *said))
    for heard in reversed(both):
        judge(report, phase, heard)


def judge(report: Report, phase: str, heard: Heard) -> None:
    """Report the audio quality in one direction of the talk that is named `phase`."""
    name = f"{phase}: {heard.speaker} to {heard.listener}"
    packets, jitter_ms = heard.packets, heard.packets.jitter * 1000
    text = (
        f"{heard.similarity:.0%} similar, {packets.lost} of {packets.received + packets.lost} "
        f"packets lost, jitter {jitter_ms:.1f} ms"
    )
    figures = {
        "alike": round(heard.similarity, 4),
        "received": packets.received,
        "lost": packets.lost,
        "jitter_ms": round(jitter_ms, 2),
    }
    if not packets.received:
        report.fail(name, "no packet arrived", _RTP, **figures)
    elif heard.similarity < _MIN_SIMILARITY:
        report.fail(name, text, _OTHER_SOUND, **figures)
    elif heard.similarity < _GOOD_SIMILARITY or packets.loss > _LOSS or packets.jitter > _JITTER:
        report.warn(name, text, _POOR, **figures)
    else:
        report.ok(name, text, **figures)


async def _listen(plan: Plan, report: Report, voice: CallAudio) -> None:
    """Speak as the caller; report what arrives from a phone that this command does not control."""
    began = time.monotonic()
    with contextlib.suppress(TelephonyError):
        await voice.say(speech(plan.talk, secrets.randbits(60)))
    there, name = voice.call.reception, "talk: heard"
    text = f"{there.received} packets, {there.lost} lost, jitter {there.jitter * 1000:.1f} ms"
    figures = {"received": there.received, "lost": there.lost}
    if voice.call.state is CallState.ENDED and elapsed_ms(began) < plan.talk * 900:
        report.fail(
            name, "the other side hung up during the talk", "find out who answered the call"
        )
    elif not there.received:
        report.fail(name, "no packet arrived", _RTP, **figures)
    else:
        report.ok(name, text, **figures)
    report.skip("talk: spoken", "not judged: add --answer EXTENSION, so that this command answers")


# --- digits, pause and transfer ---------------------------------------------------------------


async def _act(
    plan: Plan, report: Report, call: SimulatedCall, answerer: CallAudio, api: ApiClient | None
) -> None:
    if plan.dtmf:
        await _keys(plan, report, call.caller.call, answerer.call)
    if plan.pause:
        await _pause(plan, report, call, answerer, api)
        await _talk(report, call, "after the pause", _AFTERWARDS_S)
    if plan.transfer or plan.attended:
        await _transfer(plan, report, call, answerer.call)


async def _keys(plan: Plan, report: Report, caller: VoIPCall, answerer: VoIPCall) -> None:
    try:
        async with asyncio.timeout(plan.timeout + len(plan.dtmf)):
            await caller.send_dtmf(plan.dtmf)
            # Wait, because the final DTMF digit may arrive late, and because an unwanted second
            # copy of a digit may arrive even later.
            await asyncio.sleep(0.3)
    except (ProtocolError, TimeoutError):
        report.fail(
            "keys",
            "the keys could not all be sent as telephone-event",
            "allow telephone-event in the trunk or PBX",
        )
        return
    keys = answerer.media.stream.keys
    if keys == plan.dtmf:
        report.ok("keys", f"{len(keys)} pressed, {len(keys)} arrived, in order", keys=len(keys))
    else:
        report.fail(
            "keys",
            f"{len(plan.dtmf)} pressed, {len(keys)} arrived: they are not the same",
            "check that the telephone-event payload type is passed on",
            keys=len(keys),
        )


async def _pause(
    plan: Plan, report: Report, call: SimulatedCall, answerer: CallAudio, api: ApiClient | None
) -> None:
    pause, resume = partial(_press, plan, answerer, "off"), partial(_press, plan, answerer, "on")
    means = "the record key"
    if plan.pause_by is PauseBy.API and api is not None:
        pause = partial(api.payment, "PUT", answerer.who, "paused")
        resume = partial(api.payment, "DELETE", answerer.who, "recording")
        means = "the API"
    await _timed(report, "pause", means, pause)
    await _talk(report, call, "paused", plan.pause)
    await _timed(report, "resume", means, resume)


async def _timed(report: Report, name: str, means: str, act: Callable[[], Awaitable[None]]) -> None:
    began = time.monotonic()
    async with report.step(name):
        await act()
        took = elapsed_ms(began)
    report.ok(name, f"by {means}, confirmed on disk after {took} ms", ms=took)


async def _press(plan: Plan, answerer: CallAudio, record: Literal["on", "off"]) -> None:
    """Send an INFO with the header field Record; raise StepError without a reply of 200."""
    try:
        async with asyncio.timeout(plan.timeout):
            status = await answerer.call.send_info(headers=[("Record", record)])
    except (TelephonyError, TimeoutError):
        raise StepError(
            "the record key got no answer", "the log of galwad-switch says why"
        ) from None
    if status != 200:
        raise pause_error(answerer.who, status)


async def _transfer(plan: Plan, report: Report, call: SimulatedCall, leg: VoIPCall) -> None:
    third = call.answerers[1:]
    began = time.monotonic()
    async with report.step("transfer"), AsyncExitStack() as stack:
        answering = [asyncio.create_task(_answer_at(answerer)) for answerer in third]
        for task in answering:
            stack.callback(task.cancel)
        await _send_transfer(plan, call.answerers[0], leg)
        took = elapsed_ms(began)
        there = await _first(answering, plan.timeout) if third else None
    kind = "with a consultation" if plan.attended else "blind"
    report.ok("transfer", f"{kind}, 200 after {took} ms", ms=took)
    call.answerer = there
    if there is None:
        report.skip(
            "after the transfer",
            "not judged: add a second --answer, so that this command answers",
        )
        return
    await _talk(report, call, "after the transfer", _AFTERWARDS_S)


async def _answer_at(answerer: Answerer) -> CallAudio:
    call = await answerer.next_ringing()
    await call.answer()
    return CallAudio(answerer.extension, call)


async def _first(answering: list[asyncio.Task[CallAudio]], seconds: float) -> CallAudio:
    """Return the leg of the first phone that answers; raise StepError if none does in time."""
    wait = asyncio.wait(answering, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (await wait)[0]:
        return task.result()
    raise StepError(
        "no call was answered at the phone of the second --answer",
        "check that the number of the transfer rings this phone",
    )


async def _send_transfer(plan: Plan, answerer: Answerer, leg: VoIPCall) -> None:
    number = plan.transfer or plan.attended
    try:
        async with asyncio.timeout(_TRANSFER_WITHIN_S):
            if plan.attended:
                status = await _join(answerer, leg, number)
            else:
                status = await leg.transfer(number)
    except CallFailedError as error:
        raise StepError(f"the transfer failed: {error}", LOG) from None
    except (TelephonyError, TimeoutError) as error:
        raise StepError(f"the transfer failed ({type(error).__name__})", LOG) from None
    if status != 200:
        raise transfer_error(number, status)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(leg.wait_for(CallState.ENDED), plan.timeout)


async def _join(answerer: Answerer, leg: VoIPCall, number: str) -> int:
    """Hold the caller, call `number`, and transfer the caller there; return the final status."""
    await leg.hold()
    consulted = await answerer.phone.call(number)
    try:
        await consulted.wait_for(CallState.ANSWERED)
    except CallFailedError as error:
        raise transfer_error(number, error.status) from None
    return await leg.attended_transfer(consulted)


async def _hang_up(report: Report, call: SimulatedCall) -> None:
    began = time.monotonic()
    async with report.step("hang-up"):
        try:
            async with asyncio.timeout(_HANG_UP_S):
                await call.caller.call.hangup()
                if call.answerer is not None:
                    await call.answerer.call.wait_for(CallState.ENDED)
        except TimeoutError:
            raise StepError(
                "the other side did not see the hang-up within 5 s",
                "the log of galwad-switch says why",
            ) from None
    seen = "seen on both sides" if call.answerer is not None else "seen on this side"
    report.ok("hang-up", f"{seen} after {elapsed_ms(began)} ms", ms=elapsed_ms(began))
