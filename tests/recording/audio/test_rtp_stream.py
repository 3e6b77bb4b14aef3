"""The states of a stream; `test_timeline*.py` test its audio."""

import struct

import pytest

from recording.audio.rtp_stream import StreamState
from recording.audio.track import Track

PACKET_US = 20_000
SECOND = 50
"""Packets in a second."""


def packet(index, *, kind=8, timestamp=None):
    when = index * 160 if timestamp is None else timestamp
    return struct.pack("!BBHII", 0x80, kind, index % 65_536, when, 1) + bytes([0xD5]) * 160


class Sender:
    """A sender of one stream's packets to a track; `late_us` is their delay."""

    def __init__(self):
        self.track = Track(8000, "caller")
        self.index = 0
        self.late_us = 0

    def send(self, count, **facts):
        for _ in range(count):
            self.track.packet(self.index * PACKET_US + self.late_us, packet(self.index, **facts))
            self.index += 1

    def state(self):
        return self.track._streams[1].state


@pytest.fixture
def sender():
    return Sender()


def test_a_stream_is_new_until_enough_packets_have_arrived(sender):
    sender.send(20)
    assert sender.state() is StreamState.NEW
    sender.send(1)
    assert sender.state() is StreamState.CONFIRMED


def test_comfort_noise_does_not_confirm_the_clock(sender):
    sender.send(21, kind=13)
    assert sender.state() is StreamState.DOUBTED


def test_a_stream_is_doubted_after_a_timestamp_jump(sender):
    sender.send(SECOND)
    sender.send(1, timestamp=1_000_000)
    assert sender.state() is StreamState.DOUBTED


def test_a_stream_is_doubted_after_a_long_silence_until_enough_packets_have_arrived(sender):
    sender.send(SECOND)
    sender.index += 3 * SECOND
    sender.send(1)
    assert sender.state() is StreamState.DOUBTED
    sender.send(20)
    assert sender.state() is StreamState.CONFIRMED


def test_a_stream_whose_packets_are_all_late_is_lagging_for_four_seconds(sender):
    sender.send(SECOND)
    sender.late_us = 200_000
    sender.send(4 * SECOND)
    assert sender.state() is StreamState.LAGGING
    sender.send(1)
    assert sender.state() is StreamState.CONFIRMED


def test_a_packet_in_time_ends_the_lagging_state(sender):
    sender.send(SECOND)
    sender.late_us = 200_000
    sender.send(SECOND)
    assert sender.state() is StreamState.LAGGING
    sender.late_us = -200_000
    sender.send(1)
    assert sender.state() is StreamState.DOUBTED


def test_a_break_returns_a_stream_to_the_new_state(sender):
    sender.send(SECOND)
    sender.track.mark_break(8000)
    assert sender.state() is StreamState.NEW
