"""Speech in any codec, and captures of it after a bad network, for SIPp to replay.

The encoders are FFmpeg's, and for G.729 bcg729 (which Debian's Linphone brings with it). None of
our own encoders or decoders is used.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import av
import numpy as np

from helpers.bcg729 import Decoder, Encoder
from helpers.recording.codecs import audio_context

RATE = 8000


@dataclass(frozen=True)
class Voice:
    """A codec as a party uses it: `rate` is its encoder's sample rate, `ms` a packet's length."""

    pt: int
    codec: str
    rate: int
    ms: int
    encoder: str
    recorded: int
    """Samples a second of the recording."""

    @property
    def ticks(self):
        """The timestamp step of a packet."""
        return int(self.codec.split("/")[1]) * self.ms // 1000


VOICES = {
    "PCMA": Voice(8, "PCMA/8000", 8000, 30, "pcm_alaw", 8000),
    "G722": Voice(9, "G722/8000", 16_000, 20, "g722", 16_000),
    "Opus": Voice(111, "opus/48000/2", 48_000, 60, "libopus", 16_000),
    "L16": Voice(97, "L16/16000", 16_000, 20, "pcm_s16be", 16_000),
    "L16 at 44.1 kHz": Voice(11, "L16/44100", 44_100, 10, "pcm_s16be", 16_000),
    "G729": Voice(18, "G729/8000", 8000, 20, "bcg729", 8000),
}


def payloads(voice, said):
    """Return `said` (int16 at 8 kHz) as RTP payloads, and their decoded sound at 8 kHz."""
    sound = at_rate(said, voice.rate)
    if voice.encoder == "bcg729":
        return _bcg729(sound, voice.ms)
    size = voice.rate * voice.ms // 1000
    if voice.encoder == "libopus":
        return _encoded(voice, sound, size), said
    whole = b"".join(_encoded(voice, sound, voice.rate // 50))
    step = len(whole) * size // len(sound)
    count = len(sound) // size
    return [whole[at * step : (at + 1) * step] for at in range(count)], said


def at_rate(said, rate, given=RATE):
    """Resample a sound by its spectrum, to which nothing is added."""
    count = len(said) * rate // given
    sound = np.fft.irfft(np.fft.rfft(said)[: count // 2 + 1], count) * (count / len(said))
    return np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)


def _encoded(voice, sound, size):
    context = audio_context(voice.encoder, "w")
    context.sample_rate, context.layout, context.format = voice.rate, "mono", "s16"
    if voice.encoder == "libopus":
        context.options = {"frame_duration": str(voice.ms)}
    made = []
    for at in range(0, len(sound) - size + 1, size):
        block = av.AudioFrame.from_ndarray(sound[None, at : at + size], format="s16", layout="mono")
        block.sample_rate, block.pts = voice.rate, at
        made += [bytes(packet) for packet in context.encode(block)]
    return made


def _bcg729(sound, ms):
    frames = Encoder().frames(sound)
    each = ms // 10
    joined = [b"".join(frames[at : at + each]) for at in range(0, len(frames) - each + 1, each)]
    return joined, Decoder().samples(frames)


def heard_g729(spoken):
    """Return the sound of G.729 payloads, decoded by bcg729."""
    whole = (payload[at : at + 10] for payload in spoken for at in range(0, len(payload), 10))
    return Decoder().samples(whole)


@dataclass
class Passage:
    """The packets that a network sent, lost and doubled."""

    sent: int
    lost: int
    doubled: int


def bad_network(path, voice, spoken, seed):
    """Write a capture of these payloads as they arrive, and return what the network did to them.

    Some are lost, some come twice, some overtake others; each is up to 12 ms late.
    """
    dice = random.Random(seed)
    sequence, timestamp = 65_500, (1 << 32) - 4000
    arrivals, lost, doubled = [], 0, 0
    for index, payload in enumerate(spoken):
        head = (
            0x80,
            voice.pt,
            sequence + index & 0xFFFF,
            (timestamp + index * voice.ticks) % 2**32,
        )
        data = struct.pack("!BBHII", *head, seed) + payload
        at_us = index * voice.ms * 1000 + dice.randint(0, 12_000)
        safe = index < 5 or index >= len(spoken) - 5
        if not safe and dice.random() < 0.03:
            lost += 1
            continue
        if not safe and dice.random() < 0.04:
            at_us += 2 * voice.ms * 1000 + 5000
        arrivals.append((at_us, data))
        if not safe and dice.random() < 0.03:
            doubled += 1
            arrivals.append((at_us + 1000, data))
    path.write_bytes(_capture(sorted(arrivals)))
    return Passage(len(spoken), lost, doubled)


def _capture(arrivals):
    """Write a classic pcap of Ethernet, IPv4 and UDP."""
    made = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for at_us, data in arrivals:
        udp = struct.pack(">HHHH", 5004, 5004, 8 + len(data), 0) + data
        addresses = bytes([127, 0, 0, 2, 127, 0, 0, 1])
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
        frame = bytes(12) + b"\x08\x00" + ip + udp
        seconds, rest = divmod(at_us, 1_000_000)
        made.append(struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame)
    return b"".join(made)
