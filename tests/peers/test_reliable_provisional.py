"""Reliable provisional responses (RFC 3262) between SIPp, which makes RSeq and RAck itself."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from galwad.simulate.sound import speech, tone
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller
from helpers.peers.service import CALLER
from helpers.peers.sound import Chorus, find

pytestmark = pytest.mark.peer

PBX = "01970000200"
WITHHELD = '"Anonymous" <sip:anonymous@anonymous.invalid>'
NUMBER = "<sip:[caller]@[local_ip]>"


@pytest.fixture
def connect(ended, talker):
    """Calls from the trunk to the PBX, both with 100rel; returns both SIPps and both talkers."""

    def connect(
        service, *lossy, rel="Supported: 100rel, timer", caller="uac_100rel", told=False, **keys
    ):
        mouths = talker("127.0.0.2"), talker("127.0.0.3")
        callee = ended(
            Callee(
                service.folder,
                "uas_100rel",
                "127.0.0.3",
                *lossy,
                port=service.pbx_port,
                media=mouths[1].port,
                delay=300,
                until_told=told,
            )
        )
        facts = {"from": NUMBER, "named": "Subject: call"} | keys
        calling = ended(
            Caller(service, PBX, scenario=caller, media=mouths[0].port, rel=rel, **facts)
        )
        return calling, callee, mouths

    return connect


@pytest.mark.parametrize("rel", ["Supported: 100rel, timer", "Require: 100rel"])
def test_parties_of_a_call_with_reliable_responses_hear_each_other(switch, connect, rel):
    calling, callee, mouths = connect(switch, rel=rel)
    said = speech(1, 1), speech(1, 2)
    chorus = Chorus()
    chorus.say("caller", mouths[0], said[0], calling.media_target)
    chorus.say("callee", mouths[1], said[1], callee.media_target).wait()
    mouths[0].wait_heard(50)
    mouths[1].wait_heard(50)
    calling.hang_up()
    callee.wait()
    assert find(mouths[1].audio(), said[0])[1] > 0.99
    assert find(mouths[0].audio(), said[1])[1] > 0.99
    assert calling.different("m=audio") == 2  # the offer and one answer


def test_early_media_is_heard_before_the_answer(switch, connect, decoded):
    decoded(switch)
    calling, callee, mouths = connect(switch, told=True)
    calling.logged("pracked")
    mouths[1].say(tone(0.2, 440), callee.media_target)
    mouths[0].wait_heard(5)
    assert "CSeq: 1 ACK" not in calling.messages()
    callee.go_on()
    callee.logged("acked")
    calling.hang_up()


def test_lost_reliable_responses_are_retransmitted_until_the_call_connects(switch, connect):
    calling, callee, _ = connect(switch, "-lost", "25")
    calling.logged("media")
    callee.logged("acked")
    calling.hang_up()
    switch.log.wait("call.ended")


@pytest.fixture
def told(service):
    """A function that signs a user in and opens the event stream of the page.

    It returns a function that waits for the end of a call and returns the events as text.
    """
    stack = ExitStack()

    def told(user):
        page = stack.enter_context(service.sign_in(user))
        events = stack.enter_context(page.stream("GET", "/api/v1/events")).iter_text()
        seen = [next(events)]

        def until_ended():
            while '"state":"ended"' not in seen[-1].replace(" ", ""):
                seen.append(next(events))
            return "".join(seen)

        return until_ended

    with stack:
        yield told


def test_a_withheld_caller_with_100rel_is_recorded_and_the_number_is_stored_nowhere(
    service, connect, told
):
    pages = [told("sian"), told("ceri")]
    calling, callee, mouths = connect(
        service,
        caller="uac_100rel_meddling",
        named="P-Asserted-Identity: <sip:[caller]@trunk.example>\r\nPrivacy: id",
        **{"from": WITHHELD},
    )
    calling.logged("refused")
    mouths[0].dial("*71", calling.media_target)
    said = speech(1, 61)
    mouths[0].say(said, calling.media_target)
    number = CALLER[1:]
    call_id = service.log.wait("call.answered")["call_id"]
    with service.sign_in() as sian, service.sign_in("ceri") as ceri:
        for page in (sian, ceri):
            answers = [page.get(f"/api/v1/calls/{call_id}"), page.get("/api/v1/calls")]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert [answer.json() for answer in answers if number in answer.text] == []
        calling.hang_up()
        callee.wait()
        recording = Recording(service, call_id)
        listed = ceri.get("/api/v1/recordings")
        assert call_id in listed.text
        assert number not in listed.text
    assert recording.gaps() == []
    assert find(recording.caller, said)[1] > 0.95
    assert recording.adds_up()
    for page in pages:
        events = page()
        assert call_id in events
        assert number not in events
    held = [path for path in service.state.rglob("*") if path.is_file()]
    assert {".manifest", ".header", ".payload"} <= {path.suffix for path in held}
    assert [path.name for path in held if number.encode() in path.read_bytes()] == []
