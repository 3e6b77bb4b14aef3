"""The media of one call: two sockets, a timer every 20 ms, a playout buffer and an RTP sender."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from telephony.aio.ports import PortPair, PortPool
from telephony.errors import RtpParseError, SrtpError
from telephony.phone.quality import ReceptionCounter, Reports
from telephony.phone.rtp_sender import FRAME, RtpSender
from telephony.phone.state import CallFailedError, Changes
from telephony.rtp import g711
from telephony.rtp.dtmf import KeyPresses
from telephony.rtp.packet import RtpPacket, is_rtcp
from telephony.rtp.srtp import Protection
from telephony.sdp import LocalMedia, RemoteMedia, Srtp, fresh_keys

_RATE: Final = 8000
_MOST_UNREAD: Final = 600 * _RATE
"""The most samples that are kept unread (ten minutes); beyond that, the oldest are dropped."""
_JUMP: Final = 10 * _RATE
"""A change of the RTP timestamp by more samples than this, from packet to packet, is a jump."""
_TICK: Final = 0.02
_AHEAD: Final = 10 * FRAME
"""`write` waits until fewer samples than this (200 ms) are queued."""
_REPORT: Final = 5.0
"""The mean time between two RTCP reports, in seconds.

Each interval is random, ± 50 % (RFC 3550 section 6.2). The first interval is half as long.
"""
_LATE: Final = 5.0
"""The longest delay of the event loop, in seconds, after which all overdue packets are sent.

