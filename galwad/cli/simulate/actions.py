"""The acts in a simulated call once it is answered: talk, keys, a pause, a transfer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from galwad.cli.simulate.api_client import Desk
from galwad.cli.simulate.errors import refused_pause, refused_transfer
from galwad.cli.simulate.phones import Answerer, Heard, Voice, converse
from galwad.cli.simulate.plan import PauseBy, Plan
from galwad.cli.simulate.sound import Samples, speech
from galwad.cli.simulate.steps import Report, StepError
from telephony.errors import ProtocolError, TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

_AFTERWARDS: Final = 2.0
"""Seconds of talk after a pause or a transfer."""
_RING: Final = 60.0
"""Seconds that a transfer may take."""
_ALIKE: Final = 0.9
"""G.711 on the whole path gives far more than this."""
_AUDIBLE: Final = 0.5
_LOSS: Final = 0.01
_JITTER: Final = 0.03
_LOG: Final = "the log of galwad-switch says more"
_POOR: Final = "look at the network, at a transcoder in the way, and at how busy this machine is"
_RTP: Final = (
    "RTP does not get through: look at [media] advertise, at firewalls between here and its "
    "ports, and at the source rule of the trunk or route"
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The samples that each party sent in one stretch of the call."""

    phase: str
    caller: Samples = field(repr=False)
    other: Samples = field(repr=False)


@dataclass(slots=True)
class Call:
    """One call in progress, with what is needed to judge it afterwards."""

    phone: VoIPPhone
    answerers: list[Answerer]
    placed: VoIPCall
    taken: VoIPCall | None = None
    caller: Voice | None = None
    other: Voice | None = None
    call_id: str = ""
    spoken: list[Spoken] = field(default_factory=list)


@asynccontextmanager
async def step(report: Report, name: str) -> AsyncIterator[None]:
    """Run a step that ends the simulation if it fails."""
    try:
        yield
    except StepError as error:
        report.fault(name, error.text, error.hint)
        raise


def since(began: float) -> int:
    """Return the milliseconds since `began`, a time of the monotonic clock."""
    return round((time.monotonic() - began) * 1000)


async def talk(report: Report, call: Call, phase: str, seconds: float) -> None:
    """Let both parties speak; each direction is a step."""
    if call.caller is None or call.other is None:
        return
    said = speech(seconds, secrets.randbits(60)), speech(seconds, secrets.randbits(60))
    async with step(report, phase):
        both = await converse(call.caller, call.other, said)
    call.spoken.append(Spoken(phase, *said))
    for heard in reversed(both):
        judge(report, phase, heard)


def judge(report: Report, phase: str, heard: Heard) -> None:
    """Add the verdict on one direction."""
    name = f"{phase}: {heard.speaker} to {heard.listener}"
    expected = heard.received + heard.lost
    text = (
        f"{heard.alike:.0%} alike, {heard.lost} of {expected} packets lost, "
        f"jitter {heard.jitter * 1000:.1f} ms"
    )
    figures = {
        "alike": round(heard.alike, 4),
        "received": heard.received,
        "lost": heard.lost,
        "jitter_ms": round(heard.jitter * 1000, 2),
    }
    if not heard.received:
        report.fault(name, "no packet arrived", _RTP, **figures)
    elif heard.alike < _AUDIBLE:
        report.fault(name, text, "something arrives, but not what was said", **figures)
    elif heard.alike < _ALIKE or heard.loss > _LOSS or heard.jitter > _JITTER:
        report.warn(name, text, _POOR, **figures)
    else:
        report.fine(name, text, **figures)


async def listen(plan: Plan, report: Report, call: Call) -> None:
    """Speak and report what arrives; used when a phone that is not ours has answered."""
    voice, began = call.caller, time.monotonic()
    if voice is None:
        return
    with contextlib.suppress(TelephonyError):
        await voice.say(speech(plan.talk, secrets.randbits(60)))
    there, name = voice.call.reception, "talk: heard"
    text = f"{there.received} packets, {there.lost} lost, jitter {there.jitter * 1000:.1f} ms"
    figures = {"received": there.received, "lost": there.lost}
    if voice.call.state is CallState.ENDED and since(began) < plan.talk * 900:
        report.fault(name, "the other side hung up in mid-talk", "ask who answered there")
    elif not there.received:
        report.fault(name, "no packet arrived", _RTP, **figures)
    else:
        report.fine(name, text, **figures)
    report.skip("talk: spoken", "not judged: --answer EXTENSION lets a phone of ours answer")


async def in_the_call(plan: Plan, report: Report, call: Call, desk: Desk | None) -> None:
    """Do what the plan names, in this order: keys, a pause, a transfer."""
    if plan.dtmf:
        await _keys(plan, report, call)
    if plan.pause:
        await _pause(plan, report, call, desk)
        await talk(report, call, "after the pause", _AFTERWARDS)
    if plan.transfer or plan.attended:
        await _transfer(plan, report, call)


