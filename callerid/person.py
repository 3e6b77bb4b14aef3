"""A person in a directory: what a screen-pop can show, and the directory's web page about them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class PersonKind(StrEnum):
    """The kind of a directory entry: a person, an organisation or a payphone."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PAYPHONE = "payphone"


def plain_text(text: str) -> str:
    """Return a text in small letters, without accents, to compare names."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in parts if not unicodedata.combining(each))


def record_id_in(directory: str, entries: Iterable[str]) -> str:
    """Return the record id in `directory` of a person with these entries; "" if there is none."""
    for entry in entries:
        name, _, record_id = entry.partition(":")
        if name == directory:
            return record_id
    return ""


@dataclass(frozen=True, slots=True)
class Person:
    """One entry of a directory, or the entries of one person in several directories."""

    person_id: str
    """The name of the directory, a colon, and the entry's id there."""
    name: str
    language: str = ""
    kind: PersonKind = PersonKind.PERSON
    shared: bool = False
    """True if several people use the entry's number."""
    do_not_pop: bool = False
    """True if a screen-pop must never show the entry."""
    main_line: bool = False
    """True if the person has the caller's number only with another extension or without one."""
    details: tuple[tuple[str, str], ...] = ()
    """Names and values that are shown only after the advisor has confirmed the person."""
    numbers: tuple[str, ...] = ()
    """Texts with the person's telephone numbers, for `callerid.written_numbers.read_numbers`."""
    same_as: tuple[str, ...] = ()
    """The ids of further entries, in other directories, that are the same person."""

    @property
    def entries(self) -> tuple[str, ...]:
        """The ids of all entries of this person."""
        return self.person_id, *self.same_as

    @property
    def directory(self) -> str:
        """The name of the directory that has the first entry."""
        return self.person_id.partition(":")[0]

    def detail(self, name: str) -> str:
        """Return the value of a detail; "" if the person does not have it."""
        return dict(self.details).get(name, "")


@dataclass(frozen=True, slots=True)
class RecordPage:
    """The web pages of the records in one directory. No address has a telephone number."""

    directory: str
    template: str
    """The address, with `{id}` in the place of the record's id."""
    before_confirmation: bool = False
    """True if the advisor may open the page before confirming the caller."""

    def url_for(self, person: Person) -> str | None:
        """Return the address of this person's page; None if the directory does not have the person.

        The id comes from the directory. It is escaped, so that it cannot change the rest of the
        address. An id of only dots has no page, because browsers take it for another folder.
        """
        record_id = record_id_in(self.directory, person.entries)
        if not record_id.strip("."):
            return None
        return self.template.replace("{id}", quote(record_id, safe="", errors="replace"))
