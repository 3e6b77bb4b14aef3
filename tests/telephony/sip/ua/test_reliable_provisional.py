"""Reliable provisional responses (RFC 3262) at both ends, with a fake clock.

Covers `telephony/sip/ua/uac.py`, `telephony/sip/message/header_values.py` and
`telephony/sip/ua/reliable.py`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.core_counts import counts
from telephony.errors import ParseError, ProtocolError
from telephony.sip.dialog import DialogState
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    DialogResponse,
    IncomingInvite,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
)
from telephony.sip.message.header_values import CSeq, RAck
from telephony.sip.message.messages import parse_message

SDP = b"v=0\r\n"
TYPE = (("Content-Type", "application/sdp"),)
OFFER = {"headers": TYPE, "body": SDP}


@pytest.fixture
def ring(network, alice, bob):
    """Call Bob from Alice with an offer; return Bob's end of the INVITE."""

    def begin(**kwargs):
        alice.call(bob, **(OFFER | kwargs))
        return bob.last(IncomingInvite).invite

    return begin


def lose(network, start):
    network.drop = lambda datagram: datagram.data.startswith(start)


def test_a_reliable_180_is_acknowledged_by_a_prack(network, alice, bob, ring):
    invite = ring()
    invite.respond(180, reliable=True, now=network.now)
    network.flush()
    (ringing,) = network.messages("SIP/2.0 180")
    (prack,) = network.messages("PRACK")
    assert ringing.headers.get("Require") == "100rel"
    assert prack.headers.get("RAck") == f"{ringing.headers.get('RSeq')} 1 INVITE"
    assert prack.to.tag == ringing.to.tag
    assert prack.body == b""
    assert network.messages("SIP/2.0 200")[0].cseq.method == "PRACK"
    assert not bob.seen(DialogRequest)
    assert not alice.seen(DialogResponse)
    network.run(40)
    assert len(network.sent("SIP/2.0 180")) == 1


def test_a_reliable_180_is_repeated_at_doubled_intervals_until_its_prack(network, alice, ring):
    invite = ring()
    network.run(0.3)  # the 100 stops the repetition of the INVITE
    begun = network.now
    lose(network, b"SIP/2.0 180")
    invite.respond(180, reliable=True, now=begun)
    network.run(10)
    assert [round(when - begun, 3) for when in network.sent("SIP/2.0 180")] == [
        0,
        0.5,
        1.5,
        3.5,
        7.5,
    ]
    network.drop = lambda datagram: False
    network.run(20)
    assert [round(when - begun, 3) for when in network.sent("SIP/2.0 180")][5:] == [15.5]
    assert [event.response.status for event in alice.seen(InviteProgress)] == [100, 180]


