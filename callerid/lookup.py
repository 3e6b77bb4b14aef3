"""The lookup of a caller in all directories at the same time, as a stream of results.

The first answer that finds a person is shown at once, and each further answer adds to it. The
lookup ends when all directories have answered, at the latest after `LATEST_S`. A lookup never
changes a directory.

A search by a text, and a request for a person's earlier contacts, also ask several directories at
the same time, but have only one result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from callerid.earlier_contacts import DirectoryContact
from callerid.limited_source import LimitedSource
from callerid.number import CallerId
from callerid.person import Person, record_id_in
from callerid.source import AnswerState, SourceAnswer
from callerid.written_numbers import merged

BUDGET_S: Final = 1.0
"""The seconds after which a directory that has not answered counts as late (`Lookup`)."""
LATEST_S: Final = 10.0
"""The seconds after which a request of any kind stops waiting for answers."""
MOST_PEOPLE: Final = 50
"""The most people in one result of a lookup or of a search by a text."""
MERGE_BY: Final = ("reference",)
FAILURES: Final = frozenset({AnswerState.UNAVAILABLE, AnswerState.BUSY})


class LookupStatus(StrEnum):
    """The state of a lookup. It is `LOOKING_UP` until there is something to show."""

    LOOKING_UP = "looking_up"
    FOUND = "found"
    SEVERAL = "several"
    NOT_FOUND = "not_found"
    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"
    """No person was found, and a directory could not be searched or has not answered in time."""
    BUSY = "busy"
    """No person was found, and a directory has asked for a rest."""


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The result of a lookup so far."""

    status: LookupStatus
    people: tuple[Person, ...] = ()
    answers: tuple[tuple[str, AnswerState], ...] = ()
    """The name of each directory that is asked, and the state of its answer."""

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the directories that are unavailable or busy."""
        return tuple(name for name, state in self.answers if state in FAILURES)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search by a text."""

    people: tuple[Person, ...]
    failed: tuple[str, ...]
    """The names of the directories that are unavailable or busy."""


@dataclass(frozen=True, slots=True)
class ContactsResult:
    """A person's earlier contacts in all directories that have contacts."""

    contacts: tuple[tuple[str, DirectoryContact], ...]
    """Pairs of a directory's name and a contact in it."""
    failed: tuple[str, ...]
    """The names of the directories that are unavailable or busy."""


