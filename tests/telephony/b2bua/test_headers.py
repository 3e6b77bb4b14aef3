"""Corners of SIP that a call through us meets: names, reasons, redirections, routes."""

from dataclasses import replace

import pytest

from telephony.b2bua import BackToBackCall
from telephony.b2bua.events import CallAnswered, CallDiverted
from telephony.sip.message import parse_message
from telephony.sip.uri import Uri

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
def trusting(make_world):
    """A trusted trunk's calls, and a target inside the trust domain."""

    def make(**facts):
        world = make_world(trust_caller=True)
        world.switch.plan.targets = [world.target(world.b, **facts)]
        return world

    return make


@pytest.fixture
def reply(world):
    return type(world.b.reply)


def test_identity_crosses_octet_for_octet_with_what_it_signs(trusting):
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
def test_who_names_whom_crosses_inside_the_trust_domain_alone(trusting, name):
    inside, outside = trusting(trust=True), trusting()
    for world in (inside, outside):
        world.talk(headers=NAMING)
    assert inside.b.invites[0].request.headers.get(name) == dict(NAMING)[name]
    assert outside.b.invites[0].request.headers.get(name) is None


@pytest.mark.parametrize("privacy", ["id", "user", "header", "id;critical", "id; user"])
def test_a_withheld_call_names_nobody_outside_it_nor_to_a_phone(trusting, privacy):
    for facts in ({}, {"trust": True, "pinned": True}):
        world = trusting(**facts)
        world.talk(headers=(*NAMING, ("Privacy", privacy), ("Supported", "100rel, timer")))
        sent = b"".join(d for _, to, d in world.net.wire if to == world.b.address)
        assert b"163296000" not in sent
        assert PASSPORT.encode() not in sent


def test_inside_the_trust_domain_a_withheld_call_keeps_its_wish(trusting):
    world = trusting(trust=True)
    world.talk(headers=(*NAMING, ("Privacy", "id")))
    headers = world.b.invites[0].request.headers
    assert (headers.get("Privacy"), headers.get("Identity")) == ("id", PASSPORT)


def test_reasons_cross_on_every_way_out(world, reply):
    why = ("Reason", 'Q.850;cause=17;text="user busy"')
    world.b.reply = reply(final=486, headers=(why,))
    world.a.call()
    assert world.a.responses[-1].headers.get("Reason") == why[1]
    world.b.reply = reply(final=None)
    client = world.a.call()
    client.cancel(headers=(why,), now=world.clock.now)
    world.net.run(1)
    cancel = next(d for _, to, d in world.net.wire if to == world.b.address and d[:6] == b"CANCEL")
    assert parse_message(cancel).headers.get("Reason") == why[1]
    world.b.reply = reply()
    world.talk()
    world.a.hang_up(headers=(why,))
    assert world.b.requests[-1].headers.get("Reason") == why[1]


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
def test_a_redirection_is_not_followed_and_its_contact_is_not_told(world, reply, status):
    stranger = ("Contact", "<sip:premium@203.0.113.9>")
    world.b.reply = reply(final=status, headers=(stranger,))
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert not [to for _, to, _ in world.net.wire if to.host == "203.0.113.9"]
    assert not [d for _, to, d in world.net.wire if to == world.a.address and b"premium" in d]
    assert not world.switch.of(CallAnswered)
    world.assert_clean()


class Known(dict):
    """By user part."""

    def ask(self, user):
        return self.get(user, ())


@pytest.fixture
def known(world, monkeypatch):
    """Targets whom the owner knows, by the user part of a Contact."""
    knows = Known()
    begin = BackToBackCall.dial

    def dial(call, targets, now):
        call.follow(lambda contact, _now: knows.ask(contact.uri.user))
        begin(call, targets, now)

    monkeypatch.setattr(BackToBackCall, "dial", dial)
    return knows


def _deflects(world, to):
    return type(world.b.reply)(final=302, headers=(("Contact", f"<sip:{to}@198.51.100.9>"),))


def test_a_phone_may_send_an_unanswered_call_to_a_colleague(world, known):
    known["c"] = [world.target(world.c)]
    world.b.reply = _deflects(world, "c")
    world.talk()
    assert world.c.invites[0].request.uri.host == world.c.address.host
    assert [event.targets[0].name for event in world.switch.of(CallDiverted)] == ["30"]
    assert world.a.statuses.count(180) == 2
    assert not [to for _, to, _ in world.net.wire if to.host == "198.51.100.9"]
    world.a.hang_up()
    world.assert_clean()


def test_two_phones_cannot_send_a_call_to_and_fro(world, known):
    known["b"], known["c"] = [world.target(world.b)], [world.target(world.c)]
    world.b.reply, world.c.reply = _deflects(world, "c"), _deflects(world, "b")
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert (len(world.b.invites), len(world.c.invites)) == (1, 1)
    world.assert_clean()


