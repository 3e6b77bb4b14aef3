"""SIP over real UDP sockets on loopback.

Covers `telephony/aio/udp.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import structlog.testing

from telephony.sip.events import (
    AckReceived,
    Address,
    DialogEnded,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    MessageDropped,
    StandaloneRequest,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.timers import Timings


async def test_a_call_is_made_and_ended_over_loopback(agents):
    alice, bob = await agents(), await agents()
    bob.answer = True
    client = alice.invite(bob.address)
    answered = await alice.wait(InviteAnswered)
    answered.dialog.ack(client, now=alice.transport.now)
    alice.transport.flush()
    await bob.wait(AckReceived)
    answered.dialog.request("BYE", now=alice.transport.now)
    alice.transport.flush()
    await bob.wait(DialogEnded)
    await alice.wait(DialogEnded)


async def test_the_timers_of_the_core_run_and_end_an_unanswered_invite(agents):
    alice = await agents(timings=Timings(t1=0.002, t2=0.008, t4=0.01))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        alice.invite(Address(*deaf.getsockname()))
        failed = await alice.wait(InviteFailed)
    assert failed.status == 408
    assert alice.transport.endpoint.next_timer() is None


async def test_a_malformed_datagram_is_counted_and_reported(agents):
    bob = await agents()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\xff\xfejunk", bob.address[:2])
    await bob.wait(MessageDropped)
    assert bob.transport.endpoint.dropped["malformed"] == 1


async def test_an_exception_in_the_core_is_logged_once_without_the_message(agents, monkeypatch):
    bob = await agents()

    def broken(data, *rest):
        raise RuntimeError(data.decode())

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(bob.transport.endpoint, "receive", broken)
        for _ in range(3):
            bob.transport.received(b"07700900123", Address("192.0.2.1", 5060), bob.address, 0.0)
    assert bob.transport.faults == 3
    assert [entry["event"] for entry in logs] == ["sip.core_fault"]
    assert "07700900123" not in str(logs)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"junk", bob.address[:2])
    await bob.wait(MessageDropped)


async def test_an_exception_in_an_event_handler_does_not_stop_the_next_event(agents):
    bob = await agents()
    seen = []

    def broken(event):
        seen.append(event)
        raise RuntimeError

    bob.transport.on_event = broken
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            bob.transport.received(b"junk", Address("192.0.2.1", 5060), bob.address, 0.0)
    assert len(seen) == 2
    assert [(e["event"], e["handling"]) for e in logs] == [("sip.event_fault", "MessageDropped")]


async def test_a_message_that_cannot_be_sent_is_counted_without_an_error(agents):
    alice = await agents()
    alice.transport.close()
    alice.invite(Address("127.0.0.1", 9))
    assert alice.transport.send_errors == 1


async def test_flush_in_an_event_handler_keeps_the_order_of_events(agents):
    bob = await agents()
    seen = []

    def take(event):
        bob.transport.flush()
        seen.append(event.why)

    bob.transport.on_event = take
    bob.transport.endpoint.receive(b"junk", bob.address, bob.address, 0.0)
    bob.transport.endpoint.receive(b"junk", bob.address, Address("x", 1), 0.0)
    bob.transport.flush()
    assert seen == ["malformed", "unknown local address"]


async def test_a_response_is_sent_only_after_its_event_handler_has_returned(agents, monkeypatch):
    """The switch saves a call in its handler: after a kill, no peer has more than was saved."""
    steps = []
    bob, alice = await agents(), await agents()
    send, take = bob.transport._send_datagram, bob.take
    bob.answer = True

    def take_and_save(event):
        take(event)
        bob.transport.flush()
        steps.append("saved")

    def note(out):
        steps.append("sent")
        send(out)

    bob.transport.on_event = take_and_save
    monkeypatch.setattr(bob.transport, "_send_datagram", note)
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    assert steps == ["saved", "sent"]


async def test_on_sent_is_called_when_the_response_to_a_message_has_been_sent(agents, monkeypatch):
    steps = []
    bob = await agents(on_sent=lambda: steps.append("on_sent"))
    bob.answer = True
    send = bob.transport._send_datagram

    def note(out):
        steps.append("sent")
        send(out)

    monkeypatch.setattr(bob.transport, "_send_datagram", note)
    alice = await agents()
    alice.options(bob.address)
    await alice.wait(StandaloneResponse)
    assert steps == ["sent", "on_sent"]


async def test_an_exception_in_on_sent_is_counted_and_the_next_message_is_handled(agents):
    bob = await agents(on_sent=lambda: 1 / 0)
    bob.answer = True
    alice = await agents()
    for count in (1, 2):
        alice.options(bob.address)
        await alice.wait(StandaloneResponse)
        assert bob.transport.faults == count


@pytest.mark.parametrize("advertised", [None, Address("203.0.113.7", 0)])
async def test_a_wildcard_socket_puts_a_reachable_address_into_via(agents, advertised):
    alice, bob = await agents(), await agents()
    alice.transport.close()
    bound = await alice.transport.listen(Address("0.0.0.0", 0), advertised=advertised)
    alice.transport.endpoint.request(
        "OPTIONS",
        Uri.parse("sip:bob@127.0.0.1"),
        from_=NameAddr.parse("<sip:a@example.com>"),
        to=NameAddr.parse("<sip:b@example.com>"),
        destination=bob.address,
        local=bound,
        now=alice.transport.now,
    )
    alice.transport.flush()
    via = (await bob.wait(StandaloneRequest)).request.via
    assert via.port == bound.port
    assert via.host != "0.0.0.0"
    assert advertised is None or via.host == advertised.host


async def test_messages_that_arrive_before_the_core_is_ready_are_queued(agents):
    alice, bob = await agents(), await agents()
    bob.transport.queue_received()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"one", bob.address[:2])
        stranger.sendto(b"two", bob.address[:2])
        alice.invite(bob.address)
        await asyncio.sleep(0.1)
    assert bob.transport.endpoint.dropped.total() == 0
    bob.transport.release_received()
    await bob.wait(IncomingInvite)
    assert bob.transport.endpoint.dropped["malformed"] == 2


async def test_a_message_beyond_the_queue_limit_closes_its_connection(agents, monkeypatch):
    monkeypatch.setattr("telephony.aio.transport._MOST_QUEUED", 1)
    bob = await agents(Address("127.0.0.1", 0, "TCP"))
    bob.transport.queue_received()
    message = b"OPTIONS sip:bob@127.0.0.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n"
    reader, writer = await asyncio.open_connection(*bob.address[:2])
    writer.write(message)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 0.1)
    writer.write(message)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
