"""The forms of a called number that the settings may use.

Trunks write +441970000100, 441970000100 or 01970000100 for the same telephone. A route or a
destination that matches any of these forms matches the number. Extensions and codes have only one
form.
"""

from __future__ import annotations

import re

from callerid.errors import NumberError
from callerid.number import PhoneNumber

_HOME = "+44"
_TELEPHONE = re.compile(r"(?:\+|0|44)[0-9]{7,}")


def spellings(called: str) -> tuple[str, ...]:
    """Return the number as called, then in international form (+44…) and in national form (0…)."""
    if _TELEPHONE.fullmatch(called) is None:
        return (called,)
    try:
        number = PhoneNumber.parse(called)
    except NumberError:
        return (called,)
    forms = [called, number.e164]
    if number.e164.startswith(_HOME):
        forms.append("0" + number.e164.removeprefix(_HOME))
    return tuple(dict.fromkeys(forms))
