"""The quality of a received stream: loss, duplicates and jitter (RFC 3550)."""

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.phone.reception import ReceptionCounter
from telephony.rtp.packet import RtpPacket


def packet(number, ssrc=1):
    return RtpPacket(8, number & 0xFFFF, 160 * number & 0xFFFFFFFF, ssrc, bytes(160))


def counted(*numbers):
    counter = ReceptionCounter()
    for number in numbers:
        counter.put(packet(number), number * 0.02)
    return counter.now


def test_a_steady_stream_has_neither_loss_nor_jitter():
    assert astuple(counted(*range(100))) == pytest.approx((100, 0, 0, 0))


def test_a_missing_packet_counts_as_lost_until_it_arrives_late():
    assert counted(1, 2, 5).lost == 2
    assert astuple(counted(1, 2, 5, 4)) == pytest.approx((4, 1, 1, 0))
    assert counted(1, 2, 5).loss == pytest.approx(0.4)


def test_a_duplicate_packet_is_not_counted():
    assert counted(1, 2, 2, 1, 3).received == 3


def test_a_sequence_number_that_wraps_round_counts_as_no_loss():
    numbers = range(65_530, 65_545)
    assert (counted(*numbers).received, counted(*numbers).lost) == (15, 0)


def test_a_new_source_does_not_count_as_loss():
    counter = ReceptionCounter()
    for number, ssrc in ((1, 1), (2, 1), (9000, 2), (9001, 2)):
        counter.put(packet(number, ssrc), number * 0.02)
    assert (counter.now.received, counter.now.lost) == (4, 0)


def test_the_packets_of_a_dtmf_key_add_no_jitter():
    counter = ReceptionCounter()
    counter.put(packet(0), 0.0)
    for number in range(1, 6):
        counter.count_untimed(RtpPacket(101, number, 160, 1, bytes(4)))
    counter.put(packet(6), 0.12)
    assert (counter.now.received, counter.now.lost) == (7, 0)
    assert counter.now.jitter == pytest.approx(0)


def test_jitter_follows_rfc_3550():
    counter = ReceptionCounter()
    counter.put(packet(0), 0.0)
    counter.put(packet(1), 0.036)
    assert counter.now.jitter == pytest.approx(0.016 / 16)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 2))))
def test_the_counts_stay_consistent_for_any_sequence_of_packets(arrivals):
    counter = ReceptionCounter()
    for place, (number, ssrc) in enumerate(arrivals):
        counter.put(packet(number, ssrc), place * 0.02)
    now = counter.now
    assert 0 <= now.received <= len(arrivals)
    assert now.late <= now.received
    assert 0 <= now.loss <= 1
