"""Emergency calls through a full switch: from baresip as a phone, and from a PBX (SIPp)."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.programs import Baresip, Callee, Caller
from helpers.peers.sound import find, save

pytestmark = pytest.mark.peer

PBX = "01970000200"
ROUTE = """
[[routes]]
called = "*"
ring = ["302"]

[[routes]]
called = "/999|112/"
target = "sip:127.0.0.4:{department_port}"
"""


@pytest.fixture
def full(start, ended):
    """Fills a switch with ringing calls to the PBX until it refuses one."""

    def full(calls, **settings):
        switch = start("switch", more=ROUTE, **settings)
        ringing = Callee(
            switch.folder, "uas_cancelled", "127.0.0.3", port=switch.pbx_port, calls=calls
        )
        ended(ringing)
        ended(Caller(switch, PBX, options=("-m", calls, "-r", 50)))
        switch.log.wait("call.started", calls)
        refused = ended(Caller(switch, PBX, scenario="uac_refused", status=503))
        refused.wait()
        return switch

    return full


@pytest.fixture
def operator(ended, talker):
    """The emergency service behind the trunk, which answers."""

    def operator(switch):
        mouth = talker("127.0.0.4")
        port = switch.department_port
        answering = Callee(switch.folder, "uas", "127.0.0.4", port=port, media=mouth.port)
        answering.talker = mouth
        return ended(answering)

    return operator


@pytest.fixture
def phone(ended):
    """baresip, registered as 301, which repeats one sound during the call."""

    def phone(switch):
        said = switch.folder / "caller.wav"
        save(said, speech(20, 31))
        switch.sip_password = "secret-301"
        calling = ended(Baresip(switch.folder, switch, said, "301"))
        calling.wait_registered()
        return calling

    return phone


@pytest.mark.parametrize(
    ("calls", "limit"),
    [
        pytest.param(1, {"max_calls": 1}, id="max_calls"),
        pytest.param(9, {"media_ports": 40}, id="media-ports"),
    ],
)
def test_a_phone_reaches_999_through_a_switch_that_refuses_all_other_calls(
    full, operator, phone, calls, limit
):
    switch = full(calls, **limit)
    answering, calling = operator(switch), phone(switch)
    calling.command("dial", f"sip:{PBX}@{switch.sip[0]}:{switch.sip[1]}")
    calling.wait("CALL_CLOSED")
    calling.command("dial", f"sip:999@{switch.sip[0]}:{switch.sip[1]}")
    calling.wait("CALL_ESTABLISHED")
    answering.logged("acked")
    assert "INVITE sip:999@127.0.0.4" in answering.messages()
    answering.talker.wait_heard(100)
    assert find(speech(20, 31), answering.talker.audio()[1600:6400])[1] > 0.9
    calling.command("hangup")
    answering.wait()
    assert switch.log.events("alarm") == []


@pytest.mark.parametrize(
    ("uri", "called"),
    [
        ("urn:service:sos", "999"),
        ("urn:service:sos.fire", "999"),
        ("tel:112;phone-context=+44", "112"),
    ],
)
def test_a_pbx_reaches_the_emergency_service_by_each_form_of_its_name_and_with_a_location(
    full, operator, ended, uri, called
):
    switch = full(1, max_calls=1)
    answering = operator(switch)
    ended(Caller(switch, called, scenario="uac_emergency", uri=uri)).wait()
    answering.wait()
    assert f"INVITE sip:{called}@127.0.0.4" in answering.messages()
    assert "Geolocation" not in answering.messages()


def test_a_phone_without_a_way_to_999_raises_an_alarm(start, phone):
    switch = start("switch")
    calling = phone(switch)
    alarm = switch.log.wait("alarm", kind="emergency.no_route")
    assert alarm["detail"] == "no route with a target for 999, 112"
    calling.command("dial", f"sip:999@{switch.sip[0]}:{switch.sip[1]}")
    calling.wait("CALL_CLOSED")
    switch.log.wait("alarm", kind="emergency.failed", detail="SIP status 404")
