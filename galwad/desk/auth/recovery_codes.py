"""The form of recovery codes, with which people sign in without their phone.

A code has 80 random bits, so it cannot be guessed, and a plain digest of it can be stored.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

COUNT: Final = 10
"""The number of codes that a user gets."""
_BYTES: Final = 10
_FORM: Final = re.compile(r"[a-z2-7]{16}")
_MISREAD: Final = str.maketrans("018", "olb")
"""The digits that no code has, and the letters for which people may take them."""


def new_codes() -> list[str]:
    """Return new codes, such as `k7qd-m2ye-4fxa-zo6t`."""
    return [_new() for _ in range(COUNT)]


def canonical(text: str) -> str:
    """Return a typed code without spaces and hyphens; "" if the text is not such a code."""
    code = re.sub(r"[\s-]", "", text).lower().translate(_MISREAD)
    return code if _FORM.fullmatch(code) else ""


def digest_of(user: str, code: str) -> str:
    """Return the digest of a code in canonical form, as the database stores it."""
    return hashlib.sha256(f"{user}\n{code}".encode()).hexdigest()


def _new() -> str:
    text = base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
