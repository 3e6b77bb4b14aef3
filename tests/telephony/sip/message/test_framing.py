"""SIP messages are framed from a stream, however the stream is divided."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.message.framing import MAX_BODY, MAX_HEAD, Framer, StreamUnit, UnitKind


def message(body: bytes = b"", *, length: str | None = None, more: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if length is None else length
    head = (
        f"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n{more}{length}"
    )
    return head.encode() + b"\r\n" + body


RESPONSE = b"SIP/2.0 200 OK\r\nl:2\r\n\r\nhi"
PIECES = [
    message(),
    message(b"v=0\r\n\r\nINVITE sip:b SIP/2.0\r\n"),
    RESPONSE,
    message(b"x", length="CONTENT-LENGTH :\r\n 1\r\n"),
    message(b"", length="Subject: x\r\nContent-length:0\r\n"),
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
]
FAULTS = [
    message(length=""),
    message(length="Content-Length: x\r\n"),
    message(length="Content-Length: 1\r\nl: 2\r\n"),
    message(length=f"Content-Length: {MAX_BODY + 1}\r\n"),
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\n",
    b"SIP/2.0 x\r\n",
    message(more=f"X: {'x' * MAX_HEAD}\r\n"),
    b"OPTIONS " + b"x" * (MAX_HEAD + 10),
    message(more="Subject: x\nP-Asserted-Identity: <sip:1@x>\r\n"),
    message(more="Subject: x\rP-Asserted-Identity: <sip:1@x>\r\n"),
    message(length="Content-Length: 0\nl: 9\r\n"),
    message().replace(b"\r\n", b"\n"),
    message()[:-2] + b"\n",
]


def feed(framer: Framer, data: bytes) -> list[StreamUnit]:
    """Return the units that are complete after these bytes."""
    framer.add(data)
    return list(iter(framer.next_unit, None))


def frames(data: bytes, cuts: list[int]) -> list[StreamUnit]:
    framer, found = Framer(), []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        found += feed(framer, data[start:end])
    return found


@given(
    st.lists(st.sampled_from(PIECES), max_size=8),
    st.sampled_from([b"", *FAULTS]),
    st.lists(st.integers(0, 1 << 16), max_size=30),
)
def test_a_stream_gives_the_same_frames_however_it_is_divided(pieces, fault, cuts):
    data = b"".join(pieces) + fault
    whole = frames(data, [])
    assert frames(data, cuts) == whole
    sound = [piece for piece in pieces if piece.strip()]
    assert [f.data for f in whole if f.kind is UnitKind.MESSAGE] == sound
    assert [f.kind for f in whole].count(UnitKind.FAULT) == bool(fault)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_arbitrary_bytes_are_framed_without_an_exception(data, cuts):
    assert frames(data, cuts) == frames(data, [])


def test_a_stream_that_arrives_byte_by_byte_is_framed():
    data = b"".join(PIECES[:3])
    found = frames(data, list(range(len(data))))
    assert [f.data for f in found] == PIECES[:3]


@pytest.mark.parametrize(
    ("data", "status", "why", "answerable"),
    [
        (FAULTS[0], 400, "no Content-Length on a stream", True),
        (FAULTS[1], 400, "not a Content-Length", True),
        (FAULTS[2], 400, "not a Content-Length", True),
        (FAULTS[3], 413, "body too long", True),
        (FAULTS[4], 400, "garbage", False),
        (FAULTS[5], 400, "garbage", False),
        (FAULTS[6], 400, "garbage", False),
        (FAULTS[7], 400, "head too long", False),
        (FAULTS[8], 400, "head too long", False),
        *((fault, 400, "a bare CR or LF", True) for fault in FAULTS[9:]),
    ],
)
def test_a_stream_that_cannot_be_framed_ends_with_a_fault_and_its_reason(
    data, status, why, answerable
):
    framer = Framer()
    (fault,) = feed(framer, data)
    assert (fault.kind, fault.status, fault.why) == (UnitKind.FAULT, status, why)
    assert bool(fault.data) is answerable
    assert feed(framer, message()) == []
    assert framer.buffered == 0


def test_a_double_crlf_is_a_ping_and_a_single_crlf_is_ignored():
    assert frames(b"\r\n\r\n", []) == [StreamUnit(UnitKind.PING)]
    assert frames(b"\r\n" + message(), [])[0].kind is UnitKind.MESSAGE
    assert [f.kind for f in frames(b"\r\n" + message() + b"\r\n", [])] == [UnitKind.MESSAGE]


def test_a_crlf_after_our_ping_is_its_pong():
    framer = Framer()
    framer.expect_pong()
    assert feed(framer, b"\r") == []
    assert feed(framer, b"\n") == [StreamUnit(UnitKind.PONG)]
    assert feed(framer, b"\r\n\r\n") == [StreamUnit(UnitKind.PING)]


def test_a_message_head_at_the_length_limit_is_accepted_and_one_byte_more_is_a_fault():
    room = MAX_HEAD - len(message(more="X: \r\n")) + len(b"\r\n\r\n")
    assert frames(message(more=f"X: {'x' * room}\r\n"), [])[0].kind is UnitKind.MESSAGE
    assert frames(message(more=f"X: {'x' * (room + 1)}\r\n"), [])[0].kind is UnitKind.FAULT


def test_the_buffer_for_an_incomplete_message_is_bounded():
    framer = Framer()
    for _ in range(100):
        feed(framer, b"OPTIONS sip:" + b"x" * 4096)
        assert framer.buffered <= MAX_HEAD + 4096 + 12
