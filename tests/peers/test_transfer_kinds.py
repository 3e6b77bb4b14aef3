"""Each kind of transfer that a PBX makes by itself: it only names the new party.

docs/transfers.md describes these kinds. The PBX is the script `sipp/uas_pbx.xml`, which was not
compared with Asterisk; `test_asterisk.py` has Asterisk itself.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from galwad.simulate.sound import speech
from helpers.peers.crashes import Spools
from helpers.peers.evidence import Recording
from helpers.peers.sound import find
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

PARK, CONFERENCE, QUEUE, DEPARTMENT = "700", "800", "850", "500"
KINDS = {
    "blind or attended, within the centre": [("301", True)],
    "blind or attended, to a department": [(DEPARTMENT, False)],
    "return from a department": [(DEPARTMENT, False), ("201", True)],
    "on to another department": [(DEPARTMENT, False), ("501", False), ("301", True)],
    "pick-up": [("302", True)],
    "park and retrieve": [(PARK, False), ("301", True)],
    "conference": [(CONFERENCE, False), ("201", True)],
    "queue": [(QUEUE, False), ("301", True)],
    "swaps back and forth": [("301", True), ("201", True), ("301", True), ("201", True)],
    "a line of the centre": [("01970000300", True)],
}


def named(party):
    """Return the header field by which the PBX names a party."""
    return f"P-Asserted-Identity: <sip:{party}@127.0.0.3>"


class PbxCall:
    """A call that a party at the PBX has answered, usually 201; the PBX names further parties."""

    def __init__(self, stage, *, rings="201", answers="201", header="", fork="b"):
        """`header` is the header field of the answer, instead of the name of `answers`.

        `fork` is the tag of the dialog in which `rings` rings; "b" is the one that answers.
        """
        self.stage, self.service = stage, stage.service
        earlier = len(self.service.log.events("call.started"))
        self.mouth, self.ear = stage.talker("127.0.0.2"), stage.talker("127.0.0.3")
        answer = header or named(answers)
        self.pbx = stage.callee(
            "uas_pbx", media=self.ear.port, rings=named(rings), answers=answer, fork=fork
        )
        self.caller = stage.caller(media=self.mouth.port)
        self.target = self.caller.media_target
        self.pbx.logged("acked")
        self.call_id = self.service.call_id(earlier + 1)
        self.names = 0

    def name(self, party):
        """Let the PBX name a party, and wait until the switch has accepted the name."""
        self.names += 1
        self.pbx.poke(self.pbx.sip_call_id, named(party))
        self.pbx.logged(f"(?s)(?:named.*){{{self.names}}}")

    def shows(self, *wanted):
        """Wait until an administrator sees this party and this recording state."""
        with self.service.sign_in("ceri") as page:
            wait_until(
                lambda: self.shown(page) == wanted,
                what=lambda: f"{wanted}, with {self.shown(page)} at the end,",
            )

    def ceases(self):
        """Wait until an administrator sees the end of the recording; return the party shown."""
        with self.service.sign_in("ceri") as page:
            wait_until(lambda: self.shown(page)[1] == "ceased", what="the end of the recording")
            return self.shown(page)[0]

    def shown(self, page):
        pop = page.get(f"/api/v1/calls/{self.call_id}").json()
        return pop["extension"], pop["recording"]

    def say(self, seed):
        """Let the caller speak for a second, and wait until the PBX has heard it."""
        said, heard = speech(1, seed), len(self.ear.heard)
        self.mouth.say(said, self.target)
        self.ear.wait_heard(heard + 50)
        return said

    def end(self):
        """Hang up, and return the recording."""
        self.caller.hang_up()
        self.pbx.wait()
        return Recording(self.service, self.call_id)


def test_each_kind_of_transfer_at_the_pbx_is_recorded_only_within_the_centre(stage):
    """Ten calls, one after the other: 5 s of CPU time."""
    stage.open_all()
    stage.listen()
    for kind, parties in KINDS.items():
        call = PbxCall(stage)
        words = [(call.say(701), True)]
        for seed, (party, inside) in enumerate(parties, 702):
            call.name(party)
            call.shows(party, "recording" if inside else "ceased")
            words.append((call.say(seed), inside))
        recording = call.end()
        for said, inside in words:
            correlation = find(recording.caller, said)[1]
            assert correlation > 0.95 if inside else correlation < 0.3, kind
        changes = [inside for _, inside in words]
        outside = sum(not now and before for before, now in pairwise(changes))
        assert [gap["reason"] for gap in recording.gaps()] == ["transfer"] * outside, kind
        assert len(recording.manifest["segments"]) == sum(changes), kind
        assert recording.adds_up()


OUTSIDE = {
    "department": {"rings": DEPARTMENT, "answers": DEPARTMENT},
    "overflow to a department": {"answers": DEPARTMENT},
    "outside party": {"answers": "0911"},
    "queue of a department": {"rings": QUEUE, "answers": QUEUE},
}


def test_a_party_that_answers_outside_the_centre_is_not_recorded_until_an_advisor_is_named(stage):
    """Four calls, one after the other: 2.5 s of CPU time."""
    stage.open_all()
    for kind, names in OUTSIDE.items():
        recorded_once_an_advisor_is_named(stage, kind, names)


def recorded_once_an_advisor_is_named(stage, kind, names):
    """Check a call that another party answers, and in which the PBX then names an advisor."""
    call, answers = PbxCall(stage, **names), names["answers"]
    call.shows(answers, "ceased")
    secret = call.say(721)
    call.name(answers)
    secret_too = call.say(722)
    call.name("201")
    call.shows("201", "recording")
    spools = Spools(call.service)
    call.say(724)
    for _ in range(30):  # a stream that began outside is stored once its packets arrive steadily
        if spools.has_sound(call.call_id):
            break
        call.say(724)
    said = call.say(723)
    recording = call.end()
    assert find(recording.caller, said)[1] > 0.95, kind
    assert all(find(recording.caller, each)[1] < 0.3 for each in (secret, secret_too)), kind
    assert all(find(recording.advisor, each)[1] < 0.3 for each in (secret, secret_too)), kind
    (gap,) = recording.gaps("transfer")
    assert (gap["from_us"], gap["trigger"]) == (0, "identity"), kind
    assert recording.adds_up()


DIVERSION = "Diversion: <sip:201@127.0.0.3>;reason=no-answer"


ANSWERS = {
    "another fork": {"header": "Allow: INVITE, ACK, BYE, UPDATE", "fork": "a"},
    "diverted": {"header": DIVERSION},
    "diverted, with the old name": {"header": f"{named('201')}\n{DIVERSION}"},
    "voicemail": {"header": named("*97")},
}


def test_voicemail_that_answers_for_an_advisor_is_not_recorded_as_the_advisor(stage):
    """Four calls, one after the other: 2 s of CPU time."""
    service = stage.open_all(more=VOICEMAIL)
    for kind, answer in ANSWERS.items():
        call = PbxCall(stage, **answer)
        assert call.ceases() != "201", kind
        secret = call.say(751)
        recording = call.end()
        assert find(recording.caller, secret)[1] < 0.3, kind
        trigger = "identity" if kind == "voicemail" else "unnamed"
        assert [(gap["from_us"], gap["trigger"]) for gap in recording.gaps()] == [(0, trigger)]
        assert recording.manifest["segments"] == [], kind
    with service.sign_in("ceri") as page:
        found = page.post("/api/v1/recordings/search", json={"advisor": "sian"}).json()
    assert found["rows"] == []


VOICEMAIL = """
[[destinations]]
match = "*97"
class = "department"
"""
FEATURE_CODES = """
[[routes]]
called = "**"
target = "sip:127.0.0.3:{pbx_port}"
advisors = ["sian"]
"""


def test_a_call_that_an_advisors_phone_parks_by_a_feature_code_is_not_recorded(stage):
    service = stage.open_all(more=FEATURE_CODES)
    phone = stage.baresip(service, "201")
    mouth, ear = stage.talker("127.0.0.2"), stage.talker("127.0.0.3")
    park = stage.callee("uas_unnamed", media=ear.port)
    caller = stage.caller("01970000100", media=mouth.port)
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    mouth.wait_heard(10)
    phone.command("transfer", f"sip:*68@{service.sip[0]}:{service.sip[1]}")
    park.logged("media")
    service.log.wait("transfer.completed")
    secret = speech(1, 761)
    mouth.say(secret, caller.media_target)
    ear.wait_heard(50)
    caller.hang_up()
    recording = stage.recording()
    assert find(recording.caller, secret)[1] < 0.3
    gap = recording.gaps()[-1]
    assert (gap["trigger"], gap["to_us"]) == ("refer", recording.manifest["talk_us"])
    assert recording.adds_up()


PAYMENT_LINE = """
[[routes]]
called = "01970000400"
target = "sip:299@127.0.0.3:{pbx_port}"

