"""RTCP compound packets: parsing, replacing SSRCs, and our own reports."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import RtpParseError
from telephony.rtp.rtcp import (
    BYE,
    RECEIVER_REPORT,
    SENDER_REPORT,
    goodbye,
    parse_compound,
    replace_ssrcs,
    sender_report,
)

BLOCK = struct.pack("!IIIIII", 9, 0x40FFFFFE, 70_000, 12, 5, 6)
RECEIVER = bytes([0x81, 201, 0, 7]) + struct.pack("!I", 7) + BLOCK
SENDER = bytes([0x81, 200, 0, 12]) + bytes(24) + BLOCK
GOODBYE = bytes([0x81, 203, 0, 1]) + struct.pack("!I", 7)


def test_a_compound_packet_is_split_into_its_packets_in_order():
    packets = parse_compound(SENDER + RECEIVER + GOODBYE)
    assert [packet.type for packet in packets] == [SENDER_REPORT, RECEIVER_REPORT, BYE]
    assert packets[1].ssrc == 7


@pytest.mark.parametrize("data", [SENDER, RECEIVER])
def test_a_report_block_reads_its_cumulative_loss_as_a_signed_number(data):
    (block,) = parse_compound(data)[0].reports()
    assert (block.ssrc, block.fraction_lost, block.lost) == (9, 0x40, -2)
    assert (block.highest_sequence, block.jitter) == (70_000, 12)


def test_a_bye_has_no_report_blocks():
    assert list(parse_compound(GOODBYE)[0].reports()) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\xc9", RECEIVER[:-1], b"\x82" + RECEIVER[1:], bytes(8), b"\xa1\xcb\0\1\0\0\0\xff"],
)
def test_truncated_or_malformed_rtcp_raises_rtp_parse_error(data):
    with pytest.raises(RtpParseError):
        parse_compound(data)


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_parsed_or_raise_rtp_parse_error(data):
    try:
        for packet in parse_compound(data):
            list(packet.reports())
    except RtpParseError:
        return


def word(number):
    return number.to_bytes(4)


def head(count, kind, body):
    return bytes([0x80 | count, kind]) + (len(body) // 4).to_bytes(2) + body


def test_replace_ssrcs_changes_every_ssrc_field_of_a_compound_packet():
    def compound(one, other):
        block = word(other) + bytes(20)
        items = word(one) + b"\x01\x03one\0\0\0" + word(other) + b"\x01\x05other\0"
        return b"".join(
            [
                head(1, 200, word(one) + bytes(20) + block),
                head(1, 201, word(one) + block),
                head(2, 202, items),
                head(2, 203, word(one) + word(other)),
                head(1, 205, word(one) + word(other) + word(one)),
                head(0, 204, word(one) + b"name"),
            ]
        )

    names = {word(7): word(1007), word(9): word(1009)}
    # the last word of a feedback packet is not an SSRC
    wrong = head(1, 205, word(1007) + word(1009) + word(1007))
    right = head(1, 205, word(1007) + word(1009) + word(7))
    assert replace_ssrcs(compound(7, 9), names) == compound(1007, 1009).replace(wrong, right)
    assert replace_ssrcs(compound(7, 9), {}) == compound(7, 9)


@given(st.binary(max_size=120))
def test_replacing_an_ssrc_never_changes_the_length_of_a_compound_packet(data):
    try:
        assert len(replace_ssrcs(data, {data[4:8]: b"1234"})) == len(data)
    except RtpParseError:
        with pytest.raises(RtpParseError):
            parse_compound(data)


def test_our_sender_report_has_ssrc_ntp_time_counts_and_cname():
    data = sender_report(
        7, 1_000_000_000.5, timestamp=160, packets=3, octets=480, name="nobody"
    ) + goodbye(7)
    report, names, bye = parse_compound(data)
    assert [each.ssrc for each in (report, names, bye)] == [7, 7, 7]
    seconds, fraction, timestamp, packets, octets = struct.unpack("!IIIII", report.body[4:])
    assert (seconds - 2_208_988_800, fraction) == (1_000_000_000, 1 << 31)
    assert (timestamp, packets, octets) == (160, 3, 480)
    assert names.body[4:12] == b"\x01\x06nobody"
    assert bye.type == BYE
