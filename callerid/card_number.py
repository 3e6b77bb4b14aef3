"""Finds payment card numbers (PANs) in texts that a person or a program has written.

A text field must never store a card number. `has_card_number` looks for 13 to 19 digits that begin
as the cards of a scheme do, have a length that the scheme issues, and pass the Luhn check (ISO/IEC
7812-1). About one in twenty other numbers of 16 digits looks like that too. So an error about a
card number must also say how to write a number that is not a card: `ADVICE` does.

The digits may be those of any script, and may be in groups. Between two groups are spaces, line
breaks, hyphens, dots and similar characters. A card number may be a part of one group; if it has 13
or 14 digits, the group must begin with it. A number of several groups must consist of whole groups,
because otherwise many pairs of telephone numbers would look like a card. These numbers are known
not to be cards: a date, a time, a UK sort code with an account number, an IBAN with correct check
digits, a UK bill payment card, and a SHA-256 digest in hexadecimal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

ADVICE: Final = "remove it; if it is another number, write a word between its first and second half"
"""A hint for the person who wrote a text that was refused."""
SHORTEST: Final = 13
LONGEST: Final = 19
_SHORTEST_INSIDE: Final = 15
"""The shortest number that is looked for inside a group of digits, after the group's start.

Cards with 13 and 14 digits are so rare that more other numbers than cards would be found.
"""
_SCHEMES: Final[tuple[tuple[str, frozenset[int]], ...]] = (
    (r"4", frozenset({13, 16, 19})),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", frozenset({16})),  # Mastercard
    (r"3[47]", frozenset({15})),  # American Express
    (r"30[0-5]|3095|3[689]", frozenset(range(14, 20))),  # Diners Club
    (r"6011|64[4-9]|65", frozenset(range(16, 20))),  # Discover
    (r"352[89]|35[3-8]", frozenset(range(16, 20))),  # JCB
    (r"62|81", frozenset(range(16, 20))),  # UnionPay
    (r"50|5[6-8]|6", frozenset({16, 18, 19})),  # Maestro
)
"""The first digits of each scheme's cards, and the lengths of their numbers."""
_PREFIXES: Final = tuple((re.compile(prefix), lengths) for prefix, lengths in _SCHEMES)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""For each digit, the sum of the digits of its double."""

_SEPARATORS: Final = frozenset({"Zs", "Zl", "Zp", "Cc", "Pd", "Pc"})
"""The Unicode categories of spaces, line breaks, control characters, dashes and underscores."""
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me"})
"""The categories of invisible characters and of marks that belong to the character before them."""
_RUN: Final = re.compile(r"[0-9]+(?:[ .,/\\·•‧:*|'\u2019~]{1,4}[0-9]+)*")
_BREAK: Final = "#"
"""The character that replaces a number that is not a card, and ends a run of digits."""
_NOT_CARDS: Final = re.compile(
    r"(?<![0-9])(?:"
    r"(?:19|20)[0-9]{2}([ ./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12][0-9]|3[01])"  # 2026-11-24
    r"|(?:0?[1-9]|[12][0-9]|3[01])([ ./])(?:0?[1-9]|1[0-2])\2(?:19|20)[0-9]{2}"  # 24/11/2026
    r"|(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?"  # 09:30:00
    # 30-00-00 12345678, a sort code and an account number
    r"|[0-9]{2} ?[0-9]{2} ?[0-9]{2}[ ,/]{1,3}[0-9]{8}(?![ ,./]{1,4}[0-9])"
    r"|9826[0-9]{15}"  # a bill payment card: ISO/IEC 7812 gives 9 and the country code to the UK
    r"|\b(?=[0-9]*[a-f])[0-9a-f]{64}\b"  # a SHA-256 in hexadecimal
    r")(?![0-9])"
)
_IBAN: Final = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def has_card_number(text: str) -> bool:
    """Return whether `text` has a number that looks like the number of a payment card."""
    # Nearly all texts have few digits, and an import has millions of texts.
    if text.isascii() and (len(text) < SHORTEST or _count_digits(text) < SHORTEST):
        return False
    plain = _plain(text)
    plain = _IBAN.sub(lambda found: _BREAK if _is_iban(found[0]) else found[0], plain)
    plain = _NOT_CARDS.sub(_BREAK, plain)
    return any(
        _is_card(digits)
        for run in _RUN.findall(plain)
        for digits in _windows(re.findall(r"[0-9]+", run))
    )


def _count_digits(text: str) -> int:
    """Return the number of digits in a text of ASCII characters."""
    return len(text) - len(text.encode().translate(None, b"0123456789"))


def _plain(text: str) -> str:
    """Return `text` with ASCII digits, a space for each separator and no invisible characters."""
    plain = []
    for each in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(each)
        if category == "Nd":
            plain.append(str(unicodedata.decimal(each)))
        elif category in _SEPARATORS:
            plain.append(" ")
        elif category not in _INVISIBLE:
            plain.append(each)
    return "".join(plain)


def _windows(groups: Sequence[str]) -> Iterator[str]:
    """Yield each part of a group, and each sequence of whole groups, that can be a card number."""
    for group in groups:
        for start in range(len(group) - SHORTEST + 1):
            shortest = SHORTEST if start == 0 else _SHORTEST_INSIDE
            for end in range(start + shortest, min(len(group), start + LONGEST) + 1):
                yield group[start:end]
    for first in range(len(groups)):
        digits = groups[first]
        for group in groups[first + 1 :]:
            digits += group
            if len(digits) > LONGEST:
                break
            if len(digits) >= SHORTEST:
                yield digits


def _is_card(digits: str) -> bool:
    issued = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _PREFIXES)
    return issued and passes_luhn(digits)


def passes_luhn(digits: str) -> bool:
    """Return whether a text of ASCII digits passes the Luhn check (ISO/IEC 7812-1, annex B)."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


def _is_iban(text: str) -> bool:
    """Return whether the check digits of an IBAN are correct (ISO 13616, ISO/IEC 7064)."""
    compact = text.replace(" ", "")
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97 == 1
