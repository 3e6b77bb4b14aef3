"""Decodes the RTP payloads of one stream into samples at the track's rate."""

from __future__ import annotations

import numpy as np

from recording.audio.codecs import Decoder, PayloadCodec, Samples, clip, decoder_for
from recording.audio.resampler import Floats, Resampler

_MOST = 16
"""The maximum number of decoders of one stream.

It is limited because each re-INVITE can add a codec, and a decoder needs 35 KB of memory.
"""


class StreamDecoder:
    """A decoder. It has a resampler if the sampling rates of the decoder and the track differ."""

    def __init__(self, decoder: Decoder, rate: int) -> None:
        self.stateless = decoder.stateless and rate % decoder.rate == 0
        """True if several RTP payloads may be joined and decoded together.

        Each byte of the joined RTP payloads then becomes `scale` samples.
        """
        self.scale = max(1, rate // decoder.rate)
        self._decoder = decoder
        self._resampler = Resampler(decoder.rate, rate) if decoder.rate != rate else None

    @classmethod
    def of(cls, codec: PayloadCodec, rate: int) -> StreamDecoder | None:
        """Return a new decoder for a codec; None if Galwad cannot decode the codec.

        `rate` is the sampling rate of the track, in Hz.
        """
        decoder = decoder_for(codec)
        return None if decoder is None else cls(decoder, rate)

    @property
    def native_rate(self) -> int:
        """The sampling rate of the decoder before resampling, in Hz."""
        return self._decoder.rate

    @property
    def resamples(self) -> bool:
        """True if the decoded samples are resampled.

        A single packet can then have one sample too many or too few. Over many packets, the number
        of samples is exact.
        """
        return self._resampler is not None

    def samples(self, rtp_payload: bytes, *, follows: bool, stretch: int = 0) -> Samples:
        """Return the samples of one RTP payload; empty if the RTP payload cannot be decoded.

        Args:
            rtp_payload: The RTP payload. If `stateless` is true, this may be several joined RTP
                payloads.
            follows: True if the audio of this RTP payload directly follows the audio that was
                decoded before.
            stretch: The number of samples that are added to the audio by stretching it. If the
                number is negative, the audio is made shorter.
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
        """Return the samples (about a millisecond) that are still in the resampler.

        This method must be called when the next audio does not directly follow the decoded audio.
        The result is empty if there is no resampler.
        """
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        return clip(self._resampler.flush())


class StreamDecoders:
    """The decoders of one stream, by codec.

    There are at most `_MOST` decoders. If one more is needed, it replaces the decoder that was
    created first. If the stream uses the codec of a replaced decoder again, a new decoder is
    created.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._made: dict[PayloadCodec, StreamDecoder | None] = {}

    def of(self, codec: PayloadCodec) -> StreamDecoder | None:
        """Return the stream's decoder for a codec; None if Galwad cannot decode the codec."""
        if codec not in self._made:
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            self._made[codec] = StreamDecoder.of(codec, self._rate)
        return self._made[codec]


def _stretched(samples: Samples, count: int) -> Floats:
    """Return `count` samples with the same sound as `samples`, computed by linear interpolation."""
    at = np.arange(count) * (len(samples) / count)
    made: Floats = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return made
