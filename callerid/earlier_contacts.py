"""Reads the earlier contacts of a person from the JSON answer of a directory, such as a CRM.

The settings say by JMESPath expressions (jmespath.org) where an answer has the contacts, and where
each contact has a time, a subject and so on. A document that does not fit is a `ServerError`, whose
message never repeats a part of the document.

If a server does not know a condition of the request, it can ignore the condition and return the
contacts of all people. So the mapping can say where a contact names its person. Contacts of other
people are then left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import Field

from callerid.people_mapping import (
    PATH,
    Expression,
    apply,
    optional_path,
    path,
    text_of_lines,
    text_of_value,
)
from config.section import Section
from net.errors import ServerError
from net.json_client import Json

MOST_CONTACTS: Final = 10
"""The most contacts of one directory that are shown: the newest ones."""
_MOST_READ: Final = 500
_LATEST: Final = 253_402_300_799.0  # the end of the year 9999
_MILLISECONDS: Final = 1e11
"""Greater numbers are times in milliseconds: as seconds, they would be after the year 5138."""


@dataclass(frozen=True, slots=True)
class DirectoryContact:
    """An earlier contact of a person, such as a ticket or a case."""

    time: float
    """The time of the contact in Unix seconds."""
    subject: str
    outcome: str = ""
    text: str = ""
    record_id: str = ""
    """The id of the contact's record in the directory; "" if it is not known."""


class ContactFields(Section):
    """`[directories.earlier_contacts.fields]`: the places of a contact's fields.

    `time` finds a text in ISO 8601, in UTC if it has no offset, or a number of seconds or
    milliseconds since 1970. `person` finds the id of the contact's person, or a list of ids; it is
    None if the request can return the contacts of no other person.
    """

    time: Expression = Field(description='a JMESPath expression, such as "Created"')
    subject: Expression = Field(description='a JMESPath expression, such as "Subject"')
    person: Expression | None = Field(
        default=None, description='a JMESPath expression, such as "Requestor[].id"'
    )
    outcome: Expression | None = Field(default=None, description=PATH)
    text: Expression | None = Field(default=None, description=PATH)
    id: Expression | None = Field(default=None, description=PATH)


class ContactsMapping:
    """The places of contacts in a JSON document. Raises `TemplateError`.

    `contacts` is the JMESPath expression for the list, and `fields` are applied to each contact.
    """

    def __init__(self, contacts: str, fields: ContactFields) -> None:
        table = "earlier_contacts"
        self._contacts = path(f"{table}.contacts", contacts)
        self._time = path(f"{table}.fields.time", fields.time)
        self._subject = path(f"{table}.fields.subject", fields.subject)
        self._person = optional_path(f"{table}.fields.person", fields.person)
        self._outcome = optional_path(f"{table}.fields.outcome", fields.outcome)
        self._text = optional_path(f"{table}.fields.text", fields.text)
        self._record_id = optional_path(f"{table}.fields.id", fields.id)

    def read(self, document: Json, person_id: str) -> list[DirectoryContact]:
        """Return a person's newest contacts, the newest first; none if `document` is None.

        A contact without a subject or a readable time is left out. Raises `ServerError` if the
        document has no list, if the list is too long, or if it has contacts of the person, but none
        that can be read.
        """
        if document is None:
            return []
        found = apply(self._contacts, document)
        if not isinstance(found, list):
            raise ServerError('the answer has no list where "contacts" points')
        if len(found) > _MOST_READ:
            raise ServerError(f"the answer has more than {_MOST_READ} contacts")
        items = [item for item in found if self._is_of(item, person_id)]
        contacts = [each for item in items if (each := self._contact(item)) is not None]
        if items and not contacts:
            raise ServerError("no contact in the answer has a subject and a time that can be read")
        return sorted(contacts, key=lambda each: -each.time)[:MOST_CONTACTS]

    def _is_of(self, item: Json, person_id: str) -> bool:
        if self._person is None:
            return True
        return person_id in _texts(apply(self._person, item))

    def _contact(self, item: Json) -> DirectoryContact | None:
        subject, time = text_of_value(apply(self._subject, item)), _time(apply(self._time, item))
        if not subject or time is None:
            return None
        return DirectoryContact(
            time,
            subject,
            outcome="" if self._outcome is None else text_of_value(apply(self._outcome, item)),
            text="" if self._text is None else text_of_lines(apply(self._text, item)),
            record_id=""
            if self._record_id is None
            else text_of_value(apply(self._record_id, item)),
        )


def _texts(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        yield text_of_value(each)


def _time(value: Any) -> float | None:
    """Return a time in Unix seconds; None if it cannot be read."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _checked(value)
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        return _checked((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _checked(number: float) -> float | None:
    try:
        seconds = float(number)
    except OverflowError:  # an integer with hundreds of digits
        return None
    if abs(seconds) > _MILLISECONDS:
        seconds /= 1000
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LATEST else None
