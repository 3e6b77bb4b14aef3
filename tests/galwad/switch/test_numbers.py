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
def test_a_number_at_home_has_its_forms_and_the_one_that_was_called_comes_first(called):
    forms = spellings(called)
    assert forms[0] == called
    assert {"01970000100", "+441970000100"} <= set(forms)


@pytest.mark.parametrize("called", ["201", "*71", "999", "123456", "sian", "", "4500", "+", "0"])
def test_extensions_codes_and_names_have_one_form(called):
    assert spellings(called) == (called,)


def test_a_number_abroad_has_no_form_at_home():
    assert spellings("00353012345678") == ("00353012345678", "+35312345678")


@given(st.text(max_size=30))
def test_any_text_can_be_called(text):
    assert spellings(text)[0] == text


@pytest.mark.parametrize("called", ["01970000000", "+441970000000", "441970000000"])
def test_a_route_fits_whatever_form_the_trunk_writes(settings, phones, called):
    route = Router(settings, phones).route(called)
    assert route is not None
    assert route.line == "Council Tax"


@pytest.mark.parametrize("called", ["01632960123", "+441632960123"])
def test_a_number_is_no_extension_because_its_country_begins_so(settings, phones, called):
    assert Router(settings, phones).route(called) is None
