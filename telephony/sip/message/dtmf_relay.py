"""DTMF digits in INFO requests: `application/dtmf-relay` and `application/dtmf`, without an RFC."""

from __future__ import annotations

import re
from typing import Final

from telephony.sip.message.messages import Request

CONTENT_TYPE: Final = "application/dtmf-relay"
_SIGNAL: Final = re.compile(rb"(?im)^\s*signal\s*=\s*([0-9*#A-D])\s*$")
_BARE_KEY: Final = re.compile(rb"\s*([0-9*#A-D])\s*")


def key_of(request: Request) -> str | None:
    """Return the DTMF digit in an INFO (0-9, *, #, or A-D in upper case); None without one."""
    if not request.content_type.lower().startswith(("application/dtmf-relay", "application/dtmf")):
        return None
    match = _SIGNAL.search(request.body) or _BARE_KEY.fullmatch(request.body)
    return match[1].decode().upper() if match is not None else None


def body_of(key: str, milliseconds: int) -> bytes:
    """Return the `CONTENT_TYPE` body of an INFO for a DTMF digit."""
    return f"Signal={key}\r\nDuration={milliseconds}\r\n".encode()
