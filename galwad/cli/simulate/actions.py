"""The actions in a simulated call after it is answered: talk, DTMF digits, pause, transfer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from galwad.cli.simulate.api_client import ApiClient
from galwad.cli.simulate.errors import pause_error, transfer_error
from galwad.cli.simulate.phones import Answerer, CallAudio, Heard, converse
from galwad.cli.simulate.plan import PauseBy, Plan
from galwad.cli.simulate.sound import Samples, speech
from galwad.cli.simulate.steps import Report, StepError
from telephony.errors import ProtocolError, TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

_AFTERWARDS_S: Final = 2.0
"""The seconds for which the parties talk after a pause, and also after a transfer."""
_TRANSFER_WITHIN_S: Final = 60.0
"""The maximum time in seconds that a transfer may take."""
_GOOD_SIMILARITY: Final = 0.9
"""The similarity (0 to 1) below which the report has a warning. It is much higher, unless the path
converts the audio from G.711 to another codec.
"""
_MIN_SIMILARITY: Final = 0.5
_LOSS: Final = 0.01
_JITTER: Final = 0.03
_LOG: Final = "the log of galwad-switch says more"
_POOR: Final = "check the network, transcoders on the path, and the load of this machine"
_RTP: Final = (
    "RTP does not get through: check [media] advertise, firewalls between here and its "
    "ports, and the source rule of the trunk or route"
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The audio that each party sent in one phase of the call, such as the talk after a pause."""

    phase: str
    caller: Samples = field(repr=False)
    answerer: Samples = field(repr=False)


@dataclass(slots=True)
class SimulatedCall:
    """One simulated call, and the data with which its recording is checked after the call."""

    phone: VoIPPhone
    answerers: list[Answerer]
    caller_call: VoIPCall
    """The caller's leg: the call as the calling phone sees it."""
    answerer_call: VoIPCall | None = None
    """The call as the answering phone sees it; None if this command does not control that phone."""
    caller: CallAudio | None = None
    answerer: CallAudio | None = None
    call_id: str = ""
    spoken: list[Spoken] = field(default_factory=list)


@asynccontextmanager
async def step(report: Report, name: str) -> AsyncIterator[None]:
    """Report the step `name` as failed if the body raises a `StepError`, which is raised again."""
    try:
        yield
    except StepError as error:
        report.fail(name, error.text, error.hint)
        raise


def elapsed_ms(began: float) -> int:
    """Return the milliseconds that have passed since `began`, a time of the monotonic clock."""
    return round((time.monotonic() - began) * 1000)


async def talk(report: Report, call: SimulatedCall, phase: str, seconds: float) -> None:
    """Let both parties speak, and report each direction, if this command has both phones."""
    if call.caller is None or call.answerer is None:
        return
    said = speech(seconds, secrets.randbits(60)), speech(seconds, secrets.randbits(60))
    async with step(report, phase):
        both = await converse(call.caller, call.answerer, said)
    call.spoken.append(Spoken(phase, *said))
    for heard in reversed(both):
        judge(report, phase, heard)


def judge(report: Report, phase: str, heard: Heard) -> None:
    """Report the audio quality in one direction of the talk that is named `phase`."""
    name = f"{phase}: {heard.speaker} to {heard.listener}"
    expected = heard.received + heard.lost
    text = (
        f"{heard.similarity:.0%} similar, {heard.lost} of {expected} packets lost, "
        f"jitter {heard.jitter * 1000:.1f} ms"
    )
    figures = {
        "alike": round(heard.similarity, 4),
        "received": heard.received,
        "lost": heard.lost,
        "jitter_ms": round(heard.jitter * 1000, 2),
    }
    if not heard.received:
        report.fail(name, "no packet arrived", _RTP, **figures)
    elif heard.similarity < _MIN_SIMILARITY:
        report.fail(name, text, "sound arrives, but not what was said", **figures)
    elif heard.similarity < _GOOD_SIMILARITY or heard.loss > _LOSS or heard.jitter > _JITTER:
        report.warn(name, text, _POOR, **figures)
    else:
        report.ok(name, text, **figures)


async def listen(plan: Plan, report: Report, call: SimulatedCall) -> None:
    """Speak as the caller; report what arrives from a phone that this command does not control."""
    voice, began = call.caller, time.monotonic()
    if voice is None:
        return
    with contextlib.suppress(TelephonyError):
        await voice.say(speech(plan.talk, secrets.randbits(60)))
    there, name = voice.call.reception, "talk: heard"
    text = f"{there.received} packets, {there.lost} lost, jitter {there.jitter * 1000:.1f} ms"
    figures = {"received": there.received, "lost": there.lost}
    if voice.call.state is CallState.ENDED and elapsed_ms(began) < plan.talk * 900:
        report.fail(name, "the other side hung up during the talk", "ask who answered there")
    elif not there.received:
        report.fail(name, "no packet arrived", _RTP, **figures)
    else:
        report.ok(name, text, **figures)
    report.skip("talk: spoken", "not judged: with --answer EXTENSION, this command answers")


async def in_the_call(
    plan: Plan, report: Report, call: SimulatedCall, api: ApiClient | None
) -> None:
    """Do the planned actions in this order: DTMF digits, pause and resume, transfer."""
    if plan.dtmf:
        await _keys(plan, report, call)
    if plan.pause:
        await _pause(plan, report, call, api)
        await talk(report, call, "after the pause", _AFTERWARDS_S)
    if plan.transfer or plan.attended:
        await _transfer(plan, report, call)


