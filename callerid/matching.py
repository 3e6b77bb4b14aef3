"""Decides which people of a directory's answer really have the caller's number.

A directory may compare only the last digits of a number, ignore a part of the search that it does
not understand, or return everybody. So the numbers of each person are read again here, and only
people with exactly the caller's number are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from callerid.number import REGION, PhoneNumber
from callerid.person import Person
from callerid.written_numbers import read_numbers


def matching(
    people: Iterable[Person], number: PhoneNumber, *, region: str = REGION, area_code: str = ""
) -> list[Person]:
    """Return the people who have exactly this number and extension, each only once.

    If there are none, return the people who have the number with another extension or without one.
    They are marked as found by the main line.

    Args:
        people: The people that a directory has found.
        number: The caller's number, or an internal extension.
        region: The country to which a number without a country code belongs, such as "GB".
        area_code: The area code that completes local numbers; "" if there is none.
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
    """Merge the entries of one person in several directories; return the people in their sequence.

    Two entries are the same person if they are in different directories and have the same value of
    one of the details `keys`, such as "reference". Name, language, kind and details come from the
    earlier entry, as far as it has them. A warning of one entry counts for the person.
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
