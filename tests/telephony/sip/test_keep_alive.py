"""OPTIONS to a peer: when they are sent, and what the responses mean."""

from __future__ import annotations

import pytest

from helpers.core_counts import counts
from telephony.sip.events import Address, StandaloneRequest, StandaloneResponse
from telephony.sip.keep_alive import KeepAlive, PeerHealth

EVERY = 60.0


@pytest.fixture
def ping(alice, bob, network):
    """Alice's OPTIONS to Bob, who answers with the status that the test sets."""
    ping = KeepAlive(alice.endpoint, bob.address, EVERY)

    def at_alice(event):
        if isinstance(event, StandaloneResponse):
            assert event.transaction.owner is ping
            ping.handle(event, network.now)

    alice.react = at_alice
    return ping


@pytest.fixture
def answering(bob, network):
    """Set the status that Bob answers from now on."""

    def answering(status):
        def at_bob(event):
            if isinstance(event, StandaloneRequest):
                event.transaction.respond(status, now=network.now)

        bob.react = at_bob

    return answering


def ask(ping, network):
    ping.handle_timer(network.now)
    network.flush()


@pytest.mark.parametrize("status", [200, 302, 404, 405, 480, 486, 500, 603])
def test_a_peer_that_answers_options_with_any_status_but_408_or_503_is_alive(
    ping, answering, network, status
):
    answering(status)
    ask(ping, network)
    assert (ping.health, ping.status) == (PeerHealth.ALIVE, status)


@pytest.mark.parametrize("status", [408, 503])
def test_a_peer_that_answers_options_with_408_or_503_is_down(ping, answering, network, status):
    answering(status)
    ask(ping, network)
    assert (ping.health, ping.status) == (PeerHealth.DOWN, status)


def test_a_silent_peer_is_down_once_the_options_transaction_times_out(ping, network, alice):
    network.loss = 1.0
    ask(ping, network)
    network.run(31)
    assert ping.health is PeerHealth.UNKNOWN
    network.run(2)
    assert (ping.health, ping.status) == (PeerHealth.DOWN, 408)
    assert counts(alice.endpoint).client_transactions == 0


def test_the_next_options_is_sent_one_interval_after_the_answer(ping, answering, network):
    answering(200)
    ask(ping, network)
    assert ping.next_timer() == network.now + EVERY
    ask(ping, network)
    assert len(network.messages("OPTIONS ")) == 1
    network.run(EVERY)
    ask(ping, network)
    assert len(network.messages("OPTIONS ")) == 2


def test_no_options_is_sent_while_the_previous_one_is_unanswered(ping, network):
    network.loss = 1.0
    ask(ping, network)
    assert ping.next_timer() is None
    network.run(20)
    ask(ping, network)
    assert len({request.call_id for request in network.messages("OPTIONS ")}) == 1


def test_an_options_request_names_the_peer_and_accepts_sdp(ping, answering, network):
    answering(200)
    ask(ping, network)
    (request,) = network.messages("OPTIONS ")
    assert str(request.uri) == "sip:192.0.2.2:5060"
    assert str(request.from_.uri) == "sip:galwad@192.0.2.1"
    assert request.headers.get("Accept") == "application/sdp"
    assert request.headers.get("Max-Forwards") == "70"


def test_options_is_sent_at_once_when_the_connection_to_the_peer_is_lost(
    ping, answering, network, bob
):
    answering(200)
    ask(ping, network)
    ping.connection_lost(Address("192.0.2.99", 5060), network.now)
    ask(ping, network)
    assert len(network.messages("OPTIONS ")) == 1
    ping.connection_lost(bob.address, network.now)
    ask(ping, network)
    assert len(network.messages("OPTIONS ")) == 2


def test_a_lost_connection_does_not_hasten_the_options_to_a_peer_that_is_down(
    ping, answering, network, bob
):
    answering(503)
    ask(ping, network)
    ping.connection_lost(bob.address, network.now)
    assert ping.next_timer() == network.now + EVERY


def test_a_peer_is_down_if_no_local_address_can_reach_it(alice, network):
    ping = KeepAlive(alice.endpoint, Address("2001:db8::9", 5060), EVERY)
    ping.handle_timer(network.now)
    assert (ping.health, ping.status) == (PeerHealth.DOWN, 503)
    assert ping.next_timer() == network.now + EVERY
