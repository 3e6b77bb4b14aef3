"""The ringing tone that waiting callers hear: we send it as our own RTP stream.

One timer serves all legs. Each leg has its own SSRC, sequence number and timestamp (RFC 3550
section 5.1), and RTCP: a sender report at the start and every five seconds, and a BYE at the end.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from telephony.aio.media_leg import MediaLeg
from telephony.rtp.g711 import PACKET_SAMPLES, RINGING, is_sounding
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import goodbye, sender_report

_PACKET_S = 0.02
_REPORT_PACKETS = 250
"""The number of packets, 5 s of sound, between two sender reports (RFC 3550 6.2)."""


@dataclass(slots=True)
class _Stream:
    leg: MediaLeg
    ssrc: int
    sequence: int
    timestamp: int
    sent: int = 0
    """The 20 ms intervals since the start, also those without a packet, as during a hold."""
    packets: int = 0
    octets: int = 0
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    """The CNAME (RFC 7022). It is random, so that it identifies no person."""


class Ringback:
    """Plays the ringing tone to the peers of any number of legs."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._timer: asyncio.Handle | None = None
        self._due = 0.0

    def start(self, leg: MediaLeg) -> None:
        """Begin to play the ringing tone to the leg's peer, unless it is already playing."""
        if leg.leg_id not in self._streams:
            self._streams[leg.leg_id] = _Stream(
                leg, secrets.randbits(32), secrets.randbits(16), secrets.randbits(32)
            )
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time()
            self._timer = loop.call_soon(self._tick)

    def stop(self, leg: MediaLeg) -> None:
        """Stop the ringing tone for the leg's peer, and the timer after the last leg."""
        stream = self._streams.pop(leg.leg_id, None)
        if stream is not None and stream.packets:
            leg.send_control(_report(stream) + goodbye(stream.ssrc))
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
        leg.send_own(bytes(packet))
        stream.packets += 1
        stream.octets += len(packet.payload)
        if stream.packets % _REPORT_PACKETS == 1:
            leg.send_control(_report(stream))
    stream.sent += 1
    stream.sequence = (stream.sequence + 1) & 0xFFFF
    stream.timestamp = (stream.timestamp + PACKET_SAMPLES) & 0xFFFFFFFF


def _report(stream: _Stream) -> bytes:
    return sender_report(
        stream.ssrc,
        time.time(),
        timestamp=stream.timestamp,
        packets=stream.packets & 0xFFFFFFFF,
        octets=stream.octets & 0xFFFFFFFF,
        name=stream.name,
    )


def _payload(leg: MediaLeg) -> tuple[int, tuple[bytes, bytes]] | None:
    """Return payload type, tone and silence; None unless the peer's first audio codec is G.711."""
    if leg.remote is None:
        return None
    for number, codec in leg.remote.accepts.items():
        if codec.is_audio:
            frames = RINGING.get(codec.name.lower())
            return (number, frames) if frames else None
    return None
