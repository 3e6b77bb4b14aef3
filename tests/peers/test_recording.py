"""What is in the sealed recording of a real call, opened with the officer's stock tools."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytestmark = pytest.mark.peer

PBX = "01970000200"


@pytest.fixture
def call(harness, service, talker, ended):
    """An answered call from the trunk to the PBX; both parties' RTP is ours."""
    return Call(harness, service, talker, ended)


class Call:
    """Two SIPps and two talkers."""

    def __init__(self, harness, service, talker, ended):
        programs = harness.programs
        self.caller, self.advisor = talker("127.0.0.2"), talker("127.0.0.3")
        self.callee_sip = ended(
            programs.Callee(
                service.folder,
                "uas",
                "127.0.0.3",
                port=service.pbx_port,
                media=self.advisor.port,
            )
        )
        self.caller_sip = ended(programs.Caller(service, PBX, media=self.caller.port))
        self.from_caller = self.caller_sip.media_target
        self.from_advisor = self.callee_sip.media_target
        self.call_id = service.log.wait("call.answered")["call_id"]

    def hang_up(self):
        self.caller_sip.hang_up()
        self.callee_sip.wait()


def test_both_directions_are_on_their_own_channels_and_in_step(harness, service, call, capsys):
    sound = harness.sound
    said = sound.speech(4, 11), sound.speech(4, 12)
    chorus = sound.Chorus()
    chorus.say("caller", call.caller, said[0], call.from_caller)
    chorus.say("advisor", call.advisor, said[1], call.from_advisor).wait()
    call.hang_up()
    recording = harness.evidence.Recording(service, call.call_id)
    left, right = sound.find(recording.caller, said[0]), sound.find(recording.advisor, said[1])
    assert min(left[1], right[1]) > 0.95
    assert sound.find(recording.caller, said[1])[1] < 0.3
    assert sound.find(recording.advisor, said[0])[1] < 0.3
    apart = chorus.started["caller"] - chorus.started["advisor"]
    drift = (left[0] - right[0]) / sound.RATE - apart
    with capsys.disabled():
        print(
            f"\n  fetchable {recording.took:.2f} s after the hang-up; correlation"
            f" {left[1]:.4f} and {right[1]:.4f}; {drift * 1000:+.1f} ms apart"
        )
    assert abs(drift) <= 0.02
    assert recording.took < 8
    assert recording.adds_up()
    assert recording.gaps() == []
    assert not recording.manifest["interrupted"]


def test_a_payment_pause_is_exact_silence_with_its_reason(harness, service, call):
    sound = harness.sound
    said = sound.speech(5, 21), sound.speech(5, 22)
    with service.sign_in("sian") as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        answers = []

        def pause_and_resume(frame):
            if frame == 100:
                worker = threading.Thread(
                    target=lambda: answers.append(page.put(path, json={}).json())
                )
            elif frame == 175:
                worker = threading.Thread(
                    target=lambda: answers.append(page.request("DELETE", path).json())
                )
            else:
                return
            worker.start()

        chorus = sound.Chorus().say("advisor", call.advisor, said[1], call.from_advisor)
        call.caller.say(said[0], call.from_caller, before_frame=pause_and_resume)
        chorus.wait()
    call.hang_up()
    recording = harness.evidence.Recording(service, call.call_id)
    assert [(answer["state"], answer["durable"]) for answer in answers] == [
        ("paused", True),
        ("recording", True),
    ]
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "page", "user:sian")
    assert abs((gap["to_us"] - gap["from_us"]) / 1e6 - 1.5) < 0.3
    assert recording.silent_in(gap)
    assert recording.adds_up()
    for heard, words in ((recording.caller, said[0]), (recording.advisor, said[1])):
        start, _ = sound.find(heard, words)
        expected = np.zeros(len(heard) + len(words), np.int16)
        expected[start : start + len(words)] = words
        begin, end = (gap[edge] * sound.RATE // 1_000_000 for edge in ("from_us", "to_us"))
        for part in (slice(start, begin - 160), slice(end + 400, start + len(words) - 160)):
            a, b = heard[part].astype(float), expected[: len(heard)][part].astype(float)
            assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.95
