"""A PBX joins the caller with a third party by itself: Replaces in INVITE and in Refer-To."""

from __future__ import annotations

import re

import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.programs import Callee, register
from helpers.peers.service import CALLER
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

INSIDE = '"127.0.0.2", "127.0.0.3"'
FAR = """
[[routes]]
called = "01970000500"
target = "sip:500@127.0.0.4:{department_port}"

[[destinations]]
match = "01970000500"
class = "__CLASS__"
"""


def found_in(message, pattern):
    """Return the group of the first line that matches a pattern."""
    found = re.search(pattern, message, re.MULTILINE)
    assert found, message
    return found[1]


def replaces_of(sipp, *, called):
    """Return the Replaces of a SIPp's dialog with the switch; `called`: SIPp was the callee."""
    messages = sipp.messages().replace("\r", "")
    answer = next(
        text
        for text in re.findall(r"(?ms)^SIP/2.0 200 OK\n.*?\n\n", messages)
        if "CSeq: 1 INVITE" in text
    )
    from_, to = (found_in(answer, rf"^{name}: .*;tag=(\S+)") for name in ("From", "To"))
    ours, theirs = (from_, to) if called else (to, from_)
    call_id = found_in(answer, r"^Call-ID: (\S+)")
    return f"{call_id};to-tag={ours};from-tag={theirs}"


class Desk:
    """A caller who talks with a PBX, with the speech of both."""

    def __init__(self, stage, scenario):
        self.stage, self.service = stage, stage.service
        earlier = len(self.service.log.events("call.started"))
        self.mouths = [stage.talker(f"127.0.0.{n}") for n in (2, 3)]
        self.pbx = stage.callee(scenario, media=self.mouths[1].port)
        self.caller = stage.caller(media=self.mouths[0].port)
        self.target = self.caller.media_target
        self.pbx.logged("acked")
        self.call_id = self.service.call_id(earlier + 1)

    def say(self, mouth, seed, target):
        """Send a second of speech and return it."""
        said = speech(1, seed)
        mouth.say(said, target)
        return said

    def state(self):
        """Return the recording state of the call."""
        with self.service.sign_in("ceri") as page:
            return page.get(f"/api/v1/calls/{self.call_id}").json()["recording"]

    def talk_on(self, mouth, there):
        """Let caller and new party speak, and wait until each has heard the other."""
        heard = len(self.mouths[0].heard), len(mouth.heard)
        said = self.say(self.mouths[0], 403, self.target), self.say(mouth, 404, there)
        self.mouths[0].wait_heard(heard[0] + 50)
        mouth.wait_heard(heard[1] + 50)
        return [(0, said[0]), (1, said[1])]


def test_an_invite_with_replaces_moves_the_call_to_another_line_of_the_pbx(stage, judge):
    """Three calls, one after the other: 2 s of CPU time."""
    stage.open_all(trunk_peers=INSIDE)
    stage.listen()
    for name, goes_on in (("301", True), ("500", False), ("999", False)):
        moves_to(stage, judge, name, goes_on=goes_on)


def moves_to(stage, judge, name, *, goes_on):
    """Check a call that the line of this name takes over; recording may go on there or not."""
    service = stage.service
    desk = Desk(stage, "uas")
    before = desk.say(desk.mouths[0], 401, desk.target)
    mouth = stage.talker("127.0.0.3")
    other = stage.caller(
        scenario="uac_replacing",
        host="127.0.0.3",
        replaces=replaces_of(desk.pbx, called=True),
        name=name,
        media=mouth.port,
    )
    there = other.media_target
    desk.pbx.wait()
    assert desk.pbx.logged("bye")
    after = desk.talk_on(mouth, there)
    assert desk.state() == ("recording" if goes_on else "ceased")
    other.hang_up()
    desk.caller.wait()
    kept, lost = ([(0, before), *after], []) if goes_on else ([(0, before)], after)
    judge(service, desk.call_id, kept, lost, [] if goes_on else ["transfer"])
    service.wait_media_ports(0)


