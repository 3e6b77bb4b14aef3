"""A called number in each form in which the settings may name it.

Trunks write +441970000100, 441970000100 or 01970000100 for the same telephone. A route or a
destination that fits any form fits the number; extensions and codes have the one form alone.
"""

from __future__ import annotations

import re

from callerid.errors import NumberError
from callerid.number import Number

_HOME = "+44"
_TELEPHONE = re.compile(r"(?:\+|0|44)[0-9]{7,}")


def spellings(called: str) -> tuple[str, ...]:
    """The number as it was called, then internationally (+44…) and as at home (0…)."""
    if _TELEPHONE.fullmatch(called) is None:
        return (called,)
    try:
        number = Number.parse(called)
    except NumberError:
        return (called,)
    forms = [called, number.e164]
    if number.e164.startswith(_HOME):
        forms.append("0" + number.e164.removeprefix(_HOME))
    return tuple(dict.fromkeys(forms))
