"""Speech in A-law sent as RTP, and what a timeline makes of it and of other packets."""

import struct

import numpy as np

from helpers.recording.codecs import decoder_of
from helpers.recording.reference import MEDIA
from recording.audio.codecs import PayloadCodec
from recording.audio.stream_writer import WidebandError
from recording.audio.timeline import Timeline

US = 1_000_000
"""Microseconds in a second."""
ALAW = decoder_of(PayloadCodec("PCMA", 8000))


def rtp(sequence, timestamp, payload, *, kind=8, ssrc=1):
    return struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, timestamp % 2**32, ssrc) + payload


def speech(seconds, seed=1) -> bytes:
    """Return noise in A-law in which any 20 ms occur only once."""
    return np.random.default_rng(seed).integers(0, 256, seconds * 8000, dtype=np.uint8).tobytes()


def sent(voice, *, at_us=0, sequence=65_500, timestamp=2**32 - 4000, ssrc=1, ppm=0):
    """Yield (sent at, index, datagram), one each 20 ms of the sender's clock."""
    for index in range(len(voice) // 160):
        when = at_us + round(index * 20_000 * (1 - ppm / 1e6))
        payload = voice[index * 160 : index * 160 + 160]
        yield when, index, rtp(sequence + index, timestamp + index * 160, payload, ssrc=ssrc)


def played(packets, length_us, timeline=None):
    """Play (arrival, track, datagram) packets, and return the samples of the whole call."""
    timeline = timeline or Timeline(8000)
    told = 0
    blocks = []
    for at_us, track, data in sorted(packets, key=lambda packet: packet[0]):
        timeline.packet(track, at_us, data)
        if at_us > told + 500_000:
            told = at_us
            timeline.advance(at_us)
            blocks += timeline.blocks()
    timeline.finish(length_us)
    blocks += timeline.blocks()
    return np.concatenate(blocks)


def recorded(parties, length_us, holds=()):
    """Return the rate that the finaliser would use, both channels at that rate, and the counts."""
    try:
        return _recorded(8000, parties, length_us, holds)
    except WidebandError:
        return _recorded(16_000, parties, length_us, holds)


def _recorded(rate, parties, length_us, holds):
    timeline = Timeline(rate)
    for track in (0, 1):
        timeline.set_payload_types(track, MEDIA)
    steps: list[tuple[int, int, bytes | None]] = [(at, 0, None) for at in holds]
    steps += [(at, 1 + track, data) for party in parties for at, track, data in party.packets]
    told = 0
    blocks: list[np.ndarray] = []
    for at, place, data in sorted(steps, key=lambda step: step[:2]):
        if data is None:
            timeline.mark_break(at)
        else:
            timeline.packet(place - 1, at, data)
        if at > told + 500_000:
            told = at
            timeline.advance(at)
            blocks += timeline.blocks()
    timeline.finish(length_us)
    samples = np.concatenate([*blocks, *timeline.blocks()])
    assert len(samples) == length_us * rate // US
    return rate, samples, timeline.counts
