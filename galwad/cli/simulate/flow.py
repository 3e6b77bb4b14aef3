"""The steps of one simulated call: register, ring, answer, talk and hang up."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

from galwad.cli.simulate.actions import SimulatedCall, elapsed_ms, in_the_call, listen, step, talk
from galwad.cli.simulate.api_client import ApiClient
from galwad.cli.simulate.errors import call_error, unreachable_error
from galwad.cli.simulate.phones import Answerer, CallAudio, socket_error
from galwad.cli.simulate.plan import Plan
from galwad.cli.simulate.steps import Report, StepError
from telephony.errors import TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

_HANG_UP_S: Final = 5.0
_RING_S: Final = 60.0
"""The maximum ringing time in seconds of a phone that a person answers."""
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


async def simulate(
    plan: Plan, report: Report, api: ApiClient | None = None
) -> SimulatedCall | None:
    """Run a call and report its steps; return None if a step failed on which others depend."""
    async with AsyncExitStack() as stack:
        try:
            call = await _connected(plan, report, stack, api)
            if call.caller is not None and call.answerer is not None:
                await talk(report, call, "talk", plan.talk)
                await in_the_call(plan, report, call, api)
            else:
                await listen(plan, report, call)
            await _hang_up(report, call)
        except StepError:
            return None
        return call


async def _connected(
    plan: Plan, report: Report, stack: AsyncExitStack, api: ApiClient | None
) -> SimulatedCall:
    answerers = [await registered(plan, report, stack, Answerer(plan, a)) for a in plan.answering]
    async with step(report, "ring"):
        try:
            phone = await stack.enter_async_context(plan.calling_phone())
        except OSError as error:
            raise socket_error(plan, error) from None
    known = await api.calls() if api is not None else set()
    async with step(report, "ring"):
        call = SimulatedCall(phone, answerers, await place(plan, phone))
    await _answered(plan, report, call)
    if api is not None:
        async with step(report, "recording"):
            call.call_id = await api.new_call(known, plan)
    return call


async def registered(
    plan: Plan, report: Report, stack: AsyncExitStack, answerer: Answerer
) -> Answerer:
    """Register `answerer`, as a reported step, until `stack` closes; return it."""
    name, began = f"register {answerer.extension}", time.monotonic()
    async with step(report, name):
        await stack.enter_async_context(answerer)
    took = elapsed_ms(began)
    report.ok(name, f"200 after {took} ms, {plan.addresses}", ms=took)
    return answerer


async def place(plan: Plan, phone: VoIPPhone) -> VoIPCall:
    """Send the INVITE from `phone` to the planned number; return the caller's leg of the call.

    Raises:
        StepError: The call cannot be placed, for example because no media port is free.
    """
    try:
        return await phone.call(plan.number)
    except TelephonyError as error:
        raise StepError(
            f"the call cannot be placed: {error}", "check that media ports are free"
        ) from None


async def _answered(plan: Plan, report: Report, call: SimulatedCall) -> None:
    began = time.monotonic()
    async with step(report, "ring"):
        await _reach(plan, call.caller_call, CallState.RINGING, plan.timeout)
        rung = elapsed_ms(began)
        if call.answerers:
            call.answerer_call = await _next_ringing(plan, call)
    if call.caller_call.state is CallState.RINGING:
        report.ok("ring", f"180 after {rung} ms", ms=rung)
    async with step(report, "answer"):
        picked = time.monotonic()
        if call.answerer_call is not None:
            try:
                await call.answerer_call.answer()
            except CallFailedError as error:
                raise call_error(plan, error.status) from None
        await _reach(
            plan,
            call.caller_call,
            CallState.ANSWERED,
            plan.timeout if call.answerer_call else _RING_S,
        )
    took = elapsed_ms(picked if call.answerer_call else began)
    came = list(call.caller_call.statuses)
    how = "SRTP" if call.caller_call.protected else "plain RTP"
    text = f"200 {took} ms after the answer; {how}; statuses {' '.join(map(str, came))}"
    report.ok("answer", text, ms=took, setup_ms=elapsed_ms(began), media=how, statuses=came)
    call.caller = CallAudio(plan.caller_name, call.caller_call)
    if call.answerer_call is not None:
        call.answerer = CallAudio(call.answerers[0].extension, call.answerer_call)


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


async def _next_ringing(plan: Plan, call: SimulatedCall) -> VoIPCall:
    extension = call.answerers[0].extension
    rung = asyncio.ensure_future(call.answerers[0].next_ringing())
    ended = asyncio.ensure_future(call.caller_call.wait_for(CallState.ANSWERED))
    try:
        done, _ = await asyncio.wait(
            {rung, ended}, timeout=plan.timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if rung in done:
            return rung.result()
        if ended in done and ended.exception() is not None:
            raise call_error(plan, 0 if call.caller_call.unreachable else call.caller_call.status)
    finally:
        for waiting in (rung, ended):
            waiting.cancel()
    answered = "another phone answered" if ended in done else "no phone answered"
    raise StepError(
        f"{extension} did not ring; {answered}",
        f"check that the route of {plan.number} rings {extension}",
    )


async def _hang_up(report: Report, call: SimulatedCall) -> None:
    began = time.monotonic()
    async with step(report, "hang-up"):
        try:
            async with asyncio.timeout(_HANG_UP_S):
                await call.caller_call.hangup()
                if call.answerer is not None:
                    await call.answerer.call.wait_for(CallState.ENDED)
        except TimeoutError:
            raise StepError(
                "the other side did not see the hang-up within 5 s",
                "the log of galwad-switch says why",
            ) from None
    seen = "seen on both sides" if call.answerer is not None else "seen on this side"
    report.ok("hang-up", f"{seen} after {elapsed_ms(began)} ms", ms=elapsed_ms(began))