@pytest.mark.parametrize(
    ("kind", "goes_on"), long_after(1, [("department", False), ("centre", True)])
)
def test_a_refer_with_replaces_joins_the_caller_with_the_pbxs_consultation(
    stage, judge, kind, goes_on
):
    service = stage.open_all(trunk_peers=INSIDE, more=FAR.replace("__CLASS__", kind))
    stage.listen()
    desk = Desk(stage, "uas_joining")
    before = desk.say(desk.mouths[0], 401, desk.target)
    mouth = stage.talker("127.0.0.4")
    consulted = stage.callee(
        "uas", host="127.0.0.4", port=service.department_port, media=mouth.port
    )
    line = stage.caller("01970000500", host="127.0.0.3")
    assert line.media_target
    there = consulted.media_target
    consulted.logged("acked")
    replaces = replaces_of(line, called=False).replace(";", "%3B").replace("=", "%3D")
    desk.pbx.poke(desk.pbx.sip_call_id, f"Refer-To: <sip:500@127.0.0.1?Replaces={replaces}>")
    for leg in (desk.pbx, line):
        leg.wait()
    assert desk.pbx.logged(r"told SIP/2.0 (\d+)") == "200"
    after = desk.talk_on(mouth, there)
    assert desk.state() == ("recording" if goes_on else "ceased")
    desk.caller.hang_up()
    consulted.wait()
    kept, lost = ([(0, before), *after], []) if goes_on else ([(0, before)], after)
    judge(service, desk.call_id, kept, lost, [] if goes_on else ["transfer"])
    service.wait_media_ports(0)


def test_an_invite_that_replaces_an_unknown_dialog_is_refused(stage):
    stage.open(trunk_peers=INSIDE)
    callee, caller = stage.callee(), stage.caller()
    assert caller.media_target
    stranger = stage.caller(
        scenario="uac_replacing", host="127.0.0.3", replaces="x;to-tag=1;from-tag=2", name="301"
    )
    assert stranger.logged("refused")
    stranger.wait()
    caller.hang_up()
    callee.wait()


class Consultation:
    """A citizen talks with 201 at the PBX, who consults a party through Galwad's trunk."""

    def __init__(self, stage, number):
        self.desk = Desk(stage, "uas")
        self.service = stage.service
        self.mouth = stage.talker("127.0.0.3")
        self.second = stage.caller(
            number,
            scenario="uac_handing_over",
            host="127.0.0.3",
            caller="201",
            media=self.mouth.port,
        )
        self.target = self.second.media_target

    def complete(self, citizen=CALLER):
        """Complete the transfer at the PBX: it names the citizen on the second call."""
        header = f"P-Asserted-Identity: <sip:{citizen}@127.0.0.3>\r\nPrivacy: none"
        self.second.poke(self.second.sip_call_id, header)
        self.second.logged("handed over")

    def shown(self):
        """Return the live calls as an administrator sees them."""
        with self.service.sign_in("ceri") as page:
            return page.get("/api/v1/calls").json()

    def payment(self, method):
        with self.service.sign_in() as page:
            url = f"/api/v1/calls/{self.desk.call_id}/payment"
            return page.request(method, url).json()["state"]

    def end(self):
        """End both calls, as the PBX does when the citizen hangs up."""
        self.desk.caller.hang_up()
        self.desk.pbx.wait()
        self.second.poke(self.second.sip_call_id)
        self.second.wait()


@pytest.fixture
def colleague(ended, talker):
    """SIPp as the phone 301, registered with Galwad."""

    def colleague(service):
        mouth = talker("127.0.0.1")
        phone = ended(Callee(service.folder, "uas", "127.0.0.1", media=mouth.port))
        phone.talker = mouth
        register(service, "301", phone.port)
        return phone

    return colleague


