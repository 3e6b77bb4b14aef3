"""Decodes the RTP payloads of one stream into samples at the track's rate."""

from __future__ import annotations

import numpy as np

from recording.audio.codecs import Decoder, PayloadCodec, Samples, clip, decoder_for
from recording.audio.resampler import Floats, Resampler

_MOST = 16
"""The most decoders of one stream: each re-INVITE can add a codec, and a decoder needs 35 KB."""


class StreamDecoder:
    """A decoder, with a resampler if its rate is not the track's."""

    def __init__(self, decoder: Decoder, rate: int) -> None:
        self.stateless = decoder.stateless and rate % decoder.rate == 0
        """True if joined RTP payloads decode to their joined samples, `scale` samples a byte."""
        self.scale = max(1, rate // decoder.rate)
        self._decoder = decoder
        self._resampler = Resampler(decoder.rate, rate) if decoder.rate != rate else None

    @classmethod
    def of(cls, codec: PayloadCodec, rate: int) -> StreamDecoder | None:
        """Return the decoder for a codec; None if there is no decoder for it."""
        decoder = decoder_for(codec)
        return None if decoder is None else cls(decoder, rate)

    @property
    def native_rate(self) -> int:
        """The sampling rate of the decoder, in Hz."""
        return self._decoder.rate

    @property
    def resamples(self) -> bool:
        """True if samples are resampled.

        The length of a single packet is then not exact to the sample, but there is no error in the
        long run.
        """
        return self._resampler is not None

    def samples(self, rtp_payload: bytes, *, follows: bool, stretch: int = 0) -> Samples:
        """Return the samples of one RTP payload; empty if it cannot be decoded.

        Args:
            rtp_payload: The RTP payload, or several joined ones for a stateless decoder.
            follows: Whether it follows the last one directly, without a break.
            stretch: The number of samples to add, or to remove if negative.
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
        """Return the last samples (about a millisecond) that the resampler still holds.

        Call it when a break follows; the samples are empty without a resampler.
        """
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        return clip(self._resampler.flush())


class StreamDecoders:
    """The decoders of one stream, by codec.

    There are at most `_MOST`: a new one then replaces the oldest, which is made again when needed.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._made: dict[PayloadCodec, StreamDecoder | None] = {}

    def of(self, codec: PayloadCodec) -> StreamDecoder | None:
        """Return the decoder of a codec; None if there is no decoder for it."""
        if codec not in self._made:
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            self._made[codec] = StreamDecoder.of(codec, self._rate)
        return self._made[codec]


def _stretched(samples: Samples, count: int) -> Floats:
    """Return `count` samples for the same time, by linear interpolation between the given ones."""
    at = np.arange(count) * (len(samples) / count)
    made: Floats = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return made
