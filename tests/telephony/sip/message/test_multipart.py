"""Multipart bodies of SIP messages: parsed into parts, or refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SipParseError
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request
from telephony.sip.message.multipart import BodyPart, parse_multipart, parts_of
from telephony.sip.message.uri import Uri


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_are_parsed_as_parts_or_raise_sip_parse_error(data, boundary):
    for content_type in (f"multipart/mixed;boundary={boundary}", "multipart/mixed;boundary=b"):
        for body in (data, b"--b\r\n" + data + b"\r\n--b--"):
            with contextlib.suppress(SipParseError):
                assert parse_multipart(content_type, body)


def test_bare_line_feeds_preamble_epilogue_and_a_part_without_headers_are_tolerated():
    sdp = b"--b \t\nContent-Type: Application/SDP;a=b\n\nv=0\n\n"
    body = b"before\n--b x\n" + sdp + b"--b\n\nplain\n--b--\nafter\n--b\n"
    parts = parse_multipart('multipart/mixed; boundary="b"', body)
    assert [(part.type, part.body) for part in parts] == [
        ("application/sdp", b"v=0\n"),
        ("text/plain", b"plain"),
    ]


def test_a_missing_last_boundary_is_tolerated():
    assert parse_multipart("multipart/mixed;boundary=b", b"--b\r\n\r\nx")[0].body == b"x"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/mixed", b"--b\r\n\r\nx"),
        ("multipart/mixed;boundary=c", b"--b\r\n\r\nx"),
        ("multipart/mixed;boundary=b", b"--b\r\nNo header\r\n\r\nx"),
        ("multipart/mixed;boundary=b", b"--b\r\nA: b"),
        ("multipart/mixed;boundary=b", b"--b\r\n\r\nx\r\n" * 20),
    ],
)
def test_a_malformed_multipart_body_is_refused(content_type, body):
    with pytest.raises(SipParseError):
        parse_multipart(content_type, body)


def test_a_body_without_multipart_is_one_part():
    request = Request("INVITE", Uri(host="h"), Headers([("c", "application/sdp")]), b"v=0\r\n")
    assert parts_of(request) == [BodyPart("application/sdp", b"v=0\r\n")]
    assert parts_of(Request("INVITE", Uri(host="h"))) == []


def test_a_multipart_message_is_parsed_into_its_parts():
    handling = "recording-session;handling=required"
    body = (
        b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
        b"--b\r\nContent-Type: a/b\r\nContent-Disposition: %b\r\n\r\nc\r\n--b--\r\n"
    ) % handling.encode()
    headers = Headers([("Content-Type", "multipart/mixed;boundary=b")])
    assert parts_of(Request("INVITE", Uri(host="h"), headers, body)) == [
        BodyPart("application/sdp", b"v=0\r\n"),
        BodyPart("a/b", b"c", Headers([("Content-Disposition", handling)])),
    ]
