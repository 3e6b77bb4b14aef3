"""Decodes RTP payloads to mono int16 samples.

G.711 is decoded with tables, and L16 with numpy. G.722, Opus, G.729 and GSM are decoded with PyAV,
which is imported only when it is needed. Packets of all other codecs are stored unchanged
(`recording.audio.payloads`). The audio is silent in their place, and in place of lost packets: no
decoder here invents samples.

The duration of the sound in a packet is computed from the RTP payload without decoding it. A packet
is sent after its last sample was recorded: the first packet of 60 ms is sent 40 ms after the first
packet of 20 ms. So the duration is needed to compare the arrivals of packets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

US: Final = 1_000_000
USUAL_US: Final = 20_000
"""The assumed duration of a packet in µs, if its RTP payload does not show the duration."""
_LONGEST_US: Final = US
_LONGEST_OPUS_US: Final = 120_000
_OPUS_SILK_US: Final = (10_000, 20_000, 40_000, 60_000)
_OPUS_HYBRID_US: Final = (10_000, 20_000)
_OPUS_CELT_US: Final = (2_500, 5_000, 10_000, 20_000)
_FRAMES: Final = {"G729": (10, 10_000), "GSM": (33, 20_000)}
"""For each codec, the bytes in one frame and the frame's duration in µs (RFC 3551, section 4.5)."""
_SAMPLE_BYTES: Final = {"PCMU": 1, "PCMA": 1, "L16": 2}


def duration_us(name: str, clock: int, channels: int, rtp_payload: bytes) -> int:
    """Return the duration in µs of the sound in one RTP payload, up to one second.

    `name`, `clock` (in Hz) and `channels` are the values that the SDP gives for the codec.
    """
    return min(_announced_us(name.upper(), clock, channels, rtp_payload), _LONGEST_US)


