"""The SIP core over UDP, TCP and TLS (RFC 3261 section 18, RFC 5923).

Covers `telephony/sip/client_request.py`, `telephony/sip/transport/outgoing.py`,
`telephony/sip/dialog_addresses.py`, `telephony/sip/transport/address.py` and
`telephony/sip/transaction/core.py`.
"""

from __future__ import annotations

import pytest

from telephony.sip.events import (
    Address,
    DialogRequest,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
    StandaloneResponse,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri

HERE = {
    kind: Address("192.0.2.1", 5061 if kind == "TLS" else 5060, kind)
    for kind in ("UDP", "TCP", "TLS")
}
THERE = Address("192.0.2.2", 5060, "TCP")
FLOW = Address("192.0.2.2", 40123, "TCP", flow=7)
SDP = ("Content-Type", "application/sdp")


@pytest.fixture
def alice(network):
    party = network.party("alice", HERE["UDP"])
    for local in HERE.values():
        party.endpoint.listen(local)
    return party


def invite(alice, destination, *, uri=None, body=b""):
    return alice.endpoint.invite(
        Uri.parse(uri or f"sip:bob@{destination.host}"),
        from_=NameAddr.parse("<sip:alice@example.com>"),
        to=NameAddr.parse("<sip:bob@example.com>"),
        destination=destination,
        headers=[SDP] if body else (),
        body=body,
        now=alice.network.now,
    )


def options(alice, destination):
    bob = NameAddr.parse("<sip:bob@example.com>")
    alice.endpoint.request(
        *("OPTIONS", bob.uri), from_=bob, to=bob, destination=destination, now=alice.network.now
    )


def sent(alice):
    alice.network.flush()
    return alice.network.wire[-1][1]


def incoming(
    uri="sip:alice@192.0.2.1", *, contact="<sip:bob@192.0.2.2:5070;transport=tcp>", more=""
):
    return (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.2:5070;branch=z9hG4bKx{more}\r\n"
        f"From: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\nCall-ID: c\r\n"
        f"CSeq: 1 INVITE\r\nContact: {contact}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def take(alice, data, source=FLOW, local=HERE["TCP"]):
    alice.endpoint.receive(data, source, local, alice.network.now)
    alice.network.flush()
    return alice.last(IncomingInvite).invite


@pytest.mark.parametrize(
    ("transport", "contact"),
    [
        ("UDP", "<sip:alice@192.0.2.1:5060>"),
        ("TCP", "<sip:alice@192.0.2.1:5060;transport=tcp>"),
        ("TLS", "<sip:alice@192.0.2.1:5061;transport=tls>"),
    ],
)
def test_via_and_contact_name_the_transport_in_use(alice, transport, contact):
    invite(alice, THERE._replace(transport=transport))
    message = parse_message(sent(alice).data)
    assert message.via.transport == transport
    assert message.headers.get("Contact") == contact


def test_a_request_by_sips_has_a_sips_contact(alice):
    invite(alice, THERE._replace(transport="TLS"), uri="sips:bob@192.0.2.2")
    assert parse_message(sent(alice).data).headers.get("Contact") == "<sips:alice@192.0.2.1:5061>"


def test_a_response_to_a_request_by_sips_has_a_sips_contact(alice):
    flow = FLOW._replace(transport="TLS")
    data = incoming("sips:alice@192.0.2.1", contact="<sips:bob@192.0.2.2>")
    take(alice, data, flow, HERE["TLS"]).respond(200, now=alice.network.now)
    assert parse_message(sent(alice).data).headers.get("Contact") == "<sips:alice@192.0.2.1:5061>"


def test_a_response_uses_the_connection_of_its_request_or_falls_back_to_the_sent_by(alice):
    take(alice, incoming()).respond(486, now=alice.network.now)
    out = sent(alice)
    assert out.destination == FLOW
    assert out.fallback == Address("192.0.2.2", 5070, "TCP")


def test_a_response_over_a_connection_fills_in_rport_and_received(alice):
    take(alice, incoming(more=";rport")).respond(486, now=alice.network.now)
    via = parse_message(sent(alice).data).via
    assert (via.received, via.parameter("rport")) == (FLOW.host, str(FLOW.port))


def test_a_request_in_a_dialog_uses_the_open_connection_or_falls_back_to_the_contact(alice):
    dialog = take(alice, incoming()).respond(200, now=alice.network.now)
    dialog.request("INFO", now=alice.network.now)
    out = sent(alice)
    assert out.destination == FLOW
    assert out.fallback == Address("192.0.2.2", 5070, "TCP")


def test_requests_in_a_dialog_go_to_a_contact_on_another_host(alice):
    dialog = take(alice, incoming(contact="<sip:bob@192.0.2.99;transport=tcp>")).respond(
        200, now=alice.network.now
    )
    dialog.request("INFO", now=alice.network.now)
    assert sent(alice).destination == Address("192.0.2.99", 5060, "TCP")


def test_a_contact_by_udp_in_a_call_over_tcp_is_reached_by_udp(alice):
    dialog = take(alice, incoming(contact="<sip:bob@192.0.2.2:5070>")).respond(
        200, now=alice.network.now
    )
    dialog.request("INFO", now=alice.network.now)
    out = sent(alice)
    assert (out.destination, out.local) == (Address("192.0.2.2", 5070), HERE["UDP"])
    assert parse_message(out.data).via.transport == "UDP"


def test_a_dialog_pinned_to_its_source_uses_only_the_connection_if_the_contact_is_private(alice):
    dialog = take(alice, incoming(contact="<sip:bob@10.0.0.9;transport=tcp>")).respond(
        200, now=alice.network.now
    )
    dialog.send_to = dialog.peer
    dialog.request("INFO", now=alice.network.now)
    assert (sent(alice).destination, sent(alice).fallback) == (FLOW, None)


def test_the_expected_tls_server_name_is_kept_for_the_dialog(network, alice):
    there = Address("192.0.2.2", 5061, "TLS", "pbx.example.com")
    bob = network.party("bob", there)
    network.parties[HERE["TLS"]] = alice
    invite(alice, there)
    network.flush()
    bob.last(IncomingInvite).invite.respond(
        200, headers=[("Contact", "<sip:bob@192.0.2.2:5999;transport=tls>")], now=network.now
    )
    network.flush()
    alice.last(InviteAnswered).dialog.request("INFO", now=network.now)
    out = sent(alice)
    assert out.destination == there
    assert out.fallback == Address("192.0.2.2", 5999, "TLS", "pbx.example.com")


def test_a_long_request_goes_by_tcp(alice):
    invite(alice, THERE._replace(transport="UDP"), body=b"x" * 1300)
    out = sent(alice)
    assert (out.destination, out.local) == (THERE, HERE["TCP"])
    assert parse_message(out.data).via.transport == "TCP"


def test_a_long_request_refused_over_tcp_and_the_next_long_request_go_by_udp(alice):
    by_udp = THERE._replace(transport="UDP")
    client = invite(alice, by_udp, body=b"x" * 1300)
    alice.network.flush()
    alice.endpoint.unreachable(THERE, alice.network.now)
    alice.network.run(0)
    assert not alice.seen(InviteFailed)
    out = sent(alice)
    assert out.destination == client.destination == by_udp
    assert parse_message(out.data).via.transport == "UDP"
    invite(alice, by_udp, body=b"x" * 1300)
    assert sent(alice).destination == by_udp


def test_a_long_request_to_a_translated_address_stays_with_udp(alice):
    by_udp = THERE._replace(transport="UDP")
    invite(alice, by_udp, uri="sip:bob@10.0.0.9:5060", body=b"x" * 1300)
    assert sent(alice).destination == by_udp


def test_an_unanswered_invite_fails_with_503_if_its_destination_is_unreachable(alice):
    invite(alice, THERE)
    alice.network.flush()
    alice.endpoint.unreachable(THERE, alice.network.now)
    alice.network.flush()
    assert alice.last(InviteFailed).status == 503


@pytest.mark.parametrize("ask", [invite, options])
def test_an_unanswered_request_is_sent_again_once_after_its_connection_is_lost(alice, ask):
    ask(alice, THERE)
    first = sent(alice)
    alice.endpoint.connection_lost(THERE, alice.network.now)
    assert sent(alice) == first
    assert not alice.seen(InviteFailed)
    assert not alice.seen(StandaloneResponse)
    alice.endpoint.connection_lost(THERE, alice.network.now)
    alice.network.flush()
    failed = alice.last(InviteFailed if ask is invite else StandaloneResponse)
    assert failed.status == 503


def test_a_lost_connection_does_not_end_a_ringing_call(network, alice):
    bob = network.party("bob", THERE)
    network.parties[HERE["TCP"]] = alice
    invite(alice, THERE)
    network.flush()
    bob.last(IncomingInvite).invite.respond(180, now=network.now)
    network.flush()
    alice.endpoint.connection_lost(THERE, network.now)
    network.flush()
    assert len(bob.seen(IncomingInvite)) == 1
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    assert alice.last(InviteAnswered)
    assert not alice.seen(InviteFailed)


def test_a_complete_call_runs_over_tcp(network, alice):
    bob = network.party("bob", THERE)
    network.parties[HERE["TCP"]] = alice
    client = invite(alice, THERE)
    network.flush()
    bob.last(IncomingInvite).invite.respond(200, now=network.now)
    network.flush()
    dialog = alice.last(InviteAnswered).dialog
    dialog.ack(client, now=network.now)
    dialog.request("BYE", now=network.now)
    network.flush()
    assert bob.last(DialogRequest).request.method == "BYE"


def test_a_peer_with_a_host_name_in_its_via_is_reached_at_its_source_address(alice):
    flow = FLOW._replace(transport="TLS")
    data = incoming(contact="<sip:bob@pbx.example.com:5071;transport=tls>").replace(
        b"192.0.2.2:5070;branch", b"pbx.example.com;branch"
    )
    dialog = take(alice, data, flow, HERE["TLS"]).respond(200, now=alice.network.now)
    answer = sent(alice)
    assert answer.fallback == Address("192.0.2.2", 5061, "TLS", "pbx.example.com")
    dialog.request("INFO", now=alice.network.now)
    out = sent(alice)
    assert out.destination == flow
    assert out.fallback == Address("192.0.2.2", 5071, "TLS", "pbx.example.com")


def test_a_reconnected_peers_dialogs_use_its_new_connection(alice):
    dialog = take(alice, incoming()).respond(200, now=alice.network.now)
    dialog.send_to = FLOW
    fresh = FLOW._replace(port=40999, flow=8)
    alice.endpoint.peer_reconnected(FLOW, fresh)
    dialog.request("INFO", now=alice.network.now)
    assert sent(alice).destination == fresh
    assert dialog.peer == fresh
