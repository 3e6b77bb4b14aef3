"""The legs of the relay: their ports, their address family, their end.

Covers `telephony/aio/relay.py`.
"""

import pytest

from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay, SourceRule
from telephony.errors import NoPortsError, ProtocolError
from telephony.sdp import LocalMedia


async def test_an_opened_leg_returns_the_advertised_address(ports):
    relay = Relay(PortPool("127.0.0.1", *ports.pair, advertise="203.0.113.9"))
    local = relay.open("x")
    assert local == LocalMedia("203.0.113.9", local.port)
    assert local.port % 2 == 0
    relay.close_all()


async def test_opening_a_leg_without_free_ports_raises_the_no_ports_error(ports):
    relay = Relay(PortPool("127.0.0.1", ports.first, ports.first + 1))
    relay.open("x")
    with pytest.raises(NoPortsError):
        relay.open("y")
    relay.close_all()


async def test_a_leg_cannot_be_opened_twice_or_joined_with_itself(relay):
    relay.open("x")
    with pytest.raises(ProtocolError):
        relay.open("x")
    with pytest.raises(ProtocolError):
        relay.join("x", "x", {}, {})


async def test_a_closed_leg_returns_its_ports_and_leaves_its_partner_open(
    pair, relay, pool, until, rtp
):
    b = pair[1]
    before = pool.free
    relay.close("a")
    relay.close("a")
    assert pool.free == before + 1
    b.send(rtp())
    await until(lambda: b.counters.withheld == 1)


async def test_media_is_forwarded_over_ipv6(rtp, phone, told, ports):
    relay = Relay(PortPool("::1", *ports.pair))
    made = type(phone("t"))
    a, b = made(relay, "a", "::1"), made(relay, "b", "::1")
    a.configure()
    b.configure()
    relay.join("a", "b", {}, {})
    a.send(rtp())
    assert await b.heard() == rtp()
    for each in (a, b):
        each.close()
    relay.close_all()


async def test_settings_for_a_closed_leg_are_ignored(ports):
    relay = Relay(PortPool("127.0.0.1", *ports.pair))
    relay.open("a")
    relay.close("a")
    relay.set_tap("a", 0, None)
    relay.set_source_rule("a", SourceRule.LATCH)
    relay.watch_events("a", None)
    with pytest.raises(KeyError):
        relay.counters("a")
    relay.close_all()


async def test_a_leg_gets_ports_of_the_ip_family_that_it_asks_for(ports):
    relay = Relay(PortPool("127.0.0.1", *ports.pair), PortPool("::1", *ports.pair))
    assert [relay.open("a", ipv6=False).host, relay.open("b", ipv6=True).host] == [
        "127.0.0.1",
        "::1",
    ]
    free = [pool.free for pool in relay._pools.values()]
    relay.close("b")
    assert [pool.free for pool in relay._pools.values()] == [free[0], free[1] + 1]
    relay.close_all()


async def test_a_leg_gets_the_only_available_ip_family(ports):
    relay = Relay(PortPool("::1", *ports.pair))
    assert relay.open("a", ipv6=False).host == "::1"
    with pytest.raises(NoPortsError):
        relay.reopen("b", LocalMedia("127.0.0.1", ports.first + 2))
    relay.close_all()
