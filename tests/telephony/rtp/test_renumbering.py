"""A stream from which packets are taken: later numbers close up, and RTCP agrees."""

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from telephony.rtp.packet import RtpPacket
from telephony.rtp.renumbering import Renumbering
from telephony.rtp.rtcp import parse_compound


def packet(sequence, ssrc=7):
    return bytes(RtpPacket(0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc, bytes(20)))


def number(data):
    return RtpPacket.parse(data).sequence


def report(ssrc, packets, octets, about=9, highest=0):
    sender = struct.pack("!BBHIQIII", 0x81, 200, 12, ssrc, 0, 0, packets, octets)
    return sender + struct.pack("!IIIIII", about, 0, highest, 0, 0, 0)


def test_a_stream_from_which_nothing_is_taken_is_left_alone():
    stream = Renumbering()
    for sequence in (65_534, 65_535, 65_536, 5, 4):
        assert stream.sent(packet(sequence)) == packet(sequence)


def test_what_follows_closes_up_through_the_wrap():
    stream = Renumbering()
    assert number(stream.sent(packet(65_533))) == 65_533
    stream.take_out(packet(65_534))
    stream.take_out(packet(65_535))
    assert [number(stream.sent(packet(65_536 + n))) for n in range(4)] == [65_534, 65_535, 0, 1]


def test_payload_source_and_timestamp_stay():
    stream = Renumbering()
    stream.take_out(packet(1))
    sent = stream.sent(packet(2))
    assert sent[4:] == packet(2)[4:]
    assert sent[:2] == packet(2)[:2]


def test_another_source_has_numbers_of_its_own():
    stream = Renumbering()
    stream.take_out(packet(1))
    assert stream.sent(packet(2, ssrc=8)) == packet(2, ssrc=8)


def test_one_that_comes_late_keeps_its_place_among_those_taken_out():
    stream = Renumbering()
    stream.sent(packet(10))
    stream.take_out(packet(12))
    assert number(stream.sent(packet(13))) == 12
    assert number(stream.sent(packet(11))) == 11


def test_one_taken_out_too_late_leaves_its_gap():
    stream = Renumbering()
    stream.sent(packet(10))
    stream.sent(packet(12))
    stream.take_out(packet(11))
    assert number(stream.sent(packet(13))) == 13


def test_a_report_counts_what_went_on_and_what_is_heard_is_told_in_the_source_s_numbers():
    stream = Renumbering()
    for sequence in range(100, 110):
        (stream.take_out if sequence < 103 else stream.sent)(packet(sequence))
    (sent,) = parse_compound(stream.report(report(7, 10, 200)))
    assert struct.unpack("!II", sent.body[16:24]) == (7, 140)
    (heard,) = parse_compound(stream.heard_of(report(9, 1, 1, about=7, highest=106)))
    assert next(heard.reports()).highest_sequence == 109
    other = report(9, 10, 200, about=8, highest=106)
    assert stream.report(other) == stream.heard_of(other) == other


@given(
    st.integers(0, 65_535),
    st.lists(st.booleans(), min_size=1, max_size=600),
    st.randoms(use_true_random=False),
)
def test_without_reordering_nothing_is_missing_and_nothing_comes_twice(first, kept, random):
    stream = Renumbering()
    heard = []
    for sequence, keeps in enumerate(kept, first):
        if not keeps:
            stream.take_out(packet(sequence))
        else:
            heard.append(number(stream.sent(packet(sequence))))
            again = random.choice([True, False])
            assert not again or number(stream.sent(packet(sequence))) == heard[-1]
    steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(heard)}
    assert steps <= {1}


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), unique_by=lambda each: each[0]))
def test_in_whatever_order_they_come_no_two_get_the_same_number(packets):
    stream = Renumbering()
    heard = []
    for sequence, keeps in packets:
        if keeps:
            heard.append(number(stream.sent(packet(sequence))))
        else:
            stream.take_out(packet(sequence))
    assert len(set(heard)) == len(heard)


@given(st.binary(max_size=80))
def test_rtcp_of_any_kind_keeps_its_length(data):
    stream = Renumbering()
    stream.take_out(packet(1, ssrc=int.from_bytes(data[4:8])))
    assert len(stream.report(data)) == len(stream.heard_of(data)) == len(data)