def _announced_us(codec: str, clock: int, channels: int, rtp_payload: bytes) -> int:
    if not rtp_payload:
        return USUAL_US
    if codec == "G722":
        # G.722 always has 8000 bytes a second. The clock rate in the SDP is not needed.
        return len(rtp_payload) * US // 8000
    if codec in _SAMPLE_BYTES:
        return len(rtp_payload) // (_SAMPLE_BYTES[codec] * max(1, channels)) * US // max(1, clock)
    if codec == "OPUS":
        return opus_us(rtp_payload)
    if codec in _FRAMES:
        size, frame_us = _FRAMES[codec]
        return max(1, -(-len(rtp_payload) // size)) * frame_us
    return USUAL_US


def opus_us(rtp_payload: bytes) -> int:
    """Return the duration in µs of an Opus packet, by its first two bytes (RFC 6716, section 3)."""
    toc = rtp_payload[0]
    config, code = toc >> 3, toc & 3
    if config < 12:
        frame_us = _OPUS_SILK_US[config & 3]
    elif config < 16:
        frame_us = _OPUS_HYBRID_US[config & 1]
    else:
        frame_us = _OPUS_CELT_US[config & 3]
    frames = 1 if code == 0 else 2
    if code == 3:
        frames = rtp_payload[1] & 0x3F if len(rtp_payload) > 1 else 1
    return min(max(1, frames) * frame_us, _LONGEST_OPUS_US)


if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

Samples: TypeAlias = NDArray[np.int16]

NARROW: Final = 8000
WIDE: Final = 16000
_LINEAR_RATES: Final = frozenset(
    {NARROW, 11_025, 12_000, WIDE, 22_050, 24_000, 32_000, 44_100, 48_000}
)
"""The sampling rates in Hz at which L16 and G.711 are decoded.

A peer could otherwise announce a rate for which the resampling filter is very large.
"""
_NOISE: Final = "CN"
_SILENT: Final = frozenset({_NOISE, "TELEPHONE-EVENT"})


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """The name and parameters of a codec, as in SDP. `clock` is the RTP clock rate in Hz."""

    name: str
    clock: int
    channels: int = 1
    fmtp: str = ""

    @property
    def carries_no_speech(self) -> bool:
        """True if packets of this codec have only comfort noise or DTMF digits."""
        return self.name.upper() in _SILENT

    @property
    def is_noise(self) -> bool:
        """True for comfort noise (RFC 3389), the background noise during a silence."""
        return self.name.upper() == _NOISE

    def duration_us(self, rtp_payload: bytes) -> int:
        """Return the duration in µs of the sound in an RTP payload of this codec."""
        return duration_us(self.name, self.clock, self.channels, rtp_payload)

    def __str__(self) -> str:
        channels = "" if self.channels == 1 else f"/{self.channels}"
        return f"{self.name}/{self.clock}{channels}"


STATIC: Final = {
    0: PayloadCodec("PCMU", 8000),
    3: PayloadCodec("GSM", 8000),
    4: PayloadCodec("G723", 8000),
    8: PayloadCodec("PCMA", 8000),
    9: PayloadCodec("G722", 8000),
    10: PayloadCodec("L16", 44100, 2),
    11: PayloadCodec("L16", 44100),
    13: PayloadCodec("CN", 8000),
    15: PayloadCodec("G728", 8000),
    18: PayloadCodec("G729", 8000),
}
"""The codecs of the static payload types, which need no `rtpmap` in SDP (RFC 3551, section 6)."""


class Decoder(Protocol):
    """Decodes the RTP payloads of one stream, one after another, at `rate` in Hz.

    If it is `stateless`, joined RTP payloads give the same samples as separate ones.
    """

    rate: int
    stateless: bool

    def decode(self, rtp_payload: bytes) -> Samples:
        """Return the samples of one RTP payload; fewer or none if it is damaged."""


def _ulaw_table() -> Samples:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int16)


def _alaw_table() -> Samples:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code & 0x70) >> 4
    base = ((code & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, base, (base + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


class G711:
    """The decoder of PCMU or PCMA (ITU-T G.711), which accepts any rate and number of channels."""

    _tables: Final = {"PCMU": _ulaw_table(), "PCMA": _alaw_table()}

    def __init__(self, codec: PayloadCodec) -> None:
        self._table = self._tables[codec.name.upper()]
        self._channels = max(1, codec.channels)
        self.rate = codec.clock
        self.stateless = self.rate == NARROW and self._channels == 1

    def decode(self, rtp_payload: bytes) -> Samples:
        """Return the samples of one RTP payload, with all channels mixed into one."""
        samples = self._table[np.frombuffer(rtp_payload, dtype=np.uint8)]
        return samples if self._channels == 1 else mix(_deinterleave(samples, self._channels))


class Linear:
    """The decoder of L16: big-endian 16-bit samples (RFC 3551, section 4.5.11).

    It accepts any rate and number of channels.
    """

    stateless = False

    def __init__(self, codec: PayloadCodec) -> None:
        self._channels = max(1, codec.channels)
        self.rate = codec.clock

    def decode(self, rtp_payload: bytes) -> Samples:
        """Return the samples of one RTP payload, with all channels mixed into one."""
        whole = rtp_payload[: len(rtp_payload) // 2 * 2]
        return mix(_deinterleave(np.frombuffer(whole, dtype=">i2"), self._channels))


class Av:
    """A decoder of libavcodec, the library that PyAV uses."""

    stateless = False

    def __init__(self, name: str, native: int, frame: int = 0) -> None:
        """Open the decoder with this name in libavcodec, which decodes to `native` Hz.

        A frame has `frame` bytes; 0 means that the whole RTP payload is one frame.
        """
        import av  # noqa: PLC0415 - a large library that few calls need

        self._av = av
        self._frame = frame
        self.rate = native
        context: Any = av.CodecContext.create(name, "r")
        context.sample_rate = native
        context.layout = "mono"
        context.open()
        self._context: AudioCodecContext = context

    def decode(self, rtp_payload: bytes) -> Samples:
        """Return the samples of all frames in one RTP payload; none of a damaged frame."""
        parts = [part for piece in self._pieces(rtp_payload) for part in self._piece(piece)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)

    def _pieces(self, rtp_payload: bytes) -> Iterator[bytes]:
        if not self._frame:
            yield rtp_payload
            return
        for at in range(0, len(rtp_payload) - self._frame + 1, self._frame):
            yield rtp_payload[at : at + self._frame]

    def _piece(self, piece: bytes) -> Iterator[Samples]:
        with contextlib.suppress(self._av.FFmpegError):
            for frame in self._context.decode(self._av.Packet(piece)):
                samples: NDArray[Any] = frame.to_ndarray()
                if not frame.format.is_planar:
                    samples = samples.reshape(-1, frame.layout.nb_channels).T
                yield mix(samples)


def _deinterleave(samples: NDArray[np.int16], channels: int) -> NDArray[np.int16]:
    """Return interleaved samples as one row for each channel, without an incomplete final group."""
    return samples[: len(samples) // channels * channels].reshape(-1, channels).T


def mix(channels: NDArray[np.int16] | NDArray[np.float32]) -> Samples:
    """Mix all channels (rows) into one channel with 16-bit samples.

    Floating-point samples are from -1.0 to 1.0.
    """
    whole = np.issubdtype(channels.dtype, np.integer)
    if whole and len(channels) == 1:
        alone: Samples = channels[0].astype(np.int16)
        return alone
    loud = channels.astype(np.float32) * (1.0 if whole else 32767.0)
    return clip(loud[0] if len(loud) == 1 else loud.mean(axis=0))


def clip(samples: NDArray[np.float32]) -> Samples:
    """Return the samples rounded to integers and limited to the range of 16 bits."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


_BY_AV: Final = {
    "G722": ("g722", WIDE, 0),
    # FFmpeg's own Opus decoder clicks when speech follows a DTX silence.
    "OPUS": ("libopus", 48000, 0),
    "G729": ("g729", NARROW, 10),
    "GSM": ("gsm", NARROW, 33),
}


def decoder_for(codec: PayloadCodec) -> Decoder | None:
    """Return a new decoder for one stream; None if its codec or sampling rate has no decoder."""
    name = codec.name.upper()
    if name in {"PCMU", "PCMA"}:
        return G711(codec) if codec.clock in _LINEAR_RATES else None
    if name == "L16":
        return Linear(codec) if codec.clock in _LINEAR_RATES else None
    return Av(*_BY_AV[name]) if name in _BY_AV else None
