"""The forms of a called number: a route matches whichever form either side uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.switch.numbers import spellings
from galwad.switch.routing import Router


@pytest.mark.parametrize(
    "called", ["01970000100", "+441970000100", "441970000100", "00441970000100"]
)
def test_the_forms_of_a_national_number_begin_with_the_called_one(called):
    forms = spellings(called)
    assert forms[0] == called
    assert {"01970000100", "+441970000100"} <= set(forms)


@pytest.mark.parametrize("called", ["201", "*71", "999", "123456", "sian", "", "4500", "+", "0"])
def test_an_extension_code_or_name_has_only_one_form(called):
    assert spellings(called) == (called,)


def test_a_foreign_number_has_no_national_form():
    assert spellings("00353012345678") == ("00353012345678", "+35312345678")


@given(st.text(max_size=30))
def test_any_called_text_is_its_own_first_form(text):
    assert spellings(text)[0] == text


@pytest.mark.parametrize("called", ["01970000000", "+441970000000", "441970000000"])
def test_a_route_matches_each_form_of_its_number(settings, phones, called):
    route = Router(settings, phones).route(called)
    assert route is not None
    assert route.line == "Council Tax"


@pytest.mark.parametrize("called", ["01632960123", "+441632960123"])
def test_a_number_whose_country_code_begins_like_an_extension_is_not_routed_to_it(
    settings, phones, called
):
    assert Router(settings, phones).route(called) is None
