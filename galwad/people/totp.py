"""One-time codes of an authenticator app: TOTP (RFC 6238) over HOTP (RFC 4226).

A code has six digits and is for one step of 30 seconds. It is computed with HMAC-SHA-1, which all
authenticator apps support. This module reads no clock and stores nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from itertools import groupby
from typing import Final
from urllib.parse import quote, urlencode

import segno

STEP_S: Final = 30
DIGITS: Final = 6
SECRET_BYTES: Final = 20
"""The length of a new secret in bytes: that of an HMAC-SHA-1 (RFC 4226, section 4, R6)."""
TOLERANCE: Final = 1
"""The most steps between the clocks of the phone and the server (RFC 6238, section 5.2)."""
QUIET: Final = 4
"""The width of the empty border that a reader of QR codes needs, in modules (ISO/IEC 18004)."""


def new_secret() -> bytes:
    """Return a new random secret."""
    return secrets.token_bytes(SECRET_BYTES)


def step_at(now: float) -> int:
    """Return the number of the step at the Unix time `now`, in seconds (RFC 6238, section 4.2)."""
    return int(now // STEP_S)


def code_of(secret: bytes, step: int) -> str:
    """Return the code of a step, which may not be negative (RFC 4226, section 5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: bytes, code: str, now: float, tolerance: int = TOLERANCE) -> int | None:
    """Return the step whose code is `code`, at most `tolerance` steps from the time `now`.

    Of several steps with this code, return the nearest. Return None if there is none. All steps are
    compared, each in constant time, so the duration does not show how near a wrong code is.
    """
    present, sent = step_at(now), code.encode()
    steps = range(max(0, present - tolerance), present + tolerance + 1)
    fit = [s for s in steps if hmac.compare_digest(code_of(secret, s).encode(), sent)]
    return min(fit, key=lambda step: abs(step - present), default=None)


def text_of(secret: bytes) -> str:
    """Return the secret in base32 without padding, as people type it into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def setup_address(secret: bytes, user: str, host: str) -> str:
    """Return the address in the QR code that an authenticator app reads.

    Its format is in the wiki of Google Authenticator, "Key URI Format", which the apps follow.
    """
    query = urlencode({"secret": text_of(secret), "issuer": "Galwad"})
    return f"otpauth://totp/Galwad:{quote(f'{user}@{host}', safe='@')}?{query}"


def drawn(text: str) -> tuple[int, str]:
    """Return the width of a text's QR code, in modules, and the SVG path of its dark modules.

    The width does not include the border. The path is moved right and down by `QUIET`, so that
    there is room for the border.
    """
    matrix = segno.make_qr(text, error="m").matrix
    parts = []
    for y, row in enumerate(matrix):
        x = 0
        for dark, run in groupby(row):
            width = len(list(run))
            if dark:
                parts.append(f"M{x + QUIET} {y + QUIET}h{width}v1h-{width}z")
            x += width
    return len(matrix), "".join(parts)
