"""The INVITEs of RFC 4475 as calls: which are refused, and what the callee receives.

Covers `telephony/b2bua/setup.py` and `telephony/b2bua/bodies.py`.
"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from helpers.sip_messages import response_of
from telephony.b2bua.settings import Grants
from telephony.sip.events import Address

TORTURE = Path(__file__).parents[1] / "sip" / "torture" / "rfc4475"
SWITCH = Address("192.0.2.1", 5060)
CALLER = Address("192.0.2.200", 5060)


def octets(name):
    return (TORTURE / f"{name}.dat").read_bytes()


def deliver(world, data):
    """Deliver the INVITE and return the last status that the caller received."""
    world.switch.endpoint.receive(data, CALLER, SWITCH, world.switch.now)
    world.switch.work()
    world.net.run(0.4)
    heard = [
        response_of(data)
        for _, to, data in world.net.wire
        if to.host == CALLER.host and data.startswith(b"SIP/2.0")
    ]
    return heard[-1].status


@pytest.mark.parametrize("name", ["esc01", "longreq", "escruri", "baddate", "lwsstart", "inv2543"])
def test_a_valid_torture_invite_becomes_a_call(world, name):
    assert deliver(world, octets(name)) == 200
    (invite,) = world.b.invites
    assert invite.request.uri.user == "20"
    assert invite.request.headers.get("Route") is None
    world.switch.act(lambda call: call.hangup(world.switch.now))
    world.assert_clean()


@pytest.mark.parametrize(("name", "status"), [("invut", 415), ("sdp01", 406), ("wsinv", 481)])
def test_an_unacceptable_torture_invite_is_refused_before_any_phone_rings(world, name, status):
    assert deliver(world, octets(name)) == status
    assert world.b.invites == []
    world.assert_clean()


def test_an_invite_with_max_forwards_zero_gets_483(world):
    data = octets("lwsstart").replace(b"Max-Forwards: 8", b"Max-Forwards: 0")
    assert deliver(world, data) == 483
    assert world.b.invites == []


@pytest.mark.parametrize(
    "accept",
    ["application/sdp", "text/plain, application/*;q=0.3", "*/*", "Application/SDP ; level=1"],
)
def test_an_accept_header_that_includes_sdp_lets_the_call_through(world, accept):
    data = octets("sdp01").replace(b"text/nobodyKnowsThis", accept.encode())
    assert deliver(world, data) == 200


@pytest.mark.parametrize(("accept", "status"), [("", 406), ('"open', 400)])
def test_an_empty_or_malformed_accept_header_is_refused(world, accept, status):
    data = octets("sdp01").replace(b"text/nobodyKnowsThis", accept.encode())
    assert deliver(world, data) == status
    world.assert_clean()


def test_unknown_header_fields_of_a_trusted_peer_reach_the_callee_octet_for_octet():
    names = {"x-odd_case", "x-list", "x-latin", "x-utf8", "x-empty", "x-escapes", "x-folded"}
    world = World(trust_caller=True, caller_grants=Grants(headers=frozenset(names)))
    world.switch.plan.targets = [world.target(world.b, trust=True)]
    lines = [
        b"X-Odd_Case:   spaces   inside \t kept ",
        b'x-list: a , b,,c ;; "q, \\"x\\"" <a,b>',
        b"X-Latin: Si\xe2n \xa0 caf\xe9",
        "X-Utf8: 大停電 Siân".encode(),
        b"X-Empty:",
        b"x-odd_case: again",
        b"X-Escapes: %00 %0d%0a <sip:%6C%00@h;x=%41>",
        b"User-To-User: 56a390f3d2b7310023a2;encoding=hex",
        b"s: compact",
    ]
    folded = b"X-Folded: one\r\n\t two \r\n   three"
    data = octets("baddate").replace(
        b"Date: Fri, 01 Jan 2010 16:00:00 EST", b"\r\n".join([*lines, folded])
    )
    assert deliver(world, data) == 200
    (sent,) = (d for _, to, d in world.net.wire if to == world.b.address and d[:6] == b"INVITE")
    head = sent.partition(b"\r\n\r\n")[0].split(b"\r\n")
    expected = []
    for line in [*lines, b"X-Folded: one two  three"]:
        name, _, value = line.partition(b":")
        expected.append(name + b": " + value.strip(b" \t"))
    assert [line for line in head if line in expected] == expected


CALLS = ("esc01", "longreq", "baddate", "lwsstart", "inv2543", "sdp01")
LENGTH = re.compile(rb"\r\n(?:Content-Length|l) *:[^\r]*", re.IGNORECASE)
MORE = [
    b"Session-Expires: 90;refresher=uac", b"x: 1", b"Min-SE: 90", b"Privacy: id",
    b"Replaces: a;to-tag=b;from-tag=c", b"P-Asserted-Identity: <sip:a@b>, <tel:+44>", b"Expires: 1",
    b"Remote-Party-ID: <sip:a@b>;privacy=full", b"Require: timer", b"Supported: timer, 100rel",
    b"Record-Route: <sip:192.0.2.9;lr>", b"History-Info: <sip:a@b>;index=1", b"Timestamp: 5",
    b"Content-Disposition: session", b"Content-Type: multipart/mixed;boundary=b",
]  # fmt: skip
PIECES = [b"\r\n", b"\n ", b"\\\0", b'"', b"<", b">", b";", b",", b"=", b"%00", b"\xff", b"9" * 25,
          b"*", b"@", b"[::1]", b"m=audio 0 RTP/AVP 0\r\n", b"c=IN IP6 ::1\r\n"]  # fmt: skip


@st.composite
def damaged_invites(draw):
    """An INVITE with more headers, flipped bits, cuts and splices, in head and body."""
    data = LENGTH.sub(b"", octets(draw(st.sampled_from(CALLS))))
    for line in draw(st.lists(st.sampled_from(MORE), max_size=3)):
        data = data.replace(b"\r\nCSeq", b"\r\n" + line + b"\r\nCSeq", 1)
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(changed) - 1))
        match draw(st.sampled_from(["flip", "cut", "splice"])):
            case "flip":
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del changed[place : place + draw(st.integers(1, 20))]
            case "splice":
                changed[place:place] = draw(st.sampled_from(PIECES))
    return bytes(changed)


@given(damaged_invites(), st.sampled_from([200, 302, 404, 486, 600]))
def test_a_damaged_invite_raises_no_error_and_leaves_nothing_open(data, final):
    world = World()
    world.b.reply = Reply(final=final)
    world.switch.endpoint.receive(data, CALLER, SWITCH, world.switch.now)
    world.switch.work()
    world.net.run(1)
    for call in world.switch.calls:
        call.hangup(world.switch.now)
        world.switch.drain(call)
    world.assert_clean()
