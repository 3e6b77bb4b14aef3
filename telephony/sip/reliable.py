"""The callee's half of reliable provisional responses (RFC 3262 section 3).

Each early dialog has a sequence of its own: to the caller, each is another user agent. Within one,
a response waits until that before it is acknowledged, or it was given up after 64*T1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from telephony.sip.compose import HeaderList
from telephony.sip.core import Core
from telephony.sip.dialog_ends import DialogId
from telephony.sip.rack import MAX_FIRST, RELIABLE
from telephony.sip.timers import Timer

MOST_WAITING: Final = 8
"""Beyond these, a response that says nothing but another ringing is left out."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """A provisional response that is to be sent."""

    status: int
    reason: str | None
    headers: HeaderList
    body: bytes
    tag: str | None

    def numbered(self, rseq: int) -> HeaderList:
        """Its headers, with what makes it reliable."""
        return (*self.headers, ("Require", RELIABLE), ("RSeq", str(rseq)))

    def without_body(self) -> Provisional:
        """The same once more: a description is said but once."""
        kept = tuple(row for row in self.headers if not row[0].lower().startswith("content-"))
        return replace(self, headers=kept, body=b"")


class ReliableSequence:
    """What one early dialog is told, one response after the other.

    Attributes:
        described: True while a response with a body is unacknowledged: a 2xx must wait.
    """

    def __init__(
        self,
        core: Core,
        dialog: DialogId,
        number: int,
        *,
        send: Callable[[Provisional, int, float], bytes],
        repeat: Callable[[bytes], None],
        told: Callable[[float], None],
        missing: Callable[[float], None],
    ) -> None:
        """Nothing is said yet.

        Args:
            core: timers, randomness, and the table of what waits for its PRACK.
            dialog: the early dialog.
            number: of the INVITE's CSeq.
            send: sends a response under an RSeq, and returns it.
            repeat: sends it once more.
            told: told that everything was said and acknowledged.
            missing: told that there was no PRACK within 64*T1.
        """
        self.described = False
        self._core = core
        self._dialog = dialog
        self._number = number
        self._send, self._repeat_data = send, repeat
        self._told, self._missing = told, missing
        self._rseq = core.rng.randint(1, MAX_FIRST) - 1
        self._waiting: deque[Provisional] = deque()
        self._outstanding = False
        self._repeat: Timer | None = None
        self._deadline: Timer | None = None

    def say(self, provisional: Provisional, now: float) -> None:
        """Send it, as soon as what was said before is acknowledged."""
        if self._outstanding and len(self._waiting) >= MOST_WAITING and not provisional.body:
            return
        self._waiting.append(provisional)
        if not self._outstanding:
            self._next(now)

    def acknowledge(self, now: float) -> None:
        """The PRACK came."""
        self.forget()
        if self._waiting:
            self._next(now)
        else:
            self._told(now)

    def close(self) -> None:
        """A final response is on its way: nothing new, no repetition; a PRACK may yet come."""
        self._waiting.clear()
        self._stop()

    def say_no_more(self) -> None:
        """The 2xx waits for the PRACK to what was said last; what was not yet said is left out."""
        self._waiting.clear()

    def forget(self) -> None:
        """Expect no PRACK any more."""
        self._stop()
        self._outstanding = self.described = False
        self._core.unpracked.pop(self._key, None)

    @property
    def _key(self) -> tuple[DialogId, int, int]:
        return self._dialog, self._rseq, self._number

    def _next(self, now: float) -> None:
        provisional = self._waiting.popleft()
        self._rseq += 1
        self._outstanding = True
        self.described = bool(provisional.body)
        self._core.unpracked[self._key] = self
        data = self._send(provisional, self._rseq, now)
        self._schedule(data, self._core.timings.t1, now)
        self._deadline = self._core.timers.at(now + self._core.timings.timeout, self._give_up)

    def _schedule(self, data: bytes, interval: float, now: float) -> None:
        """Repeat it after T1, twice T1 and so on, by whatever transport (section 3)."""

        def repeat(now: float) -> None:
            self._repeat_data(data)
            self._schedule(data, 2 * interval, now)

        self._repeat = self._core.timers.at(now + interval, repeat)

    def _give_up(self, now: float) -> None:
        self._waiting.clear()
        self.forget()
        self._missing(now)

    def _stop(self) -> None:
        for timer in (self._repeat, self._deadline):
            if timer is not None:
                timer.cancel()


def close_all(sequences: Iterable[ReliableSequence]) -> None:
    """See `ReliableSequence.close`."""
    for sequence in sequences:
        sequence.close()
