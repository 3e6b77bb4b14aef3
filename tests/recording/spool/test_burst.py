"""Bursts: decoded faster, with the same samples, counts and facts, whatever the packets are."""

import random
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.packets import pack_packets
from recording.audio.codecs import PayloadCodec
from recording.audio.timeline import Timeline
from recording.spool.burst import BurstRecord, TrackBurst, unpack_burst
from recording.spool.format import unpack_packets

US = 1_000_000
STEP_US = 500_000
MANY = settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))


def rtp(sequence, timestamp, payload, *, kind=8, ssrc=1, flags=0x80):
    head = (flags, kind, sequence & 0xFFFF, timestamp % 2**32, ssrc)
    return struct.pack("!BBHII", *head) + payload


@dataclass
class Sender:
    """A sender whose packets are mostly regular."""

    track: int
    size: int
    sequence: int
    timestamp: int
    kind: int = 8
    flags: int = 0x80
    late_us: int = 0

    def __post_init__(self):
        self.ssrc = self.track % 2

    def packet(self, body):
        self.sequence += 1
        self.timestamp += self.size
        return rtp(
            self.sequence, self.timestamp, body, kind=self.kind, ssrc=self.ssrc, flags=self.flags
        )

    def misbehave(self, dice):
        """Change one field of the packets that follow, or their delay."""
        choices = {
            "sequence": [self.sequence + step for step in (-3, -2, -1, 1, 2, 40, 5000)],
            "timestamp": [self.timestamp + step for step in (-160, 80, 8000, 40_000, 10**9)],
            "ssrc": range(8),
            "kind": [0, 8, 8, 13, 96, 0x88],
            "flags": [0x80, 0x80, 0x90, 0xA0, 0x00, 0x81],
            "late_us": [0, 0, 100_000, 2_000_000, -80_000],
        }
        name = dice.choice(list(choices))
        setattr(self, name, dice.choice(choices[name]))


@st.composite
def frames_of_packets(draw):
    """The packets of about four seconds from an unreliable network, divided into frames."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    trouble = draw(st.sampled_from([0.0, 0.01, 0.1]))
    jitter_us = draw(st.sampled_from([0, 5_000, 70_000, 600_000]))
    speed = draw(st.sampled_from([1, 1, 1.0003, 0.9997, 1.02]))
    size = draw(st.sampled_from([160, 160, 240, 80]))
    packets = []
    for track in range(draw(st.integers(1, 3))):
        sequence = draw(st.sampled_from([0, 1, 65_400, 65_530]))
        timestamp = draw(st.sampled_from([0, 2**31 - 3000, 2**32 - 5000, 2**32 - 160]))
        sender = Sender(track, size, sequence, timestamp)
        for index in range(36_000 // size):
            if dice.random() < trouble:
                sender.misbehave(dice)
            if dice.random() < trouble / 3:
                sender.kind, sender.flags, sender.late_us = 8, 0x80, 0
            sent_us = round(index * size * 125 * speed) + sender.late_us
            arrival = max(0, sent_us + dice.randint(0, jitter_us))
            packets.append((arrival, track, sender.packet(dice.randbytes(size))))
    packets.sort(key=lambda packet: packet[0])
    if draw(st.booleans()):  # a clock that steps back
        middle = len(packets) // 2
        packets = [(at + 700_000 * (i < middle), *rest) for i, (at, *rest) in enumerate(packets)]
    count = draw(st.sampled_from([8, 50, 100, 333]))
    return [packets[start : start + count] for start in range(0, len(packets), count)]


def played(frames, shift_us, *, bursts):
    """Return samples and counts of the frames, read as bursts or one by one, with a gap."""
    timeline = Timeline(8000)
    timeline.set_payload_types(0, {96: PayloadCodec("PCMU", 8000)})
    told = 0
    blocks: list[np.ndarray] = []
    for number, frame in enumerate(frames):
        (first, _), plaintext = pack_packets(frame)
        burst = unpack_burst(first, plaintext) if bursts else None
        if burst is not None:
            for told in timeline.burst(burst, shift_us, told, STEP_US):  # noqa: B020 - it is what it was
                timeline.advance(told)
                blocks += timeline.blocks()
        else:
            packets = unpack_packets(first, plaintext)
            assert packets is not None
            for packet in packets:
                at_us = packet.at_us + shift_us
                timeline.packet(packet.track, at_us, packet.data)
                if at_us - told >= STEP_US:
                    told = at_us
                    timeline.advance(told)
                    blocks += timeline.blocks()
        if number == 3:
            timeline.begin_gap(told)
        if number == 4:
            timeline.end_gap(told + 100_000)
    timeline.finish(12 * US)
    return np.concatenate([*blocks, *timeline.blocks()]), timeline.counts


@given(frames=frames_of_packets(), shift_us=st.sampled_from([0, 0, -1_300_000, 750_001]))
@MANY
def test_bursts_decode_to_the_same_samples_and_counts_as_single_packets(frames, shift_us):
    slow, slow_counts = played(frames, shift_us, bursts=False)
    fast, fast_counts = played(frames, shift_us, bursts=True)
    assert fast_counts == slow_counts
    assert np.array_equal(fast, slow)


@given(
    packets=st.lists(
        st.tuples(st.integers(0, 2**33), st.integers(0, 255), st.binary(max_size=16)), max_size=20
    )
)
@MANY
def test_a_frame_unpacks_to_a_burst_of_all_its_packets_or_to_no_burst(packets):
    plaintext = pack_packets(packets)[1] if packets else b""
    burst = unpack_burst(5, plaintext)
    if burst is not None:
        assert list(burst.packets()) == unpack_packets(5, plaintext)


@given(plaintext=st.binary(max_size=300))
@MANY
def test_arbitrary_bytes_unpack_to_no_burst_or_to_the_same_packets(plaintext):
    burst = unpack_burst(0, plaintext)
    assert burst is None or list(burst.packets()) == unpack_packets(0, plaintext)


def test_packets_of_equal_length_unpack_to_a_burst():
    packets = [(i * 20_000, i % 2, rtp(i, i * 160, bytes(160))) for i in range(100)]
    (first, _), plaintext = pack_packets(packets)
    burst = unpack_burst(first, plaintext)
    assert isinstance(burst, BurstRecord)
    assert [(p.at_us, p.track, p.data) for p in burst.packets()] == packets


@pytest.mark.parametrize(("sequence", "expected"), [(10, 20), (65_530, 6), (65_535, 1)])
def test_consecutive_packets_end_where_the_sequence_number_wraps(sequence, expected):
    datagrams = [rtp(sequence + i, 2**32 - 800 + i * 160, bytes(160)) for i in range(20)]
    data = np.frombuffer(b"".join(datagrams), dtype=np.uint8).reshape(20, -1)
    burst = TrackBurst(np.arange(20), data)
    assert burst.consecutive(0) == expected
    assert [burst.datagram(index) for index in range(20)] == datagrams


def test_a_sequence_wrap_that_also_changes_the_payload_type_ends_the_consecutive_packets():
    datagrams = [rtp(65_530 + i, i * 160, bytes(160), kind=8 + (i > 5)) for i in range(20)]
    data = np.frombuffer(b"".join(datagrams), dtype=np.uint8).reshape(20, -1)
    assert TrackBurst(np.arange(20), data).consecutive(0) == 6
