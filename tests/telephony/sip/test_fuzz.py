"""Damaged messages of the RFCs: only our own errors are raised, and each response is valid.

Covers `telephony/sip/message/messages.py` and `telephony/sip/endpoint.py`.
"""

import contextlib
import random
import re
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from telephony.errors import ParseError, SipParseError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite, StandaloneRequest
from telephony.sip.message.content import parse_multipart
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, parse_message
from telephony.sip.message.uri import Uri

LOCAL = Address("192.0.2.100", 5060)
SOURCE = Address("192.0.2.200", 5070)
PEER = Address("192.0.2.150", 5060)
CORPUS = sorted(
    path.read_bytes() for path in (Path(__file__).parent / "torture").glob("rfc*/*.dat")
)
SPLICES = [
    b"\r\n", b"\r\n ", b"\n", b"\r", b"\0", b" ", b"\t", b",", b";", b";;", b"<", b">", b'"', b"\\",
    b"\\\0", b"%", b"%00", b"%0d%0a", b"@", b":", b":::", b"[", b"]", b"*", b"\xff", b"\xc3\xa9",
    b"\xed\xa0\x80", b"\x7f", b"SIP/2.0", b"SIP/3.0", b"0", b"-1", b"9" * 30, b"z9hG4bK", b"tag=",
    b"\r\nVia: x", b"\r\nl: 0", b"\r\nTo: <sip:a@b>", b"\r\nContact: *", b"\r\nRequire: x",
]  # fmt: skip


@st.composite
def damaged(draw):
    """A message of the corpus with bits flipped, parts removed or added, or another one joined."""
    data = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "cut", "splice", "end", "join", "repeat"])):
            case "flip" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place : place + draw(st.integers(1, 40))]
            case "splice":
                data[place:place] = draw(st.sampled_from(SPLICES))
            case "end":
                del data[place:]
            case "join":
                other = draw(st.sampled_from(CORPUS))
                data[place:] = other[draw(st.integers(0, len(other))) :]
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(1, 60))]
    return bytes(data)


@given(damaged())
def test_a_damaged_message_is_parsed_or_raises_sip_parse_error(data):
    message = None
    with contextlib.suppress(SipParseError):
        message = parse_message(data)
    if message is None:
        return
    again = parse_message(bytes(message))
    assert (again.start_line, again.headers) == (message.start_line, message.headers)
    assert again.body == message.body
    for read in (
        lambda: message.contacts,
        lambda: message.headers.get_list("Route"),
        lambda: NameAddr.parse_list(message.headers.get("Record-Route") or ""),
        lambda: parse_multipart(message.headers.get("Content-Type") or "", message.body),
    ):
        with contextlib.suppress(ParseError):
            read()


def drain(endpoint):
    events = []
    while (event := endpoint.next_event()) is not None:
        events.append(event)
    return events


def fresh():
    endpoint = Endpoint(rng=random.Random(1))
    endpoint.listen(LOCAL)
    return endpoint


@given(damaged(), st.sampled_from([100, 180, 200, 302, 404, 603]))
def test_a_damaged_request_raises_no_exception_and_gets_a_valid_response(data, status):
    endpoint = fresh()
    endpoint.receive(data, SOURCE, LOCAL, 1000.0)
    for event in drain(endpoint):
        if isinstance(event, IncomingInvite):
            event.invite.respond(status, now=1000.0)
        elif isinstance(event, StandaloneRequest):
            event.transaction.respond(max(status, 200), now=1000.0)
    endpoint.handle_timer(1001.0)
    answers = [datagram.data for datagram in endpoint.outgoing()]
    try:
        request = parse_message(data)
    except SipParseError:
        for answer in answers:
            check_salvaged(answer, data)
        return
    assert isinstance(request, Request) or not answers
    for answer in answers:
        check_answer(parse_message(answer), request)


def check_answer(answer, request):
    assert [via.branch for via in answer.vias] == [via.branch for via in request.vias]
    assert answer.headers.get("From") == request.headers.get("From")
    assert answer.call_id == request.call_id
    assert answer.cseq == request.cseq
    assert answer.to.uri == request.to.uri
    assert answer.to.tag or answer.status == 100
    assert request.to.tag in {None, answer.to.tag}


def check_salvaged(answer, data):
    """Check a response to a malformed request: a status line, and lines of the request."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    assert blank
    assert not body
    status, *lines = head.split(b"\r\n")
    assert re.fullmatch(rb"SIP/2\.0 [4-6][0-9][0-9] [A-Za-z '/-]+", status)
    assert lines[0].startswith(b"Via: SIP/")
    assert lines[-1] == b"Content-Length: 0"
    assert not re.search(rb"[\0\r]|[^\r]\n", b"".join(lines))
    plain = b" ".join(re.sub(rb"\r?\n[ \t]+", b" ", data).split())
    plain = plain.replace(b"\\\0", "\ufffd".encode())
    for line in lines[1:-1]:
        name, _, value = line.partition(b": ")
        assert name in {b"Via", b"From", b"To", b"Call-ID", b"CSeq"}
        came = re.sub(rb";tag=[0-9a-f]{8}\Z", b"", value) if name == b"To" else value
        assert b" ".join(came.split()) in plain


RESPONSE = (
    b"SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=b\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n\r\n"
)


@st.composite
def damaged_responses(draw):
    """A plan for a damaged response: its status, the bytes to insert, and the bits to flip."""
    status = draw(st.sampled_from([b"100 T", b"180 R", b"200 OK", b"302 M", b"407 P", b"500 E"]))
    more = draw(st.lists(st.sampled_from(SPLICES) | st.binary(max_size=6), max_size=4))
    places = [draw(st.integers(0, 400)) for _ in more]
    flips = draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 7)), max_size=3))
    return status, list(zip(places, more, strict=True)), flips


@given(damaged_responses())
@example((b"200 OK", [], []))
def test_a_damaged_response_raises_no_exception(plan):
    status, splices, flips = plan
    endpoint = fresh()
    endpoint.invite(
        Uri.parse("sip:b@192.0.2.150"),
        from_=NameAddr.parse("<sip:a@example.com>"),
        to=NameAddr.parse("<sip:b@example.com>"),
        destination=PEER,
        now=1000.0,
    )
    (sent,) = endpoint.outgoing()
    invite = parse_message(sent.data)
    names = ("Via", "From", "To", "Call-ID")
    filled = RESPONSE % (status, *(str(invite.headers.get(name)).encode() for name in names))
    data = bytearray(filled)
    for place, piece in splices:
        data[place:place] = piece
    for place, bit in flips:
        if place < len(data):
            data[place] ^= 1 << bit
    endpoint.receive(bytes(data), PEER, LOCAL, 1000.5)
    events = drain(endpoint)
    if bytes(data) == filled:
        assert [type(event).__name__ for event in events] == {
            b"100 T": ["InviteProgress"], b"180 R": ["InviteProgress"],
            b"200 OK": ["InviteAnswered"],
        }.get(status, ["InviteFailed"])  # fmt: skip
    for datagram in endpoint.outgoing():
        parse_message(datagram.data)
