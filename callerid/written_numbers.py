"""Telephone numbers as people write them: how they are read, and how a directory may spell them.

A field of a CRM may have several numbers, labels ("Mob:"), words after a number ("(Mam)"), local
numbers without an area code, and characters that look like digits, spaces or hyphens. A number need
not be in use: the numbers that Ofcom reserves for drama are read too.

A directory that compares texts finds a number only in the spelling in which it was entered. So a
source can ask for all usual spellings in one request.

A directory may also compare only the last digits, ignore a part of the search that it does not
understand, or return all people. So the numbers of each person in an answer are read again here,
and only people with the caller's number are kept (`matching`).

`callerid.number` reads the numbers of the signalling, which are plain numbers. `merged` makes one
person of the entries that a person has in several directories.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import phonenumbers

from callerid.errors import NumberError
from callerid.number import REGION, USUAL_IN_UK, PhoneNumber
from callerid.person import Person

LONGEST: Final = 1000
"""The most characters of a text. A longer one is a fault, and no number is read."""

_HYPHENS: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_SEPARATOR: Final = re.compile(
    r"[|,\n\r\t&]|;(?!(?:ext|phone-context)=)|\s(?:or|and|neu|ac|a)(?=\s)", re.IGNORECASE
)
_PARAMETERS: Final = re.compile(r";phone-context=[^;]*", re.IGNORECASE)
_NUMBER: Final = re.compile(
    r"(?:[^\d+(:]*+\d?\s*+:)?"  # a label with a colon, such as "Tel 2:" or "tel:"
    r"(?:\([^\d)]*+\)|[^\d+(])*+"  # words without digits
    r"(?P<number>\(?\s*+\+?\s*+\d[\d\s.\-]*+\)?[\s.\-]*+"
    r"(?:\(\s*+\d{1,5}\s*+\)(?=[\s.\-]*+\d))?[\d\s.\-]*+)"
    r"(?:(?:;ext=|\#|x(?:tn)?\.?|ext(?:n|ension)?\.?|est(?:yniad)?\.?)\s*+:?\s*+(?P<extension>\d{1,7}))?"
    r"(?:(?<!\d)|(?![^\W\d_]))"  # no letter directly after a digit, which would be a typing error
    r"(?:\([^()]*+\)|[^\d()])*+",  # words without digits, or anything in brackets
    re.IGNORECASE,
)
"""One number with the words around it.

The possessive quantifiers (`*+`) keep the search from trying one place of the text in many ways.
"""
_INTERNAL: Final = re.compile(
    r"\s*(?:x|ext(?:n|ension)?|est(?:yniad)?|internal|mewnol)\s*\.?\s*:?\s*([0-9]{2,6})\s*"
    r"(?:\([^()]*+\)|[^\d()])*+",
    re.IGNORECASE,
)
_DIGIT: Final = re.compile(r"\d")
_WORD: Final = re.compile(r"\w")
_TRUNK_ZERO: Final = re.compile(r"\(\s*0\s*\)")
_LONGEST_TAIL: Final = 8
"""The most digits after `/` that replace the last digits of the number before it."""
_FEWEST_DIGITS: Final = 7
"""The fewest digits before `/` that are a whole number, and not only an area code."""
_LOCAL: Final = re.compile(r"[2-9][0-9]{4,7}")
_ONE_USUAL: Final = re.compile(USUAL_IN_UK)
_USUAL: Final = re.compile(rf"{USUAL_IN_UK}(?:\|{USUAL_IN_UK})*")
"""One or more numbers in the usual forms, without spaces and with `|` between them."""


@dataclass(frozen=True, slots=True)
class WrittenNumbers:
    """The numbers in a text, each only once, and the faults of those that cannot be read.

    A fault is the end of a sentence, such as "is not a telephone number", or "number 2 is not a
    telephone number" if the text has several. It never repeats the text.
    """

    numbers: tuple[PhoneNumber, ...] = ()
    faults: tuple[str, ...] = ()


def read_numbers(text: str, *, region: str = REGION, area_code: str = "") -> WrittenNumbers:
    """Return the telephone numbers in a text.

    Numbers are separated by `|`, a comma, a semicolon, a line end, a tab, `/`, `&`, or the word
    "or", "and", "neu", "ac" or "a". A label after a number, such as "home", also separates them. An
    internal extension follows a word, as in "ext 201" or "est. 201". `region`, such as "GB",
    completes a number without a country code. Without `area_code` ("01970"), a local number is a
    fault.
    """
    if len(text) > LONGEST:
        return WrittenNumbers(faults=(f"is longer than {LONGEST} characters",))
    without_spaces = text.replace(" ", "")
    if region == REGION and _USUAL.fullmatch(without_spaces):
        usual = dict.fromkeys(_ONE_USUAL.findall(without_spaces))
        return WrittenNumbers(tuple([PhoneNumber(f"+44{digits}") for digits in usual]))
    return _read_any(text, region, area_code)


def _read_any(text: str, region: str, area_code: str) -> WrittenNumbers:
    parts = _parts(text)
    numbers: dict[PhoneNumber, None] = {}
    faults = []
    for position, part in enumerate(parts, 1):
        try:
            numbers[_number(part, region, area_code)] = None
        except NumberError as error:
            faults.append(f"number {position} {error}" if len(parts) > 1 else str(error))
    return WrittenNumbers(tuple(numbers), tuple(faults))


def _parts(text: str) -> list[str]:
    """Return the parts of a text that have a number each. A text with only words is one part."""
    plain = _PARAMETERS.sub("", text if text.isascii() else _in_ascii(text))
    found: list[str] = []
    for between in _SEPARATOR.split(plain):
        for part in _alternatives(between):
            found += _one_by_one(part)
    with_digits = [part for part in found if _DIGIT.search(part)]
    if not with_digits and _WORD.search(plain):
        return [plain]
    return with_digits


def _in_ascii(text: str) -> str:
    """Return a text with ASCII digits and hyphens, and without invisible characters."""
    plain = unicodedata.normalize("NFKC", text).translate(_HYPHENS)
    return "".join(
        str(unicodedata.decimal(each)) if each.isdecimal() else each
        for each in plain
        if unicodedata.category(each) != "Cf"
    )


def _one_by_one(part: str) -> list[str]:
    """Split a part before each further number that follows words.

    `Mob 07700 900123 home 625000` becomes `Mob 07700 900123 home ` and `625000`.
    """
    found: list[str] = []
    at = 0
    while at < len(part):
        number = _NUMBER.match(part, at)
        if number is None:
            return [part] if not at else [*found, part[at:]]
        found.append(number[0])
        at = number.end()
    return found


def _alternatives(part: str) -> list[str]:
    """Split a part at `/`, except between an area code and a number.

    A short number after `/` replaces the last digits of the number before it, as in
    `01970 625000/1`.
    """
    first, *others = part.split("/")
    found = [first]
    for other in others:
        before, digits = _digits(found[-1]), _digits(other)
        if _INTERNAL.fullmatch(other):
            found.append(other)
        elif len(before) < _FEWEST_DIGITS:
            found[-1] += " " + other
        elif digits and digits == other.strip() and len(digits) <= _LONGEST_TAIL < len(before):
            found.append(before[: -len(digits)] + digits)
        else:
            found.append(other)
    return found


def _digits(text: str) -> str:
    """Return the digits of the number in a text, with a leading `+` if it has one."""
    found = _NUMBER.fullmatch(text)
    number = _TRUNK_ZERO.sub("", found["number"]) if found else ""
    return ("+" if "+" in number else "") + re.sub(r"[^0-9]", "", number)


def _number(part: str, region: str, area_code: str) -> PhoneNumber:
    internal = _INTERNAL.fullmatch(part)
    if internal is not None:
        return PhoneNumber("", internal[1])
    found = _NUMBER.fullmatch(part)
    if found is None:
        raise NumberError("is not a telephone number")
    digits = _digits(part)
    if area_code and _LOCAL.fullmatch(digits):
        digits = area_code + digits
    return replace(PhoneNumber.parse(digits, region), extension=found["extension"] or "")


_OTHER: Final = re.compile(r"[^0-9 ()+\-]")
_STYLES: Final = phonenumbers.PhoneNumberFormat


def national(number: PhoneNumber) -> str:
    """Return the number as dialled in `REGION`, without its extension.

    A foreign number begins with 00. An internal extension is returned as it is.
    """
    if not number.e164:
        return number.extension
    return _without_spaces(phonenumbers.parse(number.e164))


def spellings(number: PhoneNumber) -> tuple[str, ...]:
    """Return a number's usual spellings, the most usual first, without its extension.

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


