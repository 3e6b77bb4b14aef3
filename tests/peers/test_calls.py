"""Calls through the switch, between SIPp and SIPp, with real RTP.

Covers `galwad/switch/life/daemon.py`.
"""

from __future__ import annotations

import re
import socket
import threading

import pytest

from galwad.simulate.sound import speech
from helpers.peers.programs import Callee, Caller, register
from helpers.peers.sound import Chorus, find

pytestmark = pytest.mark.peer

PBX = "01970000200"
GROUP = "01970000300"


@pytest.fixture
def caller(switch, ended):
    """Starts SIPp as the trunk's caller."""
    return lambda called=PBX, **keys: ended(Caller(switch, called, **keys))


@pytest.fixture
def pbx(switch, ended):
    """Starts SIPp as the PBX behind the switch."""

    def pbx(scenario="uas", **keys):
        return ended(Callee(switch.folder, scenario, "127.0.0.3", port=switch.pbx_port, **keys))

    return pbx


def test_a_call_is_answered_and_both_parties_hear_each_other(switch, talker, caller, pbx):
    mouths = talker("127.0.0.2"), talker("127.0.0.3")
    callee = pbx(media=mouths[1].port)
    calling = caller(media=mouths[0].port)
    said = speech(1.5, 1), speech(1.5, 2)
    chorus = Chorus()
    chorus.say("caller", mouths[0], said[0], calling.media_target)
    chorus.say("callee", mouths[1], said[1], callee.media_target).wait()
    mouths[0].wait_heard(75)
    mouths[1].wait_heard(75)
    calling.hang_up()
    callee.wait()
    assert find(mouths[1].audio(), said[0])[1] > 0.99
    assert find(mouths[0].audio(), said[1])[1] > 0.99
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)


def test_a_bye_of_the_callee_ends_the_call_for_the_caller(switch, caller, pbx):
    callee, calling = pbx(), caller()
    assert calling.media_target
    callee.logged("acked")
    callee.hang_up()
    calling.wait()
    switch.log.wait("call.ended")


def test_a_caller_who_gives_up_gets_487_and_the_phone_stops_ringing(switch, caller, pbx):
    callee = pbx("uas_cancelled")
    caller(scenario="uac_cancelled").wait()
    callee.wait()
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)


def test_ended_calls_leave_almost_nothing_to_the_garbage_collector(switch, caller, pbx):
    callee = pbx("uas_refused", status=486, calls=400)
    options = ("-cid_str", "%u@peers", "-r", 40)
    caller(scenario="uac_refused", status=486, calls=400, options=options).wait()
    callee.wait()
    collected = switch.log.wait("garbage.collected")
    assert collected["calls"] == 0
    assert collected["new"] >= 10_000
    assert collected["found"] < 120


@pytest.mark.parametrize("status", [486, 603, 404])
def test_a_refusal_of_the_callee_reaches_the_caller_with_its_status(switch, caller, pbx, status):
    callee = pbx("uas_refused", status=status)
    caller(scenario="uac_refused", status=status).wait()
    callee.wait()
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)


def test_hold_resume_and_info_of_the_callee_reach_the_caller(switch, caller, pbx):
    callee = pbx("uas_holding")
    calling = caller(scenario="uac_held")
    calling.wait()
    callee.wait()
    assert calling.logged(r"(?s)offered a=(sendonly.*offered a=sendrecv)")
    assert calling.logged("info Signal=7")
    switch.log.wait("call.ended")


def test_a_call_above_the_limit_gets_503(start, ended):
    switch = start("switch", max_calls=1)
    ringing = ended(Callee(switch.folder, "uas_cancelled", "127.0.0.3", port=switch.pbx_port))
    first = ended(Caller(switch, PBX))
    ringing.logged("ringing")
    second = ended(Caller(switch, PBX, scenario="uac_refused", status=503))
    second.wait()
    assert "Retry-After:" in second.messages()
    first.end()
    ringing.end()


def test_an_invite_of_a_stranger_is_challenged_with_401(switch, caller):
    stranger = caller(scenario="uac_refused", host="127.0.0.7", status=401)
    stranger.wait()
    assert "WWW-Authenticate: Digest" in stranger.messages()
    assert switch.log.events("call.started") == []


