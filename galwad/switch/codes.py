"""Requests to pause or resume from an advisor's phone, by a dialled code or the "Record" button.

The button is also called the record key. When it is pressed, the phone sends a request with a
`Record` header field. The digits of a dialled code arrive as telephone events (RFC 4733) or in INFO
requests (`application/dtmf-relay`). `CodeListener` stores only as many digits as the longer code
has, and forgets the digits when it has recognised a code.

Pausing is safe and resuming is not, because a card number may be spoken. So a code to pause counts
from every sender whose media the leg accepts. A code to resume counts only if each of its digits is
proven: it arrived in the stream of the advisor's accepted voice, as authentic SRTP, or in an INFO
within the dialog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from telephony.errors import ParseError
from telephony.rtp.dtmf import KeyPresses
from telephony.sip.message.dtmf_relay import key_of
from telephony.sip.message.messages import Request


class PauseAction(Enum):
    """The two requests that an advisor can make with the phone: pause and resume recording."""

    PAUSE = "pause"
    RESUME = "resume"


def record_key(value: str) -> PauseAction | None:
    """Return the request that the value of a `Record` header field means.

    The value `off` is a request to pause, and `on` a request to resume, in upper or lower case. For
    any other value, return None.
    """
    return {"off": PauseAction.PAUSE, "on": PauseAction.RESUME}.get(value.strip().lower())


@dataclass(frozen=True, slots=True)
class PaymentCodes:
    """The two dialled codes in the settings: one to pause a recording, and one to resume it.

    If the settings have no codes, the two codes are "".
    """

    pause: str = ""
    resume: str = ""

    def __bool__(self) -> bool:
        return bool(self.pause and self.resume)


class DialledCode(NamedTuple):
    """A code that was dialled completely."""

    action: PauseAction
    arrived_mono: float
    """The arrival of the code's final digit, in monotonic seconds."""
    begun_mono: float
    """The arrival of the code's first digit, in monotonic seconds."""


class CodeListener:
    """Recognises the dialled codes in the DTMF digits of one leg."""

    def __init__(self, book: PaymentCodes) -> None:
        both = {PauseAction.PAUSE: book.pause, PauseAction.RESUME: book.resume}
        self._proven = _Digits(both)
        """The digits that are proven. Other senders cannot disturb a code in them."""
        self._unproven = _Digits({PauseAction.PAUSE: book.pause})
        """All digits, proven or not."""

    def packet(self, data: bytes, arrived_mono: float, *, proven: bool) -> DialledCode | None:
        """Read a telephone-event packet; ignore a packet that cannot be parsed.

        `proven` is true if the packet is certainly from the party whose voice the leg has accepted.
        Return the code that the packet completes, or None.
        """
        digits = (self._proven, self._unproven) if proven else (self._unproven,)
        try:
            pressed = [(each, each.presses.receive(data)) for each in digits]
        except ParseError:
            return None
        return self._press([(each, key) for each, key in pressed if key is not None], arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> DialledCode | None:
        """Read an INFO request, which may contain a DTMF digit.

        The digit is proven, because the request has passed the checks of its dialog. Return the
        code that the request completes, or None.
        """
        key = key_of(request)
        if key is None:
            return None
        return self._press([(self._proven, key), (self._unproven, key)], arrived_mono)

    def _press(
        self, pressed: Iterable[tuple[_Digits, str]], arrived_mono: float
    ) -> DialledCode | None:
        """Add one digit; return the code if the most recent digits are one of the codes."""
        codes = [digits.add(key, arrived_mono) for digits, key in pressed]
        found = next((code for code in codes if code is not None), None)
        if found is not None:
            self._proven.forget()
            self._unproven.forget()
        return found


class _Digits:
    """The most recent digits of one leg or of one of its streams, and the codes to find in them."""

    def __init__(self, codes: Mapping[PauseAction, str]) -> None:
        self._codes = codes
        self._longest = max(1, *map(len, codes.values()))
        self.presses = KeyPresses()
        self._tail = ""
        self._arrivals: deque[float] = deque(maxlen=self._longest)
        """The arrival of each digit in `_tail`, in monotonic seconds."""

    def add(self, key: str, arrived_mono: float) -> DialledCode | None:
        """Add a digit; return the code that ends with it, or None."""
        self._tail = (self._tail + key)[-self._longest :]
        self._arrivals.append(arrived_mono)
        for code, text in self._codes.items():
            if self._tail.endswith(text):
                return DialledCode(code, arrived_mono, self._arrivals[-len(text)])
        return None

    def forget(self) -> None:
        """Forget the digits, because a code was recognised."""
        self._tail = ""