def matching(
    people: Iterable[Person], number: PhoneNumber, *, region: str = REGION, area_code: str = ""
) -> list[Person]:
    """Return the people who have exactly this number and extension, each only once.

    If there are none, return those who have the number with another extension or without one. Their
    `main_line` is true. `region` and `area_code` complete their numbers.
    """
    # A directory that is searched for an internal extension may have it without a word before it.
    exact: dict[str, Person] = {}
    main_line: dict[str, Person] = {}
    for person in people:
        numbers = [
            each
            for text in person.numbers
            for each in read_numbers(text, region=region, area_code=area_code).numbers
        ]
        plain = not number.e164 and number.extension in map(str.strip, person.numbers)
        if number in numbers or plain:
            exact.setdefault(person.person_id, replace(person, main_line=False))
        elif number.e164 and number.e164 in {each.e164 for each in numbers}:
            main_line.setdefault(person.person_id, replace(person, main_line=True))
    return list((exact or main_line).values())


def merged(people: Iterable[Person], keys: Iterable[str]) -> list[Person]:
    """Merge the entries that one person has in several directories, and return the people.

    Two entries are the same person if they are in different directories and have the same value of
    one of the details `keys`, such as "reference". Name, language, kind and details come from the
    earlier entry, as far as it has them. The person is `shared` or `do_not_pop` if one entry is,
    and `main_line` only if all entries are.
    """
    keys = tuple(keys)
    result: list[Person] = []
    for person in people:
        place = next((at for at, each in enumerate(result) if _same(each, person, keys)), None)
        if place is None:
            result.append(person)
        else:
            result[place] = _merge(result[place], person)
    return result


def _same(one: Person, other: Person, keys: tuple[str, ...]) -> bool:
    directories = {entry.partition(":")[0] for entry in one.entries}
    if other.directory in directories:
        return False
    return any(one.detail(key) and one.detail(key) == other.detail(key) for key in keys)


def _merge(one: Person, other: Person) -> Person:
    return replace(
        one,
        numbers=tuple(dict.fromkeys((*one.numbers, *other.numbers))),
        language=one.language or other.language,
        shared=one.shared or other.shared,
        do_not_pop=one.do_not_pop or other.do_not_pop,
        main_line=one.main_line and other.main_line,
        details=tuple({**dict(other.details), **dict(one.details)}.items()),
        same_as=(*one.same_as, *other.entries),
    )
