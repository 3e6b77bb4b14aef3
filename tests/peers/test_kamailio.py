"""Kamailio in front of the switch, behind it as a registrar, and between it and its phones."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.loopback import free_port
from helpers.peers.kamailio import Kamailio
from helpers.peers.programs import Callee, Caller, register
from helpers.peers.service import Service

pytestmark = pytest.mark.peer


def came_through(messages, method, proxy):
    """Return whether a request of this method came through the proxy."""
    pattern = rf"(?ms)^{method} sip:.*?\n\n"
    requests = re.findall(pattern, messages.replace("\r", ""))
    return any(f"Via: SIP/2.0/UDP {proxy.sip[0]}:{proxy.sip[1]}" in text for text in requests)


def answer(phone):
    """Answer the call that rings."""
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")


@pytest.mark.parametrize("way", long_after(1, ["tcp", "udp"]))
def test_the_callee_holds_and_resumes_a_call_from_a_carrier_with_kamailio(stage, way):
    service = stage.open(listen=("tcp:127.0.0.1",))
    carrier = stage.kamailio("CARRIER", "127.0.0.2", way=way)
    callee = stage.callee("uas_holding")
    caller = stage.caller(scenario="uac_held", through=carrier.sip)
    caller.wait()
    callee.wait()
    assert came_through(caller.messages(), "INVITE", carrier)
    assert ("r2=on" in caller.messages()) == (way == "tcp")
    service.log.wait("call.ended")


def test_a_bye_of_the_callee_reaches_the_caller_through_the_carriers_kamailio(stage):
    stage.open(listen=("tcp:127.0.0.1",))
    carrier = stage.kamailio("CARRIER", "127.0.0.2", way="tcp")
    callee, caller = stage.callee(), stage.caller(through=carrier.sip)
    callee.logged("acked")
    callee.hang_up()
    caller.wait()
    assert came_through(caller.messages(), "BYE", carrier)


def test_the_callee_holds_a_call_from_a_carrier_with_kamailio_over_tls(stage, authority):
    certificate, key = authority.issue("switch", "127.0.0.1")
    stage.open(
        listen=("tls:127.0.0.1",),
        more_sip=f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
        f'tls_ca = "{authority.path}"',
    )
    certificate, key = authority.issue("carrier", "127.0.0.2")
    trusted = {"certificate": certificate, "key": key, "ca": authority.path}
    carrier = stage.kamailio("CARRIER", "127.0.0.2", way="tls", more="#!define TLS", **trusted)
    callee, caller = (
        stage.callee("uas_holding"),
        stage.caller(scenario="uac_held", through=carrier.sip),
    )
    caller.wait()
    callee.wait()
    assert came_through(caller.messages(), "INVITE", carrier)
    assert "transport=tls" in caller.messages()


@pytest.mark.parametrize(("called", "status"), [("01970009999", 404), ("01970000300", 480)])
def test_a_refusal_reaches_the_caller_through_kamailio(stage, called, status):
    stage.open()
    carrier = stage.kamailio("CARRIER", "127.0.0.2")
    stage.caller(called, scenario="uac_refused", status=status, through=carrier.sip).wait()


def test_a_cancel_from_behind_kamailio_stops_the_ringing(stage):
    service = stage.open()
    carrier = stage.kamailio("CARRIER", "127.0.0.2")
    callee = stage.callee("uas_cancelled")
    stage.caller(scenario="uac_cancelled", through=carrier.sip).wait()
    callee.wait()
    service.wait_media_ports(0)


def test_an_unregistered_number_at_kamailio_gives_the_caller_404(stage):
    stage.open()
    stage.registrar()
    stage.caller(scenario="uac_refused", status=404).wait()


def test_a_registered_phone_that_is_unreachable_for_kamailio_gives_the_caller_408(stage):
    stage.open()
    register(stage.registrar(), "600", free_port("127.0.0.1"))
    stage.caller(scenario="uac_refused", status=408).wait()


@pytest.mark.parametrize("status", long_after(1, [486, 480]))
def test_a_refusal_of_a_phone_at_kamailio_reaches_the_caller(stage, status):
    stage.open()
    registrar = stage.registrar()
    phone = stage.callee("uas_refused", "127.0.0.1", status=status)
    register(registrar, "600", phone.port)
    stage.caller(scenario="uac_refused", status=status).wait()
    phone.wait()


def test_a_call_to_kamailio_with_no_hop_left_gets_483(stage):
    stage.open()
    stage.registrar()
    stage.caller(scenario="uac_refused", status=483, hops=1).wait()


def test_a_call_from_kamailio_with_no_hop_left_gets_483(stage):
    stage.open()
    carrier = stage.kamailio("CARRIER", "127.0.0.2")
    stage.caller(scenario="uac_refused", status=483, hops=1, through=carrier.sip).wait()


def test_a_phone_registered_at_kamailio_answers_holds_and_is_recorded(stage):
    stage.open_all()
    phone = stage.baresip(stage.registrar(), "600")
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller(media=mouth.port)
    answer(phone)
    mouth.wait_heard(10)
    words = speech(1, 52)
    mouth.say(words, caller.media_target)
    stage.wait_state(
        "held",
        "answered",
        change=(lambda: phone.command("hold"), lambda: phone.command("resume")),
    )
    phone.command("hangup")
    caller.wait()
    recording = stage.recording()
    assert stage.alike(recording.caller, words) > 0.95
    assert stage.alike(recording.advisor, mouth.audio()[1600:6400]) > 0.95


@pytest.mark.parametrize(
    ("name", "shown"),
    long_after(
        1,
        [
            ("P-Asserted-Identity: <sip:500@127.0.0.3>", "500"),
            ("Allow: INVITE, ACK, BYE", "anonymous"),
        ],
    ),
    ids=["a department", "without a name"],
)
def test_a_phone_that_answers_at_a_forking_kamailio_does_not_get_the_name_of_another_phone(
    stage, name, shown
):
    service = stage.open_all()
    registrar, mouth = stage.registrar(), stage.talker("127.0.0.2")
    advisor = "P-Asserted-Identity: <sip:201@127.0.0.3>"
    facts = {"answers": "Allow: INVITE, ACK, BYE", "fork": "b"}
    other = stage.callee("uas_pbx", "127.0.0.1", rings=advisor, delay=60_000, **facts)
    phone = stage.callee("uas_pbx", "127.0.0.1", rings=name, delay=500, **facts)
    for each in (phone, other):
        register(registrar, "600", each.port)
    caller = stage.caller(media=mouth.port)
    phone.logged("acked")
    secret = speech(1, 53)
    mouth.say(secret, caller.media_target)
    with service.sign_in("ceri") as page:
        (call,) = page.get("/api/v1/calls").json()
    assert (call["extension"], call["recording"]) == (shown, "ceased")
    assert "180 Ringing" in other.messages()
    caller.hang_up()
    phone.wait()
    recording = stage.recording()
    assert stage.alike(recording.caller, secret) < 0.3
    assert recording.manifest["segments"] == []


def test_a_phone_registered_at_kamailio_transfers_the_call_to_a_department(stage):
    service = stage.open()
    phone = stage.baresip(stage.registrar(), "600")
    other = stage.callee("uas", "127.0.0.4", port=service.department_port)
    caller = stage.caller()
    answer(phone)
    phone.command("transfer", f"sip:500@{service.sip[0]}:{service.sip[1]}")
    other.logged("acked")
    service.log.wait("transfer.completed")
    phone.wait("CALL_CLOSED")
    caller.hang_up()
    other.wait()


def test_a_phone_behind_an_outbound_proxy_is_called_through_its_path(stage):
    service = stage.open()
    service.sip_password = "secret-301"
    edge = stage.kamailio("EDGE", "127.0.0.4")
    outbound = f';outbound="sip:{edge.sip[0]}:{edge.sip[1]}"'
    phone = stage.baresip(service, "301", extra=outbound)
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller("01970000300", media=mouth.port)
    answer(phone)
    mouth.wait_heard(10)
    phone.command("hold")
    phone.command("resume")
    caller.hang_up()
    phone.wait("CALL_CLOSED")


def test_a_phone_behind_an_outbound_proxy_calls_with_its_password(stage):
    service = stage.open()
    service.sip_password = "secret-301"
    edge = stage.kamailio("EDGE", "127.0.0.4")
    callee = stage.callee()  # long before it is called: SIPp reads nothing at its start
    outbound = f';outbound="sip:{edge.sip[0]}:{edge.sip[1]}"'
    phone = stage.baresip(service, "301", extra=outbound)
    phone.command("dial", f"sip:01970000200@{service.sip[0]}:{service.sip[1]}")
    phone.wait("CALL_ESTABLISHED")
    phone.command("hangup")
    callee.wait()


@pytest.fixture
def known(officer, ended, tmp_path):
    """A switch with a password account at its trunk, whose registrar is Kamailio."""
    host = "127.0.0.2"
    place = SimpleNamespace(folder=tmp_path, sip=("127.0.0.1", 9), ports={})
    registrar = ended(Kamailio(place, "REGISTRAR", host))
    registrar.wait_ready()
    service = Service(tmp_path, officer)
    text = service.config.read_text()
    account = (
        f'peers = ["{host}", "127.0.0.3"]\nusername = "01970000200"\n'
        'password = "secret-01970000200"\n'
        f'registrar = "sip:{host}:{registrar.sip[1]}"\n'
    )
    service.config.write_text(text.replace(f'peers = ["{host}"]\n', account))
    service.start("switch")
    yield service, registrar
    service.stop()
    service.judge()


def test_the_switch_registers_at_kamailio_and_receives_calls_from_it(known, decoded, ended):
    service, registrar = known
    decoded(service, registrar.sip[1])
    folder = service.folder
    callee = ended(Callee(folder, "uas", "127.0.0.3", port=service.pbx_port))
    assert service.log.wait("trunk.registered")["trunk"] == "trunk"
    caller = ended(Caller(service, "01970000200", through=registrar.sip))
    callee.logged("acked")
    caller.hang_up()
    callee.wait()


def test_the_switch_answers_a_challenge_of_kamailio_to_its_invite(known, decoded, ended):
    service, _ = known
    words = {"port": service.pbx_port, "more": "#!define ASKING"}
    asking = ended(Kamailio(service, "REGISTRAR", "127.0.0.3", **words))
    asking.wait_ready()
    decoded(service, asking.sip[1])
    callee = ended(Callee(service.folder, "uas", "127.0.0.1"))
    register(asking, "600", callee.port)
    caller = ended(Caller(service, "01970000200"))
    callee.logged("acked")
    caller.hang_up()
    callee.wait()
    assert "SIP/2.0 407" not in caller.messages()
