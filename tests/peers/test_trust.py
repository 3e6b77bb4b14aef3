"""Attacks on phones and names: header fields, requests and texts that must not cross the switch."""

from __future__ import annotations

import pytest

from helpers.peers.waiting import wait_until
from helpers.peers.wire_peer import WirePeer

pytestmark = pytest.mark.peer

TRUNKS = """
[[trunks]]
name = "carrier"
peers = ["127.0.0.5"]

[[trunks]]
name = "pbx"
peers = ["127.0.0.6"]
trusted = true
headers = ["X-Queue", "Subject"]
messages = true
ring_tones = ["alert-internal", "Bellcore-dr2"]

[[trunks]]
name = "dialler"
peers = ["127.0.0.7"]
trusted = true
auto_answer = true
"""
CALLER = '"Police" <sip:01632960555;verstat=TN-Validation-Passed@127.0.0.2;user=phone>'
LISTENING = (
    ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
    ("Alert-Info", "<http://evil.example/ring.wav>"),
    ("Alert-Info", "Auto Answer"),
    ("Call-Info", "<sip:127.0.0.1>;answer-after=0"),
    ("Call-Info", "<http://evil.example/x.png>;purpose=icon"),
    ("Answer-Mode", "Auto"),
    ("Priv-Answer-Mode", "Auto;require"),
    ("P-Auto-Answer", "normal"),
    ("Error-Info", "<http://evil.example/error.wav>"),
    ("Priority", "emergency"),
    ("Resource-Priority", "dsn.flash"),
    ("Subject", "Call 0900 123456 now"),
    ("Organization", "Your bank"),
    ("X-Auto-Answer", "yes"),
    ("Intercom", "true"),
)
REBOOT = (("Event", "check-sync;reboot=true"), ("Subscription-State", "active"))
TALK = (("Event", "talk"), ("Subscription-State", "active"))
HTML = (("Content-Type", "text/html"),)


@pytest.fixture
def peers(start, ended):
    """The service, phone 301, and a function that makes further peers."""
    service = start("switch", more=TRUNKS)
    service.planted += ["1632960555"]
    phone = ended(WirePeer(service, "127.0.0.1", "301"))
    phone.register()
    return service, phone, lambda host, *rest, **more: ended(WirePeer(service, host, *rest, **more))


def crossed(message, fields):
    """Return the names of these fields that a message has."""
    return sorted({name for name, _ in fields if name in message.headers})


@pytest.mark.parametrize("host", ["127.0.0.5", "127.0.0.2"])
def test_no_header_field_of_a_caller_makes_a_phone_answer_by_itself_or_fetch_anything(peers, host):
    _, phone, peer = peers
    caller = peer(host)
    assert caller.call("01970000300", CALLER, LISTENING) == 200
    (invite,) = phone.got("INVITE")
    assert crossed(invite, LISTENING) == []
    if host == "127.0.0.5":
        assert invite.from_.display_name == ""
        assert "verstat" not in str(invite.from_)
    assert (invite.from_.uri.user or "").startswith("01632960555")


@pytest.mark.parametrize("host", ["127.0.0.5", "127.0.0.2"])
def test_a_caller_can_send_a_phone_no_text_no_reboot_and_no_order_to_answer(peers, host):
    _, phone, peer = peers
    caller = peer(host)
    caller.call("01970000300", CALLER)
    assert caller.ask("NOTIFY", REBOOT) == 489
    assert caller.ask("NOTIFY", TALK) == 489
    assert caller.ask("MESSAGE", HTML, b"<a href='http://evil.example'>Your bank</a>") == 403
    assert caller.ask("MESSAGE", (("Content-Type", "text/plain"),), b"Your bank") == 403
    assert caller.ask("INFO", HTML, b"<b>x</b>") == 415
    assert caller.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=5") == 200
    assert [m for m in ("NOTIFY", "MESSAGE") if phone.got(m)] == []
    assert [request.body for request in phone.got("INFO")] == [b"Signal=5"]


def test_header_fields_of_an_answer_follow_the_same_rules_as_those_of_a_call(peers):
    _, phone, peer = peers
    phone.answer_headers = LISTENING
    caller = peer("127.0.0.2")
    caller.call("01970000300", CALLER)
    for status in (180, 200):
        assert crossed(caller.responses(status)[0], LISTENING) == []


def test_a_trusted_pbx_may_choose_only_the_ring_tones_that_the_settings_allow(peers):
    _, phone, peer = peers
    pbx = peer("127.0.0.6")
    asked = (
        ("Alert-Info", "<http://evil.example/ring.wav>;info=alert-internal;x=y"),
        ("X-Queue", "housing"),
        *LISTENING,
    )
    assert pbx.call("01970000300", CALLER, asked) == 200
    (invite,) = phone.got("INVITE")
    assert invite.headers.get_all("Alert-Info") == ["<http://127.0.0.1>;info=alert-internal"]
    assert crossed(invite, LISTENING) == ["Alert-Info", "Subject"]
    assert invite.headers.get("X-Queue") == "housing"
    assert pbx.ask("NOTIFY", TALK) == 489
    assert pbx.ask("NOTIFY", REBOOT) == 489
    assert pbx.ask("MESSAGE", HTML, b"<b>x</b>") == 415
    assert pbx.ask("MESSAGE", (("Content-Type", "text/plain"),), b"Siop: gw. nodyn") == 200
    assert [request.body for request in phone.got("MESSAGE")] == [b"Siop: gw. nodyn"]


