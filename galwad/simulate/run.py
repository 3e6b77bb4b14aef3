"""Runs the plan of `galwad simulate call`: one call, or a load test of many calls.

A load test places calls at a fixed rate, to show how many calls a new machine can handle.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import uvloop

from galwad.cli.support.client import base_url
from galwad.cli.support.client_settings import client_settings
from galwad.cli.support.console import CliError
from galwad.cli.support.identities import read_identity
from galwad.simulate.api import LATE, ApiClient
from galwad.simulate.call import SimulatedCall, place, registered, simulate, started
from galwad.simulate.judgement import judge_recording
from galwad.simulate.phones import Answerer, CallAudio, hush
from galwad.simulate.plan import PauseBy, Plan
from galwad.simulate.report import Report, StepError, call_error, elapsed_ms
from galwad.simulate.sound import Samples, similarity_at, speech
from telephony.errors import TelephonyError
from telephony.phone import CallState, VoIPCall, VoIPPhone

_MOST_DELAY: Final = 0.1
"""The maximum delay of a task in seconds. With a longer delay, measurements are not reliable."""
_JUDGED: Final = 40
"""The most legs whose audio is compared. Comparing all legs would take longer than the calls."""
_ALIKE: Final = 0.9
_LOSS: Final = 0.01
_TAIL: Final = 0.5


def run_plan(plan: Plan) -> Report:
    """Place the calls of the plan, and return what was found.

    Raises `CliError` if an option is wrong, such as the identity or the server's address.
    """
    api = _api_client(plan)
    hush()
    report = Report()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if plan.calls > 1:
            runner.run(LoadTest(plan).run(report))
            return report
        call = runner.run(simulate(plan, report, api))
        if plan.identity is not None and api is not None:
            runner.run(_judge(plan, report, api, call))
    return report


def _api_client(plan: Plan) -> ApiClient | None:
    by_api = plan.pause > 0 and plan.pause_by is PauseBy.API
    if plan.identity is None and not by_api:
        return None
    base_url(plan.api or client_settings().server)
    identities = read_identity(plan.identity).identities if plan.identity else ()
    return ApiClient(plan.api, os.environ.get("GALWAD_PAUSE_TOKEN", ""), identities)


async def _judge(plan: Plan, report: Report, api: ApiClient, call: SimulatedCall | None) -> None:
    if call is None or not call.call_id:
        if all(step.name != "recording" for step in report.faults):
            report.skip("recording", "there is no complete call to look for")
        return
    try:
        manifest = (await api.sealed(call.call_id))["manifest"]
    except StepError as error:
        report.fail(
            "recording",
            f"{LATE}: {error.message}",
            "check that the call is recorded: see `galwad recordings list`, and the journal of "
            "galwad-finaliser",
        )
        return
    try:
        there = await asyncio.to_thread(api.open, call.call_id, plan.reference, manifest)
    except CliError as error:
        report.fail("recording", error.message, error.hint)
        return
    report.ok("recording", f"{call.call_id}, sealed, fetched and opened", call_id=call.call_id)
    judge_recording(report, there, call.spoken)


@dataclass(slots=True)
class Tally:
    """The results of the load test so far."""

    setup: list[int] = field(default_factory=list)
    """For each answered call, the time from the INVITE to the 200, in milliseconds."""
    refused: Counter[int] = field(default_factory=Counter)
    """The number of failed calls for each SIP status. Status 0 means no response."""
    cut: int = 0
    """The number of legs whose talk was not completed. A call has two legs."""
    received: int = 0
    lost: int = 0
    jitter: float = 0.0
    similarities: list[float] = field(default_factory=list)
    late: float = 0.0
    """The longest delay in seconds until a task of the load test ran."""


class LoadTest:
    """A run that places many calls, answers them and collects the results."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._said = tuple(speech(plan.talk, secrets.randbits(60)) for _ in range(2))
        self._judged: list[tuple[Samples, Samples]] = []

    async def run(self, report: Report) -> None:
        """Place all planned calls, and add the results to `report`."""
        plan, loop = self._plan, asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            try:
                answerers = await registered(plan, report, stack)
                phone = await started(plan, report, stack, "calls")
            except StepError:
                return
            async with asyncio.TaskGroup() as calls:
                helpers = [calls.create_task(self._answer_all(a, calls)) for a in answerers]
                helpers.append(calls.create_task(self._watch()))
                placed, began = [], loop.time()
                for number in range(plan.calls):
                    await asyncio.sleep(max(0.0, began + number / plan.rate - loop.time()))
                    placed.append(calls.create_task(self._one(phone)))
                await asyncio.wait(placed)
                for helper in helpers:
                    helper.cancel()
        self.tally.similarities = [similarity_at(heard, said) for heard, said in self._judged]
        report_tally(report, self.tally, plan)

    async def _one(self, phone: VoIPPhone) -> None:
        plan, began = self._plan, time.monotonic()
        try:
            call = await place(plan, phone)
        except StepError:
            self.tally.refused[0] += 1
            return
        try:
            async with asyncio.timeout(plan.timeout):
                await call.wait_for(CallState.ANSWERED)
        except (TelephonyError, TimeoutError):
            self.tally.refused[0 if call.unreachable else call.status] += 1
            return  # when the calling phone stops, it ends each call that still rings
        self.tally.setup.append(elapsed_ms(began))
        await self._talk(call, self._said[0], self._said[1])
        await call.hangup()

    async def _answer_all(self, answerer: Answerer, calls: asyncio.TaskGroup) -> None:
        while True:
            calls.create_task(self._answer(await answerer.next_ringing()))

    async def _answer(self, call: VoIPCall) -> None:
        try:
            await call.answer()
        except TelephonyError:
            return  # the task of the caller's leg counts this failure
        await self._talk(call, self._said[1], self._said[0])
        await call.wait_for(CallState.ENDED)

    async def _talk(self, call: VoIPCall, says: Samples, hears: Samples) -> None:
        voice = CallAudio("", call)
        try:
            async with asyncio.timeout(self._plan.talk + self._plan.timeout):
                await voice.say(says)
            self.tally.cut += call.state is CallState.ENDED
            await asyncio.sleep(_TAIL)
        except (TelephonyError, TimeoutError):
            self.tally.cut += 1
        finally:
            there, tally = call.reception, self.tally
            tally.received += there.received
            tally.lost += there.lost
            tally.jitter = max(tally.jitter, there.jitter)
            if len(self._judged) < _JUDGED:
                self._judged.append((voice.heard(), hears))
            await voice.hush()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.1
            await asyncio.sleep(0.1)
            self.tally.late = max(self.tally.late, loop.time() - due)


