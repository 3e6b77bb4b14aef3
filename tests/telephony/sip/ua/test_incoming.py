"""Messages that are malformed or not for us: the core handles them without the application.

Covers `telephony/sip/transport/malformed.py`.
"""

import random

import pytest

from helpers.sip_messages import response_of
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, StandaloneRequest
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri

LOCAL = Address("192.0.2.100", 5060)
SOURCE = Address("192.0.2.200", 5070)

OPTIONS = b"""OPTIONS sip:a@h.example SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.200:5070;branch=z9hG4bK1\r
Via: SIP/2.0/TCP far.example;branch=z9hG4bK0\r
From: <sip:a@h.example>;tag=1\r
To: "x;tag=2" <sip:b@h.example>\r
Call-ID: c\r
CSeq: 1 OPTIONS\r
Contact: <sip:a@192.0.2.200>\r
Content-Length: 0\r
\r
"""


@pytest.fixture
def endpoint():
    made = Endpoint(rng=random.Random(1), allow=("INVITE", "OPTIONS", "FROTZ"))
    made.listen(LOCAL)
    return made


def send(endpoint, data, source=SOURCE):
    endpoint.receive(data, source, LOCAL, 1000.0)
    return [datagram.data for datagram in endpoint.outgoing()]


def changed(old, new):
    assert old in OPTIONS
    return OPTIONS.replace(old, new)


def why(endpoint):
    return [event.why for event in iter(endpoint.next_event, None)]


def test_a_request_with_an_unreadable_contact_gets_the_same_400_for_each_copy(endpoint):
    data = changed(b"<sip:a@192.0.2.200>", b"<sip:a@192.0.2.200")
    (first,) = send(endpoint, data)
    answer = response_of(first)
    assert (answer.status, len(answer.vias)) == (400, 2)
    assert answer.to.tag
    assert send(endpoint, data) == [first]
    assert endpoint.next_event() is None


def test_an_extension_method_must_equal_the_method_in_the_cseq(endpoint):
    (answer,) = send(endpoint, changed(b"OPTIONS sip", b"FROTZ sip"))
    assert answer.startswith(b"SIP/2.0 400 ")
    data = OPTIONS.replace(b"OPTIONS", b"FROTZ").replace(b"bK1", b"bK2")
    assert send(endpoint, data) == []
    assert isinstance(endpoint.next_event(), StandaloneRequest)


@pytest.mark.parametrize("name", [b"Max-Forwards: 70", b"c: text/Plain", b"CSeq: 1 OPTIONS"])
def test_a_repeated_single_value_header_is_refused_with_400(endpoint, name):
    lines = name + b"\r\n" + name.lower()
    (answer,) = send(endpoint, changed(b"Contact: <sip:a@192.0.2.200>", lines))
    assert answer.startswith(b"SIP/2.0 400 ")


@pytest.mark.parametrize(
    "top",
    [b"SIP/2.0/UDP", b"x", b"SIP/2.0/UDP [::1;branch=1", b"SIP/2.0/UDP h;branch=\0", b"",
     b"SIP/2.0/UDP h;branch=" + b"a" * 2000, b"HTTP/1.1/TCP h", b'SIP/2.0/UDP h;x="'],
)  # fmt: skip
def test_a_malformed_request_with_an_invalid_top_via_is_dropped_without_an_answer(endpoint, top):
    data = changed(b"SIP/2.0/UDP 192.0.2.200:5070;branch=z9hG4bK1", top)
    data = data.replace(b"Call-ID: c", b"Call-ID:")
    assert send(endpoint, data) == []
    assert endpoint.dropped["malformed"] == 1


@pytest.mark.parametrize("method", [b"ACK", b"ack"])
def test_a_malformed_ack_is_never_answered(endpoint, method):
    data = OPTIONS.replace(b"OPTIONS", method).replace(b"Call-ID: c", b"Call-ID:")
    assert send(endpoint, data) == []


def test_copies_of_a_malformed_request_get_the_same_readable_400(endpoint):
    data = changed(b"Content-Length: 0", b"Content-Length: x")
    (first,) = send(endpoint, data)
    assert send(endpoint, data) == [first]
    answer = response_of(first)
    assert (answer.status, answer.call_id, str(answer.cseq)) == (400, "c", "1 OPTIONS")
    assert [via.branch for via in answer.vias] == ["z9hG4bK1", "z9hG4bK0"]
    assert answer.to.display_name == "x;tag=2"


def test_a_response_keeps_bytes_of_the_to_header_that_are_not_utf_8(endpoint):
    data = changed(b'"x;tag=2"', b'"Si\xe2n \\\0"').replace(b"Length: 0", b"Length: x")
    (answer,) = send(endpoint, data)
    assert b'To: "Si\xe2n \xef\xbf\xbd" <sip:b@h.example>;tag=' in answer
    data = changed(b'"x;tag=2"', b'"Si\xe2n"').replace(b"OPTIONS", b"PUBLISH")
    (answer,) = send(endpoint, data)
    assert b'To: "Si\xe2n" <sip:b@h.example>;tag=' in answer
    assert answer.startswith(b"SIP/2.0 405 ")


def test_a_response_with_a_second_via_is_dropped(endpoint):
    endpoint.request(
        "OPTIONS",
        Uri.parse("sip:b@192.0.2.200"),
        from_=NameAddr.parse("<sip:a@h.example>"),
        to=NameAddr.parse("<sip:b@h.example>"),
        destination=SOURCE,
        now=1000.0,
    )
    (datagram,) = endpoint.outgoing()
    lines = datagram.data.split(b"\r\n")
    answer = [b"SIP/2.0 200 OK", *lines[1:]]
    further = [*answer[:2], b"Via: SIP/2.0/UDP far.example;branch=z9hG4bK0", *answer[2:]]
    send(endpoint, b"\r\n".join(further))
    assert why(endpoint) == ["response with several Via entries"]
    send(endpoint, b"\r\n".join(answer))
    assert endpoint.next_event().response.status == 200
