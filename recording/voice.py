"""One codec of one stream, from payloads to samples at the track's rate."""

from __future__ import annotations

import numpy as np

from recording.codecs import Decoder, PayloadCodec, Samples, clipped, decoder_for
from recording.resample import Floats, Resampler

_MOST = 16
"""Codecs of a stream; each re-INVITE may bring another, and a decoder has 35 KB."""


class Voice:
    """A decoder, and what brings its samples to the rate that is wanted."""

    def __init__(self, decoder: Decoder, rate: int) -> None:
        self.stateless = decoder.stateless and rate % decoder.rate == 0
        """Whether payloads joined make their samples joined, `scale` for each byte."""
        self.scale = max(1, rate // decoder.rate)
        self._decoder = decoder
        self._resampler = Resampler(decoder.rate, rate) if decoder.rate != rate else None

    @classmethod
    def of(cls, codec: PayloadCodec, rate: int) -> Voice | None:
        """None when nobody here can decode it."""
        decoder = decoder_for(codec)
        return None if decoder is None else cls(decoder, rate)

    @property
    def native(self) -> int:
        """The decoder's samples a second."""
        return self._decoder.rate

    @property
    def resamples(self) -> bool:
        """Whether its lengths are right in the long run, not to the sample in each packet."""
        return self._resampler is not None

    def samples(self, payload: bytes, *, follows: bool, stretch: int = 0) -> Samples:
        """The samples of what was decoded; none when it could not be.

        `follows`: right upon those before. `stretch`: make so many more, or fewer if negative.
        """
        decoded = self._decoder.decode(payload)
        if self._resampler is not None and len(decoded):
            if not follows:
                self._resampler.reset()
            decoded = clipped(self._resampler(decoded))
        if stretch and len(decoded) > abs(stretch):
            decoded = clipped(_stretched(decoded, len(decoded) + stretch))
        return decoded

    def rest(self) -> Samples:
        """The last millisecond or so of what was decoded, once it is known that a break follows."""
        if self._resampler is None:
            return np.zeros(0, dtype=np.int16)
        return clipped(self._resampler.rest())


class Voices:
    """Those of one stream, by codec; beyond some, the one that was made first is made anew."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._made: dict[PayloadCodec, Voice | None] = {}

    def of(self, codec: PayloadCodec) -> Voice | None:
        """The codec's; None when nobody here can decode it."""
        if codec not in self._made:
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            self._made[codec] = Voice.of(codec, self._rate)
        return self._made[codec]


def _stretched(samples: Samples, count: int) -> Floats:
    """So many samples in the same time, by straight lines between those that were."""
    at = np.arange(count) * (len(samples) / count)
    made: Floats = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return made
