"""Ringing a target: several addresses (RFC 3263 4.3), challenges and faulty answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua import LaterTargets
from telephony.b2bua.events import (
    AddressSilent,
    CallAnswered,
    MoreTargetsRung,
    TransferCompleted,
)
from telephony.errors import NoPortsError
from telephony.sip.events import Address

NOBODY = Address("192.0.2.99", 5060)
ELSEWHERE = Address("192.0.2.98", 5060, "TCP")


@pytest.fixture
def aim(world):
    """Give the only target these addresses, in this order."""

    def aim(*addresses):
        first, *others = addresses
        target = replace(world.target(world.b), destination=first, others=tuple(others))
        world.switch.plan.targets = [target]

    return aim


def test_an_address_that_does_not_respond_is_followed_by_the_next_address(world, aim):
    aim(NOBODY, world.b.address)
    world.a.call()
    world.net.run(40)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def sent_to(world, address, method):
    """Return how many of these requests the switch has sent to the address."""
    return sum(
        to == address and data.startswith(method.encode() + b" ") for _, to, data in world.net.wire
    )


def test_an_address_that_is_silent_is_given_up_after_four_seconds(world, aim):
    aim(NOBODY, world.b.address)
    world.a.call()
    world.net.run(3.9)
    assert (sent_to(world, NOBODY, "INVITE"), world.b.invites) == (4, [])
    world.net.run(0.2)
    assert world.call.joined is not None
    (silent,) = world.switch.of(AddressSilent)
    assert silent.address == NOBODY
    world.net.run(60)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_silent_address_of_the_target_of_a_transfer_is_given_up_after_four_seconds(world):
    target = replace(world.target(world.c), destination=NOBODY, others=(world.c.address,))
    world.talk()
    world.switch.plan.transfer_targets = [target]
    world.b.refer()
    world.net.run(3.9)
    assert (sent_to(world, NOBODY, "INVITE"), world.c.invites) == (4, [])
    world.net.run(1)
    assert [each.address for each in world.switch.of(AddressSilent)] == [NOBODY]
    assert len(world.switch.of(TransferCompleted)) == 1
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("provisional", [100, 180])
def test_an_address_that_has_responded_is_not_given_up(world, aim, provisional):
    world.c.reply = Reply(provisional=(provisional,), final=None)
    aim(world.c.address, world.b.address)
    world.a.call()
    world.net.run(30)
    assert world.b.invites == []
    world.c.answer(reply=Reply(provisional=()))
    world.net.flush()
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_the_only_address_is_not_given_up(world, aim):
    aim(NOBODY)
    world.a.call()
    world.net.run(30)
    assert 480 not in world.a.statuses
    world.net.run(5)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_a_given_up_address_that_rings_late_gets_a_cancel(world, aim):
    world.c.reply = Reply(final=None)
    world.net.down.add(world.c.address)
    aim(world.c.address, world.b.address)
    world.a.call()
    world.net.run(5)
    joined = world.call.joined
    assert joined is not None
    world.net.down.clear()
    world.net.run(5)
    assert sent_to(world, world.c.address, "CANCEL") == 1
    assert world.call.joined == joined
    world.a.hang_up()
    world.assert_clean()


def test_a_given_up_address_that_answers_late_gets_a_bye_and_the_call_continues(world, aim):
    world.c.reply = Reply(provisional=())
    ours = b"Via: SIP/2.0/UDP 192.0.2.1:5060"
    world.net.lost = lambda data: data.startswith(b"BYE ") and ours in data
    world.net.down.add(world.c.address)
    aim(world.c.address, world.b.address)
    world.a.call()
    world.net.run(5)
    joined = world.call.joined
    world.net.down.clear()
    world.net.run(5)
    assert world.c.invites[0].answered
    assert sent_to(world, world.c.address, "BYE") > 0
    world.c.hang_up()  # it crosses our BYE
    world.net.run(5)
    assert world.call.joined == joined
    world.net.lost = lambda _: False
    world.a.hang_up()
    world.assert_clean()


def test_an_alternative_target_is_rung_by_the_uri_of_that_target(world):
    silent = replace(world.target(world.b), destination=NOBODY)
    world.switch.plan.targets = [replace(silent, alternatives=(world.target(world.c),))]
    world.a.call()
    world.net.run(5)
    assert str(world.c.invites[0].request.uri) == str(world.target(world.c).uri)
    assert world.call.legs[world.call.joined[1]].target == world.target(world.c)
    world.a.hang_up()
    world.assert_clean()


def test_a_caller_who_hangs_up_after_a_silent_address_leaves_no_phone_ringing(world, aim):
    world.b.reply = Reply(final=None)
    aim(NOBODY, world.b.address)
    world.a.call()
    world.net.run(5)
    world.a.client.cancel(now=world.clock.now)
    world.net.run(1)
    assert sent_to(world, world.b.address, "CANCEL") == 1
    world.assert_clean()


def test_an_unreachable_address_is_followed_by_the_next_address_at_once(world, aim):
    aim(NOBODY, world.b.address)
    world.a.call()
    world.switch.endpoint.unreachable(NOBODY, world.clock.now)
    world.switch.work()
    world.net.flush()
    world.net.run(1)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_an_address_that_responds_503_is_followed_by_the_next_address(world, aim):
    world.c.reply = Reply(provisional=(), final=503)
    aim(world.c.address, world.b.address)
    world.talk()
    assert len(world.c.invites) == 1
    world.a.hang_up()
    world.assert_clean()


def test_an_address_of_an_unsupported_transport_is_skipped(world, aim):
    world.c.reply = Reply(provisional=(), final=503)
    aim(world.c.address, ELSEWHERE, world.b.address)
    world.talk()
    world.a.hang_up()
    world.assert_clean()


def test_a_busy_target_is_not_tried_at_its_other_addresses(world, aim):
    world.c.reply = Reply(provisional=(), final=486)
    aim(world.c.address, world.b.address)
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 486
    assert world.b.invites == []
    world.assert_clean()


def test_a_target_that_fails_at_every_address_gives_the_caller_480(world, aim):
    world.c.reply = Reply(provisional=(), final=503)
    aim(world.c.address, NOBODY)
    world.a.call()
    world.net.run(40)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_the_next_address_may_be_of_the_other_ip_family(world, aim):
    world.both_families()
    world.d.reply = Reply(provisional=(), final=503)
    aim(world.d.address, world.b.address)
    world.talk()
    assert world.call.legs["call0/b1"].media.local.host == "192.0.2.1"
    assert b"c=IN IP4 192.0.2.1" in world.b.invites[-1].request.body
    world.a.hang_up()
    world.assert_clean()


def test_a_target_fails_if_no_ports_are_free_for_its_next_address(world, aim):
    world.both_families()
    world.c.reply = Reply(provisional=(), final=503)
    aim(world.c.address, world.d.address)
    opened = world.switch.plane.open

    def open_(leg_id, *, ipv6, urgent):
        if ipv6:
            raise NoPortsError("full")
        return opened(leg_id, ipv6=ipv6, urgent=urgent)

    world.switch.plane.open = open_
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 500
    world.assert_clean()


def test_a_challenge_that_we_have_no_credentials_for_gives_the_caller_502(world):
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n"')
    world.b.reply = Reply(final=401, headers=(challenge,))
    world.a.call()
    assert world.a.statuses[-1] == 502
    assert world.a.responses[-1].headers.get("WWW-Authenticate") is None


def test_a_targets_challenge_is_answered_and_hidden_from_the_caller(world):
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


def test_an_answer_without_sdp_ends_the_leg_and_gives_the_caller_502(world):
    world.b.reply = Reply(body=b"")
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 502
    assert world.b.methods == ["BYE"]
    world.assert_clean()


def test_a_200_without_sdp_after_early_media_uses_the_early_answer(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None)
    world.a.call()
    world.b.answer(reply=Reply(provisional=(), body=b""))
    world.net.flush()
    assert world.a.statuses[-1] == 200
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_an_answer_with_a_codec_that_was_not_offered_gives_the_caller_488(world):
    world.b.codecs = ("9 G722/8000",)
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 488
    assert world.b.methods == ["BYE"]
    world.assert_clean()


def test_a_183_with_unreadable_sdp_is_passed_on_without_a_body(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None, body=b"v=0\r\nbad")
    world.a.call()
    assert (world.a.statuses[-1], world.a.responses[-1].body) == (183, b"")


def test_a_target_of_an_unavailable_ip_family_counts_as_failed(world):
    target = world.target(world.b)
    world.switch.plan.targets = [
        type(target)(target.uri, Address("2001:db8::1", 5060)),
        world.target(world.c),
    ]
    world.talk()
    assert world.switch.plane.joins
    world.a.hang_up()
    world.switch.plan.targets = world.switch.plan.targets[:1]
    world.a.call()
    assert world.a.statuses[-1] == 500
    world.assert_clean()


@pytest.fixture
def later(world):
    """Let phone b ring first, and phone c after 20 seconds."""
    world.switch.plan.targets = [world.target(world.b)]
    world.switch.plan.later = LaterTargets((world.target(world.c),), 20.0)


def test_later_targets_ring_when_the_first_targets_do_not_answer_in_time(world, later):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.net.run(15)
    assert world.c.invites == []
    world.net.run(10)
    assert [[t.name for t in e.targets] for e in world.switch.of(MoreTargetsRung)] == [["30"]]
    assert world.call.joined is not None
    assert world.call.legs[world.call.joined[1]].target == world.target(world.c)
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("status", [404, 480, 486])
def test_later_targets_ring_at_once_when_all_first_targets_have_failed(world, later, status):
    world.b.reply = Reply(final=status)
    world.talk()
    assert len(world.c.invites) == 1
    world.a.hang_up()
    world.assert_clean()


def test_later_targets_do_not_ring_after_a_first_target_has_answered(world, later):
    world.talk()
    world.net.run(60)
    assert world.c.invites == []
    world.a.hang_up()
    world.assert_clean()


def test_later_targets_do_not_ring_after_a_phone_has_declined_for_all(world, later):
    world.b.reply = Reply(final=603)
    world.a.call()
    world.net.run(60)
    assert (world.a.statuses[-1], world.c.invites) == (603, [])
    world.assert_clean()


def test_later_targets_ring_before_a_short_ring_time_of_the_caller_ends(world, later):
    world.b.reply = world.c.reply = Reply(final=None)
    world.a.call(headers=(("Expires", "10"),))
    world.net.run(6)
    assert len(world.c.invites) == 1
    world.net.run(10)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_the_caller_gets_the_first_failure_if_no_ports_are_free_for_later_targets(world, later):
    world.b.reply = Reply(final=486)
    world.switch.plan.later = LaterTargets((world.target(world.c),) * 2, 20.0)
    world.switch.plane.room = 2
    world.a.call()
    world.net.run(1)
    assert (world.a.statuses[-1], world.c.invites) == (486, [])
    world.assert_clean()
