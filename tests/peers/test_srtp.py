"""Calls with SRTP on one leg, the other or both: heard, recorded, and unreadable on the wire."""

from __future__ import annotations

import base64
import re
import signal
from collections import Counter
from itertools import pairwise

import pytest

from galwad.simulate.sound import speech
from helpers.peers.decoding import Capture
from helpers.peers.evidence import Recording
from helpers.peers.programs import Baresip, Callee, Caller
from helpers.peers.sound import Chorus, Talker, find, from_ulaw, save, ulaw
from helpers.peers.waiting import wait_until
from telephony.rtp.srtp import Protection
from telephony.sdp import Crypto, KeyPair, Suite, fresh_keys

pytestmark = pytest.mark.peer

LINE, MAIN = "01970000100", "01970000200"
CARD = "4929421234560005"


class Wire:
    """tshark on the loopback, which sees what a listener between the parties can read."""

    def __init__(self, service):
        first = service.first_media_port
        self._range = range(first, first + 400)
        self._rows = []
        media = (self._range[0], self._range[-1])
        self._capture = Capture(service.folder, [], media)
        self.end = self._capture.end

    def ports(self, payload=None):
        """Count the packets by port of the switch; with `payload`, only those that contain it."""
        if not self._rows:
            self._rows = self._capture.rows("udp.srcport", "udp.dstport", "udp.payload")
        found = Counter[int]()
        for source, target, text in self._rows:
            data = bytes.fromhex(text.replace(":", ""))
            if payload is None or data[12:172] == payload:
                found.update(port for port in (int(source), int(target)) if port in self._range)
        return found


@pytest.fixture
def talkers(ended):
    """Makes a talker that uses SRTP with its own key: `talkers(host, suite)`."""

    class SecureTalker(Talker):
        def __init__(self, host, suite):
            self.key = fresh_keys()[suite]
            self._end: Protection | None = None
            super().__init__(host)

        def meet(self, messages):
            """Take the other side's key from the last SDP that it sent."""
            lines = re.findall(rf"a=crypto:(\d+ {self.key.suite} inline:\S+)", messages)
            mine = base64.b64encode(self.key.material).decode()
            (theirs,) = {line for line in lines if mine not in line}
            self._end = Protection(KeyPair(self.key, Crypto.parse(theirs).key))

        def opened(self, data):
            assert self._end is not None
            return self._end.unprotect(data)

        def sealed(self, data):
            assert self._end is not None
            return self._end.protect(data)

        def line(self, tag):
            return str(Crypto(tag, self.key))

    return lambda host, suite: ended(SecureTalker(host, suite))


class Makers:
    """Makes the programs of a test; each ends with its test."""

    def __init__(self, ended, talker, talkers):
        self._ended = ended
        self.talker, self.talkers = talker, talkers

    def baresip(self, service, kind):
        """Start the registered phone of 201 with a kind of media encryption."""
        said = service.folder / "advisor.wav"
        save(said, speech(20, 31))
        phone = Baresip(service.folder, service, said, extra=f";mediaenc={kind}")
        self._ended(phone).wait_registered()
        return phone

    def wire(self, service):
        """Start to listen on the service's media ports."""
        return self._ended(Wire(service))

    def caller(self, service, called, talker, **keys):
        """Start SIPp as the trunk."""
        return self._ended(Caller(service, called, media=talker.port, **keys))

    def pbx(self, service, scenario, talker, **keys):
        """Start SIPp as the PBX."""
        place = {"port": service.pbx_port, "media": talker.port}
        made = Callee(service.folder, scenario, talker.host, **place, **keys)
        return self._ended(made)


@pytest.fixture
def made(ended, talker, talkers):
    return Makers(ended, talker, talkers)


def all_three(start, **rules):
    return start("switch", "desk", "finaliser", users=True, **rules)


def states(page, wanted):
    """Wait until the page shows this state of the only call."""
    wait_until(lambda: [pop["state"] for pop in page.get("/api/v1/calls").json()] == [wanted])


