"""The media of a phone: packets at their timestamps, and keys.

Covers `telephony/phone/rtp_sender.py`.
"""

import pytest

from telephony.errors import ProtocolError
from telephony.phone.rtp_sender import RtpSender
from telephony.phone.stream import PlayoutBuffer
from telephony.rtp.dtmf import TelephoneEvent
from telephony.rtp.packet import RtpPacket

FRAME = bytes([1, 0]) * 160


def put(playout, timestamp, ssrc=7, now=0.0, pcm=FRAME):
    playout.put(RtpPacket(8, 0, timestamp & 0xFFFFFFFF, ssrc), pcm, now)


def test_packets_are_placed_at_their_timestamps():
    playout = PlayoutBuffer()
    for number in (0, 2, 1):
        put(playout, 1000 + 160 * number, pcm=bytes([number + 1, 0]) * 160)
    assert playout.take(480) == b"".join(bytes([n, 0]) * 160 for n in (1, 2, 3))


def test_a_lost_packet_is_played_as_silence_of_its_length():
    playout = PlayoutBuffer()
    put(playout, 0)
    put(playout, 320)
    assert playout.take(480) == FRAME + bytes(320) + FRAME


def test_a_timestamp_that_wraps_round_leaves_no_gap():
    playout = PlayoutBuffer()
    put(playout, 2**32 - 160)
    put(playout, 0)
    assert playout.unread == 320


def test_a_packet_that_arrives_after_its_playout_time_is_dropped():
    playout = PlayoutBuffer()
    put(playout, 0)
    put(playout, 320)
    playout.take(480)
    put(playout, 160)
    assert playout.unread == 0


def test_a_new_source_is_placed_at_its_arrival_time():
    playout = PlayoutBuffer()
    put(playout, 0)
    put(playout, 5_000_000, ssrc=8, now=1.0)
    assert playout.end == 8160


def test_a_new_source_does_not_overwrite_queued_audio_of_the_old_source():
    playout = PlayoutBuffer()
    for number in range(5):
        put(playout, 160 * number)
    put(playout, 77, ssrc=8, now=0.01)
    assert playout.end == 960


def test_a_dtmf_key_is_one_event_whose_end_is_sent_three_times():
    sender = RtpSender()
    sender.event_type = 101
    sender.press("5")
    packets = [RtpPacket.parse(sender.next()) for _ in range(12)]
    events = [packet for packet in packets if packet.payload_type == 101]
    told = [TelephoneEvent.parse(packet.payload) for packet in events]
    assert {packet.timestamp for packet in events} == {packets[0].timestamp}
    assert [packet.marker for packet in events] == [True] + [False] * (len(events) - 1)
    assert [event.duration for event in told] == [160, 320, 480, 640, 800, 960, 960, 960]
    assert [event.end for event in told] == [False] * 5 + [True] * 3
    assert not sender.pressing


def test_skipped_packets_advance_the_timestamp_but_not_the_sequence_number():
    sender = RtpSender()
    first = RtpPacket.parse(sender.next())
    sender.skip()
    after = RtpPacket.parse(sender.next())
    assert after.timestamp - first.timestamp == 320
    assert after.sequence - first.sequence == 1
    assert after.marker


def test_audio_with_half_a_sample_is_refused():
    with pytest.raises(ProtocolError):
        RtpSender().write(b"\0")
