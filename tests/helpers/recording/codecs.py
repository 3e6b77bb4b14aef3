"""Decoders that are known to exist, and FFmpeg's codecs for sound."""

from __future__ import annotations

from typing import Literal

import av
from av.audio.codeccontext import AudioCodecContext

from recording.audio.codecs import Decoder, PayloadCodec, decoder_for
from recording.audio.stream_decoder import StreamDecoder


def decoder_of(codec: PayloadCodec) -> Decoder:
    """Return the decoder of a codec that has one."""
    decoder = decoder_for(codec)
    assert decoder is not None
    return decoder


def stream_decoder_of(codec: PayloadCodec, rate: int) -> StreamDecoder:
    """Return the stream decoder of a codec that has a decoder, for a track of this rate."""
    decoder = StreamDecoder.of(codec, rate)
    assert decoder is not None
    return decoder


def audio_context(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    """Return FFmpeg's decoder ("r") or encoder ("w") of this name."""
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context
