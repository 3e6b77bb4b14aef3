"""Datagrams, connections and messages that the gate of the transport refuses go no further.

Covers `telephony/aio/link.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from telephony.aio.connection import Ending, Limits
from telephony.aio.source_filter import OpenGate
from telephony.aio.tls import Tls, server_context
from telephony.sip.events import Address, PeerLost, StandaloneRequest

TCP = Address("127.0.0.1", 0, "TCP")


def options(transport="UDP", number=1):
    return (
        f"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:5060;branch=z9hG4bK{number};rport\r\n"
        f"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: {number}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Doorman(OpenGate):
    """Turns down what it is told to, and keeps what it was told."""

    def __init__(self, *, hears=True, welcomes=True, esteems=False):
        self.hears, self.welcomes, self.holds_dear = hears, welcomes, esteems
        self.bad = []
        self.asked = asyncio.Event()

    def heard(self, data, source, now):
        self.asked.set()
        return self.hears

    def welcome(self, source, now):
        self.asked.set()
        return self.welcomes

    def esteems(self, source, now):
        return self.holds_dear

    def malformed(self, source, now):
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


async def asked(gate):
    async with asyncio.timeout(10):
        await gate.asked.wait()
    await asyncio.sleep(0)


async def ended(connection):
    """True once the other side has closed."""
    reader, writer = connection
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()
    return True


async def test_a_datagram_that_is_not_heard_makes_no_event(agents, send):
    gate = Doorman(hears=False)
    bob = await agents(gate=gate)
    send(bob, options())
    await asked(gate)
    assert bob.queue.empty()


async def test_a_datagram_that_is_heard_is_served(agents, send):
    bob = await agents(gate=Doorman())
    send(bob, options())
    assert (await bob.wait(StandaloneRequest)).request.method == "OPTIONS"


async def test_the_gate_is_told_of_what_is_no_sip(agents, send):
    gate = Doorman()
    bob = await agents(gate=gate)
    send(bob, b"\xff" * 100)
    async with asyncio.timeout(10):
        while not gate.bad:
            gate.asked.clear()
            await gate.asked.wait()
    assert gate.bad == ["127.0.0.1"]


async def test_a_connection_that_is_not_welcome_is_closed_at_once(agents):
    bob = await agents(TCP, gate=Doorman(welcomes=False))
    assert await ended(await asyncio.open_connection(*bob.address[:2]))
    assert bob.transport.streams.refused == 1
    assert not bob.transport.streams._from


async def test_a_connection_whose_message_is_not_heard_is_closed(agents):
    bob = await agents(TCP, gate=Doorman(hears=False))
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    writer.write(options("TCP"))
    assert await ended((reader, writer))
    assert bob.transport.streams.endings[Ending.BARRED] == 1
    assert isinstance(await bob.wait(PeerLost), PeerLost)
    assert bob.queue.empty()


async def test_the_gate_is_told_of_a_stream_without_framing(agents):
    gate = Doorman()
    bob = await agents(TCP, gate=gate, limits=Limits(linger_s=0.01))
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await ended((reader, writer))
    assert gate.bad == ["127.0.0.1"]


async def test_the_gate_is_told_of_a_handshake_that_takes_too_long(agents, tls):
    gate = Doorman()
    there = Address("127.0.0.1", 0, "TLS")
    bob = await agents(there, tls=tls, gate=gate, limits=Limits(connect_s=0.05))
    assert await ended(await asyncio.open_connection(*bob.address[:2]))
    assert gate.bad == ["127.0.0.1"]


async def test_who_connects_and_goes_again_does_no_harm(agents, tls, until):
    gate = Doorman()
    there = Address("127.0.0.1", 0, "TLS")
    bob = await agents(there, tls=tls, gate=gate)
    _, writer = await asyncio.open_connection(*bob.address[:2])
    writer.close()
    await until(lambda: bob.transport.streams.endings)
    assert gate.bad == []


@pytest.mark.parametrize(("esteemed", "standing"), [(True, 2), (False, 1)])
async def test_there_is_room_for_those_in_esteem_where_others_fill_all(agents, esteemed, standing):
    gate = Doorman()
    bob = await agents(TCP, gate=gate, limits=Limits(connections=1))
    first = await asyncio.open_connection(*bob.address[:2])
    first[1].write(options("TCP"))
    await bob.wait(StandaloneRequest)
    gate.holds_dear = esteemed
    second = await asyncio.open_connection(*bob.address[:2])
    with contextlib.suppress(ConnectionError):
        second[1].write(options("TCP", 2))
    if esteemed:
        await bob.wait(StandaloneRequest)
    else:
        await ended(second)
    assert bob.transport.streams._from.total() == standing
    for _, writer in (first, second):
        writer.close()
