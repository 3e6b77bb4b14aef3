"""Transfers combined with a pause, a crash, or a phone that speaks only SRTP."""

from __future__ import annotations

import asyncio

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S, wait_until
from telephony.phone import CallState, VoIPCall

pytestmark = pytest.mark.peer


def shown(service):
    """Return the recording's state and its pause holders."""
    with service.sign_in("ceri") as page:
        (pop,) = page.get("/api/v1/calls").json()
    return pop["recording"], len(pop["holders"])


def payment(service, call_id, method):
    with service.sign_in() as page:
        return page.request(method, f"/api/v1/calls/{call_id}/payment").json()["state"]


async def test_a_pause_survives_a_failed_transfer_a_recall_and_a_crash(
    service, phone, caller, ended
):
    calls, run = asyncio.Queue[VoIPCall](), asyncio.to_thread
    before, after, *secrets = (speech(1.5, seed) for seed in range(301, 306))
    department = ended(
        Callee(
            service.folder,
            "uas_refusing",
            "127.0.0.4",
            port=service.department_port,
            status="486 Busy Here",
        )
    )
    async with asyncio.timeout(60), phone(calls):
        calling = await run(caller)
        first = await calls.get()
        await first.answer()
        target = await run(lambda: calling.media_target)
        call_id = await run(service.call_id)
        await run(calling.talker.say, before, target)
        assert await run(payment, service, call_id, "PUT") == "paused"
        await run(calling.talker.say, secrets[0], target)
        sending_on = asyncio.create_task(first.transfer("500"))
        await first.changes.until(lambda: bool(first.refer_sent and first.refer_sent.statuses))
        await first.hangup()
        await run(department.hang_up)  # it refuses the call
        recall = await calls.get()
        sending_on.cancel()
        assert await run(shown, service) == ("ceased", 1)
        await recall.answer()
        await run(calling.talker.say, secrets[1], target)
        assert await run(shown, service) == ("paused", 1)
        await run(service.kill, "switch")
        await run(service.start, "switch")
        await run(service.log.wait, "call.resumed")
        await run(service.log.wait, "phones.set", 2)
        await run(calling.talker.say, secrets[2], target)
        await run(wait_until, lambda: shown(service) == ("paused", 1))
        assert await run(payment, service, call_id, "DELETE") == "recording"
        await run(calling.talker.say, after, target)
        await recall.hangup()
        await run(calling.wait)
    recording = await run(Recording, service, call_id)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    for secret in secrets:
        assert find(recording.caller, secret)[1] < 0.3
    assert {gap["reason"] for gap in recording.gaps()} == {"payment", "transfer"}
    assert all(recording.silent_in(gap) for gap in recording.gaps())
    assert recording.adds_up()


async def test_dtmf_works_both_ways_after_a_transfer_to_a_phone_that_requires_srtp(
    service, phone, caller
):
    calls, consulted, run = asyncio.Queue[VoIPCall](), asyncio.Queue[VoIPCall](), asyncio.to_thread
    secure = phone(consulted, "304", "secret-304", srtp="required")
    async with asyncio.timeout(PATIENCE_S), phone(calls) as advisor, secure:
        calling = await run(caller)
        first = await calls.get()
        await first.answer()
        target = await run(lambda: calling.media_target)
        await first.hold()
        second = await advisor.call("304")
        there = await consulted.get()
        await there.answer()
        await second.wait_for(CallState.ANSWERED)
        assert there.protected
        assert await first.attended_transfer(second) == 200
        await first.wait_for(CallState.ENDED)
        await run(calling.talker.dial, "147#", target)
        assert await there.get_dtmf(4) == "147#"
        heard = len(calling.talker.heard)
        await there.send_dtmf("*258")
        await run(calling.talker.wait_heard, heard + 20)
        pressed = {payload[0] for _, kind, _, payload in calling.talker.heard if kind == 101}
        assert pressed == {10, 2, 5, 8}
        await there.hangup()
        await run(calling.wait)
    service.wait_media_ports(0)
