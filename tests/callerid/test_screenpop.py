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


def test_a_new_pop_is_looking_up():
    pop = ScreenPop("x")
    assert pop.status is LookupStatus.LOOKING_UP
    assert pop.candidates == ()
    assert pop.details == {}


def test_details_come_with_the_confirmation_or_when_volunteered():
    pop = ScreenPop("x").with_result(ONE)
    assert pop.chosen == "a:1"
    assert pop.details == {}
    for confirmation in (PopConfirmation.CONFIRMED, PopConfirmation.VOLUNTEERED):
        assert pop.confirm(confirmation, None).details == {"address": "1 Example Street"}


def test_not_who_we_thought_shows_nothing():
    pop = ScreenPop("x").with_result(ONE).confirm(PopConfirmation.NOT_THEM, None)
    assert not pop.confirmed
    assert pop.chosen is None
    assert pop.details == {}


def test_several_are_never_preselected_and_each_warns():
    pop = ScreenPop("x").with_result(TWO)
    assert pop.chosen is None
    assert all(candidate.shared_warning for candidate in pop.candidates)
    with pytest.raises(ChoiceError):
        pop.confirm(PopConfirmation.CONFIRMED, None)
    assert pop.choose("a:2").confirm(PopConfirmation.CONFIRMED, None).details == {
        "address": "2 Example Street"
    }


def test_choosing_another_takes_the_confirmation_back():
    pop = ScreenPop("x").with_result(TWO).confirm(PopConfirmation.CONFIRMED, "a:1")
    assert pop.choose("a:1").confirmed
    assert not pop.choose("a:2").confirmed


def test_nobody_but_a_candidate_can_be_chosen_or_confirmed():
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
def test_a_number_that_others_use_warns(person, warns):
    (candidate,) = (
        ScreenPop("x").with_result(LookupResult(LookupStatus.FOUND, (person,))).candidates
    )
    assert candidate.shared_warning is warns
