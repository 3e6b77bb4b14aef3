"""The sealed recording of a real call, opened with the officer's stock tools."""

from __future__ import annotations

import signal
import sys
import threading
import time

import numpy as np
import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee
from helpers.peers.sound import Chorus, find
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer


@pytest.fixture
def call(place_call):
    """An answered call from the trunk to the PBX; the test sends both parties' RTP."""
    return place_call()


def test_both_directions_are_on_their_own_channels_and_synchronised(service, call, capsys):
    said = speech(4, 11), speech(4, 12)
    chorus = Chorus()
    chorus.say("caller", call.caller, said[0], call.from_caller)
    chorus.say("advisor", call.advisor, said[1], call.from_advisor).wait()
    call.hang_up()
    recording = Recording(service, call.call_id)
    left, right = find(recording.caller, said[0]), find(recording.advisor, said[1])
    assert min(left[1], right[1]) > 0.95
    assert find(recording.caller, said[1])[1] < 0.3
    assert find(recording.advisor, said[0])[1] < 0.3
    apart = chorus.started["caller"] - chorus.started["advisor"]
    drift = (left[0] - right[0]) / RATE - apart
    figures = (
        f"fetchable {recording.took:.2f} s after the hang-up, correlation {left[1]:.4f} and"
        f" {right[1]:.4f}, {drift * 1000:+.1f} ms apart"
    )
    with capsys.disabled():
        sys.stdout.write(f"\n  {figures}\n")
    assert abs(drift) <= 0.02
    assert recording.adds_up()
    assert recording.gaps() == []
    assert not recording.manifest["interrupted"]


def test_a_payment_pause_is_exactly_silent_and_gives_its_reason(service, call):
    said = speech(5, 21), speech(5, 22)
    with service.sign_in("sian") as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        answers, asked, told = [], [], []
        workers: list[threading.Thread] = []

        def ask(method, *before):
            for each in before:
                each.join()
            asked.append(time.monotonic())
            answers.append(page.request(method, path).json())
            told.append(time.monotonic())

        def pause_and_resume(frame):
            if method := {100: "PUT", 175: "DELETE"}.get(frame):
                workers.append(threading.Thread(target=ask, args=(method, *workers)))
                workers[-1].start()

        chorus = Chorus().say("advisor", call.advisor, said[1], call.from_advisor)
        call.caller.say(said[0], call.from_caller, before_frame=pause_and_resume)
        chorus.wait()
        workers[-1].join()
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert [(answer["state"], answer["durable"]) for answer in answers] == [
        ("paused", True),
        ("recording", True),
    ]
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "page", "user:sian")
    lasted = (gap["to_us"] - gap["from_us"]) / 1e6
    assert asked[1] - told[0] <= lasted <= told[1] - asked[0]
    assert recording.silent_in(gap)
    assert recording.adds_up()
    for heard, words in ((recording.caller, said[0]), (recording.advisor, said[1])):
        start, _ = find(heard, words)
        expected = np.zeros(len(heard) + len(words), np.int16)
        expected[start : start + len(words)] = words
        begin, end = (gap[edge] * RATE // 1_000_000 for edge in ("from_us", "to_us"))
        for part in (slice(start, begin - 160), slice(end + 400, start + len(words) - 160)):
            a, b = heard[part].astype(float), expected[: len(heard)][part].astype(float)
            assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.95


def test_words_before_a_bye_are_stored_when_a_stopped_switch_reads_them_late(service, call):
    words = speech(1, 43)
    switch = service.processes["switch"].process
    switch.send_signal(signal.SIGSTOP)
    try:
        call.caller.say(words, call.from_caller)
        call.caller_sip.poke(call.caller_sip.sip_call_id)
        wait_until(lambda: call.caller_sip.different("BYE sip:"), what="the BYE")
    finally:
        switch.send_signal(signal.SIGCONT)
    call.caller_sip.wait()
    call.callee_sip.wait()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, words)[1] > 0.95


def test_caller_and_advisor_are_recorded_while_a_department_rings_that_is_then_busy(
    service, place_call, ended
):
    where = {"host": "127.0.0.4", "port": service.department_port, "status": "486 Busy Here"}
    other = ended(Callee(service.folder, "uas_refusing", **where))
    call = place_call("uas_referring")
    call.callee_sip.logged("acked")
    call.callee_sip.poke(call.callee_sip.sip_call_id)
    other.logged("call")
    meanwhile = speech(1, 44)
    call.caller.say(meanwhile, call.from_caller)
    other.hang_up()  # it refuses the call
    assert call.callee_sip.logged(r"told SIP/2.0 486")
    after = speech(1, 41)
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, meanwhile)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert recording.gaps() == []
    assert len(recording.manifest["segments"]) == 1
    assert recording.adds_up()