def test_baresip_with_mandatory_srtp_holds_resumes_and_is_recorded(start, made):
    service = all_three(start, route_srtp="required")
    phone, ear = made.baresip(service, "srtp-mand"), made.wire(service)
    mouth = made.talker("127.0.0.2")
    caller = made.caller(service, LINE, mouth)
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    mouth.wait_heard(10)
    before, after = (speech(1, seed) for seed in (71, 72))
    mouth.say(before, caller.media_target)
    with service.sign_in() as page:
        for command, state in (("hold", "held"), ("resume", "answered")):
            phone.command(command)
            states(page, state)
    heard = len(mouth.heard)
    mouth.wait_heard(heard + 30)
    mouth.say(after, caller.media_target)
    caller.hang_up()
    phone.wait("CALL_CLOSED")
    offered, *agreed = re.findall(r"a=crypto:1 (\S+)", phone.output())
    assert {offered, *agreed} == {"AEAD_AES_128_GCM"}
    assert agreed
    recording = Recording(service, service.call_id())
    for said in (before, after):
        assert find(recording.caller, said)[1] > 0.95
    assert find(recording.advisor, mouth.audio()[1600:6400])[1] > 0.95
    assert recording.adds_up()
    plain = caller.media_target[1]
    for payload in (ulaw(before)[3200:3360], mouth.heard[20][3]):
        assert set(ear.ports(payload)) == {plain}
    assert sum(count for port, count in ear.ports().items() if port != plain) > 200


def test_baresip_with_optional_srtp_calls_with_srtp(start, made):
    service = all_three(start)
    phone, ear = made.baresip(service, "srtp"), made.wire(service)
    other = made.talker("127.0.0.3")
    answering = made.pbx(service, "uas_plain", other)
    phone.command("dial", f"sip:{MAIN}@{service.sip[0]}:{service.sip[1]}")
    phone.wait("CALL_ESTABLISHED")
    said = speech(1, 73)
    other.say(said, answering.media_target)
    other.wait_heard(60)
    phone.command("hangup")
    answering.wait()
    assert "a=crypto" not in answering.messages()
    plain = answering.media_target[1]
    for payload in (ulaw(said)[3200:3360], other.heard[40][3]):
        assert set(ear.ports(payload)) == {plain}
    heard = other.audio()
    assert find(speech(20, 31), heard[1600:6400])[1] > 0.95


def test_digits_of_a_pause_reach_the_srtp_leg_and_are_not_recorded(start, made):
    service = all_three(start, route_srtp="required")
    service.planted.append(CARD)
    mouth = made.talker("127.0.0.2")
    desk = made.talkers("127.0.0.3", Suite.AES_CM_128_HMAC_SHA1_80)
    answering = made.pbx(service, "uas_srtp", desk, event=96, crypto=desk.line(3))
    caller = made.caller(service, MAIN, mouth)
    target = caller.media_target
    desk.meet(answering.messages())
    call_id = service.log.wait("call.answered")["call_id"]
    said, secret = (speech(1, seed) for seed in (74, 75))
    mouth.say(said, target)
    desk.wait_heard(mouth.sent)
    with service.sign_in() as page:
        reply = page.put(f"/api/v1/calls/{call_id}/payment", json={})
        assert (reply.json()["state"], reply.json()["durable"]) == ("paused", True)
        mouth.say(secret, target)
        mouth.dial(CARD, target)
        desk.dial("5", answering.media_target, payload_type=96)
        desk.wait_heard(100 + 8 * len(CARD))
        mouth.wait_heard(8)
    caller.hang_up()
    answering.wait()
    assert {kind for _, kind, _, _ in desk.heard} == {0, 96}
    pressed = [data[0] for _, kind, _, data in desk.heard if kind == 96][::8]
    assert "".join(map(str, pressed)) == CARD
    assert {(kind, data[0]) for _, kind, _, data in mouth.heard} == {(101, 5)}
    assert find(desk.audio(), said)[1] > 0.95
    recording = Recording(service, call_id)
    assert find(recording.caller, said)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    (gap,) = recording.gaps()
    assert recording.silent_in(gap)
    assert recording.adds_up()