def test_a_pbx_with_auto_answer_makes_phones_answer_but_never_fetch_or_reboot(peers):
    _, phone, peer = peers
    dialler = peer("127.0.0.7")
    assert dialler.call("01970000300", CALLER, LISTENING) == 200
    (invite,) = phone.got("INVITE")
    assert invite.headers.get_all("Alert-Info") == [
        "<http://127.0.0.1>;info=alert-autoanswer;delay=0",
        "Auto Answer",
    ]
    assert invite.headers.get_all("Call-Info") == ["<http://127.0.0.1>;answer-after=0"]
    assert invite.headers.get("Answer-Mode") == "Auto"
    assert b"evil.example" not in bytes(invite)
    assert dialler.ask("NOTIFY", TALK) == 200
    assert dialler.ask("NOTIFY", REBOOT) == 489


def test_a_refer_with_embedded_header_fields_sends_none_of_them_to_its_target(peers):
    service, phone, peer = peers
    department = WirePeer(service, "127.0.0.4", port=service.department_port)
    try:
        caller = peer("127.0.0.2")
        caller.call("01970000300", CALLER)
        embedded = "<sip:500@127.0.0.1?Call-Info=%3Csip:x%3E%3Banswer-after%3D0&Alert-Info=Auto>"
        assert phone.ask("REFER", (("Refer-To", embedded),)) == 202
        wait_until(lambda: department.got("INVITE"), what="the call to the department")
        (invite,) = department.got("INVITE")
        assert crossed(invite, LISTENING) == []
        assert b"answer-after" not in bytes(invite)
    finally:
        department.close()


def test_a_call_from_a_phone_shows_the_extension_of_its_account_whatever_names_it_sends(peers):
    service, phone, peer = peers
    pbx = peer("127.0.0.4", port=service.department_port)
    forged = (
        ("P-Asserted-Identity", '"Chief" <sip:07700900999@council.example>'),
        ("Remote-Party-ID", '"Chief" <sip:07700900999@council.example>'),
        ("Diversion", "<sip:07700900999@council.example>;reason=unconditional"),
        ("History-Info", "<sip:07700900999@council.example>;index=1"),
        *LISTENING,
    )
    assert phone.call("500", '"Chief" <sip:07700900999@council.example>', forged) == 200
    (invite,) = pbx.got("INVITE")
    assert b"07700900999" not in bytes(invite)
    assert b"Chief" not in bytes(invite)
    assert str(invite.from_.uri) == "sip:301@127.0.0.1"
    assert crossed(invite, forged) == []
    other = peer("127.0.0.1", "302")
    other.register()
    assert phone.call("302", '"Chief" <sip:07700900999@council.example>', forged) == 200
    (invite,) = other.got("INVITE")
    assert b"07700900999" not in bytes(invite)
    assert invite.headers.get("P-Asserted-Identity") == "<sip:301@127.0.0.1>"


def invite_bytes(service, more=b"", hops=b"70", from_=b"anonymous"):
    return (
        b"INVITE sip:01970000300@127.0.0.1 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 127.0.0.2:5999;branch=z9hG4bK%d;rport\r\n"
        b"Max-Forwards: %s\r\nFrom: <sip:%s@127.0.0.2>;tag=1\r\n%s"
        b"To: <sip:x@127.0.0.1>\r\nCall-ID: %d@a\r\nCSeq: 1 INVITE\r\n"
        b"Contact: <sip:a@127.0.0.2:5999>\r\nContent-Length: 0\r\n\r\n"
    ) % (hash(more + hops), hops, from_, more, abs(hash(more + hops)))


SMUGGLED = b"P-Asserted-Identity: <sip:01632960999@127.0.0.2>\r\n"


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
def test_an_identity_smuggled_behind_a_bare_line_end_is_refused_and_makes_no_call(peers, line_end):
    service, phone, peer = peers
    service.planted += ["1632960999"]
    trunk = peer("127.0.0.2")
    trunk.throw(invite_bytes(service, b"Subject: x" + line_end + SMUGGLED))
    wait_until(lambda: trunk.responses(400), what="the refusal")
    assert b"01632960999" not in bytes(trunk.responses(400)[0])
    assert phone.got("INVITE") == []
    assert service.log.events("call.started") == []


@pytest.mark.parametrize("hops", [b"-1", b"abc"])
def test_an_invite_whose_max_forwards_is_no_number_gets_400(peers, hops):
    service, phone, peer = peers
    trunk = peer("127.0.0.2")
    trunk.throw(invite_bytes(service, hops=hops))
    wait_until(lambda: trunk.responses(400), what="the refusal")
    assert phone.got("INVITE") == []


ASSERTED = ("P-Asserted-Identity", '"Chief" <sip:01632960999@127.0.0.2>')


@pytest.mark.parametrize(
    ("host", "from_", "number"),
    [
        ("127.0.0.2", '"Bank" <sip:01632960555@h>', "01632 960555"),
        ("127.0.0.2", "<sip:switchboard@h>", "01632 960999"),
        ("127.0.0.5", "<sip:switchboard@h>", ""),
    ],
)
def test_the_pop_shows_the_number_of_from_or_else_a_trusted_asserted_number(
    start, ended, host, from_, number
):
    service = start("switch", "desk", users=True, more=TRUNKS)
    service.planted += ["1632960555", "1632960999"]
    pbx = ended(WirePeer(service, "127.0.0.3", port=service.pbx_port))
    trunk = ended(WirePeer(service, host))
    assert trunk.call("01970000200", from_, (ASSERTED,)) == 200
    assert pbx.got("INVITE")
    with service.sign_in() as page:
        pop = wait_until(lambda: page.get("/api/v1/calls").json(), what="the pop")[0]
    assert (pop["caller"]["number_display"] or "") == number
    assert "Bank" not in str(pop)
    assert "Chief" not in str(pop)


def test_the_switch_shows_no_version(peers):
    _, phone, _ = peers
    shown = [m.headers.get("Server") for m in phone.responses(200) + phone.responses(401)]
    assert set(shown) == {"Galwad"}
