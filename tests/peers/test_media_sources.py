"""Senders that are not a party of the call: neighbours at a party's address, and sprayers."""

from __future__ import annotations

import threading
import time

import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.sound import Chorus, Talker, find
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer


class Sprayer:
    """Sends RTP to every media port of the service, ten times a second, for at most 20 s."""

    def __init__(self, service, host):
        self.talker = Talker(host)
        self._ports = [port for port in service.media_ports if port % 2 == 0]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spray, daemon=True)
        self._thread.start()

    def _spray(self):
        until = time.monotonic() + 20
        while time.monotonic() < until and not self._stop.wait(0.1):
            data = self.talker.packet(b"\x00" * 160)
            for port in self._ports:
                self.talker.throw(data, ("127.0.0.1", port))

    def close(self):
        self._stop.set()
        self._thread.join(5)
        self.talker.close()


def recording_state(page):
    return [pop["recording"] for pop in page.get("/api/v1/calls").json()]


def test_a_neighbour_of_the_advisor_cannot_resume_a_payment_pause_or_speak(
    service, place_call, talker
):
    call, neighbour = place_call("uas_plain"), talker("127.0.0.3")
    voice, forged = speech(1, 51), speech(1, 52)
    call.advisor.say(voice, call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    with service.sign_in() as page:
        wait_until(lambda: recording_state(page) == ["paused"], what="the pause")
        # An advisor who is silent for 5 s loses the place to a neighbour, so this one talks too.
        still_talks = speech(0.02, 53)
        neighbour.say(
            *(forged, call.from_advisor),
            before_frame=lambda _: call.advisor.say(still_talks, call.from_advisor),
        )
        neighbour.dial("*72", call.from_advisor)
        service.log.wait("alarm", kind="media.refused")
        assert recording_state(page) == ["paused"]
        call.advisor.dial("*72", call.from_advisor)
        wait_until(lambda: recording_state(page) == ["recording"], what="the resume")
    assert find(call.caller.audio(), voice)[1] > 0.95
    assert find(call.caller.audio(), forged)[1] < 0.3
    call.hang_up()


def test_a_forged_stream_from_the_advisors_own_port_cannot_resume_a_payment_pause(
    service, place_call
):
    call = place_call("uas_plain")
    call.advisor.say(speech(1, 51), call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    with service.sign_in() as page:
        wait_until(lambda: recording_state(page) == ["paused"], what="the pause")
        true_ssrc = call.advisor.ssrc
        call.advisor.ssrc ^= 1  # whoever forges an address does not know the SSRC
        call.advisor.dial("*72", call.from_advisor)
        call.advisor.ssrc = true_ssrc
        call.advisor.say(speech(0.5, 52), call.from_advisor)
        call.caller.wait_heard(call.advisor.sent)
        assert recording_state(page) == ["paused"]
        call.advisor.dial("*72", call.from_advisor)
        wait_until(lambda: recording_state(page) == ["recording"], what="the resume")
    call.hang_up()


def test_a_code_that_is_dialled_just_after_the_phone_has_changed_its_ssrc_resumes(
    service, place_call
):
    call = place_call("uas_plain")
    call.advisor.say(speech(1, 51), call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    with service.sign_in() as page:
        wait_until(lambda: recording_state(page) == ["paused"], what="the pause")
        call.advisor.ssrc ^= 1
        call.advisor.say(speech(0.1, 52), call.from_advisor)
        call.advisor.dial("*72", call.from_advisor)
        assert recording_state(page) == ["paused"]
        call.advisor.say(speech(0.7, 53), call.from_advisor)
        wait_until(lambda: recording_state(page) == ["recording"], what="the resume")
    call.hang_up()


@pytest.mark.parametrize("rule", ["symmetric", "latch"])
def test_a_host_that_sprays_media_takes_the_place_of_no_party_of_a_call(
    stage, place_call_on, ended, rule
):
    service = stage.open("switch", "desk", media_listen=f'"127.0.0.1"\nsource = "{rule}"')
    ended(Sprayer(service, "127.0.0.9"))
    call = place_call_on(service, "uas_plain")
    time.sleep(1.5)
    words = speech(1, 51), speech(1, 52)
    for said in ((speech(0.2, 53), speech(0.2, 54)), words):
        chorus = Chorus()
        chorus.say("caller", call.caller, said[0], call.from_caller)
        chorus.say("advisor", call.advisor, said[1], call.from_advisor)
        chorus.wait()
    wait_until(lambda: find(call.advisor.audio(), words[0])[1] > 0.95, what="the caller's words")
    wait_until(lambda: find(call.caller.audio(), words[1])[1] > 0.95, what="the advisor's words")
    service.log.wait("alarm", kind="media.contested" if rule == "latch" else "media.refused")
    call.hang_up()


def test_a_party_that_sends_from_another_port_than_its_sdp_says_is_heard(
    service, place_call, talker
):
    call, mouth = place_call("uas_plain"), talker("127.0.0.3")
    words = speech(2, 51)
    mouth.say(words, call.from_advisor)
    call.caller.wait_heard(mouth.sent)
    assert find(call.caller.audio(), words[: 2 * RATE])[1] > 0.95
    call.caller.say(words, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    call.hang_up()
