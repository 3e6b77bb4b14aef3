"""Keys by INFO: `application/dtmf-relay` and `application/dtmf`, which no RFC describes."""

from __future__ import annotations

import re
from typing import Final

from telephony.sip.message import Request

CONTENT_TYPE: Final = "application/dtmf-relay"
_SIGNAL: Final = re.compile(rb"(?im)^\s*signal\s*=\s*([0-9*#A-D])\s*$")
_ALONE: Final = re.compile(rb"\s*([0-9*#A-D])\s*")


def key_of(request: Request) -> str | None:
    """The key that an INFO carries, None if it carries none."""
    if not request.content_type.lower().startswith(("application/dtmf-relay", "application/dtmf")):
        return None
    match = _SIGNAL.search(request.body) or _ALONE.fullmatch(request.body)
    return match[1].decode().upper() if match is not None else None


def body_of(key: str, milliseconds: int) -> bytes:
    """The body of an INFO for one key, of `CONTENT_TYPE`."""
    return f"Signal={key}\r\nDuration={milliseconds}\r\n".encode()
