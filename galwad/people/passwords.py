"""Passwords: which ones a person may choose, and new random ones.

A person may choose a long password that is not easy to guess.

No characters are prescribed, because length is what helps (NIST SP 800-63B, section 3.1.1.2).
"""

from __future__ import annotations

import re
import secrets
from itertools import pairwise
from typing import Final

LEAST_LENGTH: Final = 12
_SECRET_BYTES: Final = 15
"""The random bytes of a new password."""
_LEAST_LETTERS: Final = 5
"""The least different characters of a password."""
_MOST_STEPS: Final = 0.7
"""The largest share of characters that follow on the one before, as in "abcdef" or "123456"."""
_COMMON: Final = (
    *("password", "passw0rd", "pa55word", "cyfrinair", "qwerty", "letmein", "welcome", "croeso"),
    *("changeme", "administrator", "galwad", "iloveyou", "council", "cyngor", "wales", "cymru"),
)
"""The words with which people begin. They count for nothing in a password."""


def new_secret() -> str:
    """Return a new random password."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def is_easy_to_guess(password: str, name: str) -> bool:
    """Return whether a person named `name` must not choose this password.

    What is left without the name and without common words must still be long enough to be a
    password with some of them.
    """
    text = password.casefold()
    if len(password) < LEAST_LENGTH or len(set(text)) < _LEAST_LETTERS:
        return True
    steps = sum(ord(second) - ord(first) in {0, 1, -1} for first, second in pairwise(text))
    if steps > _MOST_STEPS * (len(text) - 1):
        return True
    words = sorted({*_COMMON, *re.split(r"[._-]", name.casefold())} - {""}, key=len, reverse=True)
    rest = text
    for word in words:
        if len(word) > 2:
            rest = rest.replace(word, "")
    return rest != text and sum(each.isalpha() for each in rest) < LEAST_LENGTH // 2
