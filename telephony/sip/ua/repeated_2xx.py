"""The repetition of a 2xx to an INVITE until the ACK arrives (RFC 3261 section 13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable

from telephony.sip.dialog.addresses import DialogId
from telephony.sip.message.messages import Request
from telephony.sip.transaction.core import Core
from telephony.sip.transaction.timers import Timer

AckKey = tuple[DialogId, int]
"""The dialog and the CSeq number of the ACK."""


class Repeated2xx:
    """A 2xx that is repeated until its ACK, after T1, 2*T1 … up to T2, for at most 64*T1."""

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
        `on_missing` after 64*T1 without one, and neither after `stop`.
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
        """Stop repeating: the ACK came, or is 64*T1 late, or the dialog has ended."""
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
