"""The timers of RFC 3261 (table 4) and RFC 6026, with a fake clock.

Covers `telephony/sip/transaction/client_transaction.py` and
`telephony/sip/transaction/server_transaction.py`.
"""

from __future__ import annotations

from functools import partial

import pytest

from helpers.core_counts import counts
from telephony.sip.events import (
    Address,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    OutgoingMessage,
    StandaloneRequest,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.timers import TimerQueue, Timings

TIMEOUT = Timings().timeout


def options(network, sender, receiver):
    client = sender.endpoint.request(
        "OPTIONS",
        Uri.parse("sip:bob@192.0.2.2"),
        from_=NameAddr.parse("<sip:alice@example.com>"),
        to=NameAddr.parse("<sip:bob@example.com>"),
        destination=receiver.address,
        now=network.now,
    )
    network.flush()
    return client


def since(network, start: str, begin: float) -> list[float]:
    return [when - begin for when in network.sent(start)]


def test_timer_a_doubles_until_timer_b_gives_up_after_64_t1(network, alice, bob):
    network.loss, begin = 1.0, network.now
    alice.call(bob)
    network.run(100)
    assert since(network, "INVITE", begin) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    failed = alice.last(InviteFailed)
    assert (failed.status, failed.response) == (408, None)
    assert counts(alice.endpoint).timers == 0


def test_timer_b_does_not_end_a_ringing_call(network, alice, bob):
    alice.call(bob)
    network.run(3600)
    assert alice.seen(InviteFailed) == []
    assert len(network.sent("INVITE")) == 1


def test_timer_d_absorbs_repeated_failures_for_64_t1(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"ACK")
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(486, now=network.now)
    network.run(TIMEOUT - 1)
    assert len(alice.seen(InviteFailed)) == 1
    assert counts(alice.endpoint).client_transactions == 1
    assert len(network.sent("ACK")) == len(network.sent("SIP/2.0 486"))
    network.run(1.1)
    assert counts(alice.endpoint).client_transactions == 0


def test_timer_e_doubles_up_to_t2_until_timer_f_gives_up(network, alice, bob):
    network.loss, begin = 1.0, network.now
    options(network, alice, bob)
    network.run(100)
    assert since(network, "OPTIONS", begin) == [
        0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5,
    ]  # fmt: skip
    response = alice.last(StandaloneResponse)
    assert (response.response, response.status) == (None, 408)


def test_timer_e_is_t2_after_a_provisional_response(network, alice, bob):
    options(network, alice, bob)
    begin = network.now
    bob.last(StandaloneRequest).transaction.respond(100, now=network.now)
    network.run(13)
    assert since(network, "OPTIONS", begin) == [0, 0.5, 4.5, 8.5, 12.5]
    assert len(network.sent("SIP/2.0 100")) == 5


def test_timers_g_and_h_repeat_a_failure_until_the_ack(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"ACK")
    alice.call(bob)
    begin = network.now
    bob.last(IncomingInvite).invite.respond(486, now=network.now)
    network.run(100)
    assert since(network, "SIP/2.0 486", begin) == [
        0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5,
    ]  # fmt: skip
    assert counts(bob.endpoint).server_transactions == 0


def test_timer_i_absorbs_acks_for_t4(network, alice, bob):
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(486, now=network.now)
    network.run(4.9)
    assert counts(bob.endpoint).server_transactions == 1
    network.run(0.2)
    assert counts(bob.endpoint).server_transactions == 0
    assert len(network.sent("SIP/2.0 486")) == 1


def test_timer_j_repeats_the_response_for_64_t1(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"SIP/2.0 200") and network.now < 1003
    options(network, alice, bob)
    bob.last(StandaloneRequest).transaction.respond(200, now=network.now)
    network.run(TIMEOUT - 0.1)
    assert len(bob.seen(StandaloneRequest)) == 1
    assert len(network.sent("SIP/2.0 200")) == 4
    assert alice.last(StandaloneResponse).status == 200
    assert counts(bob.endpoint).server_transactions == 1
    network.run(0.2)
    assert counts(bob.endpoint).server_transactions == 0


def test_timer_k_absorbs_responses_for_t4(network, alice, bob):
    options(network, alice, bob)
    bob.last(StandaloneRequest).transaction.respond(200, now=network.now)
    network.run(4.9)
    assert counts(alice.endpoint).client_transactions == 1
    network.run(0.2)
    assert counts(alice.endpoint).client_transactions == 0


def test_timers_l_and_m_keep_the_accepted_state_for_64_t1(network, call):
    network.run(TIMEOUT - 0.1)
    assert counts(call.alice.endpoint).client_transactions == 1
    assert counts(call.bob.endpoint).server_transactions == 1
    network.run(0.2)
    assert counts(call.alice.endpoint).client_transactions == 0
    assert counts(call.bob.endpoint).server_transactions == 0


def test_a_copy_of_an_answered_invite_is_not_a_second_call(network, call):
    invite = next(d for _, d in network.wire if d.data.startswith(b"INVITE"))
    before = len(network.wire)
    for _ in range(3):
        call.bob.endpoint.receive(invite.data, invite.local, invite.destination, network.now)
    network.flush()
    assert len(call.bob.seen(IncomingInvite)) == 1
    assert len(network.wire) == before


def test_a_request_that_the_application_never_answers_is_forgotten(network, alice, bob):
    options(network, alice, bob)
    network.run(TIMEOUT + 1)
    assert counts(bob.endpoint).server_transactions == 0
    assert bob.last(StandaloneRequest).transaction.respond(200, now=network.now) is None


@pytest.mark.parametrize("status", [200, 486])
def test_over_tcp_an_invite_is_not_repeated_and_a_failed_transaction_ends_at_once(network, status):
    one, two = Address("192.0.2.7", 5060, "TCP"), Address("192.0.2.8", 5060, "TCP")
    parties = [network.party(name, at) for name, at in (("one", one), ("two", two))]
    network.drop = lambda d: d.data.startswith(b"INVITE")
    parties[0].call(parties[1])
    network.run(20)
    assert len(network.sent("INVITE")) == 1
    invite: OutgoingMessage = network.wire[0][1]
    parties[1].endpoint.receive(invite.data, one, two, network.now)
    network.flush()
    parties[1].last(IncomingInvite).invite.respond(status, now=network.now)
    network.flush()
    if status == 200:
        answered = parties[0].last(InviteAnswered)
        answered.dialog.ack(answered.client, now=network.now)
    network.run(0)
    expected = 1 if status == 200 else 0
    assert counts(parties[0].endpoint).client_transactions == expected
    assert counts(parties[1].endpoint).server_transactions == expected


def test_the_queue_runs_due_timers_in_order_and_skips_cancelled_timers():
    queue, done = TimerQueue(), []

    def note(when, _now):
        done.append(when)

    timers = [queue.at(when, partial(note, when)) for when in (3.0, 1.0, 2.0)]
    timers[2].cancel()
    timers[2].cancel()
    assert queue.next() == 1.0
    queue.run(2.5)
    assert done == [1.0]
    assert len(queue) == 1
    queue.run(3.0)
    assert done == [1.0, 3.0]
    assert queue.next() is None


def test_the_queue_does_not_grow_with_cancelled_timers():
    queue = TimerQueue()
    for number in range(10_000):
        queue.at(float(number), lambda now: None).cancel()
    assert len(queue) == 0
    assert len(queue._heap) < 200
