"""A call whose parties' clocks drift apart, and the error in its recording's alignment at the end.

Both say the same at the same true time, in packets sent by their own clocks, 200 ppm fast and 200
ppm slow. Each packet is up to 8 ms late. The channels may therefore differ only by the difference
of the packets' true times.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import av
import numpy as np
import soundfile
from av.audio.codeccontext import AudioCodecContext

from recording.audio.codecs import PayloadCodec
from recording.spool import Field, SpoolWriter

PPM = (200, -200)
LATE_US = 8_000
FRAME_US = 20_000
POOL_S = 31
US = 1_000_000


@dataclass(frozen=True)
class Codec:
    """The codec of both parties: payload type, FFmpeg's encoder and its sampling rate."""

    kind: int
    codec: PayloadCodec
    encoder: str
    rate: int

    @property
    def ticks(self) -> int:
        """The RTP timestamp ticks of a packet of 20 ms."""
        return self.codec.clock // 50


CODECS = {
    "pcma": Codec(8, PayloadCodec("PCMA", 8000), "pcm_alaw", 8000),
    "g722": Codec(9, PayloadCodec("G722", 8000), "g722", 16_000),
    "opus": Codec(96, PayloadCodec("opus", 48_000, 2), "libopus", 48_000),
    "l16": Codec(97, PayloadCodec("L16", 44_100), "pcm_s16be", 44_100),
}


def pool(codec: Codec) -> list[bytes]:
    """Return half a minute of packets, all different."""
    count, size = codec.rate * POOL_S, codec.rate // 50
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / codec.rate)
    spectrum[(hertz < 200) | (hertz > 2500)] = 0
    sound = np.fft.irfft(spectrum, count)
    samples = (sound / np.abs(sound).max() * 20_000).astype(np.int16)
    context = av.CodecContext.create(codec.encoder, "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = codec.rate, "mono", "s16"
    made = []
    for at in range(0, count - size + 1, size):
        part = samples[None, at : at + size]
        block = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        block.sample_rate, block.pts = codec.rate, at
        made += [bytes(packet) for packet in context.encode(block)]
    return made


class Speaker:
    """One party, whose clock is wrong by the `PPM` of its track."""

    def __init__(self, codec: Codec, track: int, spoken: list[bytes]) -> None:
        self.track = track
        self._codec = codec
        self._spoken = spoken
        self._index = 0

    def speak_until(self, until_us: int) -> Iterator[tuple[float, int, bytes]]:
        """Yield (time of sending, frame number, datagram) of each packet before `until_us`."""
        step = FRAME_US * (1 - PPM[self.track] / US)
        while (at_us := self._index * step) < until_us:
            frame = round(at_us / FRAME_US)
            stamp = self._index * self._codec.ticks & 0xFFFFFFFF
            head = (0x80, self._codec.kind, self._index & 0xFFFF, stamp, self.track)
            payload = self._spoken[frame % len(self._spoken)]
            yield at_us, frame, struct.pack("!BBHII", *head) + payload
            self._index += 1


def talk(writer: SpoolWriter, codec: Codec, seconds: int) -> float:
    """Let both talk; return by how many ms the advisor sends the same frame later, at the end."""
    told: Mapping[str, Field] = {
        str(codec.kind): [codec.codec.name, codec.codec.clock, codec.codec.channels, ""]
    }
    for track in (0, 1):
        writer.event("media", {"track": track, "payloads": told}, 0)
    spoken, dice = pool(codec), random.Random(5)
    speakers = [Speaker(codec, track, spoken) for track in (0, 1)]
    on_their_way: list[tuple[int, int, bytes]] = []
    sent: list[dict[int, float]] = [{}, {}]
    for second in range(1, seconds + 1):
        for speaker in speakers:
            for at_us, frame, data in speaker.speak_until(second * US):
                on_their_way.append((round(at_us) + dice.randint(0, LATE_US), speaker.track, data))
                if second > seconds - 12:
                    sent[speaker.track].setdefault(frame, at_us)
        on_their_way.sort(key=lambda packet: packet[0])
        while on_their_way and on_their_way[0][0] < second * US:
            at_us, track, data = on_their_way.pop(0)
            writer.packet(track, at_us, data)
        writer.tick(second * US)
    both = sent[0].keys() & sent[1].keys()
    return float(np.mean([sent[1][frame] - sent[0][frame] for frame in both])) / 1000


def out_of_step_ms(flac: bytes, seconds: int, apart_ms: float) -> tuple[float, float]:
    """Return the errors of the last ten seconds' alignment and of the length, both in ms."""
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16", always_2d=True)
    length_ms = (len(samples) - seconds * rate) * 1000 / rate
    part = samples[(seconds - 11) * rate : (seconds - 1) * rate].astype(float)
    size = 1 << (2 * len(part)).bit_length()
    left, right = np.fft.rfft(part[:, 0], size), np.fft.rfft(part[:, 1], size)
    alike = np.fft.irfft(right * np.conj(left), size)
    lag = int(np.argmax(alike))
    lag -= size if lag > size // 2 else 0
    return abs(lag * 1000 / rate - apart_ms), abs(length_ms)
