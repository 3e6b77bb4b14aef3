"""A fake network, two parties on it, and an answered call between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.sip import Call, Network, Party
from telephony.sip.events import Address, IncomingInvite, InviteAnswered

ALICE = Address("192.0.2.1", 5060)
BOB = Address("192.0.2.2", 5060)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Party:
    return network.party("alice", ALICE)


@pytest.fixture
def bob(network: Network) -> Party:
    return network.party("bob", BOB)


@pytest.fixture
def call(network: Network, alice: Party, bob: Party) -> Call:
    client = alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    at_bob = invite.respond(200, now=network.now)
    network.flush()
    at_alice = alice.last(InviteAnswered).dialog
    at_alice.ack(client, now=network.now)
    network.flush()
    return Call(network, alice, bob, client, at_alice, at_bob)


@pytest.fixture
def make_network() -> Callable[[int], Network]:
    return Network