async def _keys(plan: Plan, report: Report, call: SimulatedCall) -> None:
    if call.answerer_call is None:
        return
    try:
        async with asyncio.timeout(plan.timeout + len(plan.dtmf)):
            await call.caller_call.send_dtmf(plan.dtmf)
            # Wait, because the final DTMF digit may arrive late, and because an unwanted second
            # copy of a digit may arrive even later.
            await asyncio.sleep(0.3)
    except (ProtocolError, TimeoutError):
        report.fail("keys", "telephone-event was not agreed on", "the trunk or PBX has none")
        return
    keys = call.answerer_call.media.stream.keys
    if keys == plan.dtmf:
        report.ok("keys", f"{len(keys)} pressed, {len(keys)} arrived, in order", keys=len(keys))
    else:
        report.fail(
            "keys",
            f"{len(plan.dtmf)} pressed, {len(keys)} arrived, not the same",
            "check that the telephone-event payload type is passed on",
            keys=len(keys),
        )


async def _pause(plan: Plan, report: Report, call: SimulatedCall, api: ApiClient | None) -> None:
    extension = call.answerers[0].extension
    if plan.pause_by is PauseBy.API and api is not None:
        means, pause, resume = (
            "the API",
            partial(api.pause, extension),
            partial(api.resume, extension),
        )
    else:
        means = "the record key"
        pause, resume = partial(_press, plan, call, "off"), partial(_press, plan, call, "on")
    await _timed(report, "pause", means, pause)
    await talk(report, call, "paused", plan.pause)
    await _timed(report, "resume", means, resume)


async def _timed(report: Report, name: str, means: str, act: Callable[[], Awaitable[None]]) -> None:
    began = time.monotonic()
    async with step(report, name):
        await act()
        took = elapsed_ms(began)
    report.ok(name, f"by {means}, confirmed on disk after {took} ms", ms=took)


async def _press(plan: Plan, call: SimulatedCall, record: Literal["on", "off"]) -> None:
    """Send an INFO with the header field Record; raise StepError without a reply of 200."""
    if call.answerer_call is None:
        raise StepError("no phone of this command is in the call", _LOG)
    try:
        async with asyncio.timeout(plan.timeout):
            status = await call.answerer_call.send_info(headers=[("Record", record)])
    except (TelephonyError, TimeoutError):
        raise StepError(
            "the record key got no answer", "the log of galwad-switch says why"
        ) from None
    if status != 200:
        raise pause_error(call.answerers[0].extension, status)


async def _transfer(plan: Plan, report: Report, call: SimulatedCall) -> None:
    number, third = plan.transfer or plan.attended, call.answerers[1:]
    began = time.monotonic()
    async with step(report, "transfer"), AsyncExitStack() as stack:
        answering = asyncio.ensure_future(_answer_any(third))
        stack.callback(answering.cancel)
        await _send_transfer(plan, call, number, _join if plan.attended else _blind)
        took = elapsed_ms(began)
        there = await _within(answering, plan.timeout) if third else None
    kind = "with a consultation" if plan.attended else "blind"
    report.ok("transfer", f"{kind}, 200 after {took} ms", ms=took)
    if there is None:
        report.skip(
            "after the transfer", "not judged: with a second --answer, this command answers"
        )
        call.answerer = None
        return
    extension, call.answerer_call = there
    call.answerer = CallAudio(extension, call.answerer_call)
    await talk(report, call, "after the transfer", _AFTERWARDS_S)


async def _within(
    answering: asyncio.Future[tuple[str, VoIPCall] | None], seconds: float
) -> tuple[str, VoIPCall]:
    try:
        there = await asyncio.wait_for(answering, seconds)
    except TimeoutError:
        there = None
    if there is None:
        raise StepError(
            "another phone answered", "does that number ring the phone of the second --answer?"
        )
    return there


async def _answer_any(answerers: list[Answerer]) -> tuple[str, VoIPCall] | None:
    """Answer the first call that rings at one of the phones; None if there are no phones."""
    ringing = {asyncio.ensure_future(a.next_ringing()): a.extension for a in answerers}
    if not ringing:
        return None
    try:
        done, _ = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in ringing:
            waiting.cancel()
    first = done.pop()
    await first.result().answer()
    return ringing[first], first.result()


async def _send_transfer(
    plan: Plan,
    call: SimulatedCall,
    number: str,
    how: Callable[[SimulatedCall, str], Awaitable[int]],
) -> None:
    try:
        async with asyncio.timeout(_TRANSFER_WITHIN_S):
            status = await how(call, number)
    except CallFailedError as error:
        raise StepError(f"the transfer failed: {error}", _LOG) from None
    except (TelephonyError, TimeoutError) as error:
        why = f"the transfer failed ({type(error).__name__})"
        raise StepError(why, _LOG) from None
    if status != 200:
        raise transfer_error(number, status)
    if call.answerer_call is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.answerer_call.wait_for(CallState.ENDED), plan.timeout)


async def _blind(call: SimulatedCall, number: str) -> int:
    return await call.answerer_call.transfer(number) if call.answerer_call is not None else 0


async def _join(call: SimulatedCall, number: str) -> int:
    """Hold the caller, consult `number`, and join both; return the status, or 0 without a leg."""
    if call.answerer_call is None:
        return 0
    await call.answerer_call.hold()
    consulted = await call.answerers[0].phone.call(number)
    try:
        await consulted.wait_for(CallState.ANSWERED)
    except CallFailedError as error:
        raise transfer_error(number, error.status) from None
    return await call.answerer_call.attended_transfer(consulted)
