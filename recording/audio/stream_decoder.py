"""Decodes the RTP payloads of one stream into samples at the track's rate."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recording.audio.codecs import Decoder, PayloadCodec, Samples, clip, decoder_for

Floats = NDArray[np.float32]

_LOBES: Final = 12
"""The number of zero crossings of the sinc function on each side of its centre."""
_PASS: Final = 0.92
"""The filter's cut-off frequency, as a fraction of half the lower sample rate.

It is less than 1, because above this frequency the filter's gain falls only gradually.
"""


class Resampler:
    """Converts a stream from one sample rate to another with a windowed sinc filter.

    It stores the input samples that the next output needs. The filter delays the output by half its
    length: 12 samples at the lower of the two sample rates, which is 1.5 ms at 8 kHz.

    `av.AudioResampler` is not used, because its first output is shorter than its input: 16 to 32
    samples are missing if the input is 20 ms long, so packets would be written at wrong positions.
    Here, each output has the same duration as its input, to one sample.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        common = gcd(from_rate, to_rate)
        self._up, self._down = to_rate // common, from_rate // common
        self._bank = _bank(self._up, self._down)
        self.reset()

    def reset(self) -> None:
        """Forget the stored input samples, because the next input does not directly follow."""
        self._tail = np.zeros(self._bank.shape[1] - 1, dtype=np.float32)
        self._at = 0

    def flush(self) -> Floats:
        """Return the output samples that the filter still delays, and reset the resampler."""
        made = self(np.zeros(self._bank.shape[1] // 2, dtype=np.float32))
        self.reset()
        return made

    def __call__(self, samples: NDArray[np.int16] | Floats) -> Floats:
        """Return the output samples for the next input samples.

        Their number is rounded, but over time, output and input have exactly the ratio of the two
        rates.
        """
        joined = np.concatenate([self._tail, samples.astype(np.float32)])
        begin = self._at
        ticks = np.arange(begin, len(samples) * self._up, self._down)
        self._at += len(ticks) * self._down - len(samples) * self._up
        self._tail = joined[len(samples) :]
        if not len(ticks):
            return np.zeros(0, dtype=np.float32)
        if self._down == 1:
            rows = [np.correlate(joined, kernel, "valid") for kernel in self._bank]
            return np.stack(rows, axis=1).reshape(-1)
        if self._up == 1:
            return np.correlate(joined, self._bank[0], "valid")[begin :: self._down]
        windows = np.lib.stride_tricks.sliding_window_view(joined, self._bank.shape[1])
        base, phase = np.divmod(ticks, self._up)
        mixed: Floats = np.einsum("ij,ij->i", windows[base], self._bank[phase])
        return mixed


@lru_cache(maxsize=8)
def _bank(up: int, down: int) -> Floats:
    """Return the low-pass filters with a gain of 1: each row is the filter for one phase.

    A phase is a possible place of an output sample between two input samples. There are `up`
    phases. The conversion makes `up` output samples from `down` input samples.
    """
    slower = max(1.0, down / up)
    half = ceil(_LOBES * slower)
    taps = np.arange(-half, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.cos(np.pi * taps / (2 * (half + 1))) ** 2
    kernel = np.sinc(taps * _PASS / slower) * window
    bank: Floats = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return bank


_MOST = 16
"""The most decoders of one stream. A re-INVITE can add a codec. A decoder needs 35 KB of memory."""


class StreamDecoder:
    """A decoder, with a resampler if its sampling rate differs from that of the track."""

    def __init__(self, decoder: Decoder, rate: int) -> None:
        self.stateless = decoder.stateless and rate % decoder.rate == 0
        """True if RTP payloads may be joined. Each of their bytes becomes `scale` samples."""
        self.scale = max(1, rate // decoder.rate)
        self._decoder = decoder
        self._resampler = Resampler(decoder.rate, rate) if decoder.rate != rate else None

    @classmethod
    def of(cls, codec: PayloadCodec, rate: int) -> StreamDecoder | None:
        """Return a new decoder to `rate` Hz; None if Galwad cannot decode the codec."""
        decoder = decoder_for(codec)
        return None if decoder is None else cls(decoder, rate)

    @property
    def native_rate(self) -> int:
        """The sampling rate of the decoder before resampling, in Hz."""
        return self._decoder.rate

    @property
    def resamples(self) -> bool:
        """True if the decoded samples are resampled.

        A single packet can then have one sample too many or too few; over many packets, the number
        of samples is exact.
        """
        return self._resampler is not None

    def samples(self, rtp_payload: bytes, *, follows: bool, stretch: int = 0) -> Samples:
        """Return the samples of an RTP payload; none if the payload is damaged.

        If `stateless`, several payloads may be joined. `follows` means that the payload directly
        follows the previous one. `stretch` is the number of samples by which its audio is made
        longer; it may be negative.
        """
        decoded = self._decoder.decode(rtp_payload)
        if self._resampler is not None and len(decoded):
            if not follows:
                self._resampler.reset()
            decoded = clip(self._resampler(decoded))
        if stretch and len(decoded) > abs(stretch):
            decoded = clip(_stretched(decoded, len(decoded) + stretch))
        return decoded

    def flush(self) -> Samples:
        """Return the samples (about a millisecond) that the resampler still has.

        Call this when the next audio does not directly follow.
        """
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        return clip(self._resampler.flush())


class StreamDecoders:
    """The decoders of one stream by codec. If there are `_MOST`, the oldest is replaced."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._made: dict[PayloadCodec, StreamDecoder | None] = {}

    def of(self, codec: PayloadCodec) -> StreamDecoder | None:
        """Return the stream's decoder for a codec; None if Galwad cannot decode it."""
        if codec not in self._made:
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            self._made[codec] = StreamDecoder.of(codec, self._rate)
        return self._made[codec]


def _stretched(samples: Samples, count: int) -> Floats:
    """Return `count` samples with the same sound, computed by linear interpolation."""
    at = np.arange(count) * (len(samples) / count)
    made: Floats = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return made