def test_without_a_prack_for_64_t1_the_invite_gets_504(network, alice, bob, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(180, reliable=True, now=network.now)
    network.run(33)
    assert bob.seen(PrackMissing)[0].invite is invite
    assert alice.last(InviteFailed).status == 504
    network.run(70)
    assert set(dataclasses.astuple(counts(bob.endpoint))) == {0}


def test_a_second_reliable_response_waits_for_the_prack_to_the_first(network, alice, ring):
    invite = ring()
    lose(network, b"PRACK")
    for status in (180, 181, 182):
        invite.respond(status, reliable=True, now=network.now)
    network.run(3)
    assert not network.sent("SIP/2.0 181")
    network.drop = lambda datagram: False
    network.run(5)
    told = [m for s in (180, 181, 182) for m in network.messages(f"SIP/2.0 {s}")[:1]]
    first = int(told[0].headers.get("RSeq"))
    assert [int(m.headers.get("RSeq")) for m in told] == [first, first + 1, first + 2]
    assert [e.response.status for e in alice.seen(InviteProgress)] == [180, 181, 182]
    numbers = [prack.cseq.number for prack in network.messages("PRACK")]
    assert sorted(set(numbers)) == [2, 3, 4]


def test_a_repeated_reliable_response_is_neither_reported_nor_acknowledged(network, alice, ring):
    invite = ring()
    invite.respond(183, reliable=True, now=network.now)
    network.flush()
    copy = next(d for _, d in network.wire if d.data.startswith(b"SIP/2.0 183"))
    alice.endpoint.receive(copy.data, copy.local, copy.destination, network.now)
    network.flush()
    assert len(network.sent("PRACK")) == 1
    assert len(alice.seen(InviteProgress)) == 1


def test_a_reliable_response_with_a_gap_in_rseq_is_not_acknowledged(network, alice, ring):
    invite = ring()
    invite.respond(183, reliable=True, now=network.now)
    network.flush()
    copy = next(d for _, d in network.wire if d.data.startswith(b"SIP/2.0 183"))
    number = int(parse_message(copy.data).headers.get("RSeq") or 0)
    later = copy.data.replace(f"RSeq: {number}".encode(), f"RSeq: {number + 2}".encode())
    alice.endpoint.receive(later, copy.local, copy.destination, network.now)
    network.flush()
    assert len(network.sent("PRACK")) == 1


def test_a_prack_with_an_unknown_rack_gets_481_and_with_an_unreadable_rack_400(
    network, alice, ring
):
    ring().respond(180, reliable=True, now=network.now)
    network.flush()
    dialog = alice.last(InviteProgress).dialog
    for rack in ("1 1 INVITE", "4294967295 1 INVITE", "1 1 REFER"):
        dialog.request("PRACK", headers=(("RAck", rack),), now=network.now)
        network.flush()
        assert alice.last(DialogResponse).response.status == 481
    dialog.request("PRACK", headers=(("RAck", "nonsense"),), now=network.now)
    dialog.request("PRACK", now=network.now)
    network.flush()
    assert [e.response.status for e in alice.seen(DialogResponse)][-2:] == [400, 400]
    assert dialog.state is DialogState.EARLY


def test_a_second_prack_to_the_same_response_gets_481(network, alice, ring):
    ring().respond(180, reliable=True, now=network.now)
    network.flush()
    rack = network.messages("PRACK")[0].headers.get("RAck")
    alice.last(InviteProgress).dialog.request("PRACK", headers=(("RAck", rack),), now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 481


def test_a_2xx_waits_for_the_prack_to_a_response_with_a_description(network, alice, bob, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.flush()
    dialog = invite.respond(200, now=network.now)
    assert invite.answered
    assert invite.ack_due
    network.run(2)
    assert not [m for m in network.messages("SIP/2.0 200") if m.cseq.method == "INVITE"]
    network.drop = lambda datagram: False
    network.run(2)
    answered = alice.last(InviteAnswered)
    answered.dialog.ack(answered.client, now=network.now)
    network.flush()
    assert bob.last(AckReceived).dialog is dialog
    assert not invite.ack_due


def test_a_2xx_does_not_wait_for_the_prack_to_a_180_without_a_description(network, alice, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(180, reliable=True, now=network.now)
    network.flush()
    invite.respond(200, now=network.now)
    network.flush()
    assert alice.seen(InviteAnswered)
    network.drop = lambda datagram: False
    network.run(1)
    assert "SIP/2.0 481" not in [m.data[:11].decode() for _, m in network.wire]
    assert len(network.sent("SIP/2.0 180")) == 1


def test_a_failure_response_does_not_wait_and_the_late_prack_gets_200(network, alice, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.flush()
    invite.respond(486, now=network.now)
    network.flush()
    assert alice.last(InviteFailed).status == 486
    network.drop = lambda datagram: False
    network.run(4)
    pracks = [m for m in network.messages("SIP/2.0") if m.cseq.method == "PRACK"]
    assert {m.status for m in pracks} == {200}
    assert len(network.sent("SIP/2.0 183")) == 1


def test_a_waiting_reliable_response_is_not_sent_after_a_final_response(network, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(180, reliable=True, now=network.now)
    invite.respond(181, reliable=True, now=network.now)
    invite.respond(486, now=network.now)
    network.drop = lambda datagram: False
    network.run(10)
    assert not network.sent("SIP/2.0 181")


@pytest.mark.parametrize("how", ["cancel", "bye"])
def test_the_caller_can_cancel_or_hang_up_while_a_2xx_waits_for_its_prack(
    network, alice, bob, ring, how
):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.flush()
    progress = alice.last(InviteProgress)
    dialog = invite.respond(200, now=network.now)
    if how == "cancel":
        progress.client.cancel(now=network.now)
    else:
        progress.dialog.request("BYE", now=network.now)
    network.drop = lambda datagram: False
    network.run(1)
    assert alice.last(InviteFailed).status == 487
    assert dialog.state is DialogState.TERMINATED
    assert len(bob.seen(DialogEnded)) == 1
    assert bool(bob.seen(InviteCancelled)) == (how == "cancel")
    network.run(100)
    assert set(dataclasses.astuple(counts(bob.endpoint))) == {0}
    assert set(dataclasses.astuple(counts(alice.endpoint))) == {0}


def test_a_2xx_becomes_504_if_its_prack_never_arrives(network, alice, bob, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.flush()
    dialog = invite.respond(200, now=network.now)
    dialog.request("BYE", now=network.now)  # this BYE waits for an ACK
    network.run(40)
    assert alice.last(InviteFailed).status == 504
    assert bob.seen(PrackMissing)
    assert [e.dialog for e in bob.seen(DialogEnded)] == [dialog]
    network.run(100)
    assert set(dataclasses.astuple(counts(bob.endpoint))) == {0}
    assert not network.sent("BYE")


def test_a_180_is_reliable_if_the_invite_requires_100rel(network, alice, ring):
    invite = ring(headers=(*TYPE, ("Require", "100rel")))
    network.run(0.3)
    invite.respond(180, now=network.now)
    network.flush()
    assert network.messages("SIP/2.0 180")[0].headers.get("RSeq")
    assert network.messages("SIP/2.0 100")[0].headers.get("RSeq") is None
    assert len(network.sent("PRACK")) == 1


def test_no_provisional_response_is_reliable_if_the_invite_did_not_offer_100rel(network, ring):
    invite = ring(headers=(*TYPE, ("Supported", "timer")))
    with pytest.raises(ProtocolError):
        invite.respond(180, reliable=True, now=network.now)
    invite.respond(180, now=network.now)
    network.flush()
    assert network.messages("SIP/2.0 180")[0].headers.get("RSeq") is None
    assert not network.sent("PRACK")


def test_an_invite_without_an_offer_does_not_offer_100rel(network, alice, bob):
    alice.call(bob)
    invite = bob.last(IncomingInvite).invite
    assert "100rel" not in invite.request.headers.get_list("Supported")


def test_each_early_dialog_has_its_own_rseq_sequence(network, alice, ring):
    invite = ring()
    for tag in ("one", "two"):
        for status in (180, 183):
            invite.respond(status, reliable=True, to_tag=tag, now=network.now)
    network.flush()
    by_tag: dict = {}
    for response in network.messages("SIP/2.0 18"):
        by_tag.setdefault(response.to.tag, []).append(int(response.headers.get("RSeq")))
    assert sorted(by_tag) == ["one", "two"]
    assert all(second == first + 1 for first, second in by_tag.values())
    assert len(network.sent("PRACK")) == 4
    dialogs = {event.dialog.id for event in alice.seen(InviteProgress) if event.dialog}
    assert len(dialogs) == 2


def test_a_2xx_waits_only_for_the_prack_of_its_own_early_dialog(network, alice, ring):
    invite = ring()
    lose(network, b"PRACK")
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, to_tag="one", now=network.now)
    invite.respond(200, to_tag="two", now=network.now)
    network.flush()
    assert alice.last(InviteAnswered).dialog.id.remote_tag == "two"


def test_a_reliable_183_is_repeated_each_minute_without_its_description(network, alice, ring):
    invite = ring()
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.run(130)
    first, second, third = network.messages("SIP/2.0 183")
    assert (first.body, second.body, third.body) == (SDP, b"", b"")
    assert second.headers.get("Content-Type") is None
    assert int(third.headers.get("RSeq")) == int(first.headers.get("RSeq")) + 2
    assert len(network.sent("PRACK")) == 3


def test_a_prack_with_an_offer_is_left_to_the_application_to_answer(network, alice, bob, ring):
    lose(network, b"PRACK")
    ring().respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    network.flush()
    network.drop = lambda datagram: False
    response = network.messages("SIP/2.0 183")[0]
    rack = RAck(int(response.headers.get("RSeq")), CSeq(1, "INVITE"))
    dialog = alice.last(InviteProgress).dialog
    dialog.request("PRACK", headers=(("RAck", str(rack)), *TYPE), body=SDP, now=network.now)
    network.flush()
    came = bob.last(DialogRequest)
    assert came.request.method == "PRACK"
    came.transaction.respond(488, now=network.now)
    network.flush()
    assert alice.last(DialogResponse).response.status == 488
    assert counts(bob.endpoint).awaiting_prack == 0


def test_an_offer_in_a_reliable_response_is_answered_in_the_prack(network, alice, bob):
    alice.call(bob, headers=(("Supported", "100rel"),))
    bob.last(IncomingInvite).invite.respond(183, reliable=True, **OFFER, now=network.now)
    network.flush()
    progress = alice.last(InviteProgress)
    assert progress.answer_due
    assert not network.sent("PRACK")
    progress.client.prack(
        progress.dialog, progress.response, headers=TYPE, body=SDP, now=network.now
    )
    network.flush()
    assert bob.last(DialogRequest).request.body == SDP
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.flush()
    answer = network.messages("SIP/2.0 200")[0]
    with pytest.raises(ProtocolError):
        progress.client.prack(progress.dialog, answer, now=network.now)


def test_a_prack_that_arrives_after_a_later_update_is_accepted(network, alice, bob, ring):
    lose(network, b"PRACK")
    ring().respond(180, reliable=True, now=network.now)
    network.flush()
    alice.last(InviteProgress).dialog.request("UPDATE", now=network.now)
    network.flush()
    bob.last(DialogRequest).transaction.respond(200, now=network.now)
    network.drop = lambda datagram: False
    network.run(2)
    assert counts(bob.endpoint).awaiting_prack == 0
    assert {m.status for m in network.messages("SIP/2.0 2")} == {200}


def test_a_reinvite_can_get_a_reliable_provisional_response(network, alice, bob, call):
    call.at_alice.request("INVITE", headers=TYPE, body=SDP, now=network.now)
    network.flush()
    invite = bob.last(DialogRequest).transaction
    invite.respond(183, reliable=True, headers=TYPE, body=SDP, now=network.now)
    invite.respond(200, now=network.now)
    network.flush()
    answered = [e for e in alice.seen(DialogResponse) if e.response.cseq.method == "INVITE"]
    assert [e.response.status for e in answered][-2:] == [183, 200]
    call.at_alice.ack(answered[-1].transaction, now=network.now)
    network.run(100)
    assert call.at_bob.state is DialogState.CONFIRMED
    assert counts(bob.endpoint).awaiting_prack == counts(bob.endpoint).awaiting_ack == 0


def test_a_prack_follows_the_record_route_of_its_response(network, ring):
    route = "<sip:192.0.2.2;lr>"
    invite = ring(headers=(*TYPE, ("Record-Route", route)))
    invite.respond(183, reliable=True, now=network.now)
    network.flush()
    (prack,) = network.messages("PRACK")
    assert prack.headers.get_all("Route") == [route]
    assert prack.uri == network.messages("SIP/2.0 183")[0].contacts[0].uri


def test_a_core_without_100rel_refuses_a_required_100rel_with_420_and_sends_no_prack(
    network, alice
):
    carol = network.party("carol", Address("192.0.2.3", 5060), supported=())
    alice.call(carol, headers=(*TYPE, ("Require", "100rel")), body=SDP)
    failed = alice.last(InviteFailed)
    assert (failed.status, failed.response.headers.get("Unsupported")) == (420, "100rel")
    carol.call(alice, headers=(*TYPE, ("Supported", "100rel")), body=SDP)
    alice.last(IncomingInvite).invite.respond(180, reliable=True, now=network.now)
    network.flush()
    assert not network.sent("PRACK")


class Talker:
    """Sends its provisional responses reliably, acknowledges an answer, and hangs up."""

    def __init__(self, party, network, answers):
        self.party, self.network, self.answers = party, network, answers
        self.ended = 0
        party.react = self.react

    def react(self, event):
        now = self.network.now
        match event:
            case IncomingInvite(invite=invite):
                for status, described, tag in self.answers:
                    more: dict[str, Any] = OFFER if described else {}
                    invite.respond(status, reliable=True, to_tag=tag, **more, now=now)
            case InviteAnswered(client=client, dialog=dialog):
                dialog.ack(client, now=now)
                dialog.request("BYE", now=now)
            case DialogRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case AckMissing(dialog=dialog):
                dialog.request("BYE", now=now)
            case DialogEnded():
                self.ended += 1


_ANSWERS = st.lists(
    st.tuples(st.sampled_from([180, 181, 183]), st.booleans(), st.sampled_from(["a", "b"])),
    max_size=5,
)


@given(seed=st.integers(0, 10_000), answers=_ANSWERS, patience=st.floats(0, 3))
def test_reliable_responses_arrive_once_and_in_order_over_a_lossy_network(
    make_network, seed, answers, patience
):
    network = make_network(seed)
    network.loss, network.duplication, network.jitter = 0.25, 0.25, 0.4
    alice = network.party("alice", Address("192.0.2.1", 5060))
    bob = network.party("bob", Address("192.0.2.2", 5060))
    Talker(alice, network, ()), Talker(bob, network, answers)
    alice.call(bob, **OFFER)
    network.run(patience)
    for event in bob.seen(IncomingInvite):
        if not event.invite.answered:
            event.invite.respond(200, to_tag="a", now=network.now)
    network.run(32)
    network.loss = 0.0
    network.run(1)
    for event in bob.seen(IncomingInvite):
        if not event.invite.answered:
            event.invite.respond(200, to_tag="a", now=network.now)
    network.run(200)
    for party in (alice, bob):
        assert set(dataclasses.astuple(counts(party.endpoint))) == {0}
    ends = len(alice.seen(InviteAnswered)) + len(alice.seen(InviteFailed))
    assert ends == 1
    for tag in "ab":
        told = [status for status, _, name in answers if name == tag]
        heard = [e.response for e in alice.seen(InviteProgress) if e.response.to.tag == tag]
        numbers = [int(response.headers.get("RSeq")) for response in heard]
        assert [response.status for response in heard] == told[: len(heard)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True


@given(st.text(max_size=40))
def test_any_text_is_parsed_as_an_rack_or_raises_parse_error(text):
    try:
        rack = RAck.parse(text)
    except ParseError:
        return
    assert RAck.parse(str(rack)) == rack


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**31 - 1), st.sampled_from(["INVITE", "x"]))
def test_an_rack_round_trips(rseq, number, method):
    assert RAck.parse(str(RAck(rseq, CSeq(number, method)))) == RAck(rseq, CSeq(number, method))


@pytest.mark.parametrize("rseq", [0, 2**32])
def test_an_rseq_outside_1_to_2_32_minus_1_is_refused(rseq):
    with pytest.raises(ProtocolError):
        RAck(rseq, CSeq(1, "INVITE"))
    with pytest.raises(ParseError):
        RAck.parse(f"{rseq} 1 INVITE")


def test_an_invite_lists_prack_in_allow(network, ring):
    ring()
    assert "PRACK" in network.messages("INVITE")[0].headers.get_list("Allow")
