"""The ringing tone for callers who wait, sent as a stream of our own.

One timer serves all legs; each has its SSRC, sequence and timestamp (RFC 3550 section 5.1).
"""

import asyncio
import secrets
from dataclasses import dataclass

from telephony.aio.media_leg import MediaLeg
from telephony.rtp.packet import RtpPacket
from telephony.rtp.tone import PACKET_SAMPLES, RINGING, is_sounding

_PACKET_S = 0.02


@dataclass(slots=True)
class _Stream:
    leg: MediaLeg
    ssrc: int
    sequence: int
    timestamp: int
    sent: int = 0


class Ringback:
    """The legs that are played to."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._timer: asyncio.Handle | None = None
        self._due = 0.0

    def start(self, leg: MediaLeg) -> None:
        """Begin, unless it is playing already."""
        if leg.leg_id not in self._streams:
            self._streams[leg.leg_id] = _Stream(
                leg, secrets.randbits(32), secrets.randbits(16), secrets.randbits(32)
            )
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time()
            self._timer = loop.call_soon(self._tick)

    def stop(self, leg: MediaLeg) -> None:
        """End; the timer ends with the last leg."""
        self._streams.pop(leg.leg_id, None)
        if not self._streams and self._timer:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        for stream in self._streams.values():
            _send(stream)
        loop = asyncio.get_running_loop()
        self._due = max(self._due + _PACKET_S, loop.time())
        self._timer = loop.call_at(self._due, self._tick)


def _send(stream: _Stream) -> None:
    leg = stream.leg
    chosen = _payload(leg)
    if chosen is not None and leg.destination is not None:
        number, (tone, silence) = chosen
        packet = RtpPacket(
            payload_type=number,
            sequence=stream.sequence,
            timestamp=stream.timestamp,
            ssrc=stream.ssrc,
            payload=tone if is_sounding(stream.sent) else silence,
            marker=stream.sent == 0,
        )
        try:
            leg.pair.rtp.sendto(bytes(packet), leg.destination)
        except OSError:
            leg.counters.unsent += 1
    stream.sent += 1
    stream.sequence = (stream.sequence + 1) & 0xFFFF
    stream.timestamp = (stream.timestamp + PACKET_SAMPLES) & 0xFFFFFFFF


def _payload(leg: MediaLeg) -> tuple[int, tuple[bytes, bytes]] | None:
    """The payload type and the two payloads of the peer's first codec, if that is G.711."""
    if leg.remote is None:
        return None
    for number, codec in leg.remote.accepts.items():
        if codec.is_audio:
            frames = RINGING.get(codec.name.lower())
            return (number, frames) if frames else None
    return None
