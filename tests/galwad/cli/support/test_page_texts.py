"""Texts in Welsh and English: the language of the environment, durations and placeholders."""

from __future__ import annotations

import pytest

from galwad.cli.support.page_texts import Texts, preferred_language


@pytest.mark.parametrize(
    ("us", "english", "welsh"),
    [
        (0, "0 s", "0 eiliad"),
        (20_000, "less than 0.1 s", "llai na 0.1 eiliad"),
        (400_000, "0.4 s", "0.4 eiliad"),
        (9_960_000, "10 s", "10 eiliad"),
        (45_000_000, "45 s", "45 eiliad"),
        (80_000_000, "1 min 20 s", "1 munud 20 eiliad"),
        (120_000_000, "2 min", "2 funud"),
        (3_723_000_000, "1 h 2 min 3 s", "1 awr 2 funud 3 eiliad"),
    ],
)
def test_a_duration_is_given_in_both_languages(us, english, welsh):
    assert Texts("en").duration(us) == english
    assert Texts("cy").duration(us) == welsh


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "cy_GB.UTF-8"}, "cy"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "cy_GB.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "cy:en"}, "cy"),
        ({"LANG": "cy_GB.UTF-8", "LC_ALL": ""}, "cy"),
    ],
)
def test_the_first_environment_variable_that_is_set_chooses_the_language(environment, language):
    assert preferred_language(environment) == language


def test_a_value_with_braces_is_printed_unchanged():
    assert Texts("en").text("holder.phone", name="{0} {x}") == "phone {0} {x}"
    assert "holder.phone" in Texts("cy")
    assert "holder.fax" not in Texts("cy")
