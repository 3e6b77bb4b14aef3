"""Large and hostile messages: refused or parsed, with work proportional to their length.

Covers `telephony/errors.py` and `telephony/sip/transport/malformed.py`.
"""

import gc
import random
import sys

import pytest

from telephony.errors import ParseError, SipParseError, TelephonyError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite
from telephony.sip.message.content import MAX_PARTS, parse_multipart
from telephony.sip.message.grammar import parse_parameters, split_list
from telephony.sip.message.header_values import CSeq, NameAddr, Via
from telephony.sip.message.headers import MAX_HEADERS, MAX_LINE, Headers, header_key, unfold
from telephony.sip.message.messages import parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.ua.auth import parse_digest

LOCAL = Address("192.0.2.100", 5060)
SOURCE = Address("192.0.2.200", 5070)
DATAGRAM = 65507
"""The longest UDP datagram over IPv4, in bytes."""


def invite(*lines, via=b"SIP/2.0/UDP h.example;branch=z9hG4bK1"):
    head = [
        b"INVITE sip:a@h.example SIP/2.0",
        b"Via: " + via,
        b"From: <sip:a@h.example>;tag=1",
        b"To: <sip:b@h.example>",
        b"Call-ID: c",
        b"CSeq: 1 INVITE",
        b"Contact: <sip:a@h.example>",
        *lines,
        b"",
        b"",
    ]
    return b"\r\n".join(head)


def send(data):
    endpoint = Endpoint(rng=random.Random(1))
    endpoint.listen(LOCAL)
    endpoint.receive(data, SOURCE, LOCAL, 1000.0)
    events = []
    while (event := endpoint.next_event()) is not None:
        events.append(event)
    return [datagram.data[:11] for datagram in endpoint.outgoing()], events


@pytest.mark.parametrize(
    "data",
    [
        invite(b"X: " + b"a" * (DATAGRAM - 300)),
        invite(b"X: a\r\n " + b"\r\n ".join([b"a" * 70] * 800)),
        invite(*[b"X: a"] * 10_000),
        invite(*[b"Via: SIP/2.0/UDP far.example;branch=z9hG4bK2"] * 500),
    ],
    ids=["a header of 64 KiB", "a folded header", "10000 headers", "500 lines of Via"],
)
def test_an_oversized_message_is_refused_with_513(data):
    assert len(data) <= DATAGRAM
    with pytest.raises(SipParseError) as caught:
        parse_message(data)
    assert caught.value.status == 513
    assert send(data) == ([b"SIP/2.0 513"], [])


def test_a_message_longer_than_a_udp_datagram_is_refused_with_513():
    with pytest.raises(SipParseError) as caught:
        parse_message(invite() + b"a" * 65536)
    assert caught.value.status == 513


def test_a_request_uri_that_is_too_long_is_refused_with_414():
    data = invite().replace(b"sip:a@h.example", b"sip:" + b"a" * 5000 + b"@h.example", 1)
    assert send(data) == ([b"SIP/2.0 414"], [])


def test_a_message_at_the_limits_of_headers_and_line_length_is_parsed():
    room = MAX_HEADERS - len(parse_message(invite()).headers)
    longest = b"X: " + b"a" * (MAX_LINE - 3)
    message = parse_message(invite(longest, *[b"Y: b"] * (room - 2), b"Content-Length: 0"))
    assert len(message.headers) == MAX_HEADERS - 1  # Content-Length is computed when it is written
    assert len(message.headers.get("X") or "") == MAX_LINE - 3
    assert parse_message(bytes(message)).headers == message.headers


def test_an_invite_with_500_vias_in_one_line_is_parsed_and_answered():
    hop = b"SIP/2.0/UDP h.example;branch=z9"
    data = invite(via=b",".join([hop] * 500))
    _, (event,) = send(data)
    assert isinstance(event, IncomingInvite)
    assert len(parse_message(data).vias) == 500
    event.invite.respond(486, now=1000.0)


