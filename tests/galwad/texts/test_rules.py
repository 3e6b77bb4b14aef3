"""The rules for lists of texts, which the settings and the administrators' page share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from galwad.texts.rules import (
    BREAKS,
    LINES,
    MOST_ENTRIES,
    PURPOSES,
    TextFault,
    TextRules,
)


def entries(*rows):
    return [SimpleNamespace(code=code, en=en, cy=cy) for code, en, cy in rows]


LUNCH = ("lunch", "Lunch", "Cinio")


@pytest.mark.parametrize(
    ("rules", "rows", "fault"),
    [
        (BREAKS, [], None),
        (BREAKS, [LUNCH, ("tea", "Lunch", "Cinio")], None),
        (BREAKS, [LUNCH, ("lunch", "Tea", "Te")], TextFault("same_code", 2, "code")),
        (BREAKS, [("Lunch", "Lunch", "Cinio")], TextFault("code", 1, "code")),
        (BREAKS, [("", "Lunch", "Cinio")], TextFault("code", 1, "code")),
        (BREAKS, [("lunch\n", "Lunch", "Cinio")], TextFault("code", 1, "code")),
        (BREAKS, [LUNCH, ("tea", "", "Te")], TextFault("empty", 2, "en")),
        (BREAKS, [("tea", "Tea", " ")], TextFault("empty", 1, "cy")),
        (BREAKS, [("tea", "T" * 40, "Te")], None),
        (BREAKS, [("tea", "Tea", "T" * 41)], TextFault("too_long", 1, "cy")),
        (BREAKS, [("tea", "Te\x00a", "Te")], TextFault("control", 1, "en")),
        (BREAKS, [("tea", "Tea", "Te\u2028")], TextFault("control", 1, "cy")),
        (PURPOSES, [("", "One", "Un"), ("", "Two", "Dau")], None),
        (PURPOSES, [("a", "Tax", "Tax")], None),
        (PURPOSES, [("a", "One", "Un"), ("b", "Two", "One")], TextFault("same_text", 2, "cy")),
        (PURPOSES, [("a", "One", "Un"), ("b", "Un", "Dau")], TextFault("same_text", 2, "en")),
        (PURPOSES, [("a\nb", "One", "Un")], TextFault("code", 1, "code")),
        (LINES, [("Tax", "Tax", "")], None),
        (LINES, [("Tax", "", "Treth")], TextFault("empty", 1, "en")),
    ],
)
def test_the_first_broken_rule_is_found_with_its_entry_and_field(rules, rows, fault):
    if rules is LINES:
        assert rules.fault_in(entries(*rows), ["Tax"]) == fault
    else:
        assert rules.fault_in(entries(*rows)) == fault


def test_a_list_with_more_than_200_entries_is_a_fault():
    rows = [(f"c{number}", f"T{number}", f"C{number}") for number in range(MOST_ENTRIES + 1)]
    assert BREAKS.fault_in(entries(*rows)) == TextFault("too_many")
    assert BREAKS.fault_in(entries(*rows[1:])) is None


@pytest.mark.parametrize("rows", [[], [LUNCH, LUNCH], [("tea", "Tea", "Te")]])
def test_a_list_with_fixed_codes_must_have_each_code_exactly_once(rows):
    rules = TextRules(40)
    assert rules.fault_in(entries(*rows), ["lunch"]) == TextFault("codes_fixed")
    assert rules.fault_in(entries(LUNCH), ["lunch"]) is None
