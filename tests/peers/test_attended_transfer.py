"""Attended transfer: the advisor's phone calls a third party and joins the caller with it."""

from __future__ import annotations

import asyncio

import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, register
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S, wait_until
from telephony.phone import CallState, VoIPCall

pytestmark = pytest.mark.peer

LINE = "01970000100"


@pytest.fixture
def colleague(service, talker, ended):
    """SIPp at a port of 127.0.0.4 (the department 500) or registered as 301."""

    def colleague(extension):
        ear = talker("127.0.0.4" if extension == "500" else "127.0.0.1")
        where = {"host": ear.host, "media": ear.port}
        if extension == "500":
            where["port"] = service.department_port
        phone = ended(Callee(service.folder, "uas", **where))
        phone.talker = ear
        if extension != "500":
            register(service, extension, phone.port, password=f"secret-{extension}")
        return phone

    return colleague


async def shows(service, *wanted):
    """Wait until the page shows these calls: the state of each, and the state of its recording."""

    def wait():
        with service.sign_in("ceri") as page:
            wait_until(lambda: shown(page) == list(wanted), what=str(wanted))

    def shown(page):
        calls = page.get("/api/v1/calls").json()
        return [(pop["state"], pop["recording"]) for pop in calls]

    await asyncio.to_thread(wait)


@pytest.mark.parametrize("extension", long_after(1, ["500", "301"]))
async def test_an_attended_transfer_joins_the_caller_with_the_consulted_party(  # noqa: PLR0917 - fixtures
    service, phone, caller, colleague, judge, extension
):
    calls, ceases = asyncio.Queue[VoIPCall](), extension == "500"
    before, secret, after, reply = (speech(1.5, seed) for seed in range(201, 205))
    other = await asyncio.to_thread(colleague, extension)
    async with phone(calls) as advisor:
        calling = await asyncio.to_thread(caller)
        first = await calls.get()
        await first.answer()
        target = await asyncio.to_thread(lambda: calling.media_target)
        call_id = await asyncio.to_thread(service.call_id)
        await asyncio.to_thread(calling.talker.say, before, target)
        await first.hold()
        await shows(service, ("held", "recording"))
        second = await advisor.call(extension)
        await second.wait_for(CallState.ANSWERED)
        there = await asyncio.to_thread(lambda: other.media_target)
        await asyncio.to_thread(other.talker.say, secret, there)
        assert await first.attended_transfer(second) == 200
        await first.wait_for(CallState.ENDED)
        await second.wait_for(CallState.ENDED)
        heard = len(other.talker.heard), len(calling.talker.heard)
        await asyncio.to_thread(calling.talker.say, after, target)
        await asyncio.to_thread(other.talker.say, reply, there)
        await asyncio.to_thread(other.talker.wait_heard, heard[0] + 70)
        await asyncio.to_thread(calling.talker.wait_heard, heard[1] + 70)
        await shows(service, ("answered", "ceased" if ceases else "recording"))
        await asyncio.to_thread(calling.hang_up)
        await asyncio.to_thread(other.wait)
    later = [(0, after), (1, reply)]
    consulted = [(1, secret)]  # which is never recorded
    kept, lost = [(0, before)], consulted
    (lost if ceases else kept).extend(later)
    reasons = ["transfer"] if ceases else []
    await asyncio.to_thread(judge, service, call_id, kept, lost, reasons)
    service.wait_media_ports(0)


