"""The forms in which the settings may write a called number.

For example, +441970000100, 441970000100 and 01970000100 are the same telephone number, and trunks
use all three forms. A route or destination in the settings matches a called number if it matches
any form of this number. Extensions and dialled codes have only one form.
"""

from __future__ import annotations

import re

from callerid.errors import NumberError
from callerid.number import PhoneNumber

_HOME = "+44"
_TELEPHONE = re.compile(r"(?:\+|0|44)[0-9]{7,}")


def spellings(called: str) -> tuple[str, ...]:
    """Return the number as it was called, in international form (+44…) and in national form (0…).

    Equal forms are returned once. A number that is not a telephone number has only the first form.
    """
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
