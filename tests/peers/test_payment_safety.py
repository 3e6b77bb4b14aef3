"""Nothing said in a pause is stored, even if the switch dies in the middle of it."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from galwad.simulate.sound import RATE, speech, tones
from helpers.peers.evidence import Recording
from helpers.peers.programs import Caller
from helpers.peers.service import CALLER
from helpers.peers.sound import Chorus, find, ulaw
from helpers.peers.waiting import wait_until
from telephony.phone import CallState, VoIPCall, VoIPPhone

pytestmark = pytest.mark.peer

CARD = "4929421234560005"


def pause(service, call):
    """Pause the recording once each party has heard the other."""
    call.advisor.wait_heard(call.caller.sent)
    call.caller.wait_heard(call.advisor.sent)
    with service.sign_in() as page:
        reply = page.put(f"/api/v1/calls/{call.call_id}/payment", json={})
        assert reply.json() == {"state": "paused", "durable": True, "calls": [call.call_id]}


def resume(service, call):
    with service.sign_in() as page:
        reply = page.request("DELETE", f"/api/v1/calls/{call.call_id}/payment")
        assert reply.json()["state"] == "recording"


def wait_recording(service, state):
    """Wait until the advisor's page would show this state."""
    with service.sign_in() as page:
        wait_until(
            lambda: [pop["recording"] for pop in page.get("/api/v1/calls").json()] == [state]
        )


