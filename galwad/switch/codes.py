"""Requests to pause or resume from an advisor's phone, by a dialled code or the "Record" button.

The button is also called the record key. When it is pressed, the phone sends a request with a
`Record` header field. The digits of a dialled code arrive as telephone events (RFC 4733) or in INFO
requests (`application/dtmf-relay`). `CodeListener` stores only as many digits as the longer code
has, and forgets the digits when it has recognised a code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

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


class CodeListener:
    """Recognises the dialled codes in the DTMF digits of one leg.

    Each time a code was dialled, the listener calls `on_code` with the action (pause or resume) and
    with the arrival times of the code's final and first digit, in monotonic seconds.
    """

    def __init__(
        self, book: PaymentCodes, on_code: Callable[[PauseAction, float, float], None]
    ) -> None:
        self._book = book
        self._on_code = on_code
        self._presses = KeyPresses()
        self._tail = ""
        self._arrivals: deque[float] = deque(maxlen=max(1, len(book.pause), len(book.resume)))
        """The arrival of each digit in `_tail`, in monotonic seconds."""

    def packet(self, data: bytes, arrived_mono: float) -> None:
        """Read a telephone-event packet; ignore a packet that cannot be parsed."""
        try:
            key = self._presses.receive(data)
        except ParseError:
            return
        if key is not None:
            self.key(key, arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> None:
        """Read an INFO request, which may contain a DTMF digit."""
        key = key_of(request)
        if key is not None:
            self.key(key, arrived_mono)

    def key(self, key: str, arrived_mono: float) -> None:
        """Add one DTMF digit; call `on_code` if the most recent digits are one of the codes."""
        longest = max(len(self._book.pause), len(self._book.resume))
        self._tail = (self._tail + key)[-longest:]
        self._arrivals.append(arrived_mono)
        for code, text in (
            (PauseAction.PAUSE, self._book.pause),
            (PauseAction.RESUME, self._book.resume),
        ):
            if self._tail.endswith(text):
                self._tail = ""
                self._on_code(code, arrived_mono, self._arrivals[-len(text)])
                return
