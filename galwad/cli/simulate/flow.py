"""The course of one simulated call: register, ring, answer, talk, hang up."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

from galwad.cli.simulate.actions import Call, in_the_call, listen, since, step, talk
from galwad.cli.simulate.api_client import Desk
from galwad.cli.simulate.errors import refused_call, unreachable
from galwad.cli.simulate.phones import Answerer, Voice, cannot_open
from galwad.cli.simulate.plan import Plan
from galwad.cli.simulate.steps import Report, StepError
from telephony.errors import TelephonyError
from telephony.phone import CallFailedError, CallState, VoIPCall, VoIPPhone

_BYE: Final = 5.0
_RING: Final = 60.0
"""Seconds for which a phone may ring that is not ours."""
_MISSED: Final = {
    CallState.RINGING: (
        "no ringing",
        "the log of galwad-switch says what became of the call",
    ),
    CallState.ANSWERED: (
        "nobody answered",
        "pick up where it rings, or let a phone of ours answer: --answer EXTENSION",
    ),
}


async def simulate(plan: Plan, report: Report, desk: Desk | None = None) -> Call | None:
    """Run the whole plan; `report` has each step, and a step that others need ends the run.

    Return the call, or None if such a step failed.
    """
    async with AsyncExitStack() as stack:
        try:
            call = await _connected(plan, report, stack, desk)
            if call.caller is not None and call.other is not None:
                await talk(report, call, "talk", plan.talk)
                await in_the_call(plan, report, call, desk)
            else:
                await listen(plan, report, call)
            await _hang_up(report, call)
        except StepError:
            return None
        return call


async def _connected(plan: Plan, report: Report, stack: AsyncExitStack, desk: Desk | None) -> Call:
    answerers = [await registered(plan, report, stack, Answerer(plan, a)) for a in plan.answering]
    async with step(report, "ring"):
        try:
            phone = await stack.enter_async_context(plan.calling_phone())
        except OSError as error:
            raise cannot_open(plan, error) from None
    known = await desk.calls() if desk is not None else set()
    async with step(report, "ring"):
        call = Call(phone, answerers, await place(plan, phone))
    await _answered(plan, report, call)
    if desk is not None:
        async with step(report, "recording"):
            call.call_id = await desk.new_call(known, plan)
    return call


async def registered(
    plan: Plan, report: Report, stack: AsyncExitStack, answerer: Answerer
) -> Answerer:
    """Register a phone until `stack` is left, as a step of its own."""
    name, began = f"register {answerer.extension}", time.monotonic()
    async with step(report, name):
        await stack.enter_async_context(answerer)
    took = since(began)
    report.fine(name, f"200 after {took} ms, {plan.where}", ms=took)
    return answerer


async def place(plan: Plan, phone: VoIPPhone) -> VoIPCall:
    """Send the INVITE.

    Raises:
        StepError: The call cannot be placed, such as when no media port is free.
    """
    try:
        return await phone.call(plan.number)
    except TelephonyError as error:
        raise StepError(f"the call cannot be placed: {error}", "are media ports free?") from None


async def _answered(plan: Plan, report: Report, call: Call) -> None:
    began = time.monotonic()
    async with step(report, "ring"):
        await _reach(plan, call.placed, CallState.RINGING, plan.patience)
        rung = since(began)
        if call.answerers:
            call.taken = await _rung(plan, call)
    if call.placed.state is CallState.RINGING:
        report.fine("ring", f"180 after {rung} ms", ms=rung)
    async with step(report, "answer"):
        picked = time.monotonic()
        if call.taken is not None:
            try:
                await call.taken.answer()
            except CallFailedError as error:
                raise refused_call(plan, error.status) from None
        await _reach(plan, call.placed, CallState.ANSWERED, plan.patience if call.taken else _RING)
    took = since(picked if call.taken else began)
    came = list(call.placed.statuses)
    how = "SRTP" if call.placed.protected else "plain RTP"
    text = f"200 {took} ms after the answer; {how}; statuses {' '.join(map(str, came))}"
    report.fine("answer", text, ms=took, setup_ms=since(began), media=how, statuses=came)
    call.caller = Voice(plan.caller_name, call.placed)
    if call.taken is not None:
        call.other = Voice(call.answerers[0].extension, call.taken)


async def _reach(plan: Plan, call: VoIPCall, state: CallState, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await call.wait_for(state)
    except CallFailedError as error:
        raise refused_call(plan, 0 if error.unreachable else error.status) from None
    except TimeoutError:
        if not call.statuses:
            raise unreachable(plan) from None
        what, hint = _MISSED[state]
        came = " ".join(map(str, call.statuses))
        raise StepError(f"{what} within {patience:g} s; statuses {came}", hint) from None


async def _rung(plan: Plan, call: Call) -> VoIPCall:
    extension = call.answerers[0].extension
    rung = asyncio.ensure_future(call.answerers[0].rung())
    ended = asyncio.ensure_future(call.placed.wait_for(CallState.ANSWERED))
    try:
        done, _ = await asyncio.wait(
            {rung, ended}, timeout=plan.patience, return_when=asyncio.FIRST_COMPLETED
        )
        if rung in done:
            return rung.result()
        if ended in done and ended.exception() is not None:
            raise refused_call(plan, 0 if call.placed.unreachable else call.placed.status)
    finally:
        for waiting in (rung, ended):
            waiting.cancel()
    answered = "somebody else answered" if ended in done else "nobody answered"
    raise StepError(
        f"{extension} was not rung; {answered}",
        f"does the route of {plan.number} ring {extension}?",
    )


async def _hang_up(report: Report, call: Call) -> None:
    began = time.monotonic()
    async with step(report, "hang-up"):
        try:
            async with asyncio.timeout(_BYE):
                await call.placed.hangup()
                if call.other is not None:
                    await call.other.call.wait_for(CallState.ENDED)
        except TimeoutError:
            raise StepError(
                "the other side was not told within 5 s", "the log of galwad-switch says why"
            ) from None
    seen = "seen on both sides" if call.other is not None else "seen on this side"
    report.fine("hang-up", f"{seen} after {since(began)} ms", ms=since(began))
