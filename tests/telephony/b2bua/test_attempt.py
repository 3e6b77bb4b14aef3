"""A target that may be at several addresses (RFC 3263 4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from telephony.errors import NoPortsError
from telephony.sip.events import Address

NOBODY = Address("192.0.2.99", 5060)
ELSEWHERE = Address("192.0.2.98", 5060, "TCP")


@pytest.fixture
def aim(world):
    """Let the one target be at these addresses, in this order."""

    def aim(*addresses):
        first, *others = addresses
        target = replace(world.target(world.b), destination=first, others=tuple(others))
        world.switch.plan.targets = [target]

    return aim


def test_who_is_not_there_is_followed_by_the_next(world, aim):
    aim(NOBODY, world.b.address)
    world.a.call()
    world.net.run(40)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_who_cannot_be_reached_is_followed_at_once(world, aim):
    aim(NOBODY, world.b.address)
    world.a.call()
    world.switch.endpoint.unreachable(NOBODY, world.clock.now)
    world.switch.work()
    world.net.flush()
    world.net.run(1)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_who_has_too_much_to_do_is_followed_by_the_next(world, aim, reply):
    world.c.reply = reply(provisional=(), final=503)
    aim(world.c.address, world.b.address)
    world.talk()
    assert len(world.c.invites) == 1
    world.a.hang_up()
    world.assert_clean()


def test_an_address_that_we_cannot_send_to_is_passed_over(world, aim, reply):
    world.c.reply = reply(provisional=(), final=503)
    aim(world.c.address, ELSEWHERE, world.b.address)
    world.talk()
    world.a.hang_up()
    world.assert_clean()


def test_who_is_busy_is_not_looked_for_elsewhere(world, aim, reply):
    world.c.reply = reply(provisional=(), final=486)
    aim(world.c.address, world.b.address)
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 486
    assert world.b.invites == []
    world.assert_clean()


def test_when_nobody_is_anywhere_the_call_has_failed(world, aim, reply):
    world.c.reply = reply(provisional=(), final=503)
    aim(world.c.address, NOBODY)
    world.a.call()
    world.net.run(40)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_the_next_address_may_be_of_the_other_family(world, aim, reply):
    world.both_families()
    world.d.reply = reply(provisional=(), final=503)
    aim(world.d.address, world.b.address)
    world.talk()
    assert world.call.legs["call0/b1"].media.local.host == "192.0.2.1"
    assert b"c=IN IP4 192.0.2.1" in world.b.invites[-1].request.body
    world.a.hang_up()
    world.assert_clean()


def test_without_ports_for_the_next_address_the_target_has_failed(world, aim, reply):
    world.both_families()
    world.c.reply = reply(provisional=(), final=503)
    aim(world.c.address, world.d.address)
    opened = world.switch.plane.open

    def open_(leg_id, *, ipv6):
        if ipv6:
            raise NoPortsError("full")
        return opened(leg_id, ipv6=ipv6)

    world.switch.plane.open = open_
    world.a.call()
    world.net.run(1)
    assert world.a.statuses[-1] == 500
    world.assert_clean()
