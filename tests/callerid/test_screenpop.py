"""The model of a screen-pop: candidates, choice, confirmation and details.

Covers `callerid/person.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from callerid.errors import ChoiceError
from callerid.lookup import LookupResult, LookupStatus
from callerid.person import Person, PersonKind
from callerid.screenpop import PopConfirmation, ScreenPop
from callerid.source import AnswerState

ELIN = Person("a:1", "Elin", "cy", details=(("address", "1 Example Street"),))
HUW = Person("a:2", "Huw", details=(("address", "2 Example Street"),))
ONE = LookupResult(LookupStatus.FOUND, (ELIN,))
TWO = LookupResult(LookupStatus.SEVERAL, (ELIN, HUW))


def test_a_new_pop_has_status_looking_up_and_no_candidates():
    pop = ScreenPop("x")
    assert pop.status is LookupStatus.LOOKING_UP
    assert pop.candidates == ()
    assert pop.details == {}


def test_details_are_shown_once_the_advisor_enters_confirmed_or_volunteered():
    pop = ScreenPop("x").with_result(ONE)
    assert pop.chosen == "a:1"
    assert pop.details == {}
    for confirmation in (PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED):
        assert pop.confirm(confirmation, None).details == {"address": "1 Example Street"}


def test_no_details_are_shown_if_the_caller_is_not_the_candidate():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.NOT_THEM, None)
    assert not pop.confirmed
    assert pop.chosen is None
    assert pop.details == {}


def test_of_several_candidates_none_is_preselected_and_each_has_a_warning():
    pop = ScreenPop("x").with_result(TWO)
    assert pop.chosen is None
    assert all(candidate.shared_warning for candidate in pop.candidates)
    with pytest.raises(ChoiceError):
        pop.confirm(PopConfirmation.CONFIRMED, None)
    assert pop.choose("a:2").confirm(PopConfirmation.CONFIRMED, None).details == {
        "address": "2 Example Street"
    }


def test_a_choice_of_another_candidate_withdraws_the_confirmation():
    pop = ScreenPop("x").with_result(TWO).confirm(PopConfirmation.CONFIRMED, "a:1")
    assert pop.choose("a:1").confirmed
    assert not pop.choose("a:2").confirmed


def test_only_a_candidate_can_be_chosen_or_confirmed():
    pop = ScreenPop("x").with_result(ONE)
    with pytest.raises(ChoiceError):
        pop.choose("a:9")
    with pytest.raises(ChoiceError):
        pop.confirm(PopConfirmation.CONFIRMED, "a:9")


@pytest.mark.parametrize(
    ("person", "warns"),
    [
        (ELIN, False),
        (Person("a", "Home", shared=True), True),
        (Person("a", "Box", kind=PersonKind.PAYPHONE), True),
        (Person("a", "Firm", kind=PersonKind.ORGANISATION), True),
        (Person("a", "Desk", main_line=True), True),
    ],
)
def test_a_shared_number_gives_a_warning(person, warns):
    (candidate,) = (
        ScreenPop("x").with_result(LookupResult(LookupStatus.FOUND, (person,))).candidates
    )
    assert candidate.shared_warning is warns


def test_a_late_answer_with_a_second_person_withdraws_the_automatic_choice():
    pop = ScreenPop("x").with_result(ONE).with_result(TWO)
    assert (pop.status, pop.chosen) == (LookupStatus.SEVERAL, None)


def test_a_late_answer_keeps_what_the_advisor_has_chosen():
    pop = ScreenPop("x").with_result(TWO).choose("a:2")
    sian = Person("b:1", "Siân")
    three = LookupResult(LookupStatus.SEVERAL, (sian, ELIN, HUW))
    assert pop.with_result(three).chosen == "a:2"
    assert pop.choose("a:2").with_result(ONE).chosen == "a:1"  # Huw is not found any more


def test_a_choice_stays_if_the_person_is_found_in_another_directory_too():
    both = replace(HUW, person_id="crm:9", same_as=("a:2",))
    pop = ScreenPop("x").with_result(TWO).choose("a:2")
    after = pop.with_result(LookupResult(LookupStatus.SEVERAL, (ELIN, both)))
    assert after.chosen == "crm:9"
    # A page that has not drawn the late answer yet still sends the earlier id.
    assert after.confirm(PopConfirmation.CONFIRMED, "a:2").details == {
        "address": "2 Example Street"
    }
    assert after.has_candidate("a:2")
    assert not after.has_candidate("a:9")


@pytest.mark.parametrize("outcome", [PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED])
def test_a_late_answer_changes_no_person_after_the_advisor_has_confirmed_one(outcome):
    pop = ScreenPop("x").with_result(ONE).confirm(outcome, None)
    late = replace(TWO, answers=(("crm", AnswerState.FOUND),))
    after = pop.with_result(late)
    assert (after.candidates, after.chosen, after.details) == (
        pop.candidates,
        pop.chosen,
        pop.details,
    )
    assert after.result.answers == late.answers


def test_a_late_answer_does_not_choose_the_person_whom_the_advisor_has_rejected():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.NOT_THEM, None)
    after = pop.with_result(replace(ONE, answers=(("crm", AnswerState.NOT_FOUND),)))
    assert (after.chosen, after.confirmation) == (None, PopConfirmation.NOT_THEM)


def test_people_who_were_searched_for_are_candidates_beside_those_found_by_number():
    pop = ScreenPop("x").with_result(ONE).with_searched((HUW, ELIN))
    assert [each.person_id for each in pop.candidates] == ["a:1", "a:2"]
    assert (pop.status, pop.chosen) == (LookupStatus.SEVERAL, "a:1")
    assert pop.choose("a:2").confirm(PopConfirmation.CONFIRMED, None).details == dict(HUW.details)


def test_a_person_found_by_a_search_is_not_chosen_automatically():
    pop = ScreenPop("x").with_result(LookupResult(LookupStatus.NOT_FOUND)).with_searched((HUW,))
    assert (pop.status, pop.chosen) == (LookupStatus.FOUND, None)
    assert pop.with_searched(()).status is LookupStatus.NOT_FOUND


def test_a_second_search_keeps_only_the_chosen_person_from_the_first_search():
    pop = ScreenPop("x").with_searched((ELIN, HUW)).choose("a:2").with_searched(())
    assert [each.person_id for each in pop.candidates] == ["a:2"]
    assert pop.with_searched((HUW,)).chosen == "a:2"


def test_a_late_answer_keeps_a_person_who_was_searched_for_and_chosen():
    pop = ScreenPop("x").with_searched((HUW,)).choose("a:2").with_result(ONE)
    assert (pop.chosen, len(pop.candidates)) == ("a:2", 2)
    same = replace(HUW, person_id="b:7", same_as=("a:2",))
    late = LookupResult(LookupStatus.FOUND, (same,))
    assert pop.with_result(late).chosen == "b:7"


def test_no_search_is_possible_once_the_caller_is_confirmed():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.CONFIRMED, None)
    with pytest.raises(ChoiceError):
        pop.with_searched((HUW,))


def test_after_the_advisor_enters_new_person_a_late_answer_chooses_no_candidate():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.NEW_PERSON, None)
    assert (pop.chosen, pop.details, pop.confirmed) == (None, {}, False)
    assert pop.with_result(ONE).chosen is None


def test_a_late_answer_adds_only_entries_of_the_confirmed_person():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.CONFIRMED, None)
    same = replace(ELIN, name="Elin Jones", same_as=("b:9",))
    late = pop.with_result(LookupResult(LookupStatus.SEVERAL, (same, HUW)))
    assert [each.name for each in late.candidates] == ["Elin"]
    assert late.confirmed_person is not None
    assert late.confirmed_person.entries == ("a:1", "b:9")
    first = LookupResult(LookupStatus.FOUND, (replace(same, person_id="b:9", same_as=("a:1",)),))
    assert pop.with_result(first).confirmed_person == late.with_result(first).confirmed_person
