"""SIP over real TCP connections on loopback.

Covers `telephony/aio/connection.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from helpers.loopback import free_port
from helpers.sip_messages import request_of, response_of
from telephony.aio.connection import ConnectionLimits, EndReason
from telephony.aio.turns import SHARE
from telephony.sip.events import (
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    OutgoingMessage,
    StandaloneRequest,
    StandaloneResponse,
)
from telephony.sip.message.messages import parse_message, respond

TCP = Address("127.0.0.1", 0, "TCP")
TCP6 = Address("::1", 0, "TCP")


def over_tcp(bound):
    """Return the TCP address of a bound socket."""
    host, port = bound.getsockname()
    return Address(host, port, "TCP")


def options(number=1, *, host="127.0.0.1", port=5060, body=b"", more=""):
    return (
        f"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/TCP {host}:{port};branch=z9hG4bK{number}\r\n"
        f"From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: {number}\r\n"
        f"CSeq: {number} OPTIONS\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Raw:
    """A peer that reads and writes raw bytes on a connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def answer(self):
        async with asyncio.timeout(60):
            return parse_message(await self.reader.readuntil(b"\r\n\r\n"))

    async def rest(self):
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""


@pytest.fixture
async def connect():
    made = []

    async def open_(address, **options):
        raw = Raw(*await asyncio.open_connection(*address[:2], **options))
        made.append(raw)
        return raw

    yield open_
    for raw in made:
        raw.writer.close()
        with contextlib.suppress(OSError):
            await raw.writer.wait_closed()


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - no event announces an arbitrary condition
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("local", [TCP, TCP6])
async def test_a_call_runs_over_one_connection(agents, local):
    alice, bob = await agents(local), await agents(local)
    bob.answer = True
    client = alice.invite(bob.address)
    answered = await alice.wait(InviteAnswered)
    answered.dialog.ack(client, now=alice.now)
    alice.transport.flush()
    await bob.wait(AckReceived)
    alice.request(answered.dialog, "BYE")
    await alice.wait(DialogEnded)
    assert alice.transport.endpoint.dropped == bob.transport.endpoint.dropped == {}
    assert len(bob.transport.connections.all()) == 1


async def test_the_called_party_uses_the_callers_connection(agents):
    alice, bob = await agents(TCP), await agents(TCP)
    bob.answer = True
    client = alice.invite(bob.address)
    answered = await alice.wait(InviteAnswered)
    answered.dialog.ack(client, now=alice.now)
    alice.transport.flush()
    dialog = (await bob.wait(AckReceived)).dialog
    bob.request(dialog, "INFO")
    event = await alice.wait(DialogRequest)
    assert event.transaction.source == bob.address
    assert len(alice.transport.connections.all()) == 1


async def test_a_connection_lost_during_a_call_is_opened_again_to_the_contact(agents):
    alice, bob = await agents(TCP), await agents(TCP)
    alice.answer = bob.answer = True
    client = alice.invite(bob.address)
    answered = await alice.wait(InviteAnswered)
    answered.dialog.ack(client, now=alice.now)
    alice.transport.flush()
    dialog = (await bob.wait(AckReceived)).dialog
    for agent in (bob, alice):
        for connection in agent.transport.connections.all():
            connection.abort(EndReason.US)
    await until(
        lambda: not bob.transport.connections.all() and not alice.transport.connections.all()
    )
    bob.request(dialog, "INFO")
    assert (await alice.wait(DialogRequest)).transaction.source.flow
    alice.request(answered.dialog, "BYE")
    await bob.wait(DialogEnded)


async def test_a_response_whose_connection_is_closed_goes_to_the_sent_by_address(agents):
    alice, bob = await agents(TCP), await agents(TCP)
    alice.invite(bob.address)
    invite = (await bob.wait(IncomingInvite)).invite
    invite.respond(180, now=bob.now)
    bob.transport.flush()
    await until(lambda: not alice.queue.empty())
    for connection in bob.transport.connections.all():
        connection.abort(EndReason.US)
    await until(
        lambda: not bob.transport.connections.all() and not alice.transport.connections.all()
    )
    invite.respond(200, now=bob.now)
    bob.transport.flush()
    await alice.wait(InviteAnswered)


