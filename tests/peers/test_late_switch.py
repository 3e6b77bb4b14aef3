"""A switch that stood still does with media and triggers what it had done at their arrival.

Each frame of audio has a sound of its own, so the recording shows which frames were stored, and
where. The switch is stopped by SIGSTOP, as a busy or suspended machine would stop it.
"""

from __future__ import annotations

import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from galwad.simulate.sound import RATE
from helpers.peers.evidence import Recording
from helpers.peers.receive_buffers import shrink_receive_buffers
from helpers.peers.sound import FRAME, FRAME_S, from_ulaw
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CODES = 100
LEVELS = {int(from_ulaw(bytes([code]))[0]): code - 1 for code in range(1, CODES + 1)}
TOLERANCE_S = 0.020
"""The longest time between a trigger's and a frame's arrival that the test does not judge."""


class CountingTalker:
    """Sends numbered frames through a talker, and notes in `sent_at` when it sent each."""

    def __init__(self, talker, to):
        self.sent_at = []
        self._talker, self._to = talker, to
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self):
        start = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent_at)
            payload = bytes([1 + number % CODES]) * FRAME
            data = self._talker.packet(payload, timestamp=number * FRAME)
            self._talker.throw(data, self._to)
            self.sent_at.append(time.monotonic())
            self._stop.wait(max(0.0, start + (number + 1) * FRAME_S - time.monotonic()))

    def end(self):
        self._stop.set()
        self._thread.join()


def stored_frames(samples):
    """Return the position of each frame in a channel, by the frame's number.

    Numbers are counted modulo `CODES`, which is two seconds. The frame's place tells the rest.
    """
    edges = np.flatnonzero(np.diff(samples, prepend=0)).tolist()
    first: int | None = None
    found: dict[int, int] = {}
    for begin, end in pairwise([*edges, len(samples)]):
        code = LEVELS.get(int(samples[begin]))
        if code is None or end - begin < FRAME // 4:
            continue
        if first is None:
            first = begin - code * FRAME
        number = code + CODES * round((begin - first - code * FRAME) / (CODES * FRAME))
        found.setdefault(number, begin)
    return found


@pytest.fixture
def service(start):
    """All three processes. A REFER to a party outside the centre is the point of transfer."""
    names = ("switch", "desk", "finaliser")
    return start(*names, users=True, point_of_transfer="request")


@pytest.fixture
def signal_to(service):
    """Return a function that sends a signal to processes; they run again at the end of the test."""

    def signal_to(names, number):
        for name in names:
            service.processes[name].process.send_signal(number)

    yield signal_to
    signal_to(["switch", "desk"], signal.SIGCONT)


@pytest.fixture
def speak():
    """Return a function that lets both parties of a call send numbered frames."""
    talkers = []

    def both(call):
        speaking = [
            CountingTalker(call.caller, call.from_caller),
            CountingTalker(call.advisor, call.from_advisor),
        ]
        talkers.extend(speaking)
        return speaking

    yield both
    for talker in talkers:
        talker.end()


def by_page(page, call):
    page.put(f"/api/v1/calls/{call.call_id}/payment", json={})


def by_record_key(_page, call):
    call.callee_sip.poke(call.callee_sip.sip_call_id)


def by_code(_page, call):
    """Dial the last digit of the code; the first two were dialled before the switch stood still."""
    for step in range(8):
        event = bytes([1, 0x80 if step >= 5 else 0, 0, 160])
        header = call.advisor.packet(event, 101, step == 0, 5_000_000)
        call.advisor.throw(header, call.from_advisor)


TRIGGERS = {
    "page": ("uas_plain", by_page, "paused"),
    "page, and the desk stands still too": ("uas_plain", by_page, "paused"),
    "record key": ("uas_record", by_record_key, "paused"),
    "code": ("uas_plain", by_code, "paused"),
    "REFER": ("uas_referring", by_record_key, "ceased"),
    "BYE": ("uas_plain", lambda _, call: call.caller_sip.poke(call.caller_sip.sip_call_id), None),
}


def test_a_trigger_that_is_read_late_takes_effect_from_its_arrival_on(
    service, place_call, signal_to, speak
):
    """Six calls, one after the other: 4 s of CPU time."""
    for trigger, (scenario, _, _) in TRIGGERS.items():
        takes_effect_when_it_arrived(service, place_call(scenario), signal_to, speak, trigger)
    with service.sign_in("ceri") as admin:
        found = admin.get("/api/v1/coverage", params={"when": "last 2 days"}).json()
    assert (found["calls"], found["unexplained_us"], found["amiss"]) == (len(TRIGGERS), 0, [])