def files_that_hold(folder, *needles):
    """Return the files below a folder that contain one of these octet strings."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]


def test_speech_and_digits_of_a_pause_are_stored_nowhere(service, place_call):
    service.planted.append(CARD)
    call = place_call("uas_plain")
    before, secret, after = (speech(1, seed) for seed in (51, 52, 53))
    keyed = tones("888")
    call.caller.say(before, call.from_caller)
    pause(service, call)
    call.caller.say(secret, call.from_caller)
    call.caller.say(keyed, call.from_caller)
    call.caller.dial(CARD, call.from_caller)
    call.advisor.wait_heard(125)
    live = service.state / "spool", service.runtime
    said = ulaw(secret)[320:480]
    assert [found for folder in live for found in files_that_hold(folder, said)] == []
    resume(service, call)
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, keyed)[1] < 0.3
    (gap,) = recording.gaps()
    assert recording.silent_in(gap)
    assert recording.manifest["tracks"][0]["lost"] == 0
    dialogs = service.state / "switch" / "dialogs.jsonl"
    wait_until(lambda: not dialogs.read_bytes(), what="the end of the call in the file of dialogs")
    folders = service.state, service.runtime
    needles = said, CARD.encode(), CALLER.encode()
    (database,) = {
        path.name.partition("-")[0] for f in folders for path in files_that_hold(f, *needles)
    } or {"galwad.db"}
    assert database == "galwad.db"
    assert sum(kind == 101 for _, kind, _, _ in call.advisor.heard) == 8 * len(CARD)


def test_speech_after_a_pause_is_stored_at_once_if_a_sender_report_shows_the_new_stream(
    service, place_call
):
    """In the pause, the caller's phone begins a new stream after a silence."""
    call = place_call("uas_plain")
    before, secret, after = (speech(seconds, seed) for seconds, seed in ((1, 86), (1, 87), (2, 88)))
    for _ in range(2):
        call.caller.say(before, call.from_caller)
        call.caller.report(call.from_caller)
    pause(service, call)
    time.sleep(0.5)
    call.caller.begin_stream()
    call.caller.say(secret, call.from_caller)
    call.caller.report(call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    resume(service, call)
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, after[RATE // 5 :])[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3


def test_speech_of_a_pause_is_not_stored_when_a_stopped_switch_reads_it_after_the_resume(
    service, place_call
):
    call = place_call()
    pause(service, call)
    secret, switch = speech(1, 85), service.processes["switch"].process
    switch.send_signal(signal.SIGSTOP)
    try:
        call.caller.say(secret, call.from_caller)
        with service.sign_in() as page:  # the desk asks the switch and gets no answer in time
            page.request("DELETE", f"/api/v1/calls/{call.call_id}/payment")
    finally:
        switch.send_signal(signal.SIGCONT)
    wait_recording(service, "recording")
    call.advisor.wait_heard(call.caller.sent)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, secret)[1] < 0.3
    (gap,) = recording.gaps()
    assert recording.silent_in(gap)


def test_speech_after_a_pause_is_stored_when_the_rtp_timestamps_stood_still(service, place_call):
    """In a pause shorter than any timestamp jump, one phone's timestamps stand still.

    The packets then look as if the network had delayed them from the pause. So much of the audio
    after the pause is lost as the timestamps stood still.
    """
    call = place_call("uas_plain")
    call.caller.holds_its_clock = True
    words = [(speech(1, 81), speech(1, 82)), (speech(1, 83), speech(1, 84))]
    starts = []
    for index, (left, right) in enumerate(words):
        if index:
            fell_silent = time.monotonic()
            pause(service, call)
            time.sleep(0.7)  # the length of the pause
            resume(service, call)
            stood_still = time.monotonic() - fell_silent
            call.caller.say(speech(stood_still + 1, 80), call.from_caller)
        chorus = Chorus().say("advisor", call.advisor, right, call.from_advisor)
        starts.append((call.caller.say(left, call.from_caller), chorus))
        chorus.wait()
    call.hang_up()
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert (gap["to_us"] - gap["from_us"]) / 1e6 >= 0.7
    for (left, right), (started, chorus) in zip(words, starts, strict=True):
        (at, alike), (other, other_alike) = (
            find(recording.caller, left),
            find(recording.advisor, right),
        )
        assert min(alike, other_alike) > 0.95
        apart = started - chorus.started["advisor"]
        assert abs((at - other) / RATE - apart) <= 0.02
    assert find(recording.caller, words[1][0])[0] / RATE >= gap["to_us"] / 1e6
    assert recording.silent_in(gap)
    assert [track["lost"] for track in recording.manifest["tracks"]] == [0, 0]


def test_codes_and_record_keys_of_the_caller_do_not_pause_the_recording(service, place_call):
    call = place_call("uas_plain", "uac_meddling")
    call.caller_sip.logged("refused")
    call.caller.dial("*71", call.from_caller)
    said = speech(1, 61)
    call.caller.say(said, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.gaps() == []
    assert find(recording.caller, said)[1] > 0.95
    assert recording.adds_up()


def test_an_advisors_dialled_code_pauses_and_resumes(service, place_call):
    call = place_call("uas_plain")
    call.caller.say(speech(1, 70), call.from_caller)
    call.advisor.say(speech(1, 69), call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    wait_recording(service, "paused")
    secret = speech(1, 71)
    call.caller.say(secret, call.from_caller)
    call.advisor.dial("*72", call.from_advisor)
    wait_recording(service, "recording")
    after = speech(1, 72)
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "dtmf", "phone:201")
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95


def judge_record_key(recording, before, secret, after):
    """Assert one pause by the phone: it is silent, and the speech before and after is stored."""
    (gap,) = recording.gaps()
    facts = gap["reason"], gap["trigger"], gap["actor"]
    assert facts == ("payment", "phone", "phone:201")
    assert (gap["to_us"] - gap["from_us"]) / 1e6 >= len(secret) / RATE
    assert recording.silent_in(gap)
    assert recording.adds_up()
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95


def test_the_record_key_of_an_advisors_phone_pauses_and_resumes(service, place_call):
    call = place_call("uas_record")
    before, secret, after = (speech(1, seed) for seed in (73, 74, 75))

    def press(number, status, state):
        call.callee_sip.poke(call.callee_sip.sip_call_id)
        call.callee_sip.logged(f"key {number} {status}")
        wait_recording(service, state)

    wait_recording(service, "recording")  # whatever the 200 to the INVITE contains
    call.caller.say(before, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    press(1, 200, "paused")
    call.caller.say(secret, call.from_caller)
    press(2, 200, "paused")
    press(3, 400, "paused")
    press(4, 400, "paused")
    press(5, 200, "recording")
    call.caller.say(after, call.from_caller)
    assert "Record:" not in call.caller_sip.messages()
    assert "INFO " not in call.caller_sip.messages()
    call.hang_up()
    recording = Recording(service, call.call_id)
    judge_record_key(recording, before, secret, after)
    assert service.log.events("alarm", kind="record_key.unknown", call_id=call.call_id)


async def test_the_record_key_of_our_phone_also_works_on_hold(service, talker, ended, phone):
    mouth, calls = talker("127.0.0.2"), asyncio.Queue[VoIPCall]()
    before, secret, after = (speech(1, seed) for seed in (76, 77, 78))
    async with phone(calls):
        line = "01970000100"
        caller = ended(Caller(service, line, media=mouth.port))
        call = await calls.get()
        await call.answer()
        target = await asyncio.to_thread(lambda: caller.media_target)

        async def press(value):
            return await call.send_info(headers=[("Record", value)])

        async def shown(state):
            await asyncio.to_thread(wait_recording, service, state)

        await asyncio.to_thread(mouth.say, before, target)
        assert await press("off") == 200
        await shown("paused")
        await asyncio.to_thread(mouth.say, secret, target)
        await call.hold()
        assert await press("off") == 200
        assert await press("yes") == 400
        assert await press("on") == 200
        await call.resume()
        await shown("recording")
        await asyncio.to_thread(mouth.say, after, target)
        assert "Record:" not in caller.messages()
        await asyncio.to_thread(caller.hang_up)
        await call.wait_for(CallState.ENDED)
    recording = await asyncio.to_thread(Recording, service, service.call_id())
    judge_record_key(recording, before, secret, after)


async def test_the_page_pauses_a_call_that_the_advisor_has_placed(start, ports):
    recorded = "erase_back = 0\ninclude_phones = true"
    service = start("switch", "desk", users=True, erase_back=recorded)
    came: asyncio.Queue[VoIPCall] = asyncio.Queue()
    there = VoIPPhone(
        *(*service.sip, "301", "secret-301"),
        my_ip="127.0.0.1",
        rtp_ports=ports.pair,
        call_callback=came.put,
    )
    here = VoIPPhone(
        *(*service.sip, "201", service.sip_password), my_ip="127.0.0.1", rtp_ports=ports.pair
    )
    async with there, here:
        call = await here.call("301")
        await (await came.get()).answer()
        await call.wait_for(CallState.ANSWERED)
        with service.sign_in() as page:
            await asyncio.to_thread(
                wait_until, lambda: page.get("/api/v1/calls").json()[0]["recording"] == "recording"
            )
            (pop,) = page.get("/api/v1/calls").json()
            assert (pop["mine"], pop["called"]) == (True, "301")
            paused = page.put(f"/api/v1/calls/{pop['call_id']}/payment", json={})
            assert paused.json()["state"] == "paused"
            assert page.get("/api/v1/calls").json()[0]["holders"] == ["page:sian"]
        await call.hangup()
