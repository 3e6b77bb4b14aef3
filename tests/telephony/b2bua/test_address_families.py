"""IPv4 on one leg, IPv6 on the other: signalling and media.

Covers `telephony/b2bua/setup.py`.
"""

from __future__ import annotations

from helpers.b2bua.phone import sdp


def hosts(world):
    """Return our media address on each of the two legs."""
    return [leg.media.local.host for leg in world.call.legs.values()]


def test_an_ipv4_caller_reaches_an_ipv6_phone(world):
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


def test_an_ipv6_caller_reaches_an_ipv4_phone(world):
    world.both_families()
    world.d.call()
    world.net.run(1)
    assert world.call.joined is not None
    assert hosts(world) == ["2001:db8::1", "192.0.2.1"]
    world.d.hang_up()
    world.net.run(1)
    world.assert_clean()


def test_the_media_family_follows_the_offer_and_not_the_signalling(world):
    world.both_families()
    world.a.call(body=sdp("2001:db8::10"))
    world.net.run(1)
    assert hosts(world)[0] == "2001:db8::1"
    world.a.hang_up()
    world.net.run(1)
    world.assert_clean()


def test_an_ipv6_offer_gets_488_if_we_have_no_ipv6_media(world):
    world.a.call(body=sdp("2001:db8::10"))
    world.net.run(1)
    assert world.a.statuses[-1] == 488
    world.assert_clean()
