"""A person in a directory: what a pop may show before and after confirmation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PersonKind(StrEnum):
    """The kind of party that answers at the number."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PAYPHONE = "payphone"


@dataclass(frozen=True, slots=True)
class Person:
    """One entry of a directory.

    `person_id` is opaque and begins with its source. `details` are shown only after the advisor has
    confirmed the person. `main_line` is true if the number matched only without its extension.
    """

    person_id: str
    name: str
    language: str = ""
    kind: PersonKind = PersonKind.PERSON
    shared: bool = False
    do_not_pop: bool = False
    main_line: bool = False
    details: tuple[tuple[str, str], ...] = ()
