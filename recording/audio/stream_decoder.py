"""Decodes the RTP payloads of one stream into samples at the track's rate."""

from __future__ import annotations

import numpy as np

from recording.audio.codecs import Decoder, PayloadCodec, Samples, clip, decoder_for
from recording.audio.resampler import Floats, Resampler

_MOST = 16
"""The most decoders of one stream: a re-INVITE can add a codec, and each needs 35 KB of memory."""


class StreamDecoder:
    """A decoder. It has a resampler if the sampling rates of the decoder and the track differ."""

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

        A single packet can then have one sample too many or too few; over many packets, none.
        """
        return self._resampler is not None

    def samples(self, rtp_payload: bytes, *, follows: bool, stretch: int = 0) -> Samples:
        """Return the samples of an RTP payload (joined ones if `stateless`); none if it is damaged.

        `follows` means that it directly follows what was decoded before. `stretch` is the number of
        samples by which its audio is made longer (or shorter).
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
        """Return the samples (about a millisecond) that are still in the resampler, if any.

        Call this when the next audio does not directly follow.
        """
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        return clip(self._resampler.flush())


class StreamDecoders:
    """The decoders of one stream by codec. Above `_MOST`, the oldest one is replaced."""

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
