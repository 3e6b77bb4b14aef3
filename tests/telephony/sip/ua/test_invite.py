"""INVITE at both user agents: RFC 3261 sections 9 and 13, RFC 6026.

Covers `telephony/sip/ua/uac.py`, `telephony/sip/ua/uas.py`, `telephony/sip/compose.py` and
`telephony/sip/ua/reliable.py`.
"""

from __future__ import annotations

import pytest

from helpers.core_counts import counts
from telephony.errors import ProtocolError
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
)
from telephony.sip.message.messages import parse_message, respond

T1 = 0.5


def forked(network, tag, status):
    """Return a response to the last INVITE, as another fork of it would send it."""
    invite = network.messages("INVITE ")[-1]
    response = respond(invite, status, to_tag=tag)
    response.headers.add("Contact", f"<sip:{tag}@192.0.2.2:5060>")
    return bytes(response)


def test_a_100_is_sent_after_200_ms_without_another_response(network, alice, bob):
    alice.call(bob)
    started = network.now
    network.run(0.3)
    assert network.sent("SIP/2.0 100") == [pytest.approx(started + 0.2)]
    assert alice.last(InviteProgress).dialog is None


@pytest.mark.parametrize("status", [180, 200, 401])
def test_no_100_is_sent_after_another_response(network, alice, bob, status):
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(status, now=network.now)
    network.run(0.3)
    assert network.sent("SIP/2.0 100") == []


def test_each_to_tag_makes_its_own_early_dialog(network, alice, bob):
    client = alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    invite.respond(180, to_tag="one", now=network.now)
    invite.respond(183, to_tag="two", now=network.now)
    network.flush()
    assert set(client.dialogs) == {"one", "two"} == set(invite.dialogs)
    answered = invite.respond(200, to_tag="two", now=network.now)
    network.flush()
    assert alice.last(InviteAnswered).dialog is client.dialogs["two"]
    assert invite.dialog is answered is invite.dialogs["two"]
    assert counts(bob.endpoint).dialogs == 1


def test_ringing_for_ten_minutes_repeats_the_180_each_minute_and_the_call_goes_on(
    network, alice, bob
):
    alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    invite.respond(180, now=network.now)
    network.run(601)
    assert len(network.sent("SIP/2.0 180")) == 11
    assert alice.seen(InviteFailed) == []
    invite.respond(200, now=network.now)
    network.flush()
    alice.last(InviteAnswered)


def test_an_ack_to_a_2xx_is_a_new_transaction(call, network):
    invite = network.messages("INVITE ")[0]
    ack = network.messages("ACK ")[0]
    assert ack.via.branch != invite.via.branch
    assert ack.cseq.number == invite.cseq.number


def test_an_ack_to_a_2xx_carries_the_credentials_of_its_invite(network, alice, bob):
    client = alice.call(bob, headers=[("Proxy-Authorization", "Digest x")])
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    alice.last(InviteAnswered).dialog.ack(client, now=network.now)
    network.flush()
    assert network.messages("ACK ")[0].headers.get("Proxy-Authorization") == "Digest x"


def test_an_ack_to_a_non_2xx_shares_its_invites_branch(network, alice, bob):
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(486, now=network.now)
    network.flush()
    assert alice.last(InviteFailed).status == 486
    assert network.messages("ACK ")[0].via.branch == network.messages("INVITE ")[0].via.branch
    assert bob.seen(AckReceived) == []


def test_a_uas_repeats_its_2xx_for_64_t1_and_then_reports_the_missing_ack(network, alice, bob):
    alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    begin = network.now
    dialog = invite.respond(200, now=begin)
    network.run(40)
    sent = [when - begin for when in network.sent("SIP/2.0 200")]
    assert sent == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert [e.dialog for e in bob.seen(AckMissing)] == [dialog]
    assert counts(bob.endpoint).awaiting_ack == 0
    dialog.request("BYE", now=network.now)
    network.flush()
    assert alice.last(DialogRequest).request.method == "BYE"


def test_a_uac_acknowledges_each_repeated_2xx_with_the_same_ack(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"ACK") and network.now < 1003
    client = alice.call(bob)
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    alice.last(InviteAnswered).dialog.ack(client, now=network.now)
    network.run(40)
    acks = [d.data for _, d in network.wire if d.data.startswith(b"ACK")]
    assert len(acks) == 4
    assert len(set(acks)) == 1
    assert len(alice.seen(InviteAnswered)) == len(bob.seen(AckReceived)) == 1


def test_a_2xx_repeated_before_the_application_acknowledges_is_absorbed(network, alice, bob):
    alice.call(bob)
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.run(5)
    assert len(alice.seen(InviteAnswered)) == 1
    assert network.sent("ACK") == []


def test_a_second_2xx_from_a_fork_is_reported_with_its_own_dialog(network, alice, bob):
    client = alice.call(bob)
    for tag in ("one", "two"):
        alice.endpoint.receive(forked(network, tag, 200), bob.address, alice.address, network.now)
    network.flush()
    first, second = alice.seen(InviteAnswered)
    assert {first.dialog.id.remote_tag, second.dialog.id.remote_tag} == {"one", "two"}
    second.dialog.ack(client, now=network.now)
    second.dialog.request("BYE", now=network.now)
    network.flush()
    assert [str(m.uri) for m in network.messages("BYE")] == ["sip:two@192.0.2.2:5060"]


