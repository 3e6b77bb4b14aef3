"""A run: the RTP payloads of consecutive packets, which are joined and decoded in one call."""

from __future__ import annotations

from recording.audio.stream_decoder import StreamDecoder

_MOST = 50
"""In packets: one second of audio with packets of 20 ms."""


class DecodingRun:
    """The RTP payloads of consecutive packets that one stateless decoder will decode together."""

    def __init__(self) -> None:
        self.count = 0
        """The number of packets in `_parts`. One part can hold several packets."""
        self.end = 0
        """The position on the track at which the samples of the added packets end."""
        self.decoder: StreamDecoder | None = None
        self.codec = ""
        self._parts: list[bytes] = []

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def room(self) -> int:
        """The number of packets that can still be added."""
        return _MOST - self.count

    def begin(self, decoder: StreamDecoder, codec: str, position: int) -> None:
        """Set the decoder, the codec (such as `PCMA/8000`) and the position of the next packets.

        Remove all earlier packets with `take` first.
        """
        self.decoder, self.codec, self.end = decoder, codec, position

    def add(self, rtp_payload: bytes, count: int = 1) -> None:
        """Add the RTP payload of the next packet, or the joined ones of the next `count`."""
        if self.decoder is not None:
            self._parts.append(rtp_payload)
            self.count += count
            self.end += len(rtp_payload) * self.decoder.scale

    def take(self) -> bytes:
        """Remove all packets and return their joined RTP payloads."""
        rtp_payload = b"".join(self._parts)
        self._parts.clear()
        self.count = 0
        return rtp_payload
