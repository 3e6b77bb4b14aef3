"""The header fields that cross from one leg to the other: identities, privacy and reasons.

Covers `telephony/b2bua/settings.py`.
"""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from telephony.b2bua.headers import (
    ALERTING,
    PASSED,
    PASSED_TRUSTED,
    Trust,
    identity_fields,
    passed_fields,
    shown_address,
    wants_privacy,
)
from telephony.b2bua.headers import (
    NAMING as NAMING_FIELDS,
)
from telephony.b2bua.settings import Grants, PeerKind
from telephony.sip.message.grammar import KNOWN_METHODS
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri

OUTSIDE, TRUSTED, PHONE = PeerKind.OUTSIDE, PeerKind.TRUSTED, PeerKind.PHONE
PAGE = Path(__file__).resolve().parents[3] / "docs/operations/trust.md"

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


def test_the_identity_header_crosses_unchanged_with_the_values_that_are_signed(trusting):
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
    headers = Headers([("x", "90"), ("b", "<sip:1@x>"), ("y", "sig"), ("s", "hi")])
    assert passed_fields(headers, Trust(TRUSTED, TRUSTED)) == (
        ("b", "<sip:1@x>"),
        ("y", "sig"),
        ("s", "hi"),
    )
    assert passed_fields(headers, Trust(OUTSIDE, PHONE)) == ()


@pytest.mark.parametrize(("sender", "receiver"), [*itertools.product(PeerKind, PeerKind)])
def test_an_unknown_header_field_crosses_only_from_a_trusted_peer_that_may_send_it(
    sender, receiver
):
    headers = Headers([("X-Queue", "tax"), ("x-other", "1"), ("Reason", "SIP;cause=200")])
    grants = Grants(headers=frozenset({"x-queue"}))
    kept = dict(passed_fields(headers, Trust(sender, receiver, grants)))
    granted = sender is TRUSTED and receiver is not OUTSIDE
    assert kept == {"Reason": "SIP;cause=200"} | ({"X-Queue": "tax"} if granted else {})


NAMES = st.sampled_from(
    [*PASSED, *PASSED_TRUSTED, *NAMING_FIELDS, *ALERTING, "contact", "via", "replaces",
     "event", "record", "refer-to", "x-auto-answer", "intercom", "error-info", "resource-priority",
     *KNOWN_METHODS]
) | st.from_regex(r"[A-Za-z][A-Za-z-]{0,15}", fullmatch=True)  # fmt: skip
GRANTS = st.builds(
    Grants,
    st.frozensets(NAMES.map(str.lower)),
    st.just(("Bellcore-dr2",)),
    st.booleans(),
    st.booleans(),
)
VALUES = st.sampled_from(
    [
        "1",
        "auto",
        "normal",
        "<http://evil.example/x>;info=alert-autoanswer",
        "<sip:a@b>;answer-after=0",
    ]
) | st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(Headers)
ALLOWED = PASSED | PASSED_TRUSTED | NAMING_FIELDS | ALERTING


@given(FIELDS, st.builds(Trust, st.sampled_from(PeerKind), st.sampled_from(PeerKind), GRANTS))
def test_only_listed_or_granted_header_fields_cross_and_an_alert_has_no_foreign_address(
    headers, trust
):
    kept = passed_fields(headers, trust)
    for name, value in kept:
        known = Headers([(name, "")]).rows[0][0]
        assert known in ALLOWED | trust.grants.headers
        assert known not in {"contact", "via", "replaces", "event", "record", "refer-to"}
        if trust.sender is not TRUSTED or trust.receiver is OUTSIDE:
            assert known in PASSED or (known in NAMING_FIELDS and trust.inside)
        if known in ALERTING:
            assert "evil" not in value
            assert trust.grants.auto_answer or "answer" not in value.lower()


@pytest.mark.parametrize(("sender", "receiver"), [*itertools.product(PeerKind, PeerKind)])
def test_a_subject_crosses_between_trusted_peers_and_reaches_a_phone_only_if_granted(
    sender, receiver
):
    headers = Headers([("Subject", "Call 0900"), ("Priority", "emergency")])
    usual = passed_fields(headers, Trust(sender, receiver))
    assert bool(usual) is (sender is receiver is TRUSTED)
    granted = Trust(sender, receiver, Grants(headers=frozenset({"subject"})))
    named = {name for name, _ in passed_fields(headers, granted)}
    assert ("Subject" in named) is (sender is TRUSTED and receiver is not OUTSIDE)
    assert ("Priority" in named) is bool(usual)


@pytest.mark.parametrize("sender", [OUTSIDE, PHONE])
def test_an_address_of_an_untrusted_sender_loses_password_headers_and_unknown_parameters(sender):
    uri = "sip:0163;verstat=Passed:pw@t.example;verstat=Passed;user=phone?Call-Info=x"
    address = NameAddr("Police", Uri.parse(uri), (("tag", "1"), ("verified", "yes")))
    assert str(shown_address(address, Trust(sender, OUTSIDE))) == (
        '"Police" <sip:0163@t.example;user=phone>'
    )


def test_a_phone_gets_no_outside_name_and_no_control_characters_of_an_inside_name():
    address = NameAddr("Po\x07lice\u202e", Uri.parse("sip:0163@t.example"))
    assert shown_address(address, Trust(OUTSIDE, PHONE)).display_name == ""
    assert shown_address(address, Trust(TRUSTED, PHONE)).display_name == "Police"


