"""Pause and resume requests from an advisor's phone: dialled codes and the record key.

Keys arrive as telephone events (RFC 4733) or as INFO (`application/dtmf-relay`). The listener keeps
only as many keys as the longer code has, and forgets them when it recognises a code.
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
    """The request that a dialled code or a record key makes."""

    PAUSE = "pause"
    RESUME = "resume"


def record_key(value: str) -> PauseAction | None:
    """Return the request in a `Record` header field: `off` or `on` in any case; else None."""
    return {"off": PauseAction.PAUSE, "on": PauseAction.RESUME}.get(value.strip().lower())


@dataclass(frozen=True, slots=True)
class PaymentCodes:
    """The two codes of the settings; both are empty when codes are not used."""

    pause: str = ""
    resume: str = ""

    def __bool__(self) -> bool:
        return bool(self.pause and self.resume)


class CodeListener:
    """Recognises codes in one leg's keys; calls `on_code` with the code and its arrival time."""

    def __init__(self, book: PaymentCodes, on_code: Callable[[PauseAction, float], None]) -> None:
        self._book = book
        self._on_code = on_code
        self._presses = KeyPresses()
        self._tail = ""

    def packet(self, data: bytes, arrived_mono: float) -> None:
        """Read a telephone-event packet; one that cannot be parsed is ignored."""
        try:
            key = self._presses.receive(data)
        except ParseError:
            return
        if key is not None:
            self.key(key, arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> None:
        """Read an INFO request that may carry a key."""
        key = key_of(request)
        if key is not None:
            self.key(key, arrived_mono)

    def key(self, key: str, arrived_mono: float) -> None:
        """Add one key; report a code if the latest keys spell it."""
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