async def test_an_attended_transfer_to_a_ringing_colleague_rings_them_for_the_caller(
    service, phone, caller
):
    calls, rung = asyncio.Queue[VoIPCall](), asyncio.Queue[VoIPCall]()
    timely = asyncio.timeout(PATIENCE_S)
    async with timely, phone(calls) as advisor, phone(rung, "302", "secret-302"):
        calling = await asyncio.to_thread(caller)
        first = await calls.get()
        await first.answer()
        await asyncio.to_thread(lambda: calling.media_target)
        await first.hold()
        second = await advisor.call("302")
        consulted = await rung.get()
        await second.wait_for(CallState.RINGING)
        joining = asyncio.create_task(first.attended_transfer(second))
        for_the_caller = await rung.get()
        await consulted.wait_for(CallState.ENDED)
        await for_the_caller.answer()
        assert await joining == 200
        await first.wait_for(CallState.ENDED)
        await asyncio.to_thread(calling.talker.wait_heard, 10)
        await asyncio.to_thread(calling.hang_up)
        await for_the_caller.wait_for(CallState.ENDED)
    service.wait_media_ports(0)


async def test_an_invite_with_replaces_puts_a_colleague_in_the_advisors_place(
    service, phone, caller, judge
):
    calls, timely = asyncio.Queue[VoIPCall](), asyncio.timeout(PATIENCE_S)
    before, after = (speech(1.5, seed) for seed in (211, 212))
    async with timely, phone(calls) as advisor, phone(None, "302", "secret-302") as colleague:
        calling = await asyncio.to_thread(caller)
        first = await calls.get()
        await first.answer()
        target = await asyncio.to_thread(lambda: calling.media_target)
        call_id = await asyncio.to_thread(service.call_id)
        await asyncio.to_thread(calling.talker.say, before, target)
        taken = await colleague.call(LINE, headers=[("Replaces", first.replaces)])
        await taken.wait_for(CallState.ANSWERED)
        await first.wait_for(CallState.ENDED)
        assert advisor.calls == []
        heard = len(calling.talker.heard)
        await asyncio.to_thread(calling.talker.say, after, target)
        await asyncio.to_thread(calling.talker.wait_heard, heard + 60)
        await shows(service, ("answered", "recording"))
        refused = await colleague.call(LINE, headers=[("Replaces", "x;to-tag=1;from-tag=2")])
        await refused.wait_for(CallState.ENDED)
        assert refused.status == 481
        await taken.hangup()
        await asyncio.to_thread(calling.wait)
    await asyncio.to_thread(judge, service, call_id, [(0, before), (0, after)], [], [])


async def test_a_code_that_the_advisor_dials_in_the_consultation_pauses_the_held_call(
    service, phone, caller, ended
):
    calls, rung = asyncio.Queue[VoIPCall](), asyncio.Queue[VoIPCall]()
    before, secret = speech(1.5, 221), speech(1.5, 222)
    timely = asyncio.timeout(PATIENCE_S)
    async with timely, phone(calls) as advisor, phone(rung, "302", "secret-302"):
        calling = await asyncio.to_thread(caller)
        first = await calls.get()
        await first.answer()
        target = await asyncio.to_thread(lambda: calling.media_target)
        call_id = await asyncio.to_thread(service.call_id)
        await asyncio.to_thread(calling.talker.say, before, target)
        await first.hold()
        second = await advisor.call("302")
        colleague = await rung.get()
        await colleague.answer()
        await second.wait_for(CallState.ANSWERED)
        await second.send_dtmf("*71")
        await asyncio.to_thread(service.log.wait, "payment.pause")
        await shows(service, ("held", "paused"), ("answered", "paused"))
        assert await first.attended_transfer(second) == 200
        await first.wait_for(CallState.ENDED)
        await shows(service, ("answered", "paused"))
        heard = len(calling.talker.heard)
        await asyncio.to_thread(calling.talker.wait_heard, heard + 20)
        await asyncio.to_thread(calling.talker.say, secret, target)
        await colleague.hangup()
        await asyncio.to_thread(calling.wait)
    recording = await asyncio.to_thread(Recording, service, call_id)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    gaps = [(gap["reason"], gap["trigger"], gap["actor"]) for gap in recording.gaps()]
    assert gaps == [("payment", "dtmf", "phone:201")]
    assert recording.adds_up()