def test_long_header_names_are_not_cached():
    long_name = "X-" + "a" * 5000
    assert Headers.parse([f"{long_name}: 1"]).get(long_name) == "1"
    assert header_key(long_name) is not header_key(long_name)


def test_nested_multipart_bodies_are_parsed_one_level_at_a_time():
    kind, body = "text/plain", b"core"
    for level in range(200):
        head = f"--b{level}\r\nContent-Type: {kind}\r\n\r\n"
        body = head.encode() + body + f"\r\n--b{level}--".encode()
        kind = f"multipart/mixed;boundary=b{level}"
    (outer,) = parse_multipart(kind, body)
    assert outer.type == "multipart/mixed"
    depth = 1
    while outer.type != "text/plain":
        (outer,) = parse_multipart(outer.content_type, outer.body)
        depth += 1
    assert (depth, outer.body) == (200, b"core")


def test_a_multipart_body_with_too_many_parts_is_refused_with_413():
    body = b"--b\r\n\r\nx\r\n" * (MAX_PARTS + 1) + b"--b--"
    with pytest.raises(SipParseError) as caught:
        parse_multipart("multipart/mixed;boundary=b", body)
    assert caught.value.status == 413


READERS = {
    "list": split_list,
    "parameters": parse_parameters,
    "address": NameAddr.parse,
    "addresses": NameAddr.parse_list,
    "via": Via.parse,
    "cseq": CSeq.parse,
    "uri": lambda text: Uri.parse("sip:" + text),
    "digest": lambda text: parse_digest("Digest " + text),
    "parts": lambda text: parse_multipart("multipart/mixed;boundary=b", text.encode()),
    "lines": lambda text: unfold(text.encode()),
    "message": lambda text: send(text.encode()),
    "request line": lambda text: send(b"INVITE " + text.encode() + b" SIP/2.0\r\nVia: x\r\n\r\n"),
    "to": lambda text: send(invite().replace(b"<sip:b@h.example>", text.encode())),
    "top via": lambda text: send(invite(via=text.encode())),
    "headers": lambda text: send(invite(text.encode())),
}
SPITE = ['"', '\\"', '"\\', "<", "<>", ";", ",", " ", "\n ", "\r\n", "%", ":", "a:", "a: b\r\n",
         "=", "a=b,", 'a="b";', "SIP/2.0/UDP h,", " SIP/2.0", "--b", "\r\n--b ", "\\\0", '"\\\0',
         "[", "@", "<sip:a@h>,", "; tag", '"a" <', "/"]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_repetitive_hostile_text_is_parsed_without_quadratic_work(reader):
    # If the work grew with the square of the length, this test would take hours.
    for unit in SPITE:
        text = (unit * DATAGRAM)[: DATAGRAM - 500]
        try:
            READERS[reader](text)
        except TelephonyError as error:
            assert isinstance(error, ParseError)  # noqa: PT017 - either outcome will do


def calls_in(work, *arguments):
    """Return how many functions `work` calls, including C functions.

    No garbage is collected meanwhile, because the calls of its finalisers would count too.
    """
    count = 0

    def tick(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(tick)
    try:
        work(*arguments)
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize(
    "make",
    [
        lambda n: invite(*[b"X: a"] * n),
        lambda n: invite(b"Via: " + b", ".join([b"SIP/2.0/UDP h"] * n)),
        lambda n: invite(b"Contact: " + b", ".join([b"<sip:a@h>"] * n)),
        lambda n: invite(b"Contact: <sip:a@h>" + b";a=b" * n),
        lambda n: invite(b"Contact: <sip:a@h" + b";a=b" * n + b">"),
        lambda n: invite(b"X: a" + b"\r\n a" * n),
        lambda n: invite(b"Require: " + b",".join([b"timer"] * n)),
    ],
    ids=["headers", "hops", "contacts", "parameters", "uri parameters", "folds", "options"],
)
def test_parsing_work_grows_linearly_with_the_number_of_elements(make):
    none, some, twice = (calls_in(send, make(n)) for n in (0, 100, 200))
    assert twice - none <= 2 * (some - none) + 20
