"""The lookup of a caller in all directories at the same time, within one time limit.

If no directory finds a person, the result is "not found". But if one of the directories was down,
broken or too slow, the result is "unavailable" instead. A lookup never changes a directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from callerid.number import CallerId, PhoneNumber
from callerid.person import Person

BUDGET_S = 1.0


class LookupStatus(StrEnum):
    """The state of a lookup. It is `LOOKING_UP` until the lookup has ended."""

    LOOKING_UP = "looking_up"
    FOUND = "found"
    SEVERAL = "several"
    NOT_FOUND = "not_found"
    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The result of a lookup: its status and the people found.

    `failed` has the names of the directories that raised an error or took too long.
    """

    status: LookupStatus
    people: tuple[Person, ...] = ()
    failed: tuple[str, ...] = ()


class DirectorySource(Protocol):
    """A directory that can be searched by telephone number."""

    @property
    def name(self) -> str:
        """The short name of the directory in metrics and logs."""

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return all people with this number.

        If the method raises any exception, the directory counts as unavailable.
        """


class Lookup:
    """Looks up a caller in all directories at the same time.

    `budget_s` is the time limit in seconds for the whole lookup.
    """

    def __init__(self, sources: Sequence[DirectorySource], budget_s: float = BUDGET_S) -> None:
        self._sources = tuple(sources)
        self._budget_s = budget_s

    async def look_up(self, caller: CallerId) -> LookupResult:
        """Search for this caller and return the result.

        If a directory fails, no exception is raised; the result has the directory's name in
        `failed`.
        """
        if caller.withheld:
            return LookupResult(LookupStatus.WITHHELD)
        if caller.number is None or not caller.number.e164:
            return LookupResult(LookupStatus.NOT_FOUND)
        tasks = {
            asyncio.create_task(source.find(caller.number)): source for source in self._sources
        }
        if not tasks:
            return LookupResult(LookupStatus.NOT_FOUND)
        try:
            await asyncio.wait(tasks, timeout=self._budget_s)
        finally:
            for task in tasks:
                task.cancel()
        found: list[Person] = []
        failed: list[str] = []
        for task, source in tasks.items():
            if not task.done() or task.cancelled() or task.exception() is not None:
                failed.append(source.name)
            else:
                found.extend(task.result())
        return _result_of(found, failed)


def _result_of(found: list[Person], failed: list[str]) -> LookupResult:
    people = tuple(person for person in found if not person.do_not_pop)
    if people:
        status = LookupStatus.FOUND if len(people) == 1 else LookupStatus.SEVERAL
    else:
        status = LookupStatus.UNAVAILABLE if failed else LookupStatus.NOT_FOUND
    return LookupResult(status, people, tuple(failed))
