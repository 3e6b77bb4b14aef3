"""Datagrams, connections and messages that the source filter refuses go no further.

Covers `telephony/aio/connections.py` and `telephony/aio/connection.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from helpers.core_counts import counts
from helpers.sip_messages import response_of
from net.tls import Tls, server_context
from telephony.aio import turns
from telephony.aio.connection import ConnectionLimits, EndReason
from telephony.aio.connections import AcceptAll, FilterVerdict
from telephony.sip.events import Address, PeerLost, StandaloneRequest

TCP = Address("127.0.0.1", 0, "TCP")


def options(transport="UDP", number=1):
    return (
        f"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:5060;branch=z9hG4bK{number};rport\r\n"
        f"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: {number}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class FixedFilter(AcceptAll):
    """A filter with fixed answers; it records the sources that are reported as malformed."""

    def __init__(self, *, verdict=FilterVerdict.ACCEPTED, connections=True, privileged=False):
        self.verdict, self.connections, self.privileged = verdict, connections, privileged
        self.bad = []
        self.asked = asyncio.Event()

    def judge_message(self, data, source, now):
        self.asked.set()
        return self.verdict

    def accepts_connection(self, source, now):
        self.asked.set()
        return self.connections

    def is_privileged(self, source, now):
        return self.privileged

    def on_malformed(self, source, now):
        self.bad.append(source.host)
        self.asked.set()


@pytest.fixture
def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield lambda agent, data: made.sendto(data, agent.address[:2])


@pytest.fixture
def tls(authority):
    certificate, key = authority.issue("bob", "127.0.0.1")
    return Tls(server_context(certificate, key))


async def asked(source_filter):
    async with asyncio.timeout(60):
        await source_filter.asked.wait()
    await asyncio.sleep(0)


async def ended(connection):
    """Return True when the other side has closed the connection."""
    reader, writer = connection
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()
    return True


async def test_a_refused_datagram_makes_no_event(agents, send):
    source_filter = FixedFilter(verdict=FilterVerdict.DROPPED)
    bob = await agents(source_filter=source_filter)
    send(bob, options())
    await asked(source_filter)
    assert bob.queue.empty()


async def test_an_accepted_datagram_is_served(agents, send):
    bob = await agents(source_filter=FixedFilter())
    send(bob, options())
    assert (await bob.wait(StandaloneRequest)).request.method == "OPTIONS"


async def test_a_datagram_that_is_not_sip_is_reported_as_malformed(agents, send):
    source_filter = FixedFilter()
    bob = await agents(source_filter=source_filter)
    send(bob, b"\xff" * 100)
    async with asyncio.timeout(60):
        while not source_filter.bad:
            source_filter.asked.clear()
            await source_filter.asked.wait()
    assert source_filter.bad == ["127.0.0.1"]


async def test_a_refused_connection_is_closed_at_once(agents):
    bob = await agents(TCP, source_filter=FixedFilter(connections=False))
    assert await ended(await asyncio.open_connection(*bob.address[:2]))
    assert bob.transport.connections.refused == 1
    assert not bob.transport.connections.accepted_by_host


async def test_a_connection_whose_message_is_refused_is_closed(agents):
    bob = await agents(TCP, source_filter=FixedFilter(verdict=FilterVerdict.DROPPED))
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    writer.write(options("TCP"))
    assert await ended((reader, writer))
    assert bob.transport.connections.endings[EndReason.BARRED] == 1
    assert isinstance(await bob.wait(PeerLost), PeerLost)
    assert bob.queue.empty()


@pytest.mark.parametrize("number", [1, 2])
async def test_a_request_above_the_limit_gets_503_and_its_connection_stays_open(agents, number):
    source_filter = FixedFilter(verdict=FilterVerdict.TOO_MANY)
    bob = await agents(TCP, source_filter=source_filter)
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    acknowledgement = options("TCP").replace(b"OPTIONS", b"ACK")
    writer.write((acknowledgement + options("TCP")) * number)
    for _ in range(number):
        answer = response_of(await reader.readuntil(b"\r\n\r\n"))
        assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
        assert answer.cseq.method == "OPTIONS"
    source_filter.verdict = FilterVerdict.ACCEPTED
    writer.write(options("TCP", 2))
    await bob.wait(StandaloneRequest)
    assert bob.transport.endpoint.dropped["too many"] == 2 * number
    writer.close()


async def test_a_datagram_above_the_limit_gets_no_response(agents, send):
    source_filter = FixedFilter(verdict=FilterVerdict.TOO_MANY)
    bob = await agents(source_filter=source_filter)
    send(bob, options())
    await asked(source_filter)
    assert bob.transport.endpoint.dropped == {}
    assert counts(bob.transport.endpoint).server_transactions == 0


async def test_datagrams_outside_calls_are_dropped_after_they_used_too_much_time(agents, send):
    source_filter = FixedFilter()
    bob = await agents(source_filter=source_filter)
    bob.transport.datagram_share.spend(1.0)
    send(bob, options())
    await asked(source_filter)
    assert (bob.transport.shed, bob.queue.empty()) == (1, True)
    source_filter.verdict = FilterVerdict.IN_CALL
    send(bob, options())
    await bob.wait(StandaloneRequest)
    assert bob.transport.shed == 1


def invite(number=1):
    return options(number=number).replace(b"OPTIONS", b"INVITE")


async def test_an_invite_that_was_dropped_twice_is_refused_if_its_source_is_known(agents):
    source_filter = FixedFilter(privileged=True)
    bob = await agents(source_filter=source_filter)
    bob.transport.datagram_share.spend(100.0)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trunk:
        trunk.setblocking(False)
        trunk.bind(("127.0.0.1", 0))
        for data in (invite(1), invite(2), options(), invite(1), options(), options(), invite(1)):
            trunk.sendto(data, bob.address[:2])
        async with asyncio.timeout(60):
            response = await loop.sock_recv(trunk, 65_535)
        assert response_of(response).status == 503
        assert b"branch=z9hG4bK1;" in response
        with pytest.raises(BlockingIOError):
            trunk.recv(65_535)
    assert bob.transport.shed == 7
    assert bob.queue.empty()


async def test_an_invite_of_a_stranger_is_dropped_however_often_it_is_repeated(agents, send):
    source_filter = FixedFilter()
    bob = await agents(source_filter=source_filter)
    bob.transport.datagram_share.spend(100.0)
    for _ in range(5):
        source_filter.asked.clear()
        send(bob, invite())
        await asked(source_filter)
    assert (bob.transport.shed, bob.transport.endpoint.dropped) == (5, {})


async def test_only_datagrams_outside_calls_are_dropped_when_too_many_wait(agents, monkeypatch):
    source_filter = FixedFilter()
    bob = await agents(source_filter=source_filter)
    monkeypatch.setattr(turns, "TURN_S", 0.0)  # each datagram waits for ever
    trunk = Address("127.0.0.1", 9)
    for number in range(2010):
        bob.transport.received(options(number=number), trunk, bob.address, 0.0)
    assert (len(bob.transport._turns), bob.transport.shed) == (2000, 10)
    source_filter.verdict = FilterVerdict.IN_CALL
    bob.transport.received(options(number=2010), trunk, bob.address, 0.0)
    assert (len(bob.transport._turns), bob.transport.shed) == (2001, 10)


async def test_a_datagram_of_a_call_overtakes_datagrams_outside_calls_that_wait(
    agents, monkeypatch
):
    source_filter = FixedFilter()
    bob = await agents(source_filter=source_filter)
    trunk = Address("127.0.0.1", 9)
    handled, all_handled = [], asyncio.Event()

    def handle(data, *_):
        handled.append(data)
        if len(handled) == 4:
            all_handled.set()

    monkeypatch.setattr(bob.transport, "_handle", handle)
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    for number in range(3):
        bob.transport.received(options(number=number), trunk, bob.address, 0.0)
    source_filter.verdict = FilterVerdict.IN_CALL
    bob.transport.received(options(number=3), trunk, bob.address, 0.0)
    monkeypatch.setattr(turns, "TURN_S", 1.0)
    async with asyncio.timeout(60):
        await all_handled.wait()
    assert handled == [options(number=number) for number in (3, 0, 1, 2)]


async def test_the_list_of_dropped_invites_is_bounded(agents):
    bob = await agents(source_filter=FixedFilter(privileged=True))
    bob.transport.datagram_share.spend(1000.0)
    for number in range(5000):
        bob.transport.received(invite(number), Address("127.0.0.1", 9), bob.address, 0.0)
        await asyncio.sleep(0)
    assert len(bob.transport._dropped) == 4096


async def test_a_stream_without_framing_is_reported_as_malformed(agents):
    source_filter = FixedFilter()
    bob = await agents(TCP, source_filter=source_filter, limits=ConnectionLimits(linger_s=0.01))
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await ended((reader, writer))
    assert source_filter.bad == ["127.0.0.1"]


async def test_a_handshake_that_takes_too_long_is_reported_as_malformed(agents, tls):
    source_filter = FixedFilter()
    there = Address("127.0.0.1", 0, "TLS")
    bob = await agents(
        there, tls=tls, source_filter=source_filter, limits=ConnectionLimits(connect_s=0.05)
    )
    assert await ended(await asyncio.open_connection(*bob.address[:2]))
    assert source_filter.bad == ["127.0.0.1"]


async def test_a_peer_that_connects_and_closes_is_not_reported(agents, tls, until):
    source_filter = FixedFilter()
    there = Address("127.0.0.1", 0, "TLS")
    bob = await agents(there, tls=tls, source_filter=source_filter)
    _, writer = await asyncio.open_connection(*bob.address[:2])
    writer.close()
    await until(lambda: bob.transport.connections.endings)
    assert source_filter.bad == []


@pytest.mark.parametrize(("privileged", "standing"), [(True, 2), (False, 1)])
async def test_only_a_privileged_source_connects_above_the_total_limit(
    agents, privileged, standing
):
    source_filter = FixedFilter()
    bob = await agents(TCP, source_filter=source_filter, limits=ConnectionLimits(connections=1))
    first = await asyncio.open_connection(*bob.address[:2])
    first[1].write(options("TCP"))
    await bob.wait(StandaloneRequest)
    source_filter.privileged = privileged
    second = await asyncio.open_connection(*bob.address[:2])
    with contextlib.suppress(ConnectionError):
        second[1].write(options("TCP", 2))
    if privileged:
        await bob.wait(StandaloneRequest)
    else:
        await ended(second)
    assert bob.transport.connections.accepted_by_host.total() == standing
    for _, writer in (first, second):
        writer.close()