async def test_a_message_that_arrives_byte_by_byte_is_answered(agents, connect):
    bob = await agents(TCP)
    bob.answer = True
    raw = await connect(bob.address)
    for byte in options(body=b"hello", more="Content-Type: text/plain\r\n"):
        raw.writer.write(bytes([byte]))
        await raw.writer.drain()
    assert (await raw.answer()).status == 200
    assert (await bob.wait(StandaloneRequest)).request.body == b"hello"


async def test_many_messages_in_one_segment_are_all_answered(agents, connect):
    bob = await agents(TCP)
    bob.answer = True
    raw = await connect(bob.address)
    raw.writer.write(b"".join(options(number) for number in range(1, 6)))
    assert [(await raw.answer()).cseq.number for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_a_keep_alive_ping_is_answered_with_a_pong(agents, connect):
    bob = await agents(TCP)
    raw = await connect(bob.address)
    raw.writer.write(b"\r\n\r\n")
    async with asyncio.timeout(60):
        assert await raw.reader.readexactly(2) == b"\r\n"


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (options().replace(b"Content-Length: 0\r\n", b""), 400, "no Content-Length on a stream"),
        (options().replace(b"Length: 0", b"Length: 999999"), 413, "body too long"),
        (b"\x16\x03\x01\x00\xff", None, "garbage"),
        (b"GET / HTTP/1.0\r\n", None, "garbage"),
    ],
)
async def test_a_connection_with_unframeable_data_is_closed_after_an_error_response(
    agents, connect, data, status, why
):
    bob = await agents(TCP, limits=ConnectionLimits(linger_s=0.05))
    raw = await connect(bob.address)
    raw.writer.write(data)
    rest = await raw.rest()
    assert (response_of(rest).status if rest else None) == status
    assert bob.transport.endpoint.dropped[why] == 1
    await until(
        lambda: (
            bob.transport.connections.endings[EndReason.BROKEN]
            + bob.transport.connections.endings[EndReason.PEER]
            == 1
        )
    )


async def test_a_request_over_a_refused_connection_fails_at_once_with_503(agents):
    alice = await agents(TCP)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        alice.invite(over_tcp(closed))
        failed = await alice.wait(InviteFailed)
    assert failed.status == 503
    assert not alice.transport.connections.all()


async def test_a_request_to_a_peer_that_accepts_no_connection_fails_after_the_time_limit(agents):
    alice = await agents(TCP, limits=ConnectionLimits(connect_s=0.05))
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = over_tcp(full)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        alice.options(address)
        assert (await alice.wait(StandaloneResponse)).status == 503
        for filler in fillers:
            filler.close()


async def test_a_request_lost_with_its_connection_is_sent_again_over_a_new_connection(agents):
    heard = []

    async def hang_up_once(reader, writer):
        heard.append(request_of(await reader.readuntil(b"\r\n\r\n")))
        if len(heard) == 2:
            writer.write(bytes(respond(heard[1], 200, to_tag="bob")))
            await writer.drain()
        writer.close()

    alice = await agents(TCP)
    async with await asyncio.start_server(hang_up_once, "127.0.0.1", 0) as server:
        alice.options(over_tcp(server.sockets[0]))
        assert (await alice.wait(StandaloneResponse)).status == 200
    first, second = heard
    assert first.via == second.via


async def test_a_request_over_a_connection_that_we_closed_fails_and_is_not_repeated(agents):
    came, gone = [], []

    async def say_nothing(reader, writer):
        came.append(await reader.readuntil(b"\r\n\r\n"))
        if len(came) == 1:
            await reader.read()
        writer.close()
        gone.append(writer)

    alice = await agents(TCP)
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        there = over_tcp(server.sockets[0])
        alice.options(there)
        await until(lambda: came)
        alice.transport.connections.disconnect(there)
        assert (await alice.wait(StandaloneResponse)).status == 503
        await until(lambda: gone)
    assert len(came) == 1


