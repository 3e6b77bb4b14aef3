"""IPv4 on one leg, IPv6 on the other: signalling and media.

Covers `telephony/b2bua/setup.py`.
"""

from __future__ import annotations

from helpers.b2bua.phone import sdp


def hosts(world):
    """What the two legs of the call were told of our media."""
    return [leg.media.local.host for leg in world.call.legs.values()]


def test_a_caller_by_ipv4_reaches_a_phone_by_ipv6(world):
    world.both_families()
    world.switch.plan.targets = [world.target(world.d)]
    world.talk()
    assert hosts(world) == ["192.0.2.1", "2001:db8::1"]
    offer = world.d.invites[-1].request
    assert b"c=IN IP6 2001:db8::1" in offer.body
    assert offer.via.host == "2001:db8::1"
    assert offer.headers.get("Contact").endswith("@[2001:db8::1]:5060>")
    world.a.hang_up()
    world.net.run(1)
    world.assert_clean()


def test_a_caller_by_ipv6_reaches_a_phone_by_ipv4(world):
    world.both_families()
    world.d.call()
    world.net.run(1)
    assert world.call.joined is not None
    assert hosts(world) == ["2001:db8::1", "192.0.2.1"]
    world.d.hang_up()
    world.net.run(1)
    world.assert_clean()


def test_the_offer_decides_before_the_way_it_came_by(world):
    world.both_families()
    world.a.call(body=sdp("2001:db8::10"))
    world.net.run(1)
    assert hosts(world)[0] == "2001:db8::1"
    world.a.hang_up()
    world.net.run(1)
    world.assert_clean()


def test_ipv6_media_is_refused_where_we_have_none(world):
    world.a.call(body=sdp("2001:db8::10"))
    world.net.run(1)
    assert world.a.statuses[-1] == 488
    world.assert_clean()
