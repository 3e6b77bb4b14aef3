"""RTP payloads of packets that follow each other without a break, to be decoded at once."""

from __future__ import annotations

from recording.audio.stream_decoder import StreamDecoder

_MOST = 50
"""The most packets in a run: about a second."""


class DecodingRun:
    """The joined RTP payloads of consecutive packets, all for one stateless decoder."""

    def __init__(self) -> None:
        self.count = 0
        """The number of packets in the run; one entry of `_parts` can hold several."""
        self.end = 0
        """The position of the next packet's samples on the track."""
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
        """Begin a new run at `position`, after the last one was taken."""
        self.decoder, self.codec, self.end = decoder, codec, position

    def add(self, rtp_payload: bytes, count: int = 1) -> None:
        """Add the next RTP payload, or the joined RTP payloads of the next `count` packets."""
        if self.decoder is not None:
            self._parts.append(rtp_payload)
            self.count += count
            self.end += len(rtp_payload) * self.decoder.scale

    def take(self) -> bytes:
        """Empty the run and return its RTP payloads, joined."""
        rtp_payload = b"".join(self._parts)
        self._parts.clear()
        self.count = 0
        return rtp_payload