async def test_a_request_to_a_closed_incoming_connection_fails_with_503(agents, connect):
    bob = await agents(TCP)
    raw = await connect(bob.address)
    raw.writer.write(options())
    source = (await bob.wait(StandaloneRequest)).source
    assert bob.transport.is_open(source)
    raw.writer.close()
    await until(lambda: not bob.transport.is_open(source))
    bob.options(source)
    assert (await bob.wait(StandaloneResponse)).status == 503


async def test_a_peer_that_does_not_read_is_disconnected_at_the_write_limit(agents, connect):
    bob = await agents(TCP, limits=ConnectionLimits(unwritten=20_000))
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(bob.address[:2])
    deaf.send(options())
    source = (await bob.wait(StandaloneRequest)).source
    connections = bob.transport.connections
    connection = only_connection(bob)
    for _ in range(2000):
        connections.send(OutgoingMessage(b"x" * 8000, source, bob.address))
        assert connection._transport.get_write_buffer_size() <= 20_000
        await asyncio.sleep(0)
        if not connection.usable:
            break
    await until(lambda: connections.endings[EndReason.SLOW] == 1)
    assert not bob.transport.is_open(source)
    deaf.close()


async def test_connections_above_the_limit_per_source_are_refused(agents, connect):
    bob = await agents(TCP, limits=ConnectionLimits(per_source=2))
    bob.answer = True
    first, second = await connect(bob.address), await connect(bob.address)
    for raw in (first, second):
        raw.writer.write(options())
        assert await raw.answer()
    third = await connect(bob.address)
    assert await third.rest() == b""
    assert bob.transport.connections.refused == 1
    first.writer.close()
    await until(lambda: bob.transport.connections.accepted_by_host["127.0.0.1"] == 1)
    fourth = await connect(bob.address)
    fourth.writer.write(options(4))
    assert (await fourth.answer()).status == 200


async def test_a_connection_that_never_sends_a_message_is_closed_at_the_time_limit(agents, connect):
    bob = await agents(TCP)
    bob.answer = True
    good, idle = await connect(bob.address), await connect(bob.address)
    good.writer.write(options())
    assert await good.answer()
    await until(lambda: len(bob.transport.connections.all()) == 2)
    for connection in bob.transport.connections.all():
        connection.check_timers(bob.now + 31)
    assert await idle.rest() == b""
    good.writer.write(options(2))
    assert await good.answer()
    assert bob.transport.connections.endings[EndReason.SILENT] == 1


async def test_a_connection_with_an_unfinished_message_is_closed_at_the_time_limit(agents, connect):
    bob = await agents(TCP)
    bob.answer = True
    raw = await connect(bob.address)
    raw.writer.write(options() + b"OPTIONS sip:")
    assert await raw.answer()
    connection = only_connection(bob)
    await until(lambda: not bob.transport.connections.turns.is_waiting(connection))
    connection.check_timers(bob.now + 31)
    assert await raw.rest() == b""


async def test_a_connection_that_we_opened_is_pinged_and_closed_without_a_pong(agents):
    alice, bob = await agents(TCP), await agents(TCP)
    bob.answer = True
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    connection = only_connection(alice)
    await until(lambda: not alice.transport.connections.turns.is_waiting(connection))
    connection.check_timers(alice.now + 111)
    await until(lambda: connection._ponged)
    connection.check_timers(alice.now + 111 + 111)
    assert connection.usable
    connection._framer.next_unit = lambda: None
    connection.check_timers(alice.now + 1000)
    assert not connection.usable


@pytest.mark.parametrize("speaks_tcp", [True, False])
async def test_a_long_request_uses_tcp_and_falls_back_to_udp_if_tcp_is_refused(agents, speaks_tcp):
    patient = ConnectionLimits(connect_s=60.0)  # a refusal is reported at once
    alice, bob = await agents(limits=patient), await agents(TCP._replace(port=free_port()))
    await alice.transport.listen(TCP)
    bob.address = bob.address._replace(transport="UDP")
    if not speaks_tcp:
        bob.transport.close()
    await bob.transport.listen(bob.address)
    bob.answer = True
    alice.options(bob.address, headers=[("Subject", "x" * 1400)])
    request = (await bob.wait(StandaloneRequest)).request
    assert request.via.transport == ("TCP" if speaks_tcp else "UDP")
    assert (await alice.wait(StandaloneResponse)).status == 200


