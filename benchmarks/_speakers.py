"""The voices of load.py: hundreds in one process, some of which send from a port that none told.

Each packet has a number, each voice keeps which it heard, and the keys it presses are RTP events
(RFC 4733): sent instead of sound, in the same numbering.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from _parties import FRAME_S, SETTLE_S, Voice

from telephony.rtp.dtmf import TelephoneEvent

FRAME = 160
"""Ticks at 8 kHz, and octets, of a packet of PCMU."""
SLICES = 10
"""Parts of the 20 ms in which voices speak, each in its own."""
_LONGEST = 0xFFFF
"""Ticks that one segment of an event lasts when another follows (RFC 4733 section 2.5.1.3)."""
_EVENT = 101


@dataclass(frozen=True)
class Press:
    """A key that is held: its first packet, by number, and for how long."""

    first: int
    seconds: float
    code: int = 5

    def packets(self) -> Iterator[tuple[bool, int, TelephoneEvent]]:
        """What is sent every 20 ms: first of the press?, ticks since its begin, and payload."""
        total, passed = int(self.seconds * 8000), 0
        while passed < total:
            start = passed - passed % _LONGEST
            passed = min(passed + FRAME, start + _LONGEST, total)
            yield passed <= FRAME, start, TelephoneEvent(self.code, False, 10, passed - start)


class Speaker(Voice):
    """A voice that an event loop hears for, and that may send from elsewhere than it hears at."""

    def __init__(self, host: str, *, astray: bool = False, presses: Sequence[Press] = ()) -> None:
        super().__init__(host)
        self.mouth = Voice(host).made if astray else self.made
        self.keys = 0
        """Packets of key presses that it has sent."""
        self._presses = {press.first: press for press in presses}
        self._pressing: Iterator[tuple[bool, int, TelephoneEvent]] | None = None
        self._last: tuple[int, TelephoneEvent] | None = None
        self._ticks = 0
        self._pressed_at = 0
        loop = asyncio.get_running_loop()
        for each in {self.made, self.mouth}:
            loop.add_reader(each, self._hear, each)

    def describe(self) -> bytes:
        """Its SDP."""
        text = super().describe().replace(b"AVP 0", b"AVP 0 101")
        return text + b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"

    def speak(self) -> None:
        """Send what this 20 ms has: sound, or a key that is held, or its end three times."""
        if self.to is None:
            return
        if press := self._presses.pop(self.sent, None):
            self._pressing, self._pressed_at = press.packets(), self._ticks
        if self._pressing is None:
            self._send(0, self._ticks, bytes(FRAME))
        elif (packet := next(self._pressing, None)) is not None:
            first, start, event = packet
            self._last = (start, event)
            self._press(start, event, first=first)
        elif self._last is not None:
            start, event = self._last
            for _ in range(3):
                self._press(start, TelephoneEvent(event.code, True, event.volume, event.duration))
            self._pressing = None
        self._ticks += FRAME

    def _press(self, start: int, event: TelephoneEvent, *, first: bool = False) -> None:
        self._send(0x80 * first | _EVENT, self._pressed_at + start, bytes(event))
        self.keys += 1

    def _send(self, kind: int, ticks: int, payload: bytes) -> None:
        head = struct.pack("!BBHII", 0x80, kind, self.sent & 0xFFFF, ticks, self.port)
        self.mouth.sendto(head + payload, self.to)
        self.sent += 1

    def _hear(self, made: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            self.heard.add(struct.unpack_from("!H", made.recv(2048), 2)[0])

    def close(self) -> None:
        """Be gone."""
        loop = asyncio.get_running_loop()
        for each in {self.made, self.mouth}:
            loop.remove_reader(each)
            each.close()


async def converse(speakers: Sequence[Speaker], seconds: float) -> float:
    """All speak every 20 ms for so long; ms by which the last of them ever spoke too late."""
    begun, worst = time.perf_counter(), 0.0
    for step in range(int(seconds / FRAME_S) * SLICES):
        for speaker in speakers[step % SLICES :: SLICES]:
            speaker.speak()
        due = begun + (step + 1) * FRAME_S / SLICES
        worst = max(worst, time.perf_counter() - due)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.sleep(SETTLE_S)
    return worst * 1000
