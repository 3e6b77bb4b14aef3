"""Multipart bodies: read and written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request
from telephony.sip.message.multipart import Part, build_multipart, parse_multipart, parts_of
from telephony.sip.message.uri import Uri

PARTS = st.lists(
    st.builds(
        Part,
        st.sampled_from(["application/sdp", "application/rs-metadata+xml;x=1"]),
        st.binary(max_size=60),
        st.sampled_from([[], [("Content-Disposition", "recording-session;handling=required")]]).map(
            Headers
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(PARTS)
def test_parts_that_are_written_read_as_the_same_parts(parts):
    assert parse_multipart(*build_multipart(parts)) == parts


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_are_parts_or_a_sip_parse_error(data, boundary):
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
def test_what_is_not_multipart_is_refused(content_type, body):
    with pytest.raises(SipParseError):
        parse_multipart(content_type, body)


def test_a_boundary_that_occurs_in_a_part_is_refused():
    with pytest.raises(ProtocolError):
        build_multipart([Part("text/plain", b"a --b")], "b")
    with pytest.raises(ProtocolError):
        build_multipart([Part("text/plain", b"a")], "b\r\n")
    with pytest.raises(ProtocolError):
        build_multipart([])


def test_a_bare_body_is_one_part():
    request = Request("INVITE", Uri(host="h"), Headers([("c", "application/sdp")]), b"v=0\r\n")
    assert parts_of(request) == [Part("application/sdp", b"v=0\r\n")]
    assert parts_of(Request("INVITE", Uri(host="h"))) == []


def test_a_message_of_parts_is_read():
    content_type, body = build_multipart([Part("application/sdp", b"v=0\r\n"), Part("a/b", b"c")])
    request = Request("INVITE", Uri(host="h"), Headers([("Content-Type", content_type)]), body)
    assert [part.type for part in parts_of(request)] == ["application/sdp", "a/b"]
