"""The search for the calls of a person: in which places, by which spelling, and with which result.

A person is found by a telephone number, or by a text, such as their name or reference in the CRM. A
text is also looked for in the directories. Then the officer chooses the right person, and a second
search finds the calls of this person and of each of their numbers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from callerid.errors import NumberError
from callerid.lookup import MOST_PEOPLE, Lookup
from callerid.number import PhoneNumber
from callerid.person import Person
from callerid.written_numbers import WrittenNumbers, read_numbers
from galwad.calls.log.store import CallStore
from galwad.cases.store import SearchedPlace
from galwad.host.errors import ApiError
from galwad.notes.store import NoteStore
from recording.index.catalogue import Catalogue
from recording.index.search import Filters

LINKED_CALL: Final = "linked-call"
"""The place of the call in which a person has asked."""
RECORDINGS: Final = "recordings"
CALL_LOG: Final = "call-log"
OPEN_NOTES: Final = "open-notes"
NOTES_OF_PERSON: Final = "notes-of-person"
NOTES_BY_REFERENCE: Final = "notes-by-reference"
NOTES_ON_BEHALF: Final = "notes-on-behalf"
DIRECTORY: Final = "directory: "
NO_TEXT_SEARCH: Final = "no-text-search"
NO_ANSWER: Final = "no-answer"
TOO_MANY: Final = "too-many"
TOO_SHORT: Final = "too-short"
UNREADABLE: Final = "unreadable"
NUMBERS: Final = "numbers-of-person"
MOST_CALLS: Final = 20_000
"""The most calls that one search may find. A switchboard has more, which is no person."""
_SHORTEST: Final = 4
"""The shortest text that is looked for within other texts."""


@dataclass(slots=True)
class Found:
    """The result of a search: the places, the start of each call by id, and the people found."""

    places: list[SearchedPlace] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)
    people: tuple[Person, ...] = ()

    def add(self, place: str, spelling: str, calls: dict[str, float]) -> None:
        """Add a place that was searched, and the calls found there.

        The first place that has a call decides when the call began. Raises `ApiError` (409) if
        there are more than `MOST_CALLS` calls.
        """
        self.places.append(SearchedPlace(place, spelling, len(calls)))
        self.calls = calls | self.calls
        if len(self.calls) > MOST_CALLS:
            raise ApiError(
                409,
                f"more than {MOST_CALLS} calls match, so this is not one person",
                "search for another number, or for the person",
            )


class PersonSearcher:
    """Searches for the calls of a person. Methods raise `CatalogueError`.

    `area_code` ("01970") completes the local numbers in directories.
    """

    def __init__(
        self,
        lookup: Lookup,
        catalogue: Catalogue,
        log: CallStore,
        notes: NoteStore,
        area_code: str,
    ) -> None:
        self._lookup = lookup
        self._catalogue = catalogue
        self._log = log
        self._notes = notes
        self._area_code = area_code

    async def by_number(self, text: str) -> Found:
        """Search for all calls of a number.

        Raises `ApiError` (422) if the text is not a telephone number.
        """
        try:
            number = PhoneNumber.parse(text)
        except NumberError as error:
            raise ApiError(
                422,
                f"`number` {error}",
                "look at: body.number; write it with its area code, such as 01970 123456",
            ) from None
        found = Found()
        await self._add_number(found, number)
        return found

    async def by_text(self, text: str, person_id: str) -> Found:
        """Search for the people whom a text describes; with `person_id`, for this person's calls.

        Raises `ApiError` (404) if the directories do not find this person by the text any more.
        """
        found = Found()
        result = await self._lookup.search(text, hidden=True)
        found.people = result.people
        for name, can_search in self._lookup.names.items():
            count = sum(_has_entry(each, name) for each in result.people)
            failed = TOO_MANY if len(result.people) >= MOST_PEOPLE else ""
            failed = NO_ANSWER if name in result.failed else failed
            failed = failed if can_search else NO_TEXT_SEARCH
            found.places.append(SearchedPlace(f"{DIRECTORY}{name}", text, count, failed))
        found.add(NOTES_BY_REFERENCE, text, await self._notes.calls_of(reference=text))
        if len(text) < _SHORTEST:
            found.places.append(SearchedPlace(NOTES_ON_BEHALF, text, 0, TOO_SHORT))
        else:
            found.add(NOTES_ON_BEHALF, text, await self._notes.calls_on_behalf_of(text))
        if person_id:
            await self._add_person(found, person_id)
        return found

    async def _add_person(self, found: Found, person_id: str) -> None:
        person = next((each for each in found.people if person_id in each.entries), None)
        if person is None:
            raise ApiError(
                404,
                "the directories do not find this person by the text",
                "search for the text again, and choose one of the people found",
            )
        of_person = await self._notes.calls_of(person_ids=person.entries)
        found.add(NOTES_OF_PERSON, ", ".join(person.entries), of_person)
        reference = person.detail("reference")
        if reference and reference != found.places[0].spelling:
            found.add(
                NOTES_BY_REFERENCE, reference, await self._notes.calls_of(reference=reference)
            )
        for number in self.numbers_of(person):
            await self._add_number(found, number)
        if any(each.faults for each in self._read(person)):
            found.places.append(SearchedPlace(NUMBERS, "", 0, UNREADABLE))

    def numbers_of(self, person: Person) -> tuple[PhoneNumber, ...]:
        """Return the telephone numbers of a person, each once."""
        read = self._read(person)
        return tuple(dict.fromkeys(number for each in read for number in each.numbers))

    def _read(self, person: Person) -> list[WrittenNumbers]:
        return [read_numbers(text, area_code=self._area_code) for text in person.numbers]

    async def _add_number(self, found: Found, number: PhoneNumber) -> None:
        bare = number.bare
        recordings, log, notes = await asyncio.gather(
            self._catalogue.starts(Filters(number=bare)),
            self._log.calls_with(bare),
            self._notes.calls_of(number=bare),
        )
        found.add(RECORDINGS, bare, recordings)
        found.add(CALL_LOG, bare, log)
        found.add(OPEN_NOTES, bare, notes)


def _has_entry(person: Person, directory: str) -> bool:
    return any(entry.partition(":")[0] == directory for entry in person.entries)
