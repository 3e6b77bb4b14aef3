"""The screen-pop of one call, as an object that cannot be changed.

A method such as `choose` returns a new `ScreenPop` with the new choice. The property `candidates`
has only ids, names, languages, kinds and warnings. The property `details` stays empty until the
advisor has stated one of two things: that the caller passed the identity checks, or that the caller
gave the details unasked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from callerid.errors import ChoiceError
from callerid.lookup import LookupResult, LookupStatus
from callerid.number import NO_NUMBER, CallerId
from callerid.person import Person, PersonKind


class PopConfirmation(StrEnum):
    """The advisor's answer to the question whether the caller is the person shown.

    CONFIRMED means that the caller passed the checks. VOLUNTEERED means that the caller gave the
    details unasked. NOT_THEM means that the caller is another person. NEW_PERSON means that the
    caller is in no directory.
    """

    CONFIRMED = "confirmed"
    VOLUNTEERED = "volunteered"
    NOT_THEM = "not_them"
    NEW_PERSON = "new_person"

    @property
    def shows_details(self) -> bool:
        """True if the details of the chosen person may be shown after this answer."""
        return self in {PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person who may be the caller.

    The fields are facts that the advisor may see before the caller's identity is confirmed.
    """

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: PersonKind
    main_line: bool = False


_LOOKING_UP = LookupResult(LookupStatus.LOOKING_UP)


@dataclass(frozen=True, slots=True)
class ScreenPop:
    """The screen-pop of one call. `with_result` may choose a person automatically."""

    call_id: str
    caller: CallerId = NO_NUMBER
    result: LookupResult = _LOOKING_UP
    chosen: str | None = None
    """The id of the chosen person; None if no person is chosen."""
    chosen_by_advisor: bool = False
    confirmation: PopConfirmation | None = None
    searched: tuple[Person, ...] = ()
    """The people whom the advisor has found by a text."""

    @property
    def status(self) -> LookupStatus:
        """The state of the lookup; FOUND or SEVERAL if a search by a text has found people."""
        if not self.searched:
            return self.result.status
        return LookupStatus.FOUND if len(self.people) == 1 else LookupStatus.SEVERAL

    @property
    def people(self) -> tuple[Person, ...]:
        """The people who may be the caller: those found by number, then those found by a text."""
        known = {entry for person in self.result.people for entry in person.entries}
        more = (person for person in self.searched if known.isdisjoint(person.entries))
        return (*self.result.people, *more)

    @property
    def confirmed(self) -> bool:
        """True if the details of the chosen person may be shown."""
        return self.confirmation is not None and self.confirmation.shows_details

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The people who may be the caller, with a warning if others may use the same number."""
        several = len(self.people) > 1
        return tuple(
            Candidate(
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
            for person in self.people
        )

    @property
    def chosen_person(self) -> Person | None:
        """The chosen person, with all data; None if no person is chosen."""
        return None if self.chosen is None else self._person(self.chosen)

    @property
    def confirmed_person(self) -> Person | None:
        """The person whom the advisor has confirmed; None if there is none."""
        return self.chosen_person if self.confirmed else None

    @property
    def details(self) -> dict[str, str]:
        """The details of the chosen person; empty until the advisor has confirmed the person."""
        person = self.confirmed_person
        return dict(person.details) if person is not None else {}

    def with_result(self, result: LookupResult) -> ScreenPop:
        """Return a new screen-pop that contains the present result of the lookup.

        A single person is chosen, unless the advisor has said that the caller is another or a new
        person. A person whom the advisor has chosen stays chosen while still a candidate. After a
        confirmation, a late answer changes only the states of the answers and the confirmed
        person's further entries (`Person.same_as`).
        """
        if self.confirmed:
            people = tuple(self._with_entries(person, result) for person in self.result.people)
            kept = replace(self.result, people=people, answers=result.answers)
            return replace(self, result=kept)
        pop = replace(self, result=result, chosen=None, chosen_by_advisor=False)
        if self.chosen_by_advisor and self.chosen is not None:
            chosen = pop.entry(self.chosen)
            if chosen is not None:
                return replace(pop, chosen=chosen, chosen_by_advisor=True)
        if self.confirmation is None and len(pop.people) == 1:
            return replace(pop, chosen=pop.people[0].person_id)
        return pop

    def with_searched(self, people: tuple[Person, ...]) -> ScreenPop:
        """Return a new screen-pop with people found by a text.

        The people of an earlier search are dropped, except the chosen person. Raises `ChoiceError`
        if the advisor has confirmed the caller.
        """
        if self.confirmed:
            raise ChoiceError(
                "the caller is confirmed: before a search, answer that it is another person"
            )
        found = {person.person_id for person in people}
        kept = tuple(
            person
            for person in self.searched
            if self.chosen in person.entries and person.person_id not in found
        )
        return replace(self, searched=(*kept, *people))

    def choose(self, person_id: str) -> ScreenPop:
        """Return a new screen-pop in which this person is chosen.

        The advisor's answer about another person is removed. Raises `ChoiceError` if no candidate
        has this id.
        """
        chosen = self._person(person_id).person_id
        kept = self.confirmation if chosen == self.chosen else None
        return replace(self, chosen=chosen, chosen_by_advisor=True, confirmation=kept)

    def confirm(self, confirmation: PopConfirmation, person_id: str | None) -> ScreenPop:
        """Return a new screen-pop with the advisor's answer about a person.

        If `person_id` is None, the answer is about the chosen person. After NOT_THEM or NEW_PERSON,
        no person is chosen. Any other answer chooses the person. It raises `ChoiceError` if no
        person is given or chosen, or if no candidate has this id.
        """
        chosen = person_id or self.chosen
        if confirmation in {PopConfirmation.NOT_THEM, PopConfirmation.NEW_PERSON}:
            return replace(self, chosen=None, chosen_by_advisor=False, confirmation=confirmation)
        if chosen is None:
            raise ChoiceError("no person is chosen: choose one first")
        chosen = self._person(chosen).person_id
        return replace(self, chosen=chosen, chosen_by_advisor=True, confirmation=confirmation)

    def has_candidate(self, person_id: str) -> bool:
        """Return whether this entry of a directory belongs to one of the candidates."""
        return self.entry(person_id) is not None

    def entry(self, person_id: str) -> str | None:
        """Return the id of the candidate who has this entry of a directory; None if none has it."""
        return next((each.person_id for each in self.people if person_id in each.entries), None)

    def _with_entries(self, person: Person, result: LookupResult) -> Person:
        """Return `person`. If this is the chosen person, add the further entries in `result`."""
        if person.person_id != self.chosen:
            return person
        same = next((each for each in result.people if self.chosen in each.entries), person)
        further = (*person.same_as, *same.entries)
        entries = dict.fromkeys(each for each in further if each != person.person_id)
        return replace(person, same_as=tuple(entries))

    def _person(self, person_id: str) -> Person:
        for person in self.people:
            if person_id in person.entries:
                return person
        raise ChoiceError("the screen-pop has no person with this id")