[[destinations]]
match = "299"
class = "payment"
"""


def test_a_line_that_leads_to_a_payment_line_is_not_recorded(stage):
    service = stage.open_all(more=PAYMENT_LINE)
    mouth, ear = stage.talker("127.0.0.2"), stage.talker("127.0.0.3")
    stage.callee("uas_unnamed", media=ear.port)
    caller = stage.caller("01970000400", media=mouth.port)
    secret = speech(1, 741)
    mouth.say(secret, caller.media_target)
    ear.wait_heard(50)
    call_id = service.call_id()
    caller.hang_up()
    recording = Recording(service, call_id)
    assert find(recording.caller, secret)[1] < 0.3
    assert [(gap["reason"], gap["trigger"]) for gap in recording.gaps()] == [("payment", "route")]
    assert recording.manifest["segments"] == []
    assert recording.adds_up()


def test_a_transfer_at_the_pbx_and_the_return_survive_kills_of_the_switch(stage):
    service = stage.open_all()
    call = PbxCall(stage)
    before = call.say(711)
    call.name(DEPARTMENT)
    restart(service)
    call.shows(DEPARTMENT, "ceased")
    secret = call.say(712)
    call.name("301")
    restart(service)
    call.shows("301", "recording")
    after = call.say(713)
    recording = call.end()
    assert find(recording.caller, secret)[1] < 0.3
    assert all(find(recording.caller, said)[1] > 0.95 for said in (before, after))
    assert {gap["reason"] for gap in recording.gaps()} <= {"transfer", "fault"}
    assert recording.gaps("transfer")
    assert recording.adds_up()


def restart(service):
    """Kill the switch and start it again, and wait until the call continues."""
    before = len(service.log.events("call.resumed"))
    service.kill("switch")
    service.start("switch")
    service.log.wait("call.resumed", before + 1)
    with service.sign_in("ceri") as page:
        wait_until(lambda: page.get("/api/v1/calls").json(), what="the call on the page")
