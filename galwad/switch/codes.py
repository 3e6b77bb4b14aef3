"""What an advisor's phone may ask for, to pause and to resume: by dialled codes, or a record key.

Keys come as telephone events (RFC 4733) or as INFO (`application/dtmf-relay`). Only as many as
the longer code has are kept, and none once a code was recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from telephony.errors import ParseError
from telephony.rtp.dtmf import KeyPresses
from telephony.sip.dtmf_relay import key_of
from telephony.sip.message import Request


class Code(Enum):
    """What a recognised code or key asks for."""

    PAUSE = "pause"
    RESUME = "resume"


def record_key(value: str) -> Code | None:
    """Read a `Record` header: `off` or `on`, in any case; None for anything else."""
    return {"off": Code.PAUSE, "on": Code.RESUME}.get(value.strip().lower())


@dataclass(frozen=True, slots=True)
class CodeBook:
    """The settings' two codes; empty when there are none."""

    pause: str = ""
    resume: str = ""

    def __bool__(self) -> bool:
        return bool(self.pause and self.resume)


class CodeListener:
    """Listens to one leg's keys; `on_code` is told what was dialled and when it arrived."""

    def __init__(self, book: CodeBook, on_code: Callable[[Code, float], None]) -> None:
        self._book = book
        self._on_code = on_code
        self._presses = KeyPresses()
        self._tail = ""

    def packet(self, data: bytes, arrived_mono: float) -> None:
        """Take a telephone-event packet; what cannot be read is no key."""
        try:
            key = self._presses.receive(data)
        except ParseError:
            return
        if key is not None:
            self.key(key, arrived_mono)

    def info(self, request: Request, arrived_mono: float) -> None:
        """Take an INFO that may carry a key."""
        key = key_of(request)
        if key is not None:
            self.key(key, arrived_mono)

    def key(self, key: str, arrived_mono: float) -> None:
        """Take one key."""
        longest = max(len(self._book.pause), len(self._book.resume))
        self._tail = (self._tail + key)[-longest:]
        for code, text in ((Code.PAUSE, self._book.pause), (Code.RESUME, self._book.resume)):
            if self._tail.endswith(text):
                self._tail = ""
                self._on_code(code, arrived_mono)
                return
