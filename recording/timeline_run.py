"""Payloads of packets that follow each other without a break, decoded at once."""

from __future__ import annotations

from recording.voice import Voice

_MOST = 50
"""Packets: about a second."""


class Run:
    """Payloads of one stateless voice that lie behind one another."""

    def __init__(self) -> None:
        self.count = 0
        """Packets in it; a part may be of several."""
        self.end = 0
        """Where the next would lie."""
        self.voice: Voice | None = None
        self.codec = ""
        self._parts: list[bytes] = []

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def room(self) -> int:
        """How many packets more it may take."""
        return _MOST - self.count

    def begin(self, voice: Voice, codec: str, position: int) -> None:
        """Begin anew: what was in it was taken."""
        self.voice, self.codec, self.end = voice, codec, position

    def add(self, payload: bytes, count: int = 1) -> None:
        """Take the next payload, or those of `count` packets joined."""
        if self.voice is not None:
            self._parts.append(payload)
            self.count += count
            self.end += len(payload) * self.voice.scale

    def take(self) -> bytes:
        """Give all of it, joined."""
        payload = b"".join(self._parts)
        self._parts.clear()
        self.count = 0
        return payload