def test_early_dialogs_without_a_2xx_are_forgotten_64_t1_after_the_first_2xx(network, alice, bob):
    client = alice.call(bob)
    for tag, status in (("one", 180), ("two", 180), ("one", 200)):
        data = forked(network, tag, status)
        alice.endpoint.receive(data, bob.address, alice.address, network.now)
    network.flush()
    client.dialogs["one"].ack(client, now=network.now)
    assert counts(alice.endpoint).dialogs == 2
    network.run(33)
    assert counts(alice.endpoint).dialogs == 1


def test_a_cancel_is_sent_only_after_a_provisional_response(network, alice, bob):
    network.drop = lambda d: d.data.startswith(b"SIP/2.0 100") and network.now < 1001
    client = alice.call(bob)
    client.cancel(headers=[("Reason", "SIP;cause=200")], now=network.now)
    network.flush()
    assert network.sent("CANCEL") == []
    network.run(2)
    cancel = network.messages("CANCEL")[0]
    assert cancel.via.branch == network.messages("INVITE ")[0].via.branch
    assert cancel.headers.get("Reason") == "SIP;cause=200"
    assert bob.last(InviteCancelled).invite is bob.last(IncomingInvite).invite
    assert alice.last(InviteFailed).status == 487
    assert bob.last(IncomingInvite).invite.respond(200, now=network.now) is None


def test_a_200_that_crosses_the_cancel_is_reported_for_ack_and_bye(network, alice, bob):
    network.delay = 0.1
    client = alice.call(bob)
    network.run(1)
    client.cancel(now=network.now)
    dialog = bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.run(0.3)
    answered = alice.last(InviteAnswered)
    assert answered.client.cancelled
    answered.dialog.ack(client, now=network.now)
    answered.dialog.request("BYE", now=network.now)
    network.run(0.3)
    assert bob.seen(InviteCancelled) == []
    assert bob.last(DialogRequest).dialog is dialog
    assert alice.seen(InviteFailed) == []


def test_an_invite_with_an_unanswered_cancel_fails_with_487_after_64_t1(network, alice, bob):
    client = alice.call(bob)
    network.run(0.3)
    network.loss = 1.0
    client.cancel(now=network.now)
    network.run(33)
    failed = alice.last(InviteFailed)
    assert (failed.status, failed.response) == (487, None)


def test_a_cancelled_invite_without_any_response_times_out_with_408(network, alice, bob):
    network.loss = 1.0
    client = alice.call(bob)
    client.cancel(now=network.now)
    network.run(33)
    assert alice.last(InviteFailed).status == 408
    assert network.sent("CANCEL") == []


def test_a_second_final_response_raises_protocol_error(network, alice, bob):
    alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    invite.respond(486, now=network.now)
    with pytest.raises(ProtocolError):
        invite.respond(200, now=network.now)


def test_an_invite_can_be_sent_again_with_credentials_and_the_next_cseq(network, alice, bob):
    client = alice.call(bob, owner="call")
    bob.last(IncomingInvite).invite.respond(401, now=network.now)
    network.flush()
    again = client.retry(headers=[("Authorization", "Digest x")], now=network.now)
    network.flush()
    assert again.owner == "call"
    assert again.request.cseq.number == client.request.cseq.number + 1
    assert again.request.call_id == client.request.call_id
    assert again.request.from_.tag == client.request.from_.tag
    assert len(bob.seen(IncomingInvite)) == 2


def test_dialogs_inherit_the_owner_of_their_invite(network, alice, bob):
    alice.call(bob, owner="A")
    invite = bob.last(IncomingInvite).invite
    invite.owner = "B"
    assert invite.respond(200, now=network.now).owner == "B"
    network.flush()
    assert alice.last(InviteAnswered).dialog.owner == "A"


def test_an_invite_to_an_unreachable_destination_fails_with_503(network, alice, bob):
    network.loss = 1.0
    alice.call(bob)
    alice.endpoint.unreachable(bob.address, network.now)
    network.flush()
    assert alice.last(InviteFailed).status == 503


def test_the_advertised_address_goes_into_via_and_contact(network, bob):
    inner, outer = Address("10.0.0.5", 5060), Address("203.0.113.5", 5062)
    party = network.party("inner", inner)
    party.endpoint.listen(inner, advertised=outer)
    party.call(bob)
    invite = parse_message(network.wire[0][1].data)
    assert (invite.via.host, invite.via.port) == outer[:2]
    assert (invite.contacts[0].uri.host, invite.contacts[0].uri.port) == outer[:2]


def test_a_call_over_ipv6_writes_its_addresses_in_brackets(network):
    one = network.party("one", Address("2001:db8::1", 5060))
    two = network.party("two", Address("2001:db8::2", 5060))
    client = one.call(two)
    dialog = two.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    one.last(InviteAnswered).dialog.ack(client, now=network.now)
    dialog.request("BYE", now=network.now)
    network.flush()
    assert one.last(DialogEnded)
    assert b"Via: SIP/2.0/UDP [2001:db8::1]:5060;" in network.wire[0][1].data
