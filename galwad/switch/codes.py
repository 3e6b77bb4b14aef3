"""Pause and resume requests from an advisor's phone: dialled codes and the record key.

The keys of a dialled code arrive as telephone events (RFC 4733) or in INFO requests
(`application/dtmf-relay`). `CodeListener` stores only as many keys as the longer code has, and
forgets the keys when it recognises a code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from telephony.errors import ParseError
from telephony.rtp.dtmf import KeyPresses
from telephony.sip.message.dtmf_relay import key_of
from telephony.sip.message.messages import Request


class PauseAction(Enum):
    """The two requests that a dialled code or a record key can make."""

    PAUSE = "pause"
    RESUME = "resume"


def record_key(value: str) -> PauseAction | None:
    """Return the request in a `Record` header field.

    The value `off` means a pause, and `on` means a resume; upper and lower case are equal. Return
    None for any other value.
    """
    return {"off": PauseAction.PAUSE, "on": PauseAction.RESUME}.get(value.strip().lower())


@dataclass(frozen=True, slots=True)
class PaymentCodes:
    """The two dialled codes in the settings, one to pause and one to resume.

    Both codes are empty if the settings have no codes.
    """

    pause: str = ""
    resume: str = ""

    def __bool__(self) -> bool:
        return bool(self.pause and self.resume)


class CodeListener:
    """Recognises the dialled codes in the keys of one leg.

    For each code, it calls `on_code` with the action (pause or resume) and the arrival time of the
    code's last key, in monotonic seconds.
    """

    def __init__(self, book: PaymentCodes, on_code: Callable[[PauseAction, float], None]) -> None:
        self._book = book
        self._on_code = on_code
        self._presses = KeyPresses()
        self._tail = ""

    def packet(self, data: bytes, arrived_mono: float) -> None:
        """Read a telephone-event packet; ignore a packet that cannot be parsed."""
        try:
            key = self._presses.receive(data)
        except ParseError:
            return
        if key is not None:
            self.key(key, arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> None:
        """Read an INFO request, which may contain a key."""
        key = key_of(request)
        if key is not None:
            self.key(key, arrived_mono)

    def key(self, key: str, arrived_mono: float) -> None:
        """Add one key; call `on_code` if the latest keys are one of the codes."""
        longest = max(len(self._book.pause), len(self._book.resume))
        self._tail = (self._tail + key)[-longest:]
        for code, text in (
            (PauseAction.PAUSE, self._book.pause),
            (PauseAction.RESUME, self._book.resume),
        ):
            if self._tail.endswith(text):
                self._tail = ""
                self._on_code(code, arrived_mono)
                return
