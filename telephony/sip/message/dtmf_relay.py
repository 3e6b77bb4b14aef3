"""DTMF digits in INFO requests with the body types `application/dtmf-relay` and `application/dtmf`.

No RFC defines these body types.
"""

from __future__ import annotations

import re
from typing import Final

from telephony.sip.message.messages import Request

CONTENT_TYPE: Final = "application/dtmf-relay"
_SIGNAL: Final = re.compile(rb"(?im)^\s*signal\s*=\s*([0-9*#A-D])\s*$")
_BARE_KEY: Final = re.compile(rb"\s*([0-9*#A-D])\s*")


def key_of(request: Request) -> str | None:
    """Return the DTMF digit in an INFO request: 0 to 9, *, #, or A to D in upper case.

    Return None if the request contains no DTMF digit.
    """
    if not request.content_type.lower().startswith(("application/dtmf-relay", "application/dtmf")):
        return None
    match = _SIGNAL.search(request.body) or _BARE_KEY.fullmatch(request.body)
    return match[1].decode().upper() if match is not None else None


def body_of(key: str, milliseconds: int) -> bytes:
    """Return the body of an INFO request for the DTMF digit `key`.

    The Content-Type of this body is `CONTENT_TYPE`. `milliseconds` is the duration of the digit.
    """
    return f"Signal={key}\r\nDuration={milliseconds}\r\n".encode()
