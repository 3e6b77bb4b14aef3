"""The screen-pop of one call, as a value: what is known, chosen and confirmed.

Every change returns a new pop. Before confirmation, a pop shows only names, warnings and languages
(`candidates`). `details` are empty until the advisor has confirmed that the checks were passed or
that the caller volunteered the details.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from callerid.errors import ChoiceError
from callerid.lookup import LookupResult, LookupStatus
from callerid.number import NO_NUMBER, CallerId
from callerid.person import Person, PersonKind


class PopConfirmation(StrEnum):
    """The advisor's answer to the question whether the caller is the person shown."""

    CONFIRMED = "confirmed"
    VOLUNTEERED = "volunteered"
    NOT_THEM = "not_them"


@dataclass(frozen=True, slots=True)
class PopCandidate:
    """The facts about a person that may be shown before confirmation."""

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: PersonKind
    main_line: bool


_LOOKING_UP = LookupResult(LookupStatus.LOOKING_UP)


@dataclass(frozen=True, slots=True)
class ScreenPop:
    """One call's pop. With several candidates, only the advisor sets `chosen`."""

    call_id: str
    caller: CallerId = NO_NUMBER
    result: LookupResult = _LOOKING_UP
    chosen: str | None = None
    confirmation: PopConfirmation | None = None

    @property
    def status(self) -> LookupStatus:
        """The state of the lookup."""
        return self.result.status

    @property
    def confirmed(self) -> bool:
        """True if details may be shown."""
        return self.confirmation in {PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED}

    @property
    def candidates(self) -> tuple[PopCandidate, ...]:
        """The people that the caller may be; more than one at a number is shown as a warning."""
        several = len(self.result.people) > 1
        return tuple(
            PopCandidate(
                person.person_id,
                person.name,
                person.language,
                several
                or person.shared
                or person.main_line
                or person.kind is not PersonKind.PERSON,
                person.kind,
                person.main_line,
            )
            for person in self.result.people
        )

    @property
    def details(self) -> dict[str, str]:
        """The chosen person's details; empty until confirmed."""
        if not self.confirmed or self.chosen is None:
            return {}
        return dict(self._person(self.chosen).details)

    def with_result(self, result: LookupResult) -> ScreenPop:
        """Return the pop with a lookup's result. A single person is chosen but not confirmed."""
        only = result.people[0].person_id if len(result.people) == 1 else None
        return replace(self, result=result, chosen=only)

    def choose(self, person_id: str) -> ScreenPop:
        """Return the pop with a chosen candidate; the confirmation of another one is removed.

        Raises:
            ChoiceError: No candidate has this id.
        """
        self._person(person_id)
        kept = self.confirmation if person_id == self.chosen else None
        return replace(self, chosen=person_id, confirmation=kept)

    def confirm(self, confirmation: PopConfirmation, person_id: str | None) -> ScreenPop:
        """Return the pop with the advisor's answer for `person_id`, or for the chosen candidate.

        Raises:
            ChoiceError: No candidate is chosen, or none has this id.
        """
        chosen = person_id or self.chosen
        if confirmation is PopConfirmation.NOT_THEM:
            return replace(self, chosen=None, confirmation=confirmation)
        if chosen is None:
            raise ChoiceError("no person is chosen: choose one first")
        self._person(chosen)
        return replace(self, chosen=chosen, confirmation=confirmation)

    def _person(self, person_id: str) -> Person:
        for person in self.result.people:
            if person.person_id == person_id:
                return person
        raise ChoiceError("the screen-pop has no person with this id")
