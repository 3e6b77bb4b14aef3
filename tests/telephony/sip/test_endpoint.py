"""Responses that the core sends by itself (RFC 3261 8.2, 9.2, 16.3 and 18.2; RFC 3581).

Covers `telephony/sip/transaction/core.py`, `telephony/sip/events.py`,
`telephony/sip/transaction/transactions.py` and `telephony/sip/ua/server_request.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.core_counts import counts
from telephony.errors import ProtocolError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    AckReceived,
    Address,
    IncomingInvite,
    InviteCancelled,
    MessageDropped,
    StandaloneRequest,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri

HERE = Address("192.0.2.2", 5060)
THERE = Address("198.51.100.9", 40123)


def message(method="OPTIONS", *extra, via="branch=z9hG4bK1;rport", to="", cseq=None, version="2.0"):
    lines = [
        f"{method} sip:bob@192.0.2.2 SIP/{version}",
        f"Via: SIP/2.0/UDP 10.0.0.1:5070;{via}",
        "Max-Forwards: 70",
        "From: <sip:alice@example.com>;tag=a",
        f"To: <sip:bob@example.com>{to}",
        "Call-ID: call",
        f"CSeq: {cseq or '1 ' + method}",
        "Contact: <sip:alice@10.0.0.1:5070>",
        *extra,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    endpoint.listen(HERE)
    return endpoint


def answers(endpoint, *datagrams):
    for data in datagrams:
        endpoint.receive(data, THERE, HERE, 0.0)
    return [parse_message(d.data) for d in endpoint.outgoing()]


def events(endpoint):
    found = []
    while (event := endpoint.next_event()) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("data", "status", "header"),
    [
        (message("FROBNICATE"), 501, "Allow"),
        (message("PUBLISH"), 405, "Allow"),
        (message("BYE"), 481, None),
        (message("INFO"), 481, None),
        (message("OPTIONS", to=";tag=unknown"), 481, None),
        (message("CANCEL"), 481, None),
        (message("OPTIONS", "Require: teleport, timer"), 420, "Unsupported"),
        (message("OPTIONS", version="3.0"), 505, None),
        (message("OPTIONS", cseq="1 INVITE"), 400, None),
        (message("INVITE", "Contact: <<<"), 400, None),
        (message("INVITE").replace(b"Contact: <sip:alice", b"Contact: <mailto:alice"), 400, None),
        (
            message("INVITE").replace(b"<sip:alice@10.0.0.1:5070>", b"<tel:+441632960123>"),
            400,
            None,
        ),
        (message("INVITE").replace(b"sip:", b"urn:isbn:", 1), 416, None),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_by_the_core(endpoint, data, status, header):
    (answer,) = [a for a in answers(endpoint, data) if a.status != 100]
    assert answer.status == status
    assert header is None or answer.headers.get(header)
    assert not [e for e in events(endpoint) if isinstance(e, StandaloneRequest | IncomingInvite)]


@pytest.mark.parametrize("scheme", ["sip", "sips"])
def test_the_first_contact_that_a_request_can_be_sent_to_becomes_the_remote_target(
    endpoint, scheme
):
    contacts = f"<tel:+441632960123>, <mailto:a@h.example>, <{scheme}:a@10.0.0.1>, <sip:b@10.0.0.2>"
    data = message("INVITE").replace(b"<sip:alice@10.0.0.1:5070>", contacts.encode())
    answers(endpoint, data)
    (invited,) = [event for event in events(endpoint) if isinstance(event, IncomingInvite)]
    dialog = invited.invite.respond(200, now=0.0)
    assert dialog is not None
    assert str(dialog.remote_target) == f"{scheme}:a@10.0.0.1"


def test_an_options_request_with_a_contact_of_another_scheme_is_accepted(endpoint):
    answers(endpoint, message().replace(b"<sip:alice@10.0.0.1:5070>", b"<tel:+441632960123>"))
    assert isinstance(events(endpoint)[0], StandaloneRequest)


def test_unsupported_names_only_the_unknown_option_tags(endpoint):
    (answer,) = answers(endpoint, message("OPTIONS", "Require: teleport, timer"))
    assert answer.headers.get("Unsupported") == "teleport"


def test_a_merged_request_with_another_branch_gets_482(endpoint):
    one, two = (message("INVITE", via=f"branch=z9hG4bK{n};rport") for n in (1, 2))
    assert [a.status for a in answers(endpoint, one, two)] == [482]
    assert len([e for e in events(endpoint) if isinstance(e, IncomingInvite)]) == 1


def test_a_reused_branch_with_the_next_cseq_is_another_transaction(endpoint):
    via = "branch=z9hG4bKreused;rport"
    endpoint.receive(message("INVITE", via=via), THERE, HERE, 1.0)
    (first,) = [e for e in events(endpoint) if isinstance(e, IncomingInvite)]
    first.invite.respond(401, now=1.0)
    endpoint.receive(message("ACK", via=via, cseq="1 ACK"), THERE, HERE, 1.0)
    endpoint.receive(message("INVITE", via=via, cseq="2 INVITE"), THERE, HERE, 1.0)
    (second,) = [e for e in events(endpoint) if isinstance(e, IncomingInvite)]
    assert second.invite.request.cseq.number == 2


def test_a_retransmitted_request_is_answered_again_but_reported_once(endpoint):
    data = message("OPTIONS")
    answers(endpoint, data, data)
    (event,) = events(endpoint)
    event.transaction.respond(200, now=0.0)
    assert [a.status for a in answers(endpoint, data)] == [200, 200]
    assert events(endpoint) == []


def test_the_same_branch_from_another_sent_by_is_another_transaction(endpoint):
    other = message("OPTIONS").replace(b"10.0.0.1:5070;", b"10.0.0.2:5070;")
    other = other.replace(b"Call-ID: call", b"Call-ID: other")
    answers(endpoint, message("OPTIONS"), other)
    assert len(events(endpoint)) == 2


@pytest.mark.parametrize("branch", ["x=1", "branch=oldstyle", "branch=z9hG4bK"])
def test_an_rfc_2543_request_without_the_branch_cookie_is_matched_to_its_transaction(
    endpoint, branch
):
    invite = message("INVITE", via=branch)
    answers(endpoint, invite, invite)
    (event,) = events(endpoint)
    event.invite.respond(486, now=0.0)
    (busy,) = answers(endpoint)
    answers(endpoint, message("ACK", via=branch, to=f";tag={busy.to.tag}"))
    endpoint.handle_timer(4.0)
    assert answers(endpoint) == []


def test_an_rfc_2543_cancel_matches_its_invite(endpoint):
    answers(endpoint, message("INVITE", via="x=1"))
    statuses = [a.status for a in answers(endpoint, message("CANCEL", via="x=1"))]
    assert statuses == [200, 487]
    assert isinstance(events(endpoint)[-1], InviteCancelled)


def test_the_response_to_a_cancel_has_the_to_tag_of_the_invites_response(endpoint):
    answers(endpoint, message("INVITE"))
    cancelled, terminated = answers(endpoint, message("CANCEL"))
    assert cancelled.to.tag == terminated.to.tag


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_after_the_final_response_and_its_ack_gets_200_without_effect(endpoint, status):
    answers(endpoint, message("INVITE"))
    (event,) = events(endpoint)
    event.invite.respond(status, now=0.0)
    (final,) = answers(endpoint)
    acknowledged = "branch=z9hG4bK2;rport" if status == 200 else "branch=z9hG4bK1;rport"
    tag = f";tag={final.to.tag}"
    assert answers(endpoint, message("ACK", via=acknowledged, to=tag, cseq="1 ACK")) == []
    (cancelled,) = answers(endpoint, message("CANCEL"))
    assert (cancelled.status, cancelled.to.tag) == (200, final.to.tag)
    assert not any(isinstance(each, InviteCancelled) for each in events(endpoint))


def test_with_rport_the_response_goes_to_the_source_which_the_via_names(endpoint):
    endpoint.receive(message("BYE"), THERE, HERE, 0.0)
    (datagram,) = endpoint.outgoing()
    via = parse_message(datagram.data).via
    assert datagram.destination == THERE
    assert (via.received, via.parameter("rport")) == (THERE.host, str(THERE.port))


def test_without_rport_the_response_goes_to_the_sent_by_port_at_the_source(endpoint):
    endpoint.receive(message("BYE", via="branch=z9hG4bK1"), THERE, HERE, 0.0)
    (datagram,) = endpoint.outgoing()
    assert datagram.destination == Address(THERE.host, 5070)
    assert parse_message(datagram.data).via.received == THERE.host


def test_a_wrong_received_parameter_is_replaced_by_the_source_address(endpoint):
    data = message("BYE", via="branch=z9hG4bK1;received=203.0.113.1;rport=99")
    (answer,) = answers(endpoint, data)
    found = answer.via.received, answer.via.parameter("rport")
    assert found == (THERE.host, str(THERE.port))


def test_a_malformed_request_gets_400_with_its_own_header_lines(endpoint):
    endpoint.receive(message("OPTIONS", cseq="x OPTIONS"), THERE, HERE, 0.0)
    (datagram,) = endpoint.outgoing()
    assert datagram.data.startswith(b"SIP/2.0 400 ")
    assert b"\r\nCSeq: x OPTIONS\r\n" in datagram.data
    assert datagram.destination == THERE


def test_copies_of_a_malformed_request_get_the_same_response_and_to_tag(endpoint):
    data = message("OPTIONS", cseq="x OPTIONS")
    for _ in range(2):
        endpoint.receive(data, THERE, HERE, 0.0)
    first, second = (datagram.data for datagram in endpoint.outgoing())
    assert first == second
    (to,) = [line for line in first.split(b"\r\n") if line.startswith(b"To:")]
    assert to.count(b";tag=") == 1


def test_a_malformed_request_without_a_readable_via_is_dropped_and_counted(endpoint):
    for data in (message("OPTIONS", cseq="x", via="branch=\x01"), b"junk", b"\xff" * 50):
        assert answers(endpoint, data) == []
    assert [type(e) for e in events(endpoint)] == [MessageDropped] * 3
    assert endpoint.dropped["malformed"] == 3


def test_a_malformed_ack_or_response_is_never_answered(endpoint):
    assert answers(endpoint, message("ACK", cseq="x ACK")) == []
    assert answers(endpoint, b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.2\r\n\r\n") == []


def test_keep_alives_are_counted_without_an_answer_or_event(endpoint):
    assert answers(endpoint, b"\r\n\r\n", b"\0\0\0\0", b"") == []
    assert events(endpoint) == []
    assert endpoint.dropped["keep-alive"] == 3


def test_a_response_to_another_elements_request_is_dropped(endpoint):
    data = message("OPTIONS").replace(b"OPTIONS sip:bob@192.0.2.2 SIP/2.0", b"SIP/2.0 200 OK")
    answers(endpoint, data)
    assert events(endpoint)[0].why == "response for another address"


def test_a_stray_ack_is_dropped(endpoint):
    assert answers(endpoint, message("ACK", to=";tag=x")) == []
    assert events(endpoint)[0].why == "ACK without a matching dialog"


def test_an_ack_to_our_2xx_is_reported_once_and_its_copies_are_absorbed(endpoint):
    answers(endpoint, message("INVITE"))
    dialog = events(endpoint)[0].invite.respond(200, now=0.0)
    ack = message("ACK", via="branch=z9hG4bK2", to=f";tag={dialog.id.local_tag}")
    answers(endpoint, ack, ack)
    assert [type(e) for e in events(endpoint)] == [AckReceived]


def test_an_ack_with_an_unknown_to_tag_is_accepted_if_its_branch_is_the_invites(endpoint):
    answers(endpoint, message("INVITE"))
    events(endpoint)[0].invite.respond(200, now=0.0)
    assert counts(endpoint).awaiting_ack == 1
    answers(endpoint, message("ACK", to=";tag=madeup"), message("ACK", to=";tag=another"))
    assert counts(endpoint).awaiting_ack == 0
    assert [type(e) for e in events(endpoint)] == [AckReceived]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"branch=z9hG4bK1", b"branch=z9hG4bK2"),
        (b"Call-ID: call", b"Call-ID: other"),
        (b";tag=a\r", b";tag=b\r"),
        (b"CSeq: 1", b"CSeq: 2"),
    ],
)
def test_an_ack_with_an_unknown_to_tag_is_ignored_if_branch_call_id_from_tag_or_cseq_differs(
    endpoint, old, new
):
    answers(endpoint, message("INVITE"))
    events(endpoint)[0].invite.respond(200, now=0.0)
    ack = message("ACK", to=";tag=madeup")
    assert old in ack
    answers(endpoint, ack.replace(old, new))
    assert counts(endpoint).awaiting_ack == 1
    assert AckReceived not in [type(e) for e in events(endpoint)]


def test_a_register_with_a_wildcard_contact_reaches_the_application(endpoint):
    data = message("REGISTER").replace(b"Contact: <sip:alice@10.0.0.1:5070>", b"Contact: *")
    answers(endpoint, data)
    assert isinstance(events(endpoint)[0], StandaloneRequest)


def test_a_looped_request_is_recognised_by_our_via(endpoint):
    answers(endpoint, message("OPTIONS", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx"))
    assert endpoint.looped(events(endpoint)[0].request)
    answers(endpoint, message("OPTIONS", via="branch=z9hG4bK7", cseq="2 OPTIONS"))
    assert not endpoint.looped(events(endpoint)[0].request)


def test_listening_on_a_wildcard_address_requires_an_advertised_address():
    endpoint = Endpoint()
    with pytest.raises(ProtocolError):
        endpoint.listen(Address("0.0.0.0", 5060))
    endpoint.listen(Address("0.0.0.0", 5060), advertised=HERE)


def test_a_request_to_a_family_without_a_local_address_raises_protocol_error(endpoint):
    with pytest.raises(ProtocolError):
        endpoint.request(
            "OPTIONS",
            Uri.parse("sip:x@[2001:db8::1]"),
            from_=NameAddr.parse("<sip:a@b>"),
            to=NameAddr.parse("<sip:a@b>"),
            destination=Address("2001:db8::1", 5060),
            now=0.0,
        )


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\0b"])
def test_a_cr_lf_or_nul_in_a_header_is_refused_and_leaves_no_transaction(endpoint, value):
    with pytest.raises(ProtocolError):
        endpoint.invite(
            Uri.parse("sip:x@192.0.2.1"),
            from_=NameAddr.parse("<sip:a@b>"),
            to=NameAddr.parse("<sip:a@b>"),
            destination=Address("192.0.2.1", 5060),
            headers=[("Subject", value)],
            now=0.0,
        )
    assert counts(endpoint).client_transactions == 0


METHODS = st.sampled_from(["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "x"])


@given(data=st.binary(max_size=300))
def test_receiving_arbitrary_bytes_raises_no_exception(data):
    endpoint = Endpoint()
    endpoint.listen(HERE)
    endpoint.receive(data, THERE, HERE, 0.0)


@given(
    method=METHODS,
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), st.binary(max_size=4))),
    status=st.sampled_from([180, 200, 302, 486]),
)
def test_receiving_and_answering_mutated_requests_raises_no_exception(method, edits, status):
    endpoint = Endpoint()
    endpoint.listen(HERE)
    base = message(method, "Record-Route: <sip:10.0.0.3;lr>")
    mutated = base
    for place, length, replacement in edits:
        mutated = mutated[:place] + replacement + mutated[place + length :]
    for data in (base, mutated, mutated):
        endpoint.receive(data, THERE, HERE, 0.0)
        for event in events(endpoint):
            if isinstance(event, IncomingInvite):
                event.invite.respond(status, now=0.0)
            elif isinstance(event, StandaloneRequest):
                event.transaction.respond(200, now=0.0)
    for when in range(0, 200, 2):
        endpoint.handle_timer(float(when))
    for datagram in endpoint.outgoing():
        assert datagram.data.startswith(b"SIP/2.0 ")
    if status != 180:
        assert counts(endpoint).server_transactions == 0


@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5), st.binary(max_size=4))))
def test_receiving_mutated_responses_raises_no_exception(edits):
    endpoint = Endpoint()
    endpoint.listen(HERE)
    client = endpoint.invite(
        Uri.parse("sip:x@198.51.100.9"),
        from_=NameAddr.parse("<sip:a@b>"),
        to=NameAddr.parse("<sip:a@b>"),
        destination=THERE,
        now=0.0,
    )
    head = bytes(client.request).split(b"\r\n", 1)[1]
    for start in (b"SIP/2.0 180 Ringing", b"SIP/2.0 200 OK", b"SIP/2.0 404 Not Found"):
        data = start + b"\r\nRecord-Route: <sip:10.0.0.3;lr>\r\n" + head
        for place, length, replacement in edits:
            data = data[:place] + replacement + data[place + length :]
        endpoint.receive(data, THERE, HERE, 0.0)
    endpoint.handle_timer(100.0)


def turned_away(endpoint, *extra):
    endpoint.receive(message("INVITE", *extra), THERE, HERE, 1.0)
    event = endpoint.next_event()
    event.invite.refuse_statelessly(503, headers=[("Retry-After", "5")], now=1.0)
    (datagram,) = endpoint.outgoing()
    return event.invite, datagram.data


def test_a_statelessly_refused_invite_leaves_no_state(endpoint):
    _, answer = turned_away(endpoint)
    assert answer.startswith(b"SIP/2.0 503")
    assert b"Retry-After: 5" in answer
    assert counts(endpoint) == counts(Endpoint())
    endpoint.receive(message("ACK", cseq="1 ACK"), THERE, HERE, 1.1)
    endpoint.handle_timer(100.0)
    assert endpoint.outgoing() == []


def test_copies_of_a_statelessly_refused_invite_get_identical_responses(endpoint):
    assert turned_away(endpoint)[1] == turned_away(endpoint)[1]


def test_two_endpoints_refuse_the_same_invite_statelessly_with_different_tags(endpoint):
    other = Endpoint()
    other.listen(HERE)
    assert turned_away(endpoint)[1] != turned_away(other)[1]


def test_an_answered_invite_cannot_be_refused_statelessly(endpoint):
    invite, _ = turned_away(endpoint)
    with pytest.raises(ProtocolError):
        invite.refuse_statelessly(503, now=1.0)


def test_a_call_id_and_its_peer_are_known_until_the_dialog_and_its_requests_end(call):
    bob = call.bob.endpoint
    assert bob.has_call_id(call.at_bob.call_id)
    assert bob.peers() == {call.alice.address.host}
    call.at_bob.request("BYE", now=call.network.now)
    call.network.run(60)
    assert not bob.has_call_id(call.at_bob.call_id)
    assert bob.peers() == set()
    assert not call.alice.endpoint.has_call_id(call.at_bob.call_id)


def test_malformed_messages_are_counted_whether_answered_or_not(endpoint):
    for data in (b"\xff" * 20, message(cseq="x OPTIONS")):
        endpoint.receive(data, THERE, HERE, 0.0)
    assert len(endpoint.outgoing()) == 1
    assert endpoint.malformed == 2
