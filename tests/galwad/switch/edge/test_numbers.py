"""The forms of a called number: a route matches whichever form either side uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.settings.switch import Route
from galwad.switch.edge.routing import Router, spellings


@pytest.mark.parametrize(
    "called", ["01970000100", "+441970000100", "441970000100", "00441970000100"]
)
def test_the_forms_of_a_national_number_begin_with_the_number_as_it_was_called(called):
    forms = spellings(called)
    assert forms[0] == called
    assert {"01970000100", "+441970000100"} <= set(forms)


@pytest.mark.parametrize("called", ["201", "*71", "999", "123456", "sian", "", "4500", "+", "0"])
def test_an_extension_a_code_and_a_name_each_have_only_one_form(called):
    assert spellings(called) == (called,)


def test_a_foreign_number_has_no_national_form():
    forms = ("+35312345678", "0035312345678")
    assert spellings("00353012345678") == ("00353012345678", *forms)


@pytest.mark.parametrize("written", ["0033199000100", "+33199000100", "0033*", "+331*"])
@pytest.mark.parametrize("called", ["0033199000100", "+33199000100"])
def test_a_route_for_a_number_abroad_matches_it_with_00_and_with_a_plus_sign(
    settings, phones, written, called
):
    abroad = Route.model_validate({"called": written, "ring": ["201"], "line": "abroad"})
    router = Router(settings.model_copy(update={"routes": (abroad,)}), phones)
    route = router.route(called)
    assert route is not None
    assert route.line == "abroad"


@pytest.mark.parametrize("called", ["01632960123", "+441632960123", "441632960123"])
def test_a_national_number_does_not_match_a_pattern_for_numbers_abroad(settings, phones, called):
    abroad = Route.model_validate({"called": "00*", "ring": ["201"]})
    router = Router(settings.model_copy(update={"routes": (abroad,)}), phones)
    assert router.route(called) is None


@given(st.text(max_size=30))
def test_any_called_text_is_its_own_first_form(text):
    assert spellings(text)[0] == text


@pytest.mark.parametrize("called", ["01970000000", "+441970000000", "441970000000"])
def test_a_route_matches_each_form_of_its_number(settings, phones, called):
    route = Router(settings, phones).route(called)
    assert route is not None
    assert route.line == "Council Tax"


@pytest.mark.parametrize("called", ["01632960123", "+441632960123"])
def test_a_number_whose_country_code_begins_like_an_extension_is_not_routed_to_that_extension(
    settings, phones, called
):
    assert Router(settings, phones).route(called) is None
