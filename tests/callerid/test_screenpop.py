"""The model of a screen-pop: candidates, choice, confirmation and details.

Covers `callerid/person.py`.
"""

from __future__ import annotations

import pytest

from callerid.errors import ChoiceError
from callerid.lookup import LookupResult, LookupStatus
from callerid.person import Person, PersonKind
from callerid.screenpop import PopConfirmation, ScreenPop

ELIN = Person("a:1", "Elin", "cy", details=(("address", "1 Example Street"),))
HUW = Person("a:2", "Huw", details=(("address", "2 Example Street"),))
ONE = LookupResult(LookupStatus.FOUND, (ELIN,))
TWO = LookupResult(LookupStatus.SEVERAL, (ELIN, HUW))


def test_a_new_pop_has_status_looking_up_and_no_candidates():
    pop = ScreenPop("x")
    assert pop.status is LookupStatus.LOOKING_UP
    assert pop.candidates == ()
    assert pop.details == {}


def test_details_are_shown_once_the_caller_is_confirmed_or_volunteers():
    pop = ScreenPop("x").with_result(ONE)
    assert pop.chosen == "a:1"
    assert pop.details == {}
    for confirmation in (PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED):
        assert pop.confirm(confirmation, None).details == {"address": "1 Example Street"}


def test_a_caller_who_is_not_the_candidate_shows_no_details():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.NOT_THEM, None)
    assert not pop.confirmed
    assert pop.chosen is None
    assert pop.details == {}


def test_several_candidates_are_not_preselected_and_each_has_a_warning():
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
