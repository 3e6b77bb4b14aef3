"""A target that may be at several addresses (RFC 3263 4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
