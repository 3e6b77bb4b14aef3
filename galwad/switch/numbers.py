"""The forms in which the settings may write a called number.

For example, +441970000100, 441970000100 and 01970000100 are the same telephone number, and trunks
use all three forms. +33199000100 and 0033199000100 are the same number abroad. A route or
destination in the settings matches a called number if it is equal to any form of this number.
Extensions and dialled codes have only one form.
"""

from __future__ import annotations

import re

from callerid.errors import NumberError
from callerid.number import PhoneNumber

_HOME = "+44"
_TELEPHONE = re.compile(r"(?:\+|0|44)[0-9]{7,}")


def spellings(called: str) -> tuple[str, ...]:
    """Return all forms of a called number: `called` itself, international (+44…), national (0…).

    Instead of the national form, a number abroad has the form with the international prefix (00…).
    A number at home does not have that form, so that a pattern such as "00*", which is for numbers
    abroad, does not match it.

    Equal forms are returned only once. If `called` is not a telephone number, only `called` itself
    is returned.
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
    else:
        forms.append("00" + number.e164.removeprefix("+"))
    return tuple(dict.fromkeys(forms))
