"""The header fields that cross from one leg to the other: identities, privacy and reasons."""

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from telephony.b2bua.headers import Trust, passed_fields, wants_privacy
from telephony.sip.message.messages import Headers, parse_message

PASSPORT = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnLyJ9"
    ".eyJkZXN0Ijp7InRuIjpbIjQ0MTk3MDAwMDEwMCJdfSwiaWF0IjoxNDQzMjA4MzQ1LCJvcmlnIjp7InRuIjoiNDQxIn19"
    ".rq3pjT1hoRwakEGjHCnWSwUnshd0-zJ6F1VOgFWSjHBr8Qjpjlk-cpFYpFYsojNCpTzO3QfPOlckGaS6hEck7w"
    ";info=<https://cert.example.org/passport.cer>;alg=ES256;ppt=shaken"
)
DATE = "Wed, 25 Nov 2026 03:46:21 GMT"
NAMING = (
    ("P-Asserted-Identity", "<sip:+441632960001@trunk.example>"),
    ("History-Info", "<sip:+441632960002@trunk.example>;index=1"),
    ("Diversion", "<sip:+441632960003@trunk.example>;reason=unconditional"),
    ("Identity", PASSPORT),
)


@pytest.fixture
def trusting():
    """A trusted trunk's calls, and a target inside the trust domain."""

    def make(**facts):
        world = World(trust_caller=True)
        world.switch.plan.targets = [world.target(world.b, **facts)]
        return world

    return make


def test_the_identity_header_crosses_unchanged_with_the_values_it_signs(trusting):
    world = trusting(trust=True)
    world.talk(
        headers=(("Identity", PASSPORT), ("Date", DATE)), to="sip:01970000100@council.example"
    )
    sent = next(d for _, to, d in world.net.wire if to == world.b.address)
    assert f"\r\nIdentity: {PASSPORT}\r\n".encode() in sent
    assert f"\r\nDate: {DATE}\r\n".encode() in sent
    request = world.b.invites[0].request
    assert str(request.from_.uri) == "sip:01632960001@trunk.example"
    assert str(request.to.uri) == "sip:01970000100@council.example"


@pytest.mark.parametrize("name", [name for name, _ in NAMING])
def test_identity_headers_cross_only_inside_the_trust_domain(trusting, name):
    inside, outside = trusting(trust=True), trusting()
    for world in (inside, outside):
        world.talk(headers=NAMING)
    assert inside.b.invites[0].request.headers.get(name) == dict(NAMING)[name]
    assert outside.b.invites[0].request.headers.get(name) is None


@pytest.mark.parametrize("privacy", ["id", "user", "header", "id;critical", "id; user"])
def test_a_withheld_identity_reaches_neither_a_phone_nor_an_untrusted_target(trusting, privacy):
    for facts in ({}, {"trust": True, "is_phone": True}):
        world = trusting(**facts)
        world.talk(headers=(*NAMING, ("Privacy", privacy), ("Supported", "100rel, timer")))
        sent = b"".join(d for _, to, d in world.net.wire if to == world.b.address)
        assert b"163296000" not in sent
        assert PASSPORT.encode() not in sent


def test_a_withheld_call_keeps_its_privacy_header_inside_the_trust_domain(trusting):
    world = trusting(trust=True)
    world.talk(headers=(*NAMING, ("Privacy", "id")))
    headers = world.b.invites[0].request.headers
    assert (headers.get("Privacy"), headers.get("Identity")) == ("id", PASSPORT)


def test_reason_headers_cross_in_failures_cancels_and_byes(world):
    why = ("Reason", 'Q.850;cause=17;text="user busy"')
    world.b.reply = Reply(final=486, headers=(why,))
    world.a.call()
    assert world.a.responses[-1].headers.get("Reason") == why[1]
    world.b.reply = Reply(final=None)
    client = world.a.call()
    client.cancel(headers=(why,), now=world.clock.now)
    world.net.run(1)
    cancel = next(d for _, to, d in world.net.wire if to == world.b.address and d[:6] == b"CANCEL")
    assert parse_message(cancel).headers.get("Reason") == why[1]
    world.b.reply = Reply()
    world.talk()
    world.a.hang_up(headers=(why,))
    assert world.b.requests[-1].headers.get("Reason") == why[1]


def test_remote_party_id_with_privacy_full_counts_as_a_privacy_request():
    rpid = Headers([("Remote-Party-ID", "<sip:1@x>;privacy = full")])
    assert wants_privacy(rpid)
    assert not wants_privacy(Headers([("Remote-Party-ID", "<sip:1@x>;privacy=off")]))
    assert not wants_privacy(Headers([("Privacy", "none")]))


def test_header_filtering_applies_to_compact_names():
    headers = Headers([("x", "90"), ("b", "<sip:1@x>"), ("y", "sig"), ("X-Keep", "1"), ("s", "hi")])
    assert passed_fields(headers, Trust(sender=False, receiver=False)) == (
        ("X-Keep", "1"),
        ("s", "hi"),
    )
