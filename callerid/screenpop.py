"""The screen-pop of one call, as a value: what is known, chosen and confirmed.

Pure: every change returns a new pop. Before the confirmation a pop gives names, warnings and
languages only (`candidates`); `details` are empty until the advisor has said that the checks
were passed, or that the caller volunteered the details.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from callerid.errors import ChoiceError
from callerid.lookup import Outcome, Status
from callerid.number import NOBODY, Caller
from callerid.person import Kind, Person


class Confirmation(StrEnum):
    """The advisor's answer to the question of C4."""

    CONFIRMED = "confirmed"
    VOLUNTEERED = "volunteered"
    NOT_THEM = "not_them"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be seen of a person before the confirmation."""

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: Kind
    main_line: bool


_LOOKING_UP = Outcome(Status.LOOKING_UP)


@dataclass(frozen=True, slots=True)
class ScreenPop:
    """One call's pop; `chosen` is never filled by the software where there are several."""

    call_id: str
    caller: Caller = NOBODY
    outcome: Outcome = _LOOKING_UP
    chosen: str | None = None
    confirmation: Confirmation | None = None

    @property
    def status(self) -> Status:
        """How the lookup stands."""
        return self.outcome.status

    @property
    def confirmed(self) -> bool:
        """Whether details may be shown."""
        return self.confirmation in {Confirmation.CONFIRMED, Confirmation.VOLUNTEERED}

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The people this may be; more than one at a number is itself a warning."""
        several = len(self.outcome.people) > 1
        return tuple(
            Candidate(
                person.person_id,
                person.name,
                person.language,
                several or person.shared or person.main_line or person.kind is not Kind.PERSON,
                person.kind,
                person.main_line,
            )
            for person in self.outcome.people
        )

    @property
    def details(self) -> dict[str, str]:
        """The chosen person's details: empty until confirmed."""
        if not self.confirmed or self.chosen is None:
            return {}
        return dict(self._person(self.chosen).details)

    def filled(self, outcome: Outcome) -> ScreenPop:
        """The lookup has ended. One person alone is the one in question, not yet confirmed."""
        only = outcome.people[0].person_id if len(outcome.people) == 1 else None
        return replace(self, outcome=outcome, chosen=only)

    def choose(self, person_id: str) -> ScreenPop:
        """The advisor picks one of several; an earlier confirmation of another falls.

        Raises:
            ChoiceError: no candidate has this id.
        """
        self._person(person_id)
        kept = self.confirmation if person_id == self.chosen else None
        return replace(self, chosen=person_id, confirmation=kept)

    def confirm(self, confirmation: Confirmation, person_id: str | None) -> ScreenPop:
        """The advisor answers for `person_id`, or for the one chosen before.

        Raises:
            ChoiceError: nobody is chosen, or no candidate has this id.
        """
        chosen = person_id or self.chosen
        if confirmation is Confirmation.NOT_THEM:
            return replace(self, chosen=None, confirmation=confirmation)
        if chosen is None:
            raise ChoiceError("nobody is chosen yet")
        self._person(chosen)
        return replace(self, chosen=chosen, confirmation=confirmation)

    def _person(self, person_id: str) -> Person:
        for person in self.outcome.people:
            if person.person_id == person_id:
                return person
        raise ChoiceError("no such person on this pop")
