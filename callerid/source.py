"""A directory of people, as the lookup sees it, and its answers.

A directory is a file, a CRM or another system in which people can be found by telephone number.
Each kind of directory is a module in `callerid.directories`. `callerid.limited_source` limits the
requests to a directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from callerid.earlier_contacts import DirectoryContact
from callerid.number import PhoneNumber
from callerid.person import Person


class DirectorySource(Protocol):
    """A directory that can be searched by telephone number."""

    @property
    def name(self) -> str:
        """The short name of the directory in metrics, logs and the ids of its people."""

    @property
    def has_extensions(self) -> bool:
        """True if the directory can also be searched by an internal extension."""

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people with this number, and perhaps other people.

        Raises:
            ServerBusyError: The directory asks for a rest.
            ServerError: The directory cannot be searched now. Any other exception means the same.
        """

    async def close(self) -> None:
        """Close the connections to the directory."""


@runtime_checkable
class SearchableSource(DirectorySource, Protocol):
    """A directory that can also be searched by a text."""

    async def search(self, text: str) -> list[Person]:
        """Return people who have the words of a text, such as a name, a postcode or a reference.

        Raises:
            ServerBusyError: The directory asks for a rest.
            ServerError: The directory cannot be searched now. Any other exception means the same.
        """


@runtime_checkable
class ContactsSource(DirectorySource, Protocol):
    """A directory that may also have the earlier contacts of its people."""

    @property
    def has_contacts(self) -> bool:
        """True if the directory can be asked for contacts."""

    async def contacts_of(self, record_id: str) -> list[DirectoryContact]:
        """Return the earlier contacts of the person with this record id, the newest first.

        Raises:
            ServerBusyError: The directory asks for a rest.
            ServerError: The directory cannot be asked now. Any other exception means the same.
        """


class AnswerState(StrEnum):
    """The state of one directory's answer to one request."""

    ASKING = "asking"
    """The directory has not answered yet."""
    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    """The directory fails, answers late or unreadably, or is not asked after repeated failures."""
    BUSY = "busy"
    """The directory has asked for a rest."""


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """A directory's answer to one search, by number or by a text."""

    state: AnswerState
    people: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactsAnswer:
    """A directory's answer about the earlier contacts of a person, the newest first."""

    state: AnswerState
    contacts: tuple[DirectoryContact, ...] = ()
