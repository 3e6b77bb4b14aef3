"""A reference for the sound of a call: slow, and obviously right.

A party knows when it spoke each of its packets, by the one true clock. The reference decodes those
that arrived, in the order in which they were sent, with libraries that the finaliser's own code
does not use, and places each at the time when it was spoken; the rest is silence. It has no jitter
buffer, no anchor and no window, so it cannot have the errors that a timeline can have.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from functools import cache

import av
import numpy as np

from helpers.recording.codecs import audio_context
from recording.audio.codecs import PayloadCodec

US = 1_000_000


@dataclass(frozen=True)
class Kind:
    """A codec as a party uses it."""

    name: str
    pt: int
    codec: PayloadCodec
    ms: int
    """Milliseconds of sound in a packet."""

    @property
    def ticks(self):
        return self.codec.clock * self.ms // 1000

    def __str__(self):
        return f"{self.name}-{self.ms}ms"


def kinds(name, pt, codec, *lengths):
    return [Kind(name, pt, codec, ms) for ms in lengths]


KINDS = [
    *kinds("PCMA", 8, PayloadCodec("PCMA", 8000), 10, 20, 60),
    *kinds("PCMU", 0, PayloadCodec("PCMU", 8000), 20, 30),
    *kinds("G722", 9, PayloadCodec("G722", 8000), 10, 20, 40),
    *kinds("opus", 96, PayloadCodec("opus", 48_000, 2), 10, 20, 60),
    *kinds("G729", 18, PayloadCodec("G729", 8000), 10, 20, 60),
    *kinds("L16-8", 97, PayloadCodec("L16", 8000), 20),
    *kinds("L16-16", 98, PayloadCodec("L16", 16_000), 20),
    *kinds("L16-44.1", 11, PayloadCodec("L16", 44_100), 10, 20),
    *kinds("L16-stereo", 10, PayloadCodec("L16", 44_100, 2), 10),
    *kinds("PCMA-16", 99, PayloadCodec("PCMA", 16_000), 20),
    *kinds("PCMA-stereo", 100, PayloadCodec("PCMA", 8000, 2), 20),
]
BY_FFMPEG = {
    "PCMA": "pcm_alaw",
    "PCMA-16": "pcm_alaw",
    "PCMA-stereo": "pcm_alaw",
    "PCMU": "pcm_mulaw",
    "G722": "g722",
    "opus": "libopus",
    "G729": "g729",
}
MEDIA = {kind.pt: kind.codec for kind in KINDS}


def noise(rate, seconds, seed=1):
    """Return noise in which any part occurs only once."""
    count = int(rate * seconds)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(hertz < 200) | (hertz > 1500)] = 0
    sound = np.fft.irfft(spectrum, count)
    return (sound / np.abs(sound).max() * 20_000).astype(np.int16)


@cache
def payloads(kind):
    """Return payloads of about seven seconds, which a party repeats."""
    rate = {"G722": 16_000, "opus": 48_000}.get(kind.name, kind.codec.clock)
    sound = noise(rate, 7.2, kind.pt)
    frame = rate * kind.ms // 1000
    if kind.name == "G729":  # there is no encoder here: random bytes decode to noise
        data = np.random.default_rng(18).bytes(7200)
        return [data[at : at + kind.ms] for at in range(0, 7200 - kind.ms, kind.ms)]
    if kind.name == "opus":
        return _encoded("libopus", sound, rate, frame, kind.ms)
    if kind.name == "G722":
        data = b"".join(_encoded("g722", sound, rate, 320, 20))
        return [
            data[at : at + 8 * kind.ms] for at in range(0, len(data) - 8 * kind.ms, 8 * kind.ms)
        ]
    blocks = [sound[at : at + frame] for at in range(0, len(sound) - frame + 1, frame)]
    if kind.name in BY_FFMPEG:
        data = b"".join(_encoded(BY_FFMPEG[kind.name], sound, rate, frame, kind.ms))
        parts = [data[at : at + frame] for at in range(0, len(data) - frame, frame)]
        return [bytes(np.repeat(np.frombuffer(p, np.uint8), kind.codec.channels)) for p in parts]
    return [np.repeat(block, kind.codec.channels).astype(">i2").tobytes() for block in blocks]


def _encoded(encoder, sound, rate, frame, ms):
    context = audio_context(encoder, "w")
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    if encoder == "libopus":
        context.options = {"frame_duration": str(ms), "b": "32000"}
    made = []
    for at in range(0, len(sound) - frame + 1, frame):
        block = av.AudioFrame.from_ndarray(
            sound[None, at : at + frame], format="s16", layout="mono"
        )
        block.sample_rate, block.pts = rate, at
        made += [bytes(packet) for packet in context.encode(block)]
    return made


class Ear:
    """A decoder of one stream and codec; mono int16 samples at the codec's own rate."""

    def __init__(self, kind):
        self.kind = kind
        self.rate = {"G722": 16_000, "opus": 48_000}.get(kind.name, kind.codec.clock)
        self._context = None
        if kind.name in BY_FFMPEG:
            self._context = audio_context(BY_FFMPEG[kind.name], "r")
            self._context.sample_rate, self._context.layout = self.rate, "mono"

    def hear(self, payload):
        if self._context is None:
            return np.frombuffer(payload, ">i2")[:: self.kind.codec.channels].astype(np.int16)
        payload = payload[:: self.kind.codec.channels] if self.kind.name != "opus" else payload
        size = 10 if self.kind.name == "G729" else len(payload)
        parts = [payload[at : at + size] for at in range(0, len(payload), size)]
        frames = [f for part in parts for f in self._context.decode(av.Packet(part))]
        sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return sound if sound.dtype == np.int16 else (sound * 32_767).astype(np.int16)