def test_two_calls_that_the_pbx_joins_are_one_recording_without_the_consultation(
    stage, judge, colleague
):
    service = stage.open_all(trunk_peers=INSIDE)
    stage.listen()
    other = colleague(service)
    call = Consultation(stage, "01970000300")
    before = call.desk.say(call.desk.mouths[0], 601, call.desk.target)
    # The PBX sends media before the pause, so it is known after the pause what it sends late.
    greeting = call.desk.say(call.desk.mouths[1], 606, call.desk.pbx.media_target)
    secret = call.desk.say(call.mouth, 602, call.target)
    assert call.payment("PUT") == "paused"
    call.complete()
    (shown,) = wait_until(lambda: len(call.shown()) == 1 and call.shown(), what="one call")
    assert (shown["call_id"], shown["extension"]) == (call.desk.call_id, "301")
    assert (shown["state"], shown["recording"]) == ("answered", "paused")
    assert shown["caller"]["number_display"] == "01632 960123"
    card = call.desk.say(call.desk.mouths[0], 603, call.desk.target)
    with service.sign_in("ceri") as page:
        url = f"/api/v1/calls/{call.desk.call_id}/payment"
        (holder,) = shown["holders"]
        assert page.request("DELETE", url, json={"holder": holder}).json()["state"] == "recording"
    after = call.desk.say(call.desk.mouths[0], 604, call.desk.target)
    # The words of 301 arrive from the PBX.
    reply = call.desk.say(call.desk.mouths[1], 605, call.desk.pbx.media_target)
    call.end()
    other.wait()
    kept = [(0, before), (1, greeting), (0, after), (1, reply)]
    lost = [(0, card), (0, secret), (1, secret)]
    judge(service, call.desk.call_id, kept, lost, ["payment"])
    assert len(service.log.events("recording.sealed")) == 1
    assert service.log.events("call.consultation")


def test_a_join_with_a_department_by_the_pbx_ceases_the_recording_even_after_a_restart(
    stage, judge
):
    service = stage.open_all(trunk_peers=INSIDE, more=FAR.replace("__CLASS__", "department"))
    stage.listen()
    ear = stage.talker("127.0.0.4")
    department = stage.callee(host="127.0.0.4", port=service.department_port, media=ear.port)
    call = Consultation(stage, "01970000500")
    before = call.desk.say(call.desk.mouths[0], 611, call.desk.target)
    secret = call.desk.say(call.mouth, 612, call.target)
    call.complete()
    wait_until(lambda: call.desk.state() == "ceased", what="the end of the recording")
    service.kill("switch")
    service.start("switch")
    service.log.wait("call.resumed", 2)
    (shown,) = wait_until(lambda: len(call.shown()) == 1 and call.shown(), what="one call")
    assert (shown["call_id"], shown["recording"]) == (call.desk.call_id, "ceased")
    after = call.desk.say(call.desk.mouths[0], 613, call.desk.target)
    call.end()
    department.wait()
    reasons = ["transfer"] * 2  # one before and one after the restart
    judge(service, call.desk.call_id, [(0, before)], [(0, secret), (0, after)], reasons)
    assert len(service.log.events("recording.sealed")) == 1


def test_a_consultation_at_the_pbx_that_returns_leaves_the_recording_as_it_was(
    stage, judge, colleague
):
    service = stage.open_all(trunk_peers=INSIDE)
    other = colleague(service)
    call = Consultation(stage, "01970000300")
    before = call.desk.say(call.desk.mouths[0], 621, call.desk.target)
    secret = call.desk.say(call.mouth, 622, call.target)
    other.go_on()  # the colleague hangs up
    call.second.wait()
    other.wait()
    after = call.desk.say(call.desk.mouths[0], 623, call.desk.target)
    call.desk.caller.hang_up()
    call.desk.pbx.wait()
    judge(service, call.desk.call_id, [(0, before), (0, after)], [(0, secret)], [])
    assert len(service.log.events("recording.sealed")) == 1