After a longer delay, one packet is sent, and its RTP timestamp skips the lost time (RFC 3550
section 5.1).
"""


class PlayoutBuffer:
    """The audio of one received stream as 16-bit linear PCM, from the first unread sample.

    A sample's position counts from the first sample received, and follows the RTP timestamp. After
    a new SSRC or a jump, the first packet's position is its time of arrival, but never before the
    end of the buffer. Later packets follow their timestamps again.
    """

    def __init__(self) -> None:
        self.received = 0
        """RTP packets received."""
        self._audio = bytearray()
        self._start = 0
        """The position of the first unread sample."""
        self._began: float | None = None
        self._ssrc: int | None = None
        self._zero = 0
        """Added to an extended RTP timestamp to get a position; changes at a new SSRC or a jump."""
        self._last = 0
        """The highest RTP timestamp since the latest jump or new SSRC, extended beyond 32 bits."""

    @property
    def end(self) -> int:
        """The position directly after the newest sample."""
        return self._start + len(self._audio) // 2

    @property
    def unread(self) -> int:
        """The number of unread samples, silence for lost packets included."""
        return len(self._audio) // 2

    def put(self, packet: RtpPacket, pcm: bytes, now: float) -> None:
        """Put a packet's decoded audio at its position; cut samples before the first unread one."""
        self.received += 1
        place = self._place(packet, now)
        if place < self._start:
            pcm, place = pcm[2 * (self._start - place) :], self._start
        if not pcm:
            return
        at = 2 * (place - self._start)
        if at > len(self._audio):
            self._audio.extend(bytes(at - len(self._audio)))
        self._audio[at : at + len(pcm)] = pcm
        self.take(self.unread - _MOST_UNREAD)

    def take(self, samples: int) -> bytes:
        """Remove and return the oldest `samples` unread samples, or all if there are fewer."""
        if samples <= 0:
            return b""
        taken = bytes(self._audio[: 2 * samples])
        del self._audio[: len(taken)]
        self._start += len(taken) // 2
        return taken

    def _place(self, packet: RtpPacket, now: float) -> int:
        step = (packet.timestamp - self._last + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if self._began is None:
            self._began = now
        if packet.ssrc != self._ssrc or abs(step) > _JUMP:
            self._ssrc, self._last = packet.ssrc, packet.timestamp
            arrived = round((now - self._began) * _RATE)
            self._zero = max(arrived, self.end) - packet.timestamp
            return self._zero + self._last
        timestamp = self._last + step
        self._last = max(self._last, timestamp)
        return self._zero + timestamp


class MediaStream:
    """Sends and receives G.711 audio and telephone events, with SRTP if both sides agreed on it."""

    def __init__(self, pool: PortPool, changes: Changes, srtp: Srtp = Srtp.OFF) -> None:
        """Bind ports. `changes` is notified when packets arrive or leave. Raises `NoPortsError`."""
        self.playout = PlayoutBuffer()
        self.sender = RtpSender()
        self.reception = ReceptionCounter()
        self.reports = Reports()
        self.keys = ""
        """The DTMF digits that the peer pressed and that the program has not read yet."""
        self._pool = pool
        self._pair: PortPair = pool.take()
        self.local = LocalMedia(
            pool.host, self._pair.port, srtp, {} if srtp is Srtp.OFF else fresh_keys()
        )
        """The values for our SDP."""
        self.protection: Protection | None = None
        """The SRTP encryption in force; None if the call uses plain RTP."""
        self._srtp_state: Protection | None = None
        self._changes = changes
        self.remote: RemoteMedia | None = None
        """The peer's media according to its most recent SDP; None before the first SDP."""
        self._presses = KeyPresses()
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._report_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        pair = self._pair
        for sock, take in ((pair.rtp, self._receive), (pair.rtcp, self._receive_control)):
            self._loop.add_reader(sock.fileno(), self._read_all, sock.fileno(), take)

    def configure(self, remote: RemoteMedia) -> None:
        """Use the peer's media and begin to send; raise CallFailedError without G.711."""
        laws = {n: c.name.lower() for n, c in remote.accepts.items() if c.clock == FRAME * 50}
        number = next((n for n, name in laws.items() if name in g711.SILENCE), None)
        if number is None:
            raise CallFailedError("the peer accepts neither A-law nor µ-law", 488)
        self.sender.payload_type, self.sender.law = number, laws[number]
        self.sender.event_type = next(
            (n for n, name in laws.items() if name == "telephone-event"), None
        )
        self.remote = remote
        self._protect(remote)
        if self._timer is None and not self.closed:
            self._due = self._loop.time()
            self._report_due = self._due + _report_interval() / 2
            self._tick()

    def _protect(self, remote: RemoteMedia) -> None:
        """Use the SRTP keys of `remote`, or plain RTP if `remote` has no keys.

        A key that was already in use keeps its SRTP session, and therefore its roll-over counter.
        """
        if remote.keys is not None and self._srtp_state is not None:
            self._srtp_state.rekey(remote.keys)
        elif remote.keys is not None:
            self._srtp_state = Protection(remote.keys)
        self.protection = self._srtp_state if remote.keys is not None else None

    async def write(self, pcm: bytes) -> None:
        """Queue audio, and wait until less than 200 ms of it are queued."""
        self.sender.write(pcm)
        await self._changes.until(lambda: self.closed or self.sender.queued < _AHEAD)

    async def read(self, samples: int) -> bytes:
        """Wait for the next `samples` received samples and return them as 16-bit PCM.

        After the stream is closed, return the samples that remain, and then b"".
        """
        await self._changes.until(lambda: self.closed or self.playout.unread >= samples)
        return self.playout.take(samples)

    def close(self) -> None:
        """Send RTCP BYE, stop sending and receiving, and free the ports."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._send_control(self.reports.end(self.sender))
        for sock in (self._pair.rtp, self._pair.rtcp):
            self._loop.remove_reader(sock.fileno())
        self._pool.give_back(self._pair)
        self._changes.notify()

    def _tick(self) -> None:
        now = self._loop.time()
        if now - self._due > _LATE:
            while self._due + _TICK <= now:
                self.sender.skip()
                self._due += _TICK
        while self._due <= now:
            self._send()
            self._due += _TICK
        if now >= self._report_due:
            self._report_due = now + _report_interval()
            written = self.reports.write(self.sender, self.reception, time.time(), now)
            self._send_control(written)
        self._timer = self._loop.call_at(self._due, self._tick)
        self._changes.notify()

    def _send(self) -> None:
        remote = self.remote
        if remote is None or not remote.receive:
            self.sender.skip()
            return
        data = self.sender.next()
        try:
            sent = self.protection.protect(data) if self.protection else data
            self._pair.rtp.sendto(sent, (remote.host, remote.rtp_port))
        except (OSError, SrtpError):
            # The peer's port is closed, or the socket's queue is full. For RTP, this is only a lost
            # packet.
            return

    def _send_control(self, data: bytes) -> None:
        remote = self.remote
        if remote is None or not remote.rtcp_port or ip_address(remote.host).is_unspecified:
            return
        sock = self._pair.rtp if remote.rtcp_mux else self._pair.rtcp
        try:
            sent = self.protection.protect_control(data) if self.protection else data
            sock.sendto(sent, (remote.rtcp_host or remote.host, remote.rtcp_port))
        except (OSError, SrtpError):
            # Only this packet is lost, for example because the peer's port is closed.
            return

    def _read_all(self, descriptor: int, take: Callable[[bytes, str], None]) -> None:
        sock = self._pair.rtp if descriptor == self._pair.rtp.fileno() else self._pair.rtcp
        while True:
            try:
                data, source = sock.recvfrom(2048)
            except BlockingIOError:
                break
            except OSError:
                # The error is an ICMP error about a packet that we sent earlier. We continue to
                # read received packets.
                continue
            take(data, source[0])
        self._changes.notify()

    def _receive(self, data: bytes, host: str) -> None:
        remote = self.remote
        if is_rtcp(data):
            self._receive_control(data, host)
            return
        if remote is None or host != remote.host:
            return
        try:
            if self.protection is not None:
                data = self.protection.unprotect(data)
            packet = RtpPacket.parse(data)
            codec = remote.payloads.get(packet.payload_type)
            if codec is None:
                return
            if codec.is_event:
                self.reception.count_untimed(packet)
                self.keys += self._presses.receive(data) or ""
            elif codec.name.lower() in g711.SILENCE:
                pcm, now = g711.decode(packet.payload, codec.name.lower()), self._loop.time()
                self.reception.put(packet, now)
                self.playout.put(packet, pcm, now)
        except (RtpParseError, SrtpError):
            return  # The packet is not RTP or not from the peer, so we ignore it.

    def _receive_control(self, data: bytes, host: str) -> None:
        remote = self.remote
        if remote is None or host not in {remote.host, remote.rtcp_host}:
            return
        try:
            if self.protection is not None:
                data = self.protection.unprotect_control(data)
            self.reports.read(data, self.sender, time.time(), self._loop.time())
        except (RtpParseError, SrtpError):
            return  # The packet is not RTCP or not from the peer, so we ignore it.


def _report_interval() -> float:
    return _REPORT * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