def takes_effect_when_it_arrived(service, call, signal_to, speak, trigger):
    """Pull the trigger in this call while the switch stands still; judge the recording."""
    _, pull, state = TRIGGERS[trigger]
    if trigger == "code":
        call.advisor.dial("*7", call.from_advisor)
    talkers = speak(call)
    time.sleep(1.2)
    late = ["switch", "desk"] if "desk" in trigger else ["switch"]
    with service.sign_in() as page:
        signal_to(late, signal.SIGSTOP)
        time.sleep(0.8)
        begun = time.monotonic()
        puller = threading.Thread(target=pull, args=(page, call))
        puller.start()
        time.sleep(1.0)
        signal_to(late, signal.SIGCONT)
        if state is not None:
            path = f"/api/v1/calls/{call.call_id}"
            wait_until(lambda: page.get(path).json()["recording"] == state, what=trigger)
        puller.join()
    time.sleep(0.3)
    for talker in talkers:
        talker.end()
    if state is not None:
        call.caller_sip.hang_up()
    recording = Recording(service, call.call_id)
    # Without an answer, the BYE would be sent again, to the SIPp of the next call.
    wait_until(lambda: call.callee_sip.different("BYE") > 1, what="the answer to the BYE")
    call.callee_sip.end()
    gaps = recording.gaps()
    if state is not None:
        assert recording.silent_in(gaps[0])
        assert [gap["reason"] for gap in gaps] == ["payment" if state == "paused" else "transfer"]
    ended = begun + 0.08
    for talker, samples in zip(talkers, (recording.caller, recording.advisor), strict=True):
        kept = stored_frames(samples)
        before = [n for n, at in enumerate(talker.sent_at) if at < begun - TOLERANCE_S]
        after = [n for n, at in enumerate(talker.sent_at) if at > ended]
        assert len(before) > 80
        assert len(after) > 40
        assert [n for n in before if n not in kept] == [], trigger
        assert [n for n in after if n in kept] == [], trigger
        for number in before:
            assert abs(kept[number] - kept[0] - number * FRAME) <= TOLERANCE_S * RATE


@pytest.mark.parametrize("stood_s", [4, pytest.param(8, marks=pytest.mark.long)])
def test_a_stopped_switch_records_every_packet_at_its_position_after_it_continues(
    service, place_call, signal_to, speak, stood_s
):
    call = place_call("uas_plain")
    talkers = speak(call)
    time.sleep(1.5)
    signal_to(["switch"], signal.SIGSTOP)
    time.sleep(stood_s)
    signal_to(["switch"], signal.SIGCONT)
    time.sleep(1.5)
    for talker in talkers:
        talker.end()
    time.sleep(0.1)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.gaps() == []
    assert recording.adds_up()
    for talker, samples in zip(talkers, (recording.caller, recording.advisor), strict=True):
        kept = stored_frames(samples)
        assert [n for n in range(len(talker.sent_at)) if n not in kept] == []
        for number, position in kept.items():
            assert abs(position - kept[0] - number * FRAME) <= TOLERANCE_S * RATE


def test_packets_that_the_kernel_drops_while_the_switch_stands_still_are_a_fault_gap(
    service, place_call, signal_to, speak
):
    call = place_call("uas_plain")
    talkers = speak(call)
    time.sleep(1.5)
    shrink_receive_buffers(service.processes["switch"].process, 64 * 1024)
    signal_to(["switch"], signal.SIGSTOP)
    time.sleep(6)
    signal_to(["switch"], signal.SIGCONT)
    time.sleep(1.5)
    for talker in talkers:
        talker.end()
    time.sleep(0.1)
    call.hang_up()
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"]) == ("fault", "overflow")
    assert recording.adds_up()
    assert recording.silent_in(gap)
    for talker, samples in zip(talkers, (recording.caller, recording.advisor), strict=True):
        kept = stored_frames(samples)
        lost = [n for n in range(len(talker.sent_at)) if n not in kept]
        assert len(lost) > 100
        assert lost == list(range(lost[0], lost[-1] + 1))
        begin, end = ((kept[0] + n * FRAME) / RATE for n in (lost[0], lost[-1] + 1))
        assert abs(begin - gap["from_us"] / 1e6) <= 2 * TOLERANCE_S
        assert abs(end - gap["to_us"] / 1e6) <= 2 * TOLERANCE_S
