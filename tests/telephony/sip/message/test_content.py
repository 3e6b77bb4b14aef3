"""The content of SIP messages: multipart bodies, and DTMF keys in INFO requests."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SipParseError
from telephony.sip.message.content import (
    DTMF_RELAY,
    BodyPart,
    body_of,
    key_of,
    parse_multipart,
)
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request
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


def test_a_multipart_body_is_parsed_into_its_parts():
    handling = "recording-session;handling=required"
    body = (
        b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
        b"--b\r\nContent-Type: a/b\r\nContent-Disposition: %b\r\n\r\nc\r\n--b--\r\n"
    ) % handling.encode()
    assert parse_multipart("multipart/mixed;boundary=b", body) == [
        BodyPart("application/sdp", b"v=0\r\n"),
        BodyPart("a/b", b"c", Headers([("Content-Disposition", handling)])),
    ]


def info(body, content_type=DTMF_RELAY):
    headers = Headers()
    headers.add("Content-Type", content_type)
    return Request("INFO", Uri(host="a.example"), headers, body)


@given(st.sampled_from("0123456789*#ABCD"), st.integers(0, 5000))
def test_a_dtmf_key_round_trips_through_an_info_body(key, milliseconds):
    assert key_of(info(body_of(key, milliseconds))) == key


@pytest.mark.parametrize(
    ("body", "content_type", "key"),
    [
        (b"Signal= 5\r\nDuration= 160\r\n", "application/dtmf-relay", "5"),
        (b"signal=#", "Application/DTMF-Relay", "#"),
        (b"*", "application/dtmf", "*"),
        (b"Signal=10", "application/dtmf-relay", None),
        (b"Signal=5", "text/plain", None),
        (b"", "application/dtmf", None),
    ],
)
def test_key_of_returns_the_key_in_the_formats_that_phones_send(body, content_type, key):
    assert key_of(info(body, content_type)) == key


@given(st.binary(max_size=40))
def test_key_of_returns_a_key_or_none_for_any_body(body):
    key = key_of(info(body))
    assert key is None or key in "0123456789*#ABCD"
