"""Call ids, such as `20261125-093000-abcdefgh`. The names of a call's files begin with its id.

A call id is the start of the call in UTC, and eight random characters. It is unique, sorts by time
and contains no personal data.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from typing import Final

CALL_ID: Final = "[0-9]{8}-[0-9]{6}-[a-z2-7]{8}"
"""A regular expression for a call id. A text of this form is safe as a part of a path."""
_PATTERN: Final = re.compile(CALL_ID)


def new_call_id(wall: float) -> str:
    """Return a new call id for a call that starts at `wall`, in Unix seconds."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(wall))
    return f"{stamp}-{base64.b32encode(secrets.token_bytes(5)).decode().lower()}"


def is_call_id(text: str) -> bool:
    """Return whether the text has the form of a call id."""
    return _PATTERN.fullmatch(text) is not None