class Lookup:
    """Looks up callers in all directories, searches by a text, and asks for earlier contacts.

    People are in the order of `sources`. If no person is found after `budget_s` seconds, and a
    directory has not answered, the status is UNAVAILABLE. Entries of different directories are the
    same person if they have the same value of one of the details `merge_by`.
    """

    def __init__(
        self,
        sources: Sequence[LimitedSource],
        budget_s: float = BUDGET_S,
        merge_by: Iterable[str] = MERGE_BY,
    ) -> None:
        self._sources = tuple(sources)
        self._budget_s = budget_s
        self._merge_by = tuple(merge_by)

    @property
    def searchable(self) -> bool:
        """True if a directory can be searched by a text."""
        return any(source.can_search for source in self._sources)

    @property
    def names(self) -> dict[str, bool]:
        """The names of all directories; True if the directory can be searched by a text."""
        return {source.name: source.can_search for source in self._sources}

    async def search(self, text: str, *, hidden: bool = False) -> SearchResult:
        """Search by a text, such as a name, in all directories that allow it.

        At most `MOST_PEOPLE` are returned; with `hidden`, those who must never be shown in a
        screen-pop, too. A directory that does not answer within `LATEST_S` counts as failed.
        """
        sources = [source for source in self._sources if source.can_search]
        tasks = {asyncio.create_task(source.search(text)): source.name for source in sources}
        try:
            done, late = await asyncio.wait(tasks, timeout=LATEST_S) if tasks else (set(), set())
        finally:
            for task in tasks:
                task.cancel()
        answers = [(tasks[task], task.result()) for task in tasks if task in done]
        failed = {name for name, answer in answers if answer.state in FAILURES}
        found = merged((each for _, answer in answers for each in answer.people), self._merge_by)
        people = [person for person in found if hidden or not person.do_not_pop]
        return SearchResult(
            tuple(people[:MOST_PEOPLE]), tuple(failed | {tasks[task] for task in late})
        )

    async def contacts_of(self, entries: Collection[str]) -> ContactsResult:
        """Ask for a person's earlier contacts in all directories that have contacts.

        A directory that does not answer within `LATEST_S` counts as failed. `entries` are the ids
        of the person's entries (`Person.entries`).
        """
        asked = {
            asyncio.create_task(source.contacts_of(record_id)): source.name
            for source in self._sources
            if source.has_contacts and (record_id := record_id_in(source.name, entries))
        }
        try:
            done, late = await asyncio.wait(asked, timeout=LATEST_S) if asked else (set(), set())
        finally:
            for task in asked:
                task.cancel()
        answers = [(name, task.result()) for task, name in asked.items() if task in done]
        failed = [name for name, answer in answers if answer.state in FAILURES]
        contacts = [(name, each) for name, answer in answers for each in answer.contacts]
        return ContactsResult(tuple(contacts), tuple(failed + [asked[task] for task in late]))

    def forget_answers(self) -> None:
        """Forget all answers that are kept in memory, of every directory."""
        for source in self._sources:
            source.forget_answers()

    async def close(self) -> None:
        """End the running searches for numbers, and close the directories."""
        for source in self._sources:
            await source.close()

    async def look_up(self, caller: CallerId) -> AsyncGenerator[LookupResult, None]:
        """Search for this caller, and yield each new result, except with the status LOOKING_UP.

        Answers that arrive after the budget are in later results, until `LATEST_S`. A directory
        that fails raises no error: the results have the state of its answer.
        """
        if caller.withheld:
            yield LookupResult(LookupStatus.WITHHELD)
            return
        number = caller.number
        sources = [
            source
            for source in self._sources
            if number is not None and (number.e164 or source.has_extensions)
        ]
        if number is None or not sources:
            yield LookupResult(LookupStatus.NOT_FOUND)
            return
        begun = time.monotonic()
        waiting = {asyncio.create_task(source.ask(number)): source.name for source in sources}
        answers = {source.name: SourceAnswer(AnswerState.ASKING) for source in sources}
        shown: LookupResult | None = None
        try:
            while waiting:
                passed = time.monotonic() - begun
                limit = LATEST_S if passed >= self._budget_s else min(self._budget_s, LATEST_S)
                done, _ = await asyncio.wait(
                    waiting, timeout=max(limit - passed, 0), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    answers[waiting.pop(task)] = task.result()
                passed = time.monotonic() - begun
                if passed >= LATEST_S:
                    for name in waiting.values():
                        answers[name] = SourceAnswer(AnswerState.UNAVAILABLE)
                result = self._result(answers, late=passed >= self._budget_s)
                if result.status is not LookupStatus.LOOKING_UP and result != shown:
                    shown = result
                    yield result
                if passed >= LATEST_S:
                    return
        finally:
            for task in waiting:
                task.cancel()

    def _result(self, answers: dict[str, SourceAnswer], *, late: bool) -> LookupResult:
        found = merged(
            (each for answer in answers.values() for each in answer.people), self._merge_by
        )
        exact = [person for person in found if not person.main_line] or found
        people = [person for person in exact if not person.do_not_pop]
        states = {answer.state for answer in answers.values()}
        if people:
            status = LookupStatus.FOUND if len(people) == 1 else LookupStatus.SEVERAL
        elif AnswerState.ASKING in states and not late:
            status = LookupStatus.LOOKING_UP
        elif states & {AnswerState.ASKING, AnswerState.UNAVAILABLE}:
            status = LookupStatus.UNAVAILABLE
        elif AnswerState.BUSY in states:
            status = LookupStatus.BUSY
        else:
            status = LookupStatus.NOT_FOUND
        named = tuple((name, answer.state) for name, answer in answers.items())
        return LookupResult(status, tuple(people[:MOST_PEOPLE]), named)
