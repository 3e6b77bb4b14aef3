"""The spellings in which a directory may have a telephone number.

A directory that compares texts finds a number only in the spelling in which it was entered. So a
source asks for the usual spellings in one request.
"""

from __future__ import annotations

import re
from typing import Final

import phonenumbers

from callerid.number import REGION, PhoneNumber

_OTHER: Final = re.compile(r"[^0-9 ()+\-]")
_STYLES: Final = phonenumbers.PhoneNumberFormat


def national(number: PhoneNumber) -> str:
    """Return the number without spaces, as it is dialled in the country `REGION`.

    A number of another country begins with 00. An internal extension is returned unchanged.
    """
    if not number.e164:
        return number.extension
    return _without_spaces(phonenumbers.parse(number.e164))


def spellings(number: PhoneNumber) -> tuple[str, ...]:
    """Return the usual spellings of a number without its extension, the most usual first.

    They have only digits, spaces, hyphens, brackets and `+`. An internal extension has only one.
    """
    if not number.e164:
        return (number.extension,)
    parsed = phonenumbers.parse(number.e164)
    international = phonenumbers.format_number(parsed, _STYLES.INTERNATIONAL)
    found = [
        number.e164,
        _without_spaces(parsed),
        international,
        number.e164.removeprefix("+"),
        f"00{number.e164.removeprefix('+')}",
    ]
    if _is_home(parsed):
        at_home = phonenumbers.format_number(parsed, _STYLES.NATIONAL)
        area, _, rest = at_home.partition(" ")
        found[2:2] = [at_home, f"({area}) {rest}"] if rest else [at_home]
        country, _, digits = international.partition(" ")
        found.append(f"{country} (0){digits}")
    return tuple(dict.fromkeys(_OTHER.sub(" ", each) for each in found))


def _is_home(parsed: phonenumbers.PhoneNumber) -> bool:
    return parsed.country_code == phonenumbers.country_code_for_region(REGION)


def _without_spaces(parsed: phonenumbers.PhoneNumber) -> str:
    significant = phonenumbers.national_significant_number(parsed)
    return f"0{significant}" if _is_home(parsed) else f"00{parsed.country_code}{significant}"
