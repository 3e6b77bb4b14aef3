"""The duration of the sound in a packet, computed from the RTP payload without decoding it.

It is needed to compare the arrival times of packets of different lengths, because a packet can be
sent only after its last sample was recorded: the first packet of 60 ms is sent 40 ms after the
first of 20 ms.
"""

from __future__ import annotations

from typing import Final

US: Final = 1_000_000
USUAL_US: Final = 20_000
"""In µs, if the RTP payload does not show it."""
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
