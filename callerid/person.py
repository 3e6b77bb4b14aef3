"""A person in a directory: the data that a screen-pop can show about this person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PersonKind(StrEnum):
    """The kind of a directory entry: a person, an organisation or a payphone."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PAYPHONE = "payphone"


@dataclass(frozen=True, slots=True)
class Person:
    """One entry of a directory.

    `person_id` identifies the entry. The id begins with the name of the directory and is not shown
    to advisors. `shared` is true if several people use the entry's number. `do_not_pop` is true if
    a screen-pop must never show the entry. `main_line` is true if the entry was found by
    the caller's number without its extension, because no entry has the number with the extension.
    `details` are shown only after the advisor has confirmed the person.
    """

    person_id: str
    name: str
    language: str = ""
    kind: PersonKind = PersonKind.PERSON
    shared: bool = False
    do_not_pop: bool = False
    main_line: bool = False
    details: tuple[tuple[str, str], ...] = ()