def test_a_phone_with_the_wrong_password_does_not_register(switch, caller):
    register(switch, "301", 9, password="wrong", status=401)
    caller(GROUP, scenario="uac_refused", status=480).wait()


def test_two_simultaneous_answers_of_a_ring_group_make_one_call(switch, ended, caller):
    eager = ended(Callee(switch.folder, "uas", "127.0.0.1", calls=2, delay=200))
    ringing = ended(Callee(switch.folder, "uas_cancelled", "127.0.0.1"))
    register(switch, "301", eager.port)
    register(switch, "302", eager.port)
    register(switch, "303", ringing.port)
    calling = caller(GROUP)
    assert calling.media_target
    ringing.wait()
    loser = eager.logged(r"bye (\S+)")
    switch.wait_media_ports(4)
    calling.hang_up()
    eager.wait()
    log = eager.folder.joinpath("log").read_text()
    winner = next(call for call in re.findall(r"call (\S+)", log) if call != loser)
    assert {f"acked {winner}", f"acked {loser}"} <= set(re.findall(r"acked \S+", log))
    assert calling.different("SIP/2.0 200 OK") == 2  # to its INVITE and its BYE
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)
    assert len(switch.log.events("call.answered")) == 1


@pytest.fixture
def group(switch, ended):
    """The three phones of the ring group, each with its own scenario."""

    def group(*scenarios, **keys):
        phones = []
        for extension, scenario in zip(("301", "302", "303"), scenarios, strict=True):
            phone = ended(Callee(switch.folder, scenario, "127.0.0.1", **keys.get(scenario, {})))
            register(switch, extension, phone.port)
            phones.append(phone)
        return phones

    return group


def test_the_first_answer_of_a_ring_group_wins_when_another_crosses_the_cancel(
    switch, group, caller
):
    first, crossing, ringing = group("uas", "uas_crossing", "uas_cancelled", uas={"delay": 300})
    calling = caller(GROUP)
    assert calling.media_target
    for each in (crossing, ringing):
        each.wait()
    assert crossing.logged("acked")
    assert crossing.logged("bye")
    switch.wait_media_ports(4)
    calling.hang_up()
    first.wait()
    assert "SIP/2.0 183" not in calling.messages()
    assert calling.different("SIP/2.0 180") == 1
    assert calling.different("SIP/2.0 200 OK") == 2  # to its INVITE and its BYE
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)
    assert len(switch.log.events("call.answered")) == 1


def test_answers_that_cross_the_callers_cancel_make_no_call(switch, group, caller):
    phones = group("uas_crossing", "uas_cancelled", "uas_crossing")
    calling = caller(GROUP, scenario="uac_cancelled")
    calling.wait()
    for each in phones:
        each.wait()
    for crossing in (phones[0], phones[2]):
        assert crossing.logged("acked")
        assert crossing.logged("bye")
    switch.log.wait("call.ended")
    switch.wait_media_ports(0)
    assert switch.log.events("call.answered") == []


class Lossy:
    """A network that loses the first copy of every request of the caller."""

    def __init__(self, host, to):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.address = self.socket.getsockname()
        self.lost = 0
        self._to = to
        self._seen = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            data = self.socket.recv(65536)
            if not data:
                return
            if data.split(b" ")[0] == b"ACK" or data in self._seen:
                self.socket.sendto(data, self._to)
            else:
                self._seen.add(data)
                self.lost += 1

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)
        self._thread.join(2)
        self.socket.close()


def test_lost_and_retransmitted_requests_make_one_call(switch, pbx, ended):
    network = ended(Lossy("127.0.0.2", switch.sip))
    callee = pbx()
    calling = ended(Caller(switch, PBX, through=network.address))
    assert calling.media_target
    callee.logged("acked")
    calling.hang_up()
    callee.wait()
    switch.log.wait("call.ended")
    assert network.lost == 2
    assert len(switch.log.events("call.started")) == 1
    assert callee.different("INVITE sip:") == 1