def test_a_call_is_sent_elsewhere_a_few_times_at_most(world, known):
    world.b.reply = _deflects(world, "on")
    rounds = []

    def on(_contact):
        rounds.append(len(rounds))
        return [replace(world.target(world.b), uri=Uri(user=f"b{len(rounds)}", host="192.0.2.20"))]

    known.ask = on
    world.a.call()
    world.net.run(1)
    assert (len(rounds), len(world.b.invites)) == (5, 6)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_a_colleague_with_two_phones_rings_at_both(world, known, reply):
    known["c"] = [world.target(world.c), replace(world.target(world.c), uri=Uri(host="192.0.2.30"))]
    world.b.reply = _deflects(world, "c")
    world.c.reply = reply(provisional=(183,), early=True, final=None)
    world.a.call()
    assert len(world.c.invites) == 2
    assert [r.status for r in world.a.responses if r.status > 100] == [180, 180]
    world.c.answer(world.c.invites[0], reply=reply(provisional=()))
    world.net.run(1)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_colleague_for_whom_there_is_no_port_is_not_available(world, known):
    known["c"] = [world.target(world.c)]
    world.b.reply = _deflects(world, "c")
    world.switch.plane.room = 2
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


@pytest.mark.parametrize("contact", ["*", "<<<", "", "<sip:nobody@192.0.2.30>"])
def test_a_redirection_to_nothing_is_a_target_that_is_not_available(world, known, reply, contact):
    known["c"] = [world.target(world.c)]
    world.b.reply = reply(final=302, headers=(("Contact", contact),))
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    assert world.c.invites == []
    world.assert_clean()


def test_a_target_that_wants_a_password_nobody_has_is_a_bad_gateway(world, reply):
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n"')
    world.b.reply = reply(final=401, headers=(challenge,))
    world.a.call()
    assert world.a.statuses[-1] == 502
    assert world.a.responses[-1].headers.get("WWW-Authenticate") is None


def test_a_target_that_wants_a_password_gets_it_and_the_caller_notices_nothing(world, reply):
    asked = []

    def credentials(request, response, destination):
        asked.append((request.method, response.status, destination))
        return "Proxy-Authorization", 'Digest username="us"'

    world.switch.endpoint.authenticate(credentials)
    challenge = (("Proxy-Authenticate", 'Digest realm="r", nonce="n"'),)
    good = world.b.reply

    def answer(invite=None, reply=None):
        invite = invite or world.b.invites[-1]
        if invite.request.headers.get("Proxy-Authorization") is None:
            invite.respond(407, headers=challenge, now=world.clock.now)
        else:
            type(world.b).answer(world.b, invite, reply or good)

    world.b.answer = answer
    world.talk()
    assert asked == [("INVITE", 407, world.b.address)]
    assert 407 not in world.a.statuses
    assert len(world.switch.of(CallAnswered)) == 1
    world.a.hang_up()
    world.assert_clean()


def test_a_caller_behind_proxies_is_answered_through_them(world):
    first, second = "<sip:192.0.2.10;lr;n=1>", "<sip:192.0.2.1;lr;n=2>"
    world.talk(headers=(("Record-Route", first), ("Record-Route", second)))
    answer = world.a.responses[-1]
    assert answer.headers.get_all("Record-Route") == [first, second]
    world.b.hang_up()
    bye = next(d for f, _, d in world.net.wire if f == world.switch.address and d[:3] == b"BYE")
    assert parse_message(bye).headers.get_all("Route") == [first, second]
    assert world.b.invites[0].request.headers.get("Record-Route") is None


def test_requests_go_where_the_last_contact_said(world):
    world.talk()
    moved = "<sip:caller@192.0.2.10:5060;line=2>"
    world.a.ask("UPDATE", headers=(("Contact", moved),))
    world.b.hang_up()
    assert world.a.requests[-1].uri == Uri.parse(moved.strip("<>"))


def test_early_updates_with_an_offer_are_asked_for_again_after_the_answer(world, reply):
    world.b.reply = reply(provisional=(183,), early=True, final=None)
    world.a.call(headers=(("Supported", "100rel"),))
    dialog = next(iter(world.a.client.dialogs.values()))
    typed = (("Content-Type", "application/sdp"),)
    dialog.request("UPDATE", headers=typed, body=world.a.sdp(version=2), now=world.clock.now)
    world.net.flush()
    assert world.a.statuses[-1] == 500
    assert world.a.responses[-1].headers.get("Retry-After") == "5"
    world.b.answer(reply=reply(provisional=()))
    world.net.run(1)
    dialog.request("UPDATE", headers=typed, body=world.a.sdp(version=2), now=world.clock.now)
    world.net.flush()
    assert world.a.statuses[-1] == 200
