"""RTP packets: parsed, written, and distinguished from RTCP."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import ProtocolError, RtpParseError
from telephony.rtp.packet import RtpPacket, is_rtcp, is_rtp

PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extension=st.none() | st.tuples(st.integers(0, 0xFFFF), st.just(b"abcdefgh")),
)


@given(PACKETS)
def test_an_rtp_packet_round_trips(packet):
    assert RtpPacket.parse(bytes(packet)) == packet


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_parsed_or_raise_rtp_parse_error(data):
    try:
        RtpPacket.parse(data)
    except RtpParseError:
        assert not is_rtp(data)


@given(PACKETS, st.integers(1, 12))
def test_padding_is_removed(packet, count):
    data = bytearray(bytes(packet) + bytes(count - 1) + bytes([count]))
    data[0] |= 0x20
    assert RtpPacket.parse(bytes(data)) == packet


@pytest.mark.parametrize(
    "data",
    [
        bytes(12),
        b"\x80" + bytes(10),
        b"\x81" + bytes(11),
        b"\x90" + bytes(13),
        b"\x90" + bytes(11) + b"\0\0\0\1",
        b"\xa0" + bytes(11),
        b"\xa0" + bytes(11) + b"\x05",
    ],
)
def test_a_packet_shorter_than_its_header_announces_is_not_rtp(data):
    assert not is_rtp(data)


@pytest.mark.parametrize(
    ("second", "control"), [(200, True), (223, True), (191, False), (72, False)]
)
def test_rtcp_is_recognised_by_its_packet_type(second, control):
    assert is_rtcp(bytes([0x80, second]) + bytes(6)) is control


@pytest.mark.parametrize(
    "packet", [RtpPacket(128, 0, 0, 0), RtpPacket(0, 0, 0, 0, extension=(0, b"abc"))]
)
def test_writing_a_packet_with_a_value_that_does_not_fit_raises_protocol_error(packet):
    with pytest.raises(ProtocolError):
        bytes(packet)