async def _keys(plan: Plan, report: Report, call: Call) -> None:
    if call.taken is None:
        return
    try:
        async with asyncio.timeout(plan.patience + len(plan.dtmf)):
            await call.placed.send_dtmf(plan.dtmf)
            await asyncio.sleep(0.3)  # for the last key, and for keys that arrive twice
    except (ProtocolError, TimeoutError):
        report.fault("keys", "no telephone events were agreed on", "the trunk or PBX takes none")
        return
    keys = call.taken.media.stream.keys
    if keys == plan.dtmf:
        report.fine("keys", f"{len(keys)} pressed, {len(keys)} arrived, in order", keys=len(keys))
    else:
        report.fault(
            "keys",
            f"{len(plan.dtmf)} pressed, {len(keys)} arrived, not the same",
            "is the telephone-event payload type carried on?",
            keys=len(keys),
        )


async def _pause(plan: Plan, report: Report, call: Call, desk: Desk | None) -> None:
    async with step(report, "pause"):
        took = await _press(plan, call, desk, on=False)
    report.fine("pause", f"by {_means(plan)}, confirmed on disk after {took} ms", ms=took)
    await talk(report, call, "paused", plan.pause)
    async with step(report, "resume"):
        took = await _press(plan, call, desk, on=True)
    report.fine("resume", f"by {_means(plan)}, confirmed on disk after {took} ms", ms=took)


def _means(plan: Plan) -> str:
    return "the record key" if plan.pause_by is PauseBy.KEY else "the API"


async def _press(plan: Plan, call: Call, desk: Desk | None, *, on: bool) -> int:
    began, extension = time.monotonic(), call.answerers[0].extension
    if plan.pause_by is PauseBy.API and desk is not None:
        await desk.hold(extension, on=on)
        return since(began)
    if call.taken is None:
        raise StepError("nobody of ours is in the call", _LOG)
    try:
        async with asyncio.timeout(plan.patience):
            status = await call.taken.send_info(headers=[("Record", "on" if on else "off")])
    except (TelephonyError, TimeoutError):
        raise StepError("the key was not answered", "the log of galwad-switch says why") from None
    if status != 200:
        raise refused_pause(extension, status)
    return since(began)


async def _transfer(plan: Plan, report: Report, call: Call) -> None:
    number, third = plan.transfer or plan.attended, call.answerers[1:]
    began = time.monotonic()
    async with step(report, "transfer"), AsyncExitStack() as stack:
        answering = asyncio.ensure_future(_answer_any(third))
        stack.callback(answering.cancel)
        await _told(plan, call, number, _join if plan.attended else _blind)
        took = since(began)
        there = await _within(answering, plan.patience) if third else None
    kind = "with a consultation" if plan.attended else "blind"
    report.fine("transfer", f"{kind}, 200 after {took} ms", ms=took)
    if there is None:
        report.skip(
            "after the transfer", "not judged: a second --answer lets a phone of ours take it"
        )
        call.other = None
        return
    extension, call.taken = there
    call.other = Voice(extension, call.taken)
    await talk(report, call, "after the transfer", _AFTERWARDS)


async def _within(
    answering: asyncio.Future[tuple[str, VoIPCall] | None], seconds: float
) -> tuple[str, VoIPCall]:
    try:
        there = await asyncio.wait_for(answering, seconds)
    except TimeoutError:
        there = None
    if there is None:
        raise StepError(
            "somebody else answered", "the second --answer is not whom that number rings"
        )
    return there


async def _answer_any(answerers: list[Answerer]) -> tuple[str, VoIPCall] | None:
    """Answer the first call that rings at any of these; None if there are no answerers."""
    ringing = {asyncio.ensure_future(a.rung()): a.extension for a in answerers}
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


async def _told(
    plan: Plan, call: Call, number: str, how: Callable[[Call, str], Awaitable[int]]
) -> None:
    try:
        async with asyncio.timeout(_RING):
            status = await how(call, number)
    except CallFailedError as error:
        raise StepError(f"the transfer came to nothing: {error}", _LOG) from None
    except (TelephonyError, TimeoutError) as error:
        why = f"the transfer came to nothing ({type(error).__name__})"
        raise StepError(why, _LOG) from None
    if status != 200:
        raise refused_transfer(number, status)
    if call.taken is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.taken.wait_for(CallState.ENDED), plan.patience)


async def _blind(call: Call, number: str) -> int:
    return await call.taken.transfer(number) if call.taken is not None else 0


async def _join(call: Call, number: str) -> int:
    """Put the caller on hold, call `number`, and join them; return the transfer's status."""
    if call.taken is None:
        return 0
    await call.taken.hold()
    consulted = await call.answerers[0].phone.call(number)
    try:
        await consulted.wait_for(CallState.ANSWERED)
    except CallFailedError as error:
        raise refused_transfer(number, error.status) from None
    return await call.taken.join(consulted)
