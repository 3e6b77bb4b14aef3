"""Challenges that the core answers by itself (RFC 3261 section 22), between two cores.

Covers `telephony/sip/client_request.py`, `telephony/sip/ua/client.py` and
`telephony/sip/ua/user_agent.py`.
"""

from __future__ import annotations

import dataclasses

import pytest

from helpers.core_counts import counts
from telephony.sip.dialog import DialogState
from telephony.sip.events import (
    AckReceived,
    DialogEnded,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    InviteProgress,
    StandaloneRequest,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import respond
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import AuthOutcome, DigestClient, DigestServer, ha1

OFFER = {"headers": (("Content-Type", "application/sdp"),), "body": b"v=0\r\n"}


class Registrar:
    """Bob, who challenges every request and serves those with the credentials of alice."""

    def __init__(self, network, bob):
        self.network, self.bob = network, bob
        self.digest = DigestServer(
            "there", b"k" * 32, lambda user, realm, how: ha1(user, realm, "secret", how)
        )
        self.proxy = False
        self.let_in = []
        self.turned_away = []
        self.silent = False
        bob.react = self.react

    def react(self, event):
        if isinstance(event, IncomingInvite):
            self.serve(event.invite)
        elif isinstance(event, DialogRequest | StandaloneRequest):
            self.serve(event.transaction)

    def serve(self, transaction):
        now, request = self.network.now, transaction.request
        verification = self.digest.verify(request, now)
        if verification.outcome is AuthOutcome.ACCEPTED:
            self.let_in.append(request)
            if request.method == "INVITE" and not self.silent:
                transaction.respond(183, reliable=True, **OFFER, now=now)
            if not self.silent or request.method != "INVITE":
                transaction.respond(200, now=now)
            return
        self.turned_away.append(request)
        transaction.respond(401, headers=self.digest.challenges(now, verification.outcome), now=now)


@pytest.fixture
def registrar(network, bob):
    return Registrar(network, bob)


@pytest.fixture
def password(alice):
    def know(text):
        client = DigestClient("alice", text)
        alice.endpoint.authenticate(
            lambda request, response, _: client.answer(request, response, "0a4f113b")
        )

    return know


def test_a_challenged_call_is_completed_under_the_same_client_handle(
    network, alice, bob, registrar, password
):
    password("secret")
    client = alice.call(bob, **OFFER)
    network.run(1)
    answered = alice.last(InviteAnswered)
    assert answered.client is client
    answered.dialog.ack(client, now=network.now)
    network.flush()
    assert bob.seen(AckReceived)
    assert not alice.seen(InviteFailed)
    first, second = network.messages("INVITE")
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert (first.call_id, first.from_.tag) == (second.call_id, second.from_.tag)
    assert network.messages("ACK")[-1].headers.get("Authorization")
    bob.react = None
    bye = answered.dialog.request("BYE", now=network.now)
    network.drop = lambda datagram: datagram.data.startswith(b"BYE")
    network.flush()
    network.drop = lambda datagram: False
    proxy = respond(
        bye.request, 407, headers=(("Proxy-Authenticate", 'Digest realm="p", nonce="1"'),)
    )
    alice.endpoint.receive(bytes(proxy), bob.address, alice.address, network.now)
    network.flush()
    assert bob.last(DialogRequest).request.headers.get("Proxy-Authorization")
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.flush()
    assert bye.response.status == 200
    assert len(alice.seen(DialogEnded)) == len(bob.seen(DialogEnded)) == 1
    network.run(100)
    for party in (alice, bob):
        assert set(dataclasses.astuple(counts(party.endpoint))) == {0}


def test_a_wrong_password_is_tried_once(network, alice, bob, registrar, password):
    password("wrong")
    client = alice.call(bob, **OFFER)
    network.run(1)
    assert alice.last(InviteFailed).status == 401
    assert alice.last(InviteFailed).client is client
    assert len(registrar.turned_away) == 2
    network.run(100)
    assert set(dataclasses.astuple(counts(alice.endpoint))) == {0}


def test_without_a_password_the_application_receives_the_challenge(network, alice, bob, registrar):
    alice.call(bob, **OFFER)
    network.run(1)
    assert alice.last(InviteFailed).response.headers.get("WWW-Authenticate")
    assert len(registrar.turned_away) == 1


def test_a_cancelled_call_is_not_sent_again_after_a_challenge(
    network, alice, bob, registrar, password
):
    password("secret")
    network.delay = 0.1
    client = alice.call(bob, **OFFER)
    client.cancel(now=network.now)
    network.run(2)
    assert alice.last(InviteFailed).status == 401
    assert registrar.let_in == []


def test_a_call_can_be_cancelled_after_its_challenge_was_answered(
    network, alice, bob, registrar, password
):
    password("secret")
    registrar.silent = True
    client = alice.call(bob, **OFFER)
    network.run(1)
    assert len(registrar.let_in) == 1
    client.cancel(now=network.now)
    network.run(1)
    assert network.messages("CANCEL")[0].cseq.number == 2
    assert alice.last(InviteFailed).status == 487


def test_challenged_requests_in_a_dialog_are_sent_again_with_credentials(
    network, alice, call, password
):
    password("secret")
    registrar = Registrar(network, call.bob)
    for method in ("UPDATE", "INFO"):
        call.at_alice.request(method, now=network.now)
        network.flush()
        assert alice.last(DialogResponse).response.status == 200
    client = call.at_alice.request("INVITE", **OFFER, now=network.now)
    network.run(1)
    answered = [e for e in alice.seen(DialogResponse) if e.transaction is client]
    assert [event.response.status for event in answered] == [183, 200]
    call.at_alice.ack(client, now=network.now)
    network.flush()
    assert not call.at_alice.invite_pending
    assert call.at_alice.state is DialogState.CONFIRMED
    assert len(registrar.turned_away) == 3


def test_a_challenged_prack_is_sent_again_with_credentials(
    network, alice, bob, registrar, password
):
    password("secret")
    registrar.silent = True
    alice.call(bob, **OFFER)
    network.run(1)
    invite = bob.seen(IncomingInvite)[-1].invite
    invite.respond(183, reliable=True, **OFFER, now=network.now)
    challenge = dict(registrar.digest.challenges(network.now))
    lost = [b"SIP/2.0 200"]
    network.drop = lambda d: d.data.startswith(tuple(lost)) and b" PRACK" in d.data
    network.flush()
    prack = network.messages("PRACK")[0]
    answer = bytes(network.messages("SIP/2.0 200")[-1]).replace(b"200 OK", b"401 No", 1)
    name, value = next(iter(challenge.items()))
    answer = answer.replace(b"\r\n\r\n", f"\r\n{name}: {value}\r\n\r\n".encode())
    lost.clear()
    alice.endpoint.receive(answer, bob.address, alice.address, network.now)
    network.flush()
    again = network.messages("PRACK")[-1]
    assert again.cseq.number == prack.cseq.number + 1
    assert again.headers.get("RAck") == prack.headers.get("RAck")
    assert again.headers.get("Authorization")


def test_a_challenged_request_outside_a_dialog_is_sent_again_with_credentials(
    network, alice, bob, registrar, password
):
    password("secret")
    client = alice.endpoint.request(
        "OPTIONS",
        Uri(host=bob.address.host),
        from_=_party("alice"),
        to=_party("bob"),
        destination=bob.address,
        now=network.now,
    )
    network.run(1)
    assert [event.status for event in alice.seen(StandaloneResponse)] == [200]
    again = client.retry(now=network.now)
    assert again.request.headers.get("Authorization") is None
    assert again.request.cseq.number == 3
    network.run(100)
    assert set(dataclasses.astuple(counts(alice.endpoint))) == {0}


def test_a_call_fails_with_401_after_five_challenges(network, alice, bob, password):
    password("secret")
    rounds = []

    def react(event):
        if isinstance(event, IncomingInvite):
            rounds.append(event)
            stale = f'Digest realm="r", nonce="{len(rounds)}", stale=true, qop="auth"'
            event.invite.respond(401, headers=(("WWW-Authenticate", stale),), now=network.now)

    bob.react = react
    alice.call(bob, **OFFER)
    network.run(5)
    assert alice.last(InviteFailed).status == 401
    assert len(rounds) == 5
    assert not alice.seen(InviteProgress)


def _party(name):
    return NameAddr("", Uri(user=name, host="example.com"), ())