@pytest.mark.parametrize("turn", ["\u202e", "\u2067", "\u200f", "\u061c"])
def test_characters_that_turn_the_direction_of_text_do_not_reach_a_phone(turn):
    row = "P-Asserted-Identity", f'"Po{turn}lice" <sip:0163@t.example>'
    rows = [
        row,
        ("Remote-Party-ID", f'"Po{turn}lice" <sip:0163@t.example>;party=calling'),
        ("Diversion", f'"Po\\{turn}" <sip:0163@t.example>;reason=unconditional'),
        ("Subject", f"Po{turn}lice"),
    ]
    granted = Grants(headers=frozenset({"subject"}))
    trust = Trust(TRUSTED, PHONE, granted)
    headers = Headers(rows)
    for fields in (passed_fields(headers, trust), identity_fields(headers, trust)):
        assert fields[0] == ("P-Asserted-Identity", '"Police" <sip:0163@t.example>')
        assert turn not in str(fields)
        assert all(NameAddr.parse_list(value) for _, value in fields)
    to_trunk = passed_fields(headers, Trust(TRUSTED, TRUSTED, granted))
    assert row in to_trunk


def test_a_reason_phrase_from_outside_does_not_reach_a_phone():
    world = World(caller_is_phone=True, trust_caller=True, caller_extension="301")
    world.b.reply = Reply(final=486, reason="Dial 0900 123456")
    world.a.call()
    assert [(r.status, r.reason) for r in world.a.responses][-1] == (486, "Busy Here")
    world.switch.plan.targets = [world.target(world.b, trust=True)]
    world.a.call()
    assert world.a.responses[-1].reason == "Dial 0900 123456"


# --- what a phone says of itself ---------------------------------------------------------------

FORGED = (
    ("P-Asserted-Identity", '"Chief" <sip:07700900999@council.example>'),
    ("P-Preferred-Identity", "<sip:07700900999@council.example>"),
    ("Remote-Party-ID", '"Chief" <sip:07700900999@council.example>;party=calling'),
    ("Diversion", "<sip:07700900999@council.example>;reason=unconditional"),
    ("History-Info", "<sip:07700900999@council.example>;index=1"),
    ("Referred-By", "<sip:07700900999@council.example>"),
    ("Subject", "07700900999"),
)


def calling_phone(**facts):
    """A call from phone 301 of the user sian, which writes other names everywhere."""
    world = World(
        caller_is_phone=True, trust_caller=True, caller_extension="301", caller_user="sian"
    )
    world.switch.plan.targets = [world.target(world.b, **facts)]
    return world


@pytest.mark.parametrize(
    ("facts", "name"), [({}, ""), ({"trust": True}, "sian"), ({"is_phone": True}, "sian")]
)
def test_a_calling_phone_has_the_name_of_its_account_whatever_it_writes(facts, name):
    world = calling_phone(**facts)
    forged = NameAddr("Chief", Uri.parse("sip:07700900999@council.example;verstat=yes"))
    world.talk(headers=FORGED, from_=forged)
    request = world.b.invites[0].request
    assert b"07700900999" not in bytes(request)
    assert b"Chief" not in bytes(request)
    own = NameAddr(name, Uri.parse("sip:301@192.0.2.1"))
    assert str(request.from_).startswith(f"{own};tag=")
    asserted = request.headers.get_all("P-Asserted-Identity")
    assert asserted == ([str(own)] if facts else [])


def test_a_phone_that_withholds_its_name_is_anonymous_outside_and_private_inside():
    private = ("Remote-Party-ID", "<sip:07700900999@council.example>;privacy=full")
    world = calling_phone()
    world.talk(headers=(private,))
    assert world.b.invites[0].request.from_.uri.host == "anonymous.invalid"
    world = calling_phone(trust=True)
    world.talk(headers=(private,))
    assert world.b.invites[0].request.headers.get("Privacy") == "id"


def test_an_answering_phone_has_the_name_of_its_account_in_every_message():
    world = World(trust_caller=True)
    facts = {"trust": True, "is_phone": True, "user": "gwen"}
    world.switch.plan.targets = [world.target(world.b, **facts)]
    world.b.reply = Reply(headers=FORGED)
    world.talk()
    world.b.ask("UPDATE", FORGED)
    world.b.ask("INVITE", (*FORGED, ("Content-Type", "application/sdp")), world.b.sdp())
    world.b.reinvite(direction="sendonly")
    sent = b"".join(d for _, to, d in world.net.wire if to == world.a.address)
    assert b"07700900999" not in sent
    named = [r.headers.get("P-Asserted-Identity") for r in world.a.responses]
    assert named == ['"gwen" <sip:20@192.0.2.1>'] * 2
    assert [m for m in world.a.methods if m == "UPDATE"] == []


# --- the page that lists all this --------------------------------------------------------------


def test_the_page_about_trust_lists_exactly_the_header_fields_of_the_code():
    rows = re.findall(r"(?m)^\| (.+?) \| (.+?) \|", PAGE.read_text(encoding="utf-8"))
    named = {name.lower() for cell, _ in rows for name in re.findall(r"`([A-Z][A-Za-z-]+)`", cell)}
    assert named == ALLOWED