@dataclass
class Said:
    """One packet: when it was spoken, and whether it arrived."""

    at_us: int
    kind: Kind
    ssrc: int
    rtp_payload: bytes
    arrived: bool = True


@dataclass
class Party:
    """A party that speaks, and sends its packets through a network."""

    track: int
    dice: random.Random
    kind: Kind
    ppm: int = 0
    jitter_us: int = 0
    loss: float = 0.0
    doubled: float = 0.0
    said: list[Said] = field(default_factory=list)
    packets: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(arrival, track, datagram)."""

    def __post_init__(self):
        self.at = 0.0
        self.sequence = self.dice.randrange(65_000, 65_536)
        self.timestamp = self.dice.randrange(1 << 32)
        self.ssrc = self.dice.randrange(1 << 32)

    def speak(self, seconds):
        """Send packets one after the other for this many seconds."""
        pool = payloads(self.kind)
        index = self.dice.randrange(len(pool))
        step = self.kind.ms * 1000 * (1 - self.ppm / US)
        end = self.at + seconds * US
        while self.at + step <= end:
            self._send(pool[index % len(pool)])
            self.at += step
            index += 1
            self.timestamp += self.kind.ticks

    def _send(self, payload):
        head = (0x80, self.kind.pt, self.sequence & 0xFFFF, self.timestamp % 2**32, self.ssrc)
        data = struct.pack("!BBHII", *head) + payload
        self.sequence += 1
        said = Said(round(self.at), self.kind, self.ssrc, payload)
        self.said.append(said)
        if self.dice.random() < self.loss:
            said.arrived = False
            return
        arrival = round(self.at) + (self.kind.ms - 20) * 1000
        for _ in range(1 + (self.dice.random() < self.doubled)):
            late = self.dice.randint(0, self.jitter_us)
            self.packets.append((max(0, arrival + late), self.track, data))

    def wait(self, seconds, *, clock=1.0):
        """Send nothing; the timestamps advance by `clock` times the waiting time."""
        self.at += seconds * US
        ticks = seconds * self.kind.codec.clock * clock * (1 + self.ppm / US)
        self.timestamp += round(ticks)

    def change(self, kind):
        """Use another codec from now on."""
        self.kind = kind


def expected(party, rate, length_us):
    """Return the party's channel, at `rate` samples a second."""
    out = np.zeros(length_us * rate // US, np.int16)
    ears: dict[tuple[int, str], Ear] = {}
    for said in party.said:
        if not said.arrived:
            continue
        ear = ears.setdefault((said.ssrc, said.kind.name), Ear(said.kind))
        sound = _at_rate(ear.hear(said.rtp_payload), ear.rate, rate)
        start = said.at_us * rate // US
        part = out[start : start + len(sound)]
        part[:] = sound[: len(part)]
    return out


def _at_rate(sound, rate, to):
    """Interpolate linearly: the sound has no frequencies above a third of either rate."""
    count = len(sound) * to // rate
    return np.interp(np.arange(count) * rate / to, np.arange(len(sound)), sound).astype(np.int16)


def offsets(heard, should, rate, *, put_right=0, within_ms=60, piece_ms=100):
    """Return (second, by how many ms `heard` is late) for each piece that has sound.

    A piece that is not found within `within_ms` is a failure, except `put_right` pieces in which a
    clock was corrected, so that the two halves of the piece have different delays.
    """
    margin, size = within_ms * rate // 1000, piece_ms * rate // 1000
    found, missed = [], []
    for at in range(0, len(should) - size + 1, size):
        if np.count_nonzero(should[at : at + size]) < 0.6 * size:
            continue
        piece = _dull(should, rate, at, size)
        window = _dull(heard, rate, at - margin, size + 2 * margin)
        until = np.concatenate([[0.0], np.cumsum(window**2)])
        energies = until[size:] - until[:-size]
        alike = np.correlate(window, piece, "valid")
        alike /= np.sqrt(np.maximum(energies, 1) * (piece @ piece))
        best = int(np.argmax(alike))
        if alike[best] > 0.75:  # two equal parts with different delays are alike by 0.7
            found.append((at / rate, (best - margin) * 1000 / rate))
        else:
            missed.append((at / rate, round(alike[best], 2)))
    assert len(missed) <= put_right, missed
    return found


def _dull(samples, rate, start, count):
    """Return `count` samples from `start` on, without high frequencies; silence outside.

    Without high frequencies, a correction by one sample does not change the match.
    """
    width = rate // 1000
    first = start - width
    part = np.zeros(count + 2 * width)
    known = samples[max(first, 0) : start + count + width]
    part[max(-first, 0) :][: len(known)] = known
    return np.convolve(part, np.ones(width), "same")[width:-width]


def silences(should, rate, margin_ms):
    """Return a mask of the samples more than `margin_ms` away from any sound: they are silent."""
    reach = margin_ms * rate // 1000
    loud = np.flatnonzero(should)
    edges = np.zeros(len(should) + 1, int)
    np.add.at(edges, np.maximum(loud - reach, 0), 1)
    np.add.at(edges, np.minimum(loud + reach + 1, len(should)), -1)
    return np.cumsum(edges[:-1]) == 0