def test_a_call_with_another_srtp_suite_on_each_leg_is_encrypted_recorded_and_stores_no_key(
    start, made
):
    service = all_three(start, trunk_srtp="required", route_srtp="required")
    mouth = made.talkers("127.0.0.2", Suite.AES_CM_128_HMAC_SHA1_32)
    desk, ear = made.talkers("127.0.0.3", Suite.AEAD_AES_256_GCM), made.wire(service)
    answering = made.pbx(service, "uas_srtp", desk, event=101, crypto=desk.line(2))
    caller = made.caller(service, MAIN, mouth, scenario="uac_srtp", crypto=mouth.line(9))
    target = caller.media_target
    mouth.meet(caller.messages())
    desk.meet(answering.messages())
    call_id = service.log.wait("call.answered")["call_id"]
    one, other = (speech(1, seed) for seed in (76, 77))
    chorus = Chorus()
    chorus.say("caller", mouth, one, target).say("advisor", desk, other, answering.media_target)
    chorus.wait()
    mouth.wait_heard(50)
    desk.wait_heard(50)
    caller.hang_up()
    answering.wait()
    recording = Recording(service, call_id)
    for heard, said in ((desk, one), (mouth, other)):
        assert find(heard.audio(), said)[1] > 0.95
    assert find(recording.caller, one)[1] > 0.95
    assert find(recording.advisor, other)[1] > 0.95
    for said in (one, other):
        assert not ear.ports(ulaw(said)[3200:3360])
    assert ear.ports().total() >= 200
    keys = (mouth.key, desk.key)
    kept = [path for path in service.folder.rglob("*") if path.is_file()]
    ours = [p for p in kept if service.state in p.parents or service.runtime in p.parents]
    for key in keys:
        text = base64.b64encode(key.material)
        assert [p for p in ours if text in p.read_bytes() or key.material in p.read_bytes()] == []
    assert not any("inline" in line for _, line in service.log.lines)


def test_a_call_without_srtp_from_a_trunk_that_requires_it_gets_488(start, ended):
    service = start("switch", trunk_srtp="required")
    caller = ended(Caller(service, MAIN, scenario="uac_refused", status=488, media=9))
    caller.wait()


def whole(heard, count=40):
    """Return the last packets, if none is missing, as some are until the new keys are in use."""
    last = heard[-count:]
    steps = {(then[2] - one[2]) & 0xFFFF for one, then in pairwise(last)}
    return last if len(last) == count and steps == {1} else None


def test_an_srtp_call_of_baresip_continues_with_new_keys_after_a_crash(start, made):
    service = all_three(start, route_srtp="required")
    phone, mouth = made.baresip(service, "srtp-mand"), made.talker("127.0.0.2")
    caller = made.caller(service, LINE, mouth)
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    mouth.wait_heard(10)
    service.processes.pop("switch").end(signal.SIGKILL)
    service.start("switch")
    call_id = service.log.wait("call.resumed")["call_id"]
    with service.sign_in() as page:  # media is relayed earlier than it is recorded again
        wait_until(
            lambda: [p["recording"] for p in page.get("/api/v1/calls").json()] == ["recording"]
        )
    heard = len(mouth.heard)
    after = wait_until(lambda: whole(mouth.heard[heard:]), what="speech")
    said = speech(1, 78)
    mouth.say(said, caller.media_target)
    caller.hang_up()
    phone.wait("CALL_CLOSED")
    recording = Recording(service, call_id)
    assert find(recording.caller, said)[1] > 0.95
    back = from_ulaw(b"".join(data for _, _, _, data in after))
    assert find(recording.advisor, back)[1] > 0.95
    assert recording.adds_up()
