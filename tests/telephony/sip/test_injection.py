"""Values with any content: refused, or written without a line break in them.

Covers `telephony/sip/message/grammar.py`, `telephony/sip/message/headers.py`,
`telephony/sip/message/messages.py`, `telephony/sip/message/uri.py`,
`telephony/sip/message/content.py` and `telephony/sip/ua/auth.py`.
"""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sip_messages import request_of
from telephony.errors import ParseError, ProtocolError
from telephony.sip.message.content import parse_multipart
from telephony.sip.message.grammar import (
    check_parameters,
    format_parameters,
    quote,
    refuse_line_breaks,
)
from telephony.sip.message.header_values import CSeq, NameAddr, Via
from telephony.sip.message.headers import Headers, Latin1Text
from telephony.sip.message.messages import Request, Response, respond
from telephony.sip.message.uri import Uri, escape_header, escape_user
from telephony.sip.ua.auth import DigestClient, DigestServer

SHARP = st.sampled_from(
    ["\r\n", "\n", "\r", "\0", "\r\nVia: SIP/2.0/UDP evil", "\r\n\r\n", '"', '"\r\n"', "\\", "\\\r",
     "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\ud800", "é", "%0d%0a", "%00", ";", ",", "<", ">"]
)  # fmt: skip
TAME = st.text(string.ascii_letters + string.digits + "-._", min_size=1, max_size=6)
TEXT = st.one_of(
    TAME,
    st.text(st.characters(), max_size=6),
    st.tuples(TAME, SHARP, TAME).map("".join),
    st.tuples(st.just('"'), TAME, SHARP, st.just('"')).map("".join),
)
MAYBE = st.none() | TEXT
PAIRS = st.lists(st.tuples(TEXT, MAYBE), max_size=2).map(tuple)
SOUND_PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple)
PORTS = st.none() | st.integers(-1, 70000)

REQUEST = (
    b"OPTIONS sip:a@h.example SIP/2.0\r\nVia: SIP/2.0/UDP h.example;branch=z9hG4bK1\r\n"
    b"From: <sip:a@h.example>;tag=1\r\nTo: <sip:b@h.example>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def uris():
    return st.tuples(
        st.sampled_from(["sip", "sips", "tel", "urn"]) | TEXT, MAYBE, MAYBE, TEXT, PORTS, PAIRS,
        SOUND_PAIRS,
    )  # fmt: skip


def holds_line(text):
    return "\r" not in text and "\n" not in text and "\0" not in text


def lines_of(data):
    head, blank, _ = data.partition(b"\r\n\r\n")
    assert blank
    assert b"\0" not in head
    lines = head.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    return lines


@given(uris())
def test_a_uri_with_any_content_is_refused_or_written_as_one_line(fields):
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(Uri(*fields)))


@given(TEXT, PAIRS, uris())
def test_a_name_addr_with_any_content_is_refused_or_written_as_one_line(name, parameters, fields):
    uri = Uri(host="h")
    with contextlib.suppress(ProtocolError):
        uri = Uri(*fields)
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(NameAddr(name, uri, parameters)))


@given(TEXT, MAYBE, TEXT)
def test_an_address_with_any_parameter_or_tag_set_stays_one_line(name, value, tag):
    address = NameAddr("", Uri(host="h"))
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(address.with_parameter(name, value)))
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(address.with_tag(tag)))


@given(TEXT, TEXT, PORTS, PAIRS)
def test_a_via_with_any_content_is_refused_or_written_as_one_line(
    transport, host, port, parameters
):
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(Via(transport.upper(), host, port, parameters)))
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(Via("UDP", "h", None, parameters)))


@given(st.integers(-1, 2**40), TEXT)
def test_a_cseq_with_any_content_is_refused_or_written_as_one_line(number, method):
    with contextlib.suppress(ProtocolError):
        assert holds_line(str(CSeq(number, method)))


@given(TEXT, PAIRS)
def test_quoted_strings_parameters_and_escapes_are_written_as_one_line(text, parameters):
    with contextlib.suppress(ProtocolError):
        assert holds_line(quote(text))
    with contextlib.suppress(ProtocolError):
        assert holds_line(refuse_line_breaks(text))
    with contextlib.suppress(ProtocolError):
        check_parameters(parameters)
        assert holds_line(format_parameters(parameters))
    with contextlib.suppress(ProtocolError):
        assert holds_line(escape_user(text) + escape_header(text))


@pytest.mark.parametrize("write", ["add", "set", "replace_first"])
@given(name=TEXT, value=TEXT, latin=st.booleans())
def test_a_header_with_any_content_is_refused_or_written_as_one_line(write, name, value, latin):
    headers = Headers([("X-First", "1")])
    message = Request("OPTIONS", Uri(host="h"), headers)
    before = len(lines_of(bytes(message)))
    with contextlib.suppress(ProtocolError):
        getattr(headers, write)(name, Latin1Text(value) if latin else value)
        expected = before + (len(headers) - 1) - ("Content-Length" in headers)
        assert len(lines_of(bytes(message))) == expected


@given(TEXT, TEXT, st.integers(0, 800), st.binary(max_size=9))
def test_a_start_line_with_any_content_is_refused_or_written_as_one_line(
    method, reason, status, body
):
    with contextlib.suppress(ProtocolError):
        assert len(lines_of(bytes(Request(method, Uri(host="h"), body=body)))) == 2
    for phrase in (reason, Latin1Text(reason)):
        with contextlib.suppress(ProtocolError):
            assert len(lines_of(bytes(Response(status, phrase, body=body)))) == 2


@given(TEXT, MAYBE, TEXT, TEXT)
def test_a_response_with_any_content_gets_no_extra_lines(reason, tag, name, value):
    request = request_of(REQUEST)
    with contextlib.suppress(ProtocolError):
        response = respond(request, 200, reason, tag, [(name, value)])
        names = [row[0] for row in response.headers.rows]
        assert len(lines_of(bytes(response))) == 2 + len(names) - names.count("content-length")


@given(TEXT, TEXT, TEXT, TEXT)
def test_credentials_and_challenges_with_any_content_are_written_as_one_line(
    user, password, realm, nonce
):
    request = request_of(REQUEST)
    with contextlib.suppress(ProtocolError):
        server = DigestServer(realm, b"s" * 16, lambda *_: None)
        assert all(holds_line(value) for _, value in server.challenges(1000.0))
        lines_of(bytes(server.challenge(request, 1000.0)))
    with contextlib.suppress(ProtocolError):
        challenge = f'Digest realm={quote(realm)}, nonce={quote(nonce)}, qop="auth", opaque="x"'
        asked = Response(401, headers=Headers([("WWW-Authenticate", challenge)]))
        answer = DigestClient(user, password).answer(request, asked, "c")
        assert answer is None or holds_line(answer[1])


@given(TEXT)
def test_any_text_is_parsed_or_raises_parse_error(text):
    for read in (Uri.parse, NameAddr.parse, Via.parse, CSeq.parse):
        with contextlib.suppress(ParseError):
            assert holds_line(str(read(text)))
    with contextlib.suppress(ParseError):
        parse_multipart(f"multipart/mixed;boundary={text}", b"--x\r\n\r\n--x--")
