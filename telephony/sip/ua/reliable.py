"""The responses to an INVITE that are repeated until they are acknowledged.

A reliable provisional response is repeated until its PRACK arrives (RFC 3262 section 3). The next
response of its sequence is sent after the PRACK. Each early dialog has its own sequence, because to
the caller, each dialog is with a different user agent. If a PRACK is missing for 64*T1, the
sequence ends. A 2xx is repeated until its ACK arrives, for at most 64*T1 (RFC 3261 section
13.3.1.4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from telephony.sip.compose import HeaderList
from telephony.sip.dialog_addresses import DialogId
from telephony.sip.message.header_values import MAX_FIRST, RELIABLE
from telephony.sip.message.messages import Request
from telephony.sip.transaction.core import Core
from telephony.sip.transaction.timers import Timer

MAX_WAITING: Final = 8
"""With this many waiting responses, a new one without a body, such as a 180, is dropped."""


PrackKey = tuple[DialogId, int, int]
"""The dialog, the RSeq of the response, and the INVITE's CSeq number, as in the RAck."""
AckKey = tuple[DialogId, int]
"""The dialog and the CSeq number of the ACK."""


@dataclass(frozen=True, slots=True)
class PendingResponse:
    """A response that is sent at once or later."""

    status: int
    reason: str | None
    headers: HeaderList
    body: bytes
    tag: str | None

    def numbered(self, rseq: int) -> HeaderList:
        """Return `headers`, with the Require and RSeq of a reliable response."""
        return (*self.headers, ("Require", RELIABLE), ("RSeq", str(rseq)))

    def without_body(self) -> PendingResponse:
        """Return a copy without the body, for a refresh: the caller has the body already."""
        kept = tuple(row for row in self.headers if not row[0].lower().startswith("content-"))
        return replace(self, headers=kept, body=b"")


class ReliableSequence:
    """The reliable responses of one early dialog, which are sent one after another.

    Attributes:
        body_unacknowledged: True while a response with a body waits for its PRACK. Meanwhile, no
            2xx in this dialog may be sent.
    """

    def __init__(
        self,
        core: Core,
        waiting: dict[PrackKey, ReliableSequence],
        dialog: DialogId,
        number: int,
        *,
        send: Callable[[PendingResponse, int, float], bytes],
        repeat: Callable[[bytes], None],
        on_acknowledged: Callable[[float], None],
        on_missing: Callable[[float], None],
    ) -> None:
        """Make an empty sequence for the early dialog `dialog` of the INVITE with CSeq `number`.

        `waiting` contains the sequence while a response waits for its PRACK. `send` sends a
        response with an RSeq and returns the bytes, which `repeat` sends again. `on_acknowledged`
        is called when every response has its PRACK, `on_missing` if one is missing after 64*T1.
        """
        self.body_unacknowledged = False
        self._core = core
        self._unacknowledged = waiting
        self._dialog = dialog
        self._number = number
        self._send, self._repeat_data = send, repeat
        self._on_acknowledged, self._on_missing = on_acknowledged, on_missing
        self._rseq = core.rng.randint(1, MAX_FIRST) - 1
        self._waiting: deque[PendingResponse] = deque()
        self._outstanding = False
        self._repeat: Timer | None = None
        self._deadline: Timer | None = None

    def send(self, provisional: PendingResponse, now: float) -> None:
        """Send a response as soon as all earlier ones have their PRACKs.

        Drop a response without a body if `MAX_WAITING` others wait already.
        """
        if self._outstanding and len(self._waiting) >= MAX_WAITING and not provisional.body:
            return
        self._waiting.append(provisional)
        if not self._outstanding:
            self._next(now)

    def acknowledge(self, now: float) -> None:
        """Process the PRACK. Send the next waiting response, or call `on_acknowledged`."""
        self.forget()
        if self._waiting:
            self._next(now)
        else:
            self._on_acknowledged(now)

    def close(self) -> None:
        """Drop waiting responses, and stop repeating the sent one. A late PRACK is accepted."""
        self._waiting.clear()
        self._stop()

    def drop_waiting(self) -> None:
        """Drop the responses that were not sent yet. A sent response is still repeated."""
        self._waiting.clear()

    def forget(self) -> None:
        """Stop repeating the most recently sent response, and stop waiting for its PRACK."""
        self._stop()
        self._outstanding = self.body_unacknowledged = False
        self._unacknowledged.pop(self._key, None)

    @property
    def _key(self) -> PrackKey:
        return self._dialog, self._rseq, self._number

    def _next(self, now: float) -> None:
        provisional = self._waiting.popleft()
        self._rseq += 1
        self._outstanding = True
        self.body_unacknowledged = bool(provisional.body)
        self._unacknowledged[self._key] = self
        data = self._send(provisional, self._rseq, now)
        self._schedule(data, self._core.timings.t1, now)
        self._deadline = self._core.timers.at(now + self._core.timings.timeout, self._give_up)

    def _schedule(self, data: bytes, interval: float, now: float) -> None:
        """Repeat a response after `interval` s, doubled each time, even over TCP (RFC 3262 3)."""

        def repeat(now: float) -> None:
            self._repeat_data(data)
            self._schedule(data, 2 * interval, now)

        self._repeat = self._core.timers.at(now + interval, repeat)

    def _give_up(self, now: float) -> None:
        self._waiting.clear()
        self.forget()
        self._on_missing(now)

    def _stop(self) -> None:
        for timer in (self._repeat, self._deadline):
            if timer is not None:
                timer.cancel()


def close_all(sequences: Iterable[ReliableSequence]) -> None:
    """Close each sequence: drop its waiting responses, and stop repeating the sent response."""
    for sequence in sequences:
        sequence.close()


class Repeated2xx:
    """Repeats a 2xx until its ACK arrives, for at most 64*T1. The interval grows from T1 to T2."""

    def __init__(
        self,
        core: Core,
        waiting: dict[AckKey, Repeated2xx],
        key: AckKey,
        *,
        repeat: Callable[[], None],
        on_ack: Callable[[Request, float], None],
        on_missing: Callable[[float], None],
    ) -> None:
        """Prepare to repeat the 2xx whose ACK has the key `key`.

        From `start` until `stop`, `waiting[key]` is this object. `on_ack` is called for the ACK,
        and `on_missing` after 64*T1 without an ACK. After `stop`, neither is called.
        """
        self._core = core
        self._waiting = waiting
        self._key = key
        self._send_again = repeat
        self._on_ack, self._on_missing = on_ack, on_missing
        self._repeat: Timer | None = None
        self._deadline: Timer | None = None

    def start(self, now: float) -> None:
        """Start to repeat the 2xx, which has just been sent for the first time."""
        self._waiting[self._key] = self
        self._schedule_repeat(self._core.timings.t1, now)
        self._deadline = self._core.timers.at(now + self._core.timings.timeout, self._give_up)

    def acknowledge(self, request: Request, now: float) -> None:
        """Stop repeating, because the ACK has arrived, and call `on_ack`."""
        self.stop()
        self._on_ack(request, now)

    def stop(self) -> None:
        """Stop repeating the 2xx, and stop waiting for its ACK."""
        for timer in (self._repeat, self._deadline):
            if timer is not None:
                timer.cancel()
        self._waiting.pop(self._key, None)

    def _schedule_repeat(self, interval: float, now: float) -> None:
        def repeat(now: float) -> None:
            self._send_again()
            self._schedule_repeat(min(2 * interval, self._core.timings.t2), now)

        self._repeat = self._core.timers.at(now + interval, repeat)

    def _give_up(self, now: float) -> None:
        self.stop()
        self._on_missing(now)