async def test_the_kernel_sends_three_probes_before_it_ends_an_idle_connection(agents):
    alice, bob = await agents(TCP), await agents(TCP)
    bob.answer = True
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    for agent in (alice, bob):
        (connection,) = agent.transport.connections.all()
        made = connection._transport.get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, between, limit_ms = (
            made.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
        )
        assert limit_ms == 30_000
        assert idle + 2 * between < limit_ms / 1000  # Linux ends it at the limit, after any probe


def only_connection(agent):
    (connection,) = agent.transport.connections.all()
    return connection


def let_rest(agent, seconds):
    """Let no connection of an agent have a turn for some time."""
    share = agent.transport.connections.turns._work_share
    share.spend(seconds * SHARE)


async def test_messages_that_wait_for_their_turn_are_all_answered_in_order(agents, connect):
    bob = await agents(TCP)
    bob.answer = True
    raw = await connect(bob.address)
    raw.writer.write(options())
    assert await raw.answer()
    connection = only_connection(bob)
    await until(lambda: not bob.transport.connections.turns.is_waiting(connection))
    let_rest(bob, 2.0)
    numbers = range(2, 200)
    for number in numbers:
        raw.writer.write(options(number))
    await until(lambda: connection._framer.buffered)
    assert not connection._transport.is_reading()
    assert [(await raw.answer()).cseq.number for _ in numbers] == list(numbers)
    await until(connection._transport.is_reading)


async def test_messages_that_wait_are_handled_although_the_connection_is_lost(agents, connect):
    bob = await agents(TCP)
    raw = await connect(bob.address)
    raw.writer.write(options())
    await bob.wait(StandaloneRequest)
    connection = only_connection(bob)
    await until(lambda: not bob.transport.connections.turns.is_waiting(connection))
    let_rest(bob, 2.0)
    raw.writer.write(options(2) + options(3))
    await until(lambda: connection._framer.buffered)
    assert bob.transport.connections.turns.is_waiting(connection)
    connection._transport.abort()
    assert [(await bob.wait(StandaloneRequest)).request.cseq.number for _ in "23"] == [2, 3]
    await until(lambda: bob.transport.connections.endings[EndReason.PEER] == 1)
    assert not bob.transport.connections.all()


async def test_a_message_that_waited_in_a_held_connection_has_the_time_of_its_arrival(
    agents, connect
):
    bob, arrivals = await agents(TCP), []
    bob.transport.on_event = lambda event: arrivals.append(bob.transport.arrived)
    raw = await connect(bob.address)
    raw.writer.write(options())
    await until(lambda: arrivals)
    connection = only_connection(bob)
    connection.hold()
    sent = bob.now
    for number in (2, 3):
        raw.writer.write(options(number))
        for _ in range(3):
            await asyncio.sleep(0.05)
            bob.transport.check_idle()
    connection.resume()
    await until(lambda: len(arrivals) == 3)
    assert arrivals[1] <= sent + 0.03


async def test_a_connection_that_waits_for_its_turn_is_not_closed_as_silent(agents, connect):
    bob = await agents(TCP)
    raw = await connect(bob.address)
    let_rest(bob, 2.0)
    raw.writer.write(options() + options(2)[:20])
    turns = bob.transport.connections.turns
    await until(lambda: bob.transport.connections.all() and turns.is_waiting(only_connection(bob)))
    connection = only_connection(bob)
    connection.check_timers(bob.now + 31)
    assert connection.usable
    await bob.wait(StandaloneRequest)
    await until(lambda: not turns.is_waiting(connection))
    connection.check_timers(bob.now + 31)
    assert not connection.usable


async def test_a_connection_on_which_messages_arrive_is_not_closed_for_a_partial_message(
    agents, connect
):
    bob = await agents(TCP)
    raw = await connect(bob.address)
    raw.writer.write(options() + options(2)[:20])
    await bob.wait(StandaloneRequest)
    connection = only_connection(bob)
    await until(lambda: connection._partial_since is not None)
    connection._partial_since -= 60
    raw.writer.write(options(2)[20:] + options(3)[:20])
    await bob.wait(StandaloneRequest)
    connection.check_timers(bob.now)
    assert connection.usable
