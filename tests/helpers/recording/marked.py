"""Calls of an hour whose packets can be found in the recording, to the sample.

Each A-law packet has one constant value, and the next packet has another. So the place at which a
value begins in the recorded track is the position of its packet. This is much faster than the
search for sounds in `helpers.recording.reference`, but works only for G.711.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

import numpy as np

from helpers.recording.codecs import decoder_of
from recording.audio.codecs import PayloadCodec

US = 1_000_000
_VALUES = 240
_DECODED = decoder_of(PayloadCodec("PCMA", 8000)).decode(bytes(range(_VALUES)))
_NUMBER = np.full(1 << 16, -1)
_NUMBER[_DECODED.astype(np.uint16)] = np.arange(_VALUES)


@dataclass
class MarkedParty:
    """A party that speaks at known times, by a clock that is wrong by `ppm`.

    Each packet is delayed by 0 to `jitter_ms`, independently of the others, so packets overtake
    each other. After each stretch of speech a comfort noise packet is sent if `noise` is true.
    """

    track: int
    dice: random.Random
    ppm: int
    ms: int = 20
    jitter_ms: float = 8
    loss: float = 0.0
    doubled: float = 0.0
    noise: bool = False
    packets: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(arrival in µs, track, datagram), in the order of sending."""
    arrived: list[tuple[float, int]] = field(default_factory=list)
    """(second at which it was spoken, value) of each packet with speech that was not lost."""

    def __post_init__(self):
        self.sequence = self.dice.randrange(1 << 16)
        self.timestamp = self.dice.randrange(1 << 32)
        self.ssrc = self.dice.randrange(1 << 32)
        self.spoken = 0

    def speak(self, begin_s, end_s):
        """Send packets from `begin_s` to `end_s`, in true seconds of the call."""
        pace = 1 - self.ppm / US
        first = self.timestamp + round(begin_s * 8000 / pace)
        step_s = self.ms / 1000 * pace
        count = int((end_s - begin_s) / step_s)
        for index in range(count):
            value = self.spoken % _VALUES
            payload = bytes([value]) * (8 * self.ms)
            self.spoken += 1
            at_s = begin_s + index * step_s
            late_s = (self.ms - 20) / 1000
            if self._send(at_s + late_s, first + index * 8 * self.ms, 8, payload):
                self.arrived.append((at_s, value))
        if self.noise:
            self._send(begin_s + count * step_s, first + count * 8 * self.ms, 13, bytes([70]))

    def _send(self, at_s, timestamp, kind, payload):
        head = (0x80, kind, self.sequence & 0xFFFF, timestamp % 2**32, self.ssrc)
        self.sequence += 1
        if self.dice.random() < self.loss:
            return False
        for _ in range(1 + (self.dice.random() < self.doubled)):
            late_s = self.dice.uniform(0, self.jitter_ms / 1000)
            data = struct.pack("!BBHII", *head) + payload
            self.packets.append((round((at_s + late_s) * US), self.track, data))
        return True

    def lates(self, track):
        """Return (seconds, ms late) of the packets in `track`: samples at 8000 a second."""
        edges = np.flatnonzero(np.diff(track, prepend=0, append=0))
        begins, lengths = edges[:-1], np.diff(edges)
        begins = begins[(track[begins] != 0) & (lengths >= 4 * self.ms)]
        numbers = _NUMBER[track[begins].astype(np.uint16)]
        at_s, values = (np.array(each) for each in zip(*self.arrived, strict=True))
        seconds, lates = [], []
        for value in range(_VALUES):
            found, spoken = begins[numbers == value] / 8000, at_s[values == value]
            if len(found) and len(spoken):
                after = np.searchsorted(spoken, found).clip(1, max(1, len(spoken) - 1))
                after = np.minimum(after, len(spoken) - 1)
                before = np.maximum(after - 1, 0)
                nearer = np.abs(found - spoken[before]) < np.abs(found - spoken[after])
                nearest = np.where(nearer, spoken[before], spoken[after])
                seconds.append(nearest)
                lates.append((found - nearest) * 1000)
        return np.concatenate(seconds), np.concatenate(lates)


def worst_step_ms(found, length_s):
    """Return the largest difference, in ms, between two parties' lateness in the same 0.2 s.

    `found` has the result of `MarkedParty.lates` for each of the two parties.
    """
    bounds = []
    for seconds, lates in found:
        place = (seconds * 5).astype(int)
        low, high = np.full(length_s * 5, np.inf), np.full(length_s * 5, -np.inf)
        np.minimum.at(low, place, lates)
        np.maximum.at(high, place, lates)
        bounds.append((low, high))
    (low, high), (other_low, other_high) = bounds
    apart = np.maximum(high - other_low, other_high - low)
    both = np.isfinite(apart)
    assert both.any()
    return float(apart[both].max())
