"""The voices of load.py: hundreds in one process, some of which send from a port not in their SDP.

Each packet has a number, and each voice keeps the numbers that it hears. Pressed keys are RTP
events (RFC 4733), sent in place of sound and numbered with it.
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
"""The ticks at 8 kHz, and octets, of a PCMU packet."""
SLICES = 10
"""The parts of 20 ms at which voices send, each voice in its own part."""
_LONGEST = 0xFFFF
"""The ticks of a segment of an event that another follows (RFC 4733 section 2.5.1.3)."""
_EVENT = 101


@dataclass(frozen=True)
class Press:
    """A key that is held: the number of its first packet, and its duration."""

    first: int
    seconds: float
    code: int = 5

    def packets(self) -> Iterator[tuple[bool, int, TelephoneEvent]]:
        """Yield for each 20 ms: is it the first, ticks since the press began, and RTP payload."""
        total, passed = int(self.seconds * 8000), 0
        while passed < total:
            start = passed - passed % _LONGEST
            passed = min(passed + FRAME, start + _LONGEST, total)
            yield passed <= FRAME, start, TelephoneEvent(self.code, False, 10, passed - start)


class Speaker(Voice):
    """A voice read by the event loop, which may send from another port than it receives at."""

    def __init__(self, host: str, *, astray: bool = False, presses: Sequence[Press] = ()) -> None:
        super().__init__(host)
        self.mouth = Voice(host).made if astray else self.made
        self.keys = 0
        """The number of key-press packets that it has sent."""
        self._presses = {press.first: press for press in presses}
        self._pressing: Iterator[tuple[bool, int, TelephoneEvent]] | None = None
        self._last: tuple[int, TelephoneEvent] | None = None
        self._ticks = 0
        self._pressed_at = 0
        loop = asyncio.get_running_loop()
        for each in {self.made, self.mouth}:
            loop.add_reader(each, self._hear, each)

    def describe(self) -> bytes:
        """Return the party's SDP."""
        text = super().describe().replace(b"AVP 0", b"AVP 0 101")
        return text + b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"

    def speak(self) -> None:
        """Send the packet of this 20 ms: sound, or a held key, or the key's end three times."""
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
        assert self.to is not None, "nothing is sent before the address is known"
        head = struct.pack("!BBHII", 0x80, kind, self.sent & 0xFFFF, ticks, self.port)
        self.mouth.sendto(head + payload, self.to)
        self.sent += 1

    def _hear(self, made: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            self.heard.add(struct.unpack_from("!H", made.recv(2048), 2)[0])

    def close(self) -> None:
        """Close the sockets."""
        loop = asyncio.get_running_loop()
        for each in {self.made, self.mouth}:
            loop.remove_reader(each)
            each.close()


async def converse(speakers: Sequence[Speaker], seconds: float) -> float:
    """Let all speak every 20 ms for `seconds`; return the longest delay of a packet in ms."""
    begun, worst = time.perf_counter(), 0.0
    for step in range(int(seconds / FRAME_S) * SLICES):
        for speaker in speakers[step % SLICES :: SLICES]:
            speaker.speak()
        due = begun + (step + 1) * FRAME_S / SLICES
        worst = max(worst, time.perf_counter() - due)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.sleep(SETTLE_S)
    return worst * 1000
