"""Spoken words before, in and after a pause, while the switch stands still around its trigger.

The advisor's phone is Linphone, the caller comes through Kamailio, and espeak-ng speaks for both.
`test_late_switch.py` judges single frames. This module judges words, as a listener would.
"""

from __future__ import annotations

import signal
import threading
import time

import pytest

from galwad.simulate.sound import RATE
from helpers.peers.sound import FRAME, find, save, spoken

pytestmark = pytest.mark.peer

LINE = "01970000100"
BEFORE = "I should like to pay my council tax for November."
CARD = "Four one one one, one one one one, one one one one, one one one one."
AFTER = "Thank you, that is all for today."
READING = """
The library in Aberystwyth opens at ten. Garden waste is collected every second Tuesday. A blue
badge lasts for three years. The office in Rheidol is closed on bank holidays. Please keep your
reference number. Your bin will be emptied on Thursday morning, if the snow allows it. The form
for a parking permit has two pages. The mayor opens the new bridge in Penparcau next Saturday.
"""
REQUEST_S = 0.25
"""The longest time in seconds from the test's trigger to its arrival at the switch."""
RESUMED_S = 0.2
"""The longest time in seconds from the end of the pause to the first stored packet.

It is 46 ms on an idle machine (docs/performance.md).
"""
LATE_S = 1.0
"""The time in seconds by which the switch is late for the trigger."""


@pytest.fixture
def service(stage):
    """All three processes. A REFER to a party outside the centre is the point of transfer."""
    return stage.open_all(point_of_transfer="request")


@pytest.fixture
def switch(service):
    """The switch's process; it runs again at the end of the test."""
    process = service.processes["switch"].process
    yield process
    process.send_signal(signal.SIGCONT)


@pytest.fixture
def call(service, stage):
    """A call from a carrier's Kamailio to Linphone at 201, which reads a text aloud."""
    carrier = stage.kamailio("CARRIER", "127.0.0.2")
    phone = stage.linphone()
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller(LINE, through=carrier.sip, media=mouth.port)
    phone.wait_call("IncomingReceived")
    phone.do("answer 1")
    phone.wait_call("StreamsRunning")
    reading = spoken(READING, "en-gb+f3")
    save(phone.folder / "said.wav", reading)
    phone.do(f"incall-player-start {phone.folder}/said.wav 1")
    return Conversation(caller, phone, mouth, reading)


class Conversation:
    """The caller's SIPp and talker, and the advisor's Linphone with what it reads."""

    def __init__(self, caller, phone, mouth, reading):
        self.caller, self.phone, self.mouth, self.reading = caller, phone, mouth, reading

    def say(self, words):
        """Let the caller speak, and wait for the end of the words."""
        self.mouth.say(spoken(words), self.caller.media_target)

    def speaks_on(self, samples, seconds=1.0):
        """Return whether both ends of these samples are part of the advisor's reading.

        Other speech of this voice reaches 0.5. Linphone may leave out a packet on a busy machine.
        """
        count = int(seconds * RATE)
        ends = samples[:count], samples[-count:]
        return all(find(self.reading, end)[1] > 0.8 for end in ends)


def stand_still_around(switch, call, trigger):
    """Stop the switch, and meanwhile speak, pull the trigger, and begin to speak the card number.

    The switch runs again `LATE_S` after the trigger, while the caller speaks. Return at the end of
    the card number and of the trigger.
    """
    switch.send_signal(signal.SIGSTOP)
    call.say(BEFORE)
    pulling = threading.Thread(target=trigger)
    pulling.start()
    time.sleep(REQUEST_S)
    speaking = threading.Thread(target=call.say, args=(CARD,))
    speaking.start()
    time.sleep(LATE_S)
    switch.send_signal(signal.SIGCONT)
    for thread in (pulling, speaking):
        thread.join()


def check_the_words(recording, call, reason):
    """Assert what is recorded up to the first gap, and that nothing of the gap is."""
    (gap,) = recording.gaps()
    assert gap["reason"] == reason
    assert recording.silent_in(gap)
    assert recording.adds_up()
    begin = gap["from_us"] * RATE // 1_000_000
    place, alike = find(recording.caller, spoken(BEFORE))
    assert alike > 0.95
    # The trigger can arrive directly after the last packet, which is before the end of its sound.
    since_words = begin - (place + len(spoken(BEFORE)))
    assert -FRAME <= since_words < (REQUEST_S + 0.1) * RATE
    assert find(recording.caller, spoken(CARD))[1] < 0.3
    assert call.speaks_on(recording.advisor[begin - 2 * RATE : begin])
    return gap


def test_words_before_a_late_pause_are_recorded_and_the_card_number_in_it_is_not(
    service, stage, switch, call
):
    path = f"/api/v1/calls/{service.call_id()}/payment"
    with service.sign_in() as page:
        stand_still_around(switch, call, lambda: page.put(path, json={}))
        assert page.request("DELETE", path).json()["state"] == "recording"
    call.say(AFTER)
    call.phone.do("terminate 1")
    call.caller.wait()
    recording = stage.recording()
    gap = check_the_words(recording, call, "payment")
    end = -(-gap["to_us"] * RATE // 1_000_000)
    assert find(recording.caller[end:], spoken(AFTER))[1] > 0.95
    first = end + RESUMED_S * RATE
    assert call.speaks_on(recording.advisor[int(first) : end + 2 * RATE])


@pytest.mark.long
def test_words_before_a_late_transfer_are_recorded_and_the_card_number_after_it_is_not(
    service, stage, switch, call
):
    other = stage.callee(host="127.0.0.4", port=service.department_port)
    target = f"sip:500@{call.phone.server}"
    stand_still_around(switch, call, lambda: call.phone.do(f"call-transfer 1 {target}"))
    other.logged("acked")
    call.caller.hang_up()
    other.wait()
    check_the_words(stage.recording(), call, "transfer")
