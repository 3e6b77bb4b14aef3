"""Telephone numbers: reading a number from text, and finding the number that a caller presents.

`PhoneNumber` is a number in E.164 (by libphonenumber) with an optional extension.
`presented_caller` applies RFC 3323 and RFC 3325 in the form that UK trunks need. If a caller
withholds the number, the result contains no number, even if the request has the number in
P-Asserted-Identity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import phonenumbers

from callerid.errors import NumberError

REGION = "GB"
_PRIVATE = frozenset({"id", "user", "header"})
_ANONYMOUS_USERS = frozenset({"anonymous", "restricted", "private", "withheld"})
# If a caller's number is missing or unusable, a network may replace it by a number in Ofcom's 08979
# range. Such a number identifies no caller.
_PLACEHOLDER_PREFIX = "+448979"
_INTERNAL = re.compile(r"[0-9]{2,6}")
# The usual forms of UK numbers without spaces, such as 01970625000 and +441970625000. They are not
# given to libphonenumber, because it takes ten times as long, which matters when a million people
# are imported. A test compares the results.
USUAL_IN_UK: Final = r"(?:0|\+44)([1-9][0-9]{9})"
_USUAL_IN_UK = re.compile(USUAL_IN_UK)
_LONGEST_USUAL = 40
_DIALLABLE = re.compile(r"\+?[0-9().\-\s/]+(?:\s*(?:;ext=|x|ext\.?)\s*[0-9]{1,7})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number in E.164 with an optional extension, or only an internal extension.

    For an internal extension, `e164` is empty.
    """

    e164: str
    extension: str = ""

    @classmethod
    def parse(cls, text: str, region: str = REGION) -> PhoneNumber:
        """Read one phone number, such as "01970 625000" or "+44 1970 625000 x12".

        `region`, such as "GB", completes a number without a country code. Raises `NumberError` if
        the text is not a telephone number, or is too short or too long for one.
        """
        text = text.strip()
        if region == REGION and len(text) <= _LONGEST_USUAL:
            usual = _USUAL_IN_UK.fullmatch(text.replace(" ", ""))
            if usual is not None:
                return cls(f"+44{usual[1]}")
        return cls._by_libphonenumber(text, region)

    @classmethod
    def _by_libphonenumber(cls, text: str, region: str) -> PhoneNumber:
        if not _DIALLABLE.fullmatch(text):
            raise NumberError("is not a telephone number")
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            raise NumberError("is not a telephone number") from error
        possible = phonenumbers.ValidationResult.IS_POSSIBLE
        if phonenumbers.is_possible_number_with_reason(parsed) != possible:
            # The reason may be that the number lacks its area code.
            raise NumberError("is too short or too long for a telephone number")
        e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        return cls(e164, parsed.extension or "")

    def __str__(self) -> str:
        return f"{self.e164};ext={self.extension}" if self.e164 and self.extension else self.bare

    @property
    def bare(self) -> str:
        """The number in E.164 without its extension, or an internal extension."""
        return self.e164 or self.extension

    @property
    def display(self) -> str:
        """The number as people write it, such as `01970 625000 x12`.

        A number of the country `REGION` is in national form, any other in international form.
        """
        if not self.e164:
            return self.extension
        parsed = phonenumbers.parse(self.e164)
        home = parsed.country_code == phonenumbers.country_code_for_region(REGION)
        style = phonenumbers.PhoneNumberFormat
        text = phonenumbers.format_number(parsed, style.NATIONAL if home else style.INTERNATIONAL)
        return f"{text} x{self.extension}" if self.extension else text


@dataclass(frozen=True, slots=True)
class CallerId:
    """The caller as the signalling presents it.

    `number` is None if the number is withheld, missing or unusable.
    """

    number: PhoneNumber | None
    withheld: bool


NO_NUMBER = CallerId(None, withheld=False)
WITHHELD = CallerId(None, withheld=True)


def presented_caller(
    from_user: str,
    from_host: str,
    asserted: Sequence[str] = (),
    privacy: Sequence[str] = (),
    *,
    trusted: bool = False,
    region: str = REGION,
) -> CallerId:
    """Return the phone number that the caller presents.

    The result is `WITHHELD` if `privacy` (the header field Privacy), the host anonymous.invalid or
    a user such as "anonymous" requests privacy. Otherwise, the number is the user in From. If this
    user is not a usable number and the trunk is `trusted`, the users in `asserted`
    (P-Asserted-Identity) are tried. If no number is usable, the result is `NO_NUMBER`. `region`,
    such as "GB", completes a number without a country code.
    """
    tokens = {token.strip().lower() for token in privacy}
    host = from_host.strip().lower().rstrip(".")
    if tokens & _PRIVATE or host == "anonymous.invalid" or from_user.lower() in _ANONYMOUS_USERS:
        return WITHHELD
    for text in (from_user, *(asserted if trusted else ())):
        number = _usable(text, region)
        if number is not None:
            return CallerId(number, withheld=False)
    return NO_NUMBER


def _usable(text: str, region: str) -> PhoneNumber | None:
    if _INTERNAL.fullmatch(text):
        return PhoneNumber("", text)
    try:
        number = PhoneNumber.parse(text, region)
    except NumberError:
        return None
    return None if number.e164.startswith(_PLACEHOLDER_PREFIX) else number