def report_tally(report: Report, tally: Tally, plan: Plan) -> None:
    """Add the results of the load test to `report`: calls, audio, and this machine's delays."""
    _report_calls(report, tally, plan)
    if tally.setup:
        _report_media(report, tally)
    text = f"at most {tally.late * 1000:.0f} ms late"
    if tally.late > _MOST_DELAY:
        hint = (
            "the figures above include this machine's delays: use a second machine, or fewer calls"
        )
        report.warn("this machine", text, hint, late_ms=round(tally.late * 1000))
    else:
        report.ok("this machine", text, late_ms=round(tally.late * 1000))


def _report_calls(report: Report, tally: Tally, plan: Plan) -> None:
    answered = len(tally.setup)
    text = f"{answered} of {plan.calls} answered, at {plan.rate:g} a second"
    if tally.refused:
        status, _ = tally.refused.most_common(1)[0]
        ends = ", ".join(f"{n} with {s or 'no answer'}" for s, n in tally.refused.most_common())
        why = call_error(plan, status)
        report.fail("calls", f"{text}; {ends}", f"{why.message}: {why.hint}", answered=answered)
    elif tally.cut:
        hint = "the log of galwad-switch says why"
        report.fail("calls", f"{text}; {tally.cut} legs ended during the talk", hint)
    else:
        report.ok("calls", text, answered=answered)
    if answered:
        times = sorted(tally.setup)
        half, most, worst = (_share(times, share) for share in (0.5, 0.95, 1.0))
        text = f"half within {half} ms, 95 % within {most} ms, all within {worst} ms"
        report.ok("set-up", text, p50_ms=half, p95_ms=most, max_ms=worst)


def _report_media(report: Report, tally: Tally) -> None:
    expected = tally.received + tally.lost
    loss = tally.lost / expected if expected else 1.0
    worst = min(tally.similarities, default=0.0)
    text = (
        f"{tally.lost} of {expected} packets lost, jitter up to {tally.jitter * 1000:.1f} ms; "
        f"the worst of {len(tally.similarities)} ends heard {worst:.0%} of what was said"
    )
    figures = {"received": tally.received, "lost": tally.lost, "alike": round(worst, 4)}
    if (worst < _ALIKE or loss > _LOSS) and tally.late > _MOST_DELAY:
        report.warn("sound", text, "this machine was late: see its line below", **figures)
    elif worst < _ALIKE or loss > _LOSS:
        report.fail(
            "sound", text, "the network or a machine is too slow: try fewer calls", **figures
        )
    else:
        report.ok("sound", text, **figures)


def _share(times: list[int], share: float) -> int:
    return times[max(0, math.ceil(share * len(times)) - 1)]
