"""Two cores on a lossy, duplicating, reordering network: both agree, and no state is left.

Covers `telephony/sip/transaction/client_transaction.py` and
`telephony/sip/transaction/server_transaction.py`.
"""

from __future__ import annotations

import dataclasses

import pytest

from helpers.core_counts import counts
from telephony.sip.dialog import DialogState
from telephony.sip.events import (
    AckMissing,
    Address,
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    InviteProgress,
    StandaloneRequest,
)

CALLS = 12


class Human:
    """Answers, refuses, acknowledges and hangs up at random, within the rules of SIP."""

    def __init__(self, party, network):
        self.party, self.network, self.random = party, network, network.random
        self.clients, self.invites, self.dialogs = [], [], []
        party.react = self.react

    def react(self, event):
        now = self.network.now
        match event:
            case IncomingInvite(invite=invite):
                self.invites.append(invite)
                invite.respond(180, now=now)
            case InviteAnswered(client=client, dialog=dialog):
                dialog.ack(client, now=now)
                self.dialogs.append(dialog)
                if client.cancelled:
                    dialog.request("BYE", now=now)
            case DialogRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case AckMissing(dialog=dialog):
                self.bye(dialog)
            case StandaloneRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case _:
                pass

    def act(self):
        now = self.network.now
        choice = self.random.random()
        if self.clients and choice < 0.15:
            self.random.choice(self.clients).cancel(now=now)
        elif self.invites and choice < 0.7:
            invite = self.invites.pop(0)
            if not invite.answered:
                dialog = invite.respond(self.random.choice([200, 200, 200, 486]), now=now)
                if dialog is not None:
                    self.dialogs.append(dialog)
        elif self.dialogs and choice < 0.9:
            dialog = self.random.choice(self.dialogs)
            if dialog.state is DialogState.CONFIRMED and dialog._bye is None:
                dialog.request("INFO", now=now)
        elif self.dialogs:
            self.bye(self.random.choice(self.dialogs))

    def bye(self, dialog):
        if dialog.state is DialogState.CONFIRMED and dialog._bye is None:
            dialog.request("BYE", now=self.network.now)


@pytest.mark.parametrize("seed", range(25))
def test_over_a_lossy_network_both_ends_agree_on_every_call_and_no_state_is_left(
    make_network, seed
):
    network = make_network(seed)
    network.loss, network.duplication, network.jitter = 0.2, 0.2, 0.3
    alice = network.party("alice", Address("192.0.2.1", 5060))
    bob = network.party("bob", Address("192.0.2.2", 5060))
    humans = [Human(alice, network), Human(bob, network)]
    for _ in range(CALLS):
        humans[0].clients.append(alice.call(bob))
        for _ in range(4):
            network.run(network.random.random() * 3)
            network.random.choice(humans).act()
            network.flush()
    network.run(40)
    while any(human.invites for human in humans):
        humans[1].act()
        network.run(1)
    network.loss = 0.0
    network.run(70)
    for human in humans:
        for dialog in human.dialogs:
            human.bye(dialog)
        network.run(70)
    for party in (alice, bob):
        assert set(dataclasses.astuple(counts(party.endpoint))) == {0}
        assert network.now < 10_000
    ended = {id(event.dialog): event.dialog.id for event in alice.seen(DialogEnded)}
    assert len(ended) == len(alice.seen(DialogEnded))
    at_alice = {event.dialog.id for event in alice.seen(InviteAnswered)}
    assert at_alice == set(ended.values())
    at_bob = {event.dialog.id for event in bob.seen(DialogEnded)}
    assert {(i.call_id, i.remote_tag, i.local_tag) for i in at_alice} <= {tuple(i) for i in at_bob}
    for client in humans[0].clients:
        answered = [e for e in alice.seen(InviteAnswered) if e.client is client]
        failed = [e for e in alice.seen(InviteFailed) if e.client is client]
        assert len(answered) + len(failed) == 1
    assert alice.seen(InviteProgress)
