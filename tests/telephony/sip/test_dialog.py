"""Dialogs: RFC 3261 sections 12, 14 and 15.

Covers `telephony/sip/ua/checkpoint.py`, `telephony/sip/dialog.py` and
`telephony/sip/dialog_addresses.py`.
"""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from helpers.core_counts import counts
from telephony.errors import ProtocolError
from telephony.sip.dialog import DialogState
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
)


def test_a_2xx_makes_a_dialog_at_both_ends_and_a_bye_ends_the_dialog(network, alice, bob, call):
    bob.last(AckReceived)
    call.at_alice.request("BYE", now=network.now)
    network.flush()
    bye = bob.last(DialogRequest)
    assert bye.request.method == "BYE"
    assert bob.last(DialogEnded).reason == "bye received"
    bye.transaction.respond(200, now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 200
    assert alice.last(DialogEnded).reason == "bye sent"
    network.run(100)
    for party in (alice, bob):
        assert set(dataclasses.astuple(counts(party.endpoint))) == {0}
        assert len(party.seen(DialogEnded)) == 1


def test_a_confirmed_dialog_continues_after_a_restart_from_its_checkpoint(
    network, alice, bob, call
):
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(call.at_alice.checkpoint()))
    reborn = network.party("alice", alice.address)
    dialog = reborn.endpoint.restore_dialog(saved)
    dialog.request("BYE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.flush()
    assert reborn.last(DialogEnded).reason == "bye sent"


def test_a_dialog_still_knows_the_hosts_of_its_peer_after_a_restart(network, bob, call):
    call.at_bob.path_hosts = frozenset({"192.0.2.77"})
    reborn = network.party("bob", bob.address)
    dialog = reborn.endpoint.restore_dialog(call.at_bob.checkpoint())
    hosts = ["192.0.2.1", "192.0.2.77", "192.0.2.78"]
    assert [dialog.is_known_host(host) for host in hosts] == [True, True, False]


def test_the_via_hosts_of_an_invite_are_known_hosts_of_its_dialog(call):
    assert call.at_bob.path_hosts == {"192.0.2.1"}


@pytest.mark.parametrize("damage", [{}, {"version": 1}, {"routes": 3}, {"local": "nonsense <"}])
def test_an_invalid_dialog_checkpoint_is_refused(network, alice, call, damage):
    saved = {**call.at_alice.checkpoint(), **damage} if damage else {}
    reborn = network.party("alice", alice.address)
    with pytest.raises(ProtocolError):
        reborn.endpoint.restore_dialog(saved)


def test_a_request_that_is_out_of_order_gets_500(network, alice, bob, call):
    call.at_alice._local_cseq -= 1
    call.at_alice.request("INFO", now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 500
    assert bob.seen(DialogRequest) == []


def test_gaps_in_cseq_are_allowed(network, alice, bob, call):
    call.at_alice._local_cseq += 40
    call.at_alice.request("INFO", now=network.now)
    network.flush()
    assert bob.last(DialogRequest).request.method == "INFO"


def test_a_481_for_an_unknown_dialog_ends_the_dialog_at_the_client(network, alice, bob, call):
    call.at_bob.drop("restart")
    call.at_alice.request("INFO", now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 481
    assert alice.last(DialogEnded).reason == "unknown to the peer"


def test_a_reinvite_while_ours_is_pending_gets_491(network, alice, bob, call):
    network.delay = 0.1
    call.at_alice.request("INVITE", now=network.now)
    call.at_bob.request("INVITE", now=network.now)
    network.run(1)
    assert [e.response.status for e in alice.seen(DialogResponse)][-1] == 491
    assert [e.response.status for e in bob.seen(DialogResponse)][-1] == 491
    assert not call.at_alice.invite_pending


def test_a_late_copy_of_an_earlier_2xx_is_acknowledged_again_but_not_reported(
    network, alice, bob, call
):
    (first,) = [
        sent for _, sent in network.wire if b"CSeq: 1 INVITE" in sent.data and b" 200 " in sent.data
    ]
    client = call.at_alice.request("INVITE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.flush()
    call.at_alice.ack(client, now=network.now)
    network.flush()
    acks = len(network.sent("ACK"))
    alice.endpoint.receive(first.data, bob.address, alice.address, network.now)
    network.flush()
    assert len(network.sent("ACK")) == acks + 1
    assert len(alice.seen(InviteAnswered)) == 1


def test_after_a_491_the_owner_of_the_call_id_waits_longer(call):
    for _ in range(50):
        assert 2.1 <= call.at_alice.glare_delay() <= 4.0
        assert 0.0 <= call.at_bob.glare_delay() <= 2.0


def test_no_reinvite_is_sent_while_one_is_pending_in_either_direction(network, alice, bob, call):
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    for dialog in (call.at_alice, call.at_bob):
        with pytest.raises(ProtocolError):
            dialog.request("INVITE", now=network.now)


def test_a_second_reinvite_before_the_first_is_answered_gets_500_with_retry_after(
    network, alice, bob, call
):
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    call.at_alice._invite_sent = None
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    response = alice.last(DialogResponse).response
    assert response.status == 500
    assert 0 <= int(response.headers.get("Retry-After")) <= 10


def test_a_reinvite_is_answered_and_acknowledged_and_updates_the_remote_target(
    network, alice, bob, call
):
    client = call.at_alice.request(
        "INVITE", headers=[("Contact", "<sip:moved@192.0.2.1:5060>")], now=network.now
    )
    network.flush()
    request = bob.last(DialogRequest)
    request.transaction.respond(200, now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 200
    acks = len(bob.seen(AckReceived))
    call.at_alice.ack(client, body=b"v=0", headers=[("Content-Type", "x/y")], now=network.now)
    network.flush()
    assert len(bob.seen(AckReceived)) == acks + 1
    assert bob.last(AckReceived).request.body == b"v=0"
    assert call.at_bob.remote_target.user == "moved"
    assert not call.at_bob.invite_pending


def test_a_missing_ack_to_a_reinvite_is_not_reported_after_our_bye(network, alice, bob, call):
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.run(20)
    call.at_bob.request("BYE", now=network.now)
    network.run(20)
    assert call.at_bob.is_ending
    assert bob.seen(AckMissing) == []


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_reinvite_without_a_final_response_is_forgotten_after_the_peers_bye(
    network, alice, bob, call, cancelled
):
    client = call.at_alice.request("INVITE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(180, now=network.now)
    network.flush()
    network.drop = lambda datagram: b" 487 " in datagram.data
    call.at_bob.request("BYE", now=network.now)
    network.flush()
    if cancelled:
        client.cancel(now=network.now)
    network.run(31)
    assert counts(alice.endpoint).client_transactions >= 1
    network.run(40)
    assert counts(alice.endpoint).client_transactions == 0
    assert counts(bob.endpoint).client_transactions == 0


def test_a_failed_reinvite_leaves_the_dialog_confirmed(network, alice, bob, call):
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(488, now=network.now)
    network.run(40)
    assert call.at_alice.state is DialogState.CONFIRMED
    assert not call.at_alice.invite_pending
    assert not call.at_bob.invite_pending


def test_a_record_route_is_followed_in_both_directions(network, alice, bob):
    alice.call(bob, headers=[("Record-Route", "<sip:192.0.2.2:5060;lr>, <sip:192.0.2.9;lr>")])
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    answered = alice.last(InviteAnswered)
    assert [str(r.uri) for r in dialog.routes] == ["sip:192.0.2.2:5060;lr", "sip:192.0.2.9;lr"]
    assert [str(r.uri) for r in answered.dialog.routes] == [
        "sip:192.0.2.9;lr",
        "sip:192.0.2.2:5060;lr",
    ]
    assert answered.dialog.destination == Address("192.0.2.9", 5060)


def test_a_strict_router_becomes_the_request_uri_and_the_target_the_last_route(network, alice, bob):
    client = alice.call(bob, headers=[("Record-Route", "<sip:192.0.2.2:5060>")])
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    dialog = alice.last(InviteAnswered).dialog
    dialog.ack(client, now=network.now)
    network.flush()
    ack = network.messages("ACK ")[-1]
    assert str(ack.uri) == "sip:192.0.2.2:5060"
    assert ack.headers.get_all("Route") == [f"<{dialog.remote_target}>"]


def test_a_dialog_with_send_to_sends_to_that_address(network, call):
    call.at_alice.send_to = Address("198.51.100.7", 40000)
    call.at_alice.request("INFO", now=network.now)
    network.flush()
    assert network.wire[-1][1].destination == Address("198.51.100.7", 40000)


def test_an_unanswered_bye_still_ends_the_dialog(network, alice, bob, call):
    network.loss = 1.0
    call.at_alice.request("BYE", now=network.now)
    network.run(40)
    assert alice.last(DialogRequestFailed).status == 408
    assert alice.last(DialogEnded).reason == "bye sent"


def test_crossing_byes_are_both_answered_with_200(network, alice, bob, call):
    network.delay = 0.1
    call.at_alice.request("BYE", now=network.now)
    call.at_bob.request("BYE", now=network.now)
    network.run(1)
    for party in (alice, bob):
        assert party.last(DialogResponse).response.status == 200
        assert len(party.seen(DialogEnded)) == 1


def test_a_challenged_bye_can_be_sent_again_with_credentials(network, alice, bob, call):
    bye = call.at_alice.request("BYE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(407, now=network.now)
    network.flush()
    assert alice.seen(DialogEnded) == []
    bye.retry(headers=[("Proxy-Authorization", "Digest x")], now=network.now)
    network.flush()
    assert alice.last(DialogEnded)


def test_the_callees_bye_waits_for_the_ack(network, alice, bob):
    client = alice.call(bob)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    dialog.request("BYE", now=network.now)
    network.flush()
    assert network.sent("BYE") == []
    alice.last(InviteAnswered).dialog.ack(client, now=network.now)
    network.flush()
    assert len(network.sent("BYE")) == 1


def test_the_callees_bye_is_sent_if_the_ack_never_arrives(network, alice, bob):
    alice.call(bob)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    dialog.request("BYE", now=network.now)
    network.run(33)
    assert len(network.sent("BYE")) >= 1
    assert bob.seen(AckMissing) == []


def test_a_bye_in_an_early_dialog_ends_the_invite_like_a_cancel(network, alice, bob):
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(180, now=network.now)
    network.flush()
    early = alice.last(InviteProgress).dialog
    early.request("BYE", now=network.now)
    network.flush()
    assert bob.last(InviteCancelled).request.method == "BYE"
    assert alice.last(InviteFailed).status == 487


def test_an_unanswered_reinvite_gets_487_when_the_dialog_ends(network, alice, bob, call):
    call.at_alice.request("INVITE", now=network.now)
    network.flush()
    call.at_alice.request("BYE", now=network.now)
    network.flush()
    assert len(network.sent("SIP/2.0 487")) == 1
    bob.seen(DialogRequest)[0].transaction.respond(200, now=network.now)  # too late: no effect
    network.flush()
    assert bob.last(DialogRequest).request.method == "BYE"


def test_requests_in_a_dialog_arrive_in_cseq_order(network, alice, bob, call):
    for _ in range(3):
        call.at_bob.request("NOTIFY", now=network.now)
    network.flush()
    numbers = [e.request.cseq.number for e in alice.seen(DialogRequest)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3


def test_a_200_that_crosses_the_bye_of_its_early_dialog_is_reported(network, alice, bob):
    network.delay = 0.1
    client = alice.call(bob)
    network.run(0.2)
    invite = bob.last(IncomingInvite).invite
    invite.respond(180, now=network.now)
    network.run(0.2)
    alice.last(InviteProgress).dialog.request("BYE", now=network.now)
    invite.respond(200, now=network.now)
    network.run(0.3)
    dialog = alice.last(InviteAnswered).dialog
    dialog.ack(client, now=network.now)
    if dialog.state is DialogState.CONFIRMED:
        dialog.request("BYE", now=network.now)
    for event in bob.seen(DialogRequest):
        event.transaction.respond(200, now=network.now)
    network.run(100)
    assert counts(alice.endpoint).dialogs == counts(bob.endpoint).dialogs == 0


def test_the_callees_waiting_bye_is_not_sent_if_the_caller_hangs_up_first(network, alice, bob):
    alice.call(bob)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    dialog.request("BYE", now=network.now)
    network.flush()
    alice.last(InviteAnswered).dialog.request("BYE", now=network.now)
    network.run(100)
    assert len(network.sent("BYE")) == 1
    assert bob.last(DialogEnded).reason == "bye received"
    assert bob.seen(AckMissing) == []


def test_a_dropped_dialog_is_reported_as_ended_and_stops_repeating_its_2xx(network, alice, bob):
    alice.call(bob)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    dialog.drop("drained")
    network.run(100)
    assert len(network.sent("SIP/2.0 200")) == 1
    assert bob.last(DialogEnded).reason == "drained"
    assert bob.seen(AckMissing) == []


def test_a_481_before_the_ack_does_not_end_the_callees_dialog(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"SIP/2.0 200") and network.now < 1001
    client = alice.call(bob)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    dialog.request("INFO", now=network.now)
    network.flush()
    assert bob.last(DialogResponse).response.status == 481
    network.run(2)
    alice.last(InviteAnswered).dialog.ack(client, now=network.now)
    network.flush()
    assert bob.last(AckReceived).dialog is dialog


def test_a_2xx_whose_contacts_have_no_sip_uri_keeps_the_target_of_the_invite(network, alice, bob):
    alice.call(bob)
    contact = ("Contact", "<tel:+441632960123>")
    bob.last(IncomingInvite).invite.respond(200, headers=(contact,), now=network.now)
    network.flush()
    answered = alice.last(InviteAnswered)
    assert answered.dialog.remote_target == answered.client.request.uri
